"""A task: one process, one query, and the lengths to train and test on; the schema of `tasks/*.yaml`.

Validation includes building the process, so a task that loads can also be run.
"""

import math
import re
from collections.abc import Mapping
from itertools import takewhile
from typing import Any, Literal

import numpy as np
from pydantic import Field, ValidationError, model_serializer, model_validator

from unamortized.configuration.document import suggestion
from unamortized.configuration.field_errors import Violations, explain, got, violation_error
from unamortized.configuration.schema import Count, Name, Spec
from unamortized.worlds.net_tasks import NetTask
from unamortized.worlds.process_spec import ProcessSpec
from unamortized.worlds.processes import Process
from unamortized.worlds.randomness import json_hash
from unamortized.worlds.shifts import Shifts
from unamortized.worlds.steps import Steps

Start = Literal["fixed", "known", "belief"]

LARGEST_CODEBOOK = 5000  # codes; each is a token, so the embedding and unembedding grow with it


class Query(Spec):
    """The question that each problem asks; written `filter`, `predict 3` or `smooth 0`."""

    kind: Literal["filter", "predict", "smooth"]
    argument: int | None = None  # predict: steps ahead; smooth: the index of the latent state

    @model_validator(mode="before")
    @classmethod
    def _parse(cls, data: Any) -> Any:
        if isinstance(data, Mapping):
            return data
        form = r"filter|predict +[1-9][0-9]{0,8}|smooth +(0|[1-9][0-9]{0,8})"
        if not isinstance(data, str) or not re.fullmatch(form, data):
            kinds, word = ("filter", "predict", "smooth"), str(data).partition(" ")[0]
            hint = "" if word in kinds else suggestion(word, kinds)
            raise ValueError(f"must be 'filter', 'predict 1' (or more) or 'smooth 0' (or more) (got {got(data)}){hint}")
        kind, *argument = data.split()
        return {"kind": kind, "argument": int(argument[0]) if argument else None}

    @model_validator(mode="after")
    def _check_argument(self) -> "Query":
        least = {"filter": None, "predict": 1, "smooth": 0}[self.kind]
        if (least is None) != (self.argument is None):
            raise ValueError(f"{self.kind} takes {'no' if least is None else 'an'} argument (got {self})")
        if least is not None and self.argument is not None and self.argument < least:
            raise ValueError(f"the argument of {self.kind} must be at least {least} (got {self.argument})")
        return self

    @model_serializer
    def _as_written(self) -> str:
        return str(self)

    def __str__(self) -> str:
        return self.kind if self.argument is None else f"{self.kind} {self.argument}"


class CodebookSpec(Spec):
    """The precision with which a trace states a belief: lattice points on the simplex, `resolution` steps per edge."""

    resolution: Count = Field(examples=[8])

    def size(self, n_states: int) -> int:
        """Return K = C(m+S-1, S-1), the number of codes for resolution m and S states."""
        return math.comb(self.resolution + n_states - 1, n_states - 1)

    def violation(self, n_states: int) -> str:
        """Return why the codebook is too large, and the largest resolution that fits; empty if it fits."""
        size = self.size(n_states)
        if size <= LARGEST_CODEBOOK:
            return ""
        smaller = (CodebookSpec(resolution=m).size(n_states) for m in range(1, self.resolution))
        largest = sum(1 for _ in takewhile(lambda size: size <= LARGEST_CODEBOOK, smaller))
        # Python refuses to print a number with thousands of digits
        count = f"{size} codes" if size < 10**9 else "over a billion codes"
        excess = f"{self.resolution} gives {count} for {n_states} states, more than {LARGEST_CODEBOOK}"
        remedy = f"write {largest} or less" if largest else "this process has too many states for a codebook"
        return f"{excess}; {remedy}"


class Task(Spec):
    """A task file about a process, validated and with defaults filled in."""

    name: Name = Field(examples=["my_task"])
    process: ProcessSpec
    query: Query = Field(examples=["filter"])
    start: Start = Field(examples=["fixed"])
    steps: Steps
    codebook: CodebookSpec
    shifts: Shifts = Shifts()

    @model_validator(mode="after")
    def _check_across_fields(self) -> "Task":
        violations: Violations = []
        shortest = min(self.steps.train[0], *self.steps.test)
        index = self.query.argument if self.query.kind == "smooth" else None
        if index is not None and index >= shortest:
            field = "steps.train" if shortest == self.steps.train[0] else "steps.test"
            message = f"asks for state {index}, so every length must be greater; {field} has {shortest}"
            violations.append((("query",), message))
        try:
            process = self.build()
        except ValueError as error:
            path, message = self.process.violation(str(error))
            violations.append((("process", *path), message))
        else:
            violations += self._violations_for(process)
        if violations:
            raise violation_error("task", violations)
        return self

    def _violations_for(self, process: Process) -> Violations:
        """Check the codebook, query, start and shifts against the process."""
        violations: Violations = []
        # a belief of a generalized process is stated as the prediction that it makes
        n_coded = process.n_symbols if process.is_generalized else process.n_states
        if message := self.codebook.violation(n_coded):
            violations.append((("codebook", "resolution"), message))
        if process.is_generalized and self.query.kind != "predict":
            message = f"a generalized process has no latent states; write 'predict 1' (got {self.query})"
            violations.append((("query",), message))
        if process.is_generalized and self.start != "fixed":
            message = f"a generalized process has no start state; write 'fixed' (got {got(self.start)})"
            violations.append((("start",), message))
        violations += [(("shifts", *path), message) for path, message in self.shifts.violations(process, self.start)]
        if isinstance(self.shifts.parameters, dict) and process.sampler is None:
            found = self._shifted_parameter_violations(process, self.shifts.parameters)
            violations += [(("shifts", "parameters", *path), message) for path, message in found]
        return violations

    def _shifted_parameter_violations(self, process: Process, changed: dict[str, Any]) -> Violations:
        """Check the parameters that tests change; paths start at `shifts.parameters`."""
        if "family" in changed:
            return [(("family",), f"another family is another task; leave this out (got {got(changed['family'])})")]
        if self.process.family == "matrices":
            return [((), "matrices from a file have no parameters; make the other file a task of its own")]
        try:
            other = self.shifted_process()
        except ValidationError as error:
            return explain(ProcessSpec, error, changed)
        except ValueError as error:
            return [self.process.violation(str(error))]
        n_symbols, n_states, _ = process.transitions.shape
        if (other.n_symbols, other.n_states) != (n_symbols, n_states):
            requirement = f"must keep {n_symbols} symbols and {n_states} states"
            return [((), f"{requirement} (got {other.n_symbols} and {other.n_states})")]
        if np.array_equal(other.transitions, process.transitions) and np.array_equal(other.initial, process.initial):
            return [((), "must change the process; these values leave it as it is")]
        return []

    def shifted_process(self) -> Process:
        """Build the process with the parameters of the `parameters` shift."""
        changed = self.shifts.parameters if isinstance(self.shifts.parameters, dict) else {}
        return ProcessSpec.model_validate(self.canonical()["process"] | changed).build()

    @model_serializer(mode="wrap")
    def _without_undeclared_shifts(self, serialize: Any) -> dict[str, Any]:
        written = serialize(self)
        shifts = {name: value for name, value in written.pop("shifts").items() if value not in (None, [], ())}
        return written | ({"shifts": shifts} if shifts else {})

    def build(self) -> Process:
        """Build the process; equal specifications share one."""
        return self.process.build()

    def canonical(self) -> dict[str, Any]:
        """Return the task as JSON values, free of any file: `Task.model_validate(task.canonical()) == task`."""
        return self.model_dump(mode="json")

    def fingerprint(self) -> str:
        """Hash the fields that affect the problems: process, query, start, and the properties withheld from training.

        Name and lengths are not among them.
        """
        spec = self.canonical()
        decisive = {part: spec[part] for part in ("process", "query", "start")}
        if self.start == "belief":
            decisive["resolution"] = self.codebook.resolution  # start beliefs lie on the codebook's lattice
        if withheld := self.shifts.withheld:
            decisive["withheld"] = {axis: spec["shifts"][axis] for axis in withheld}
        if self.process.family == "matrices":
            # hash the bytes, neither the file's name nor the last digit of a stationary start
            decisive["process"] = {"family": "matrices", "sha256": spec["process"]["sha256"]}
        return json_hash(decisive)


def with_process(task: Task | NetTask) -> Task:
    """Return the task if it has a process; a ValueError if it has a net."""
    if isinstance(task, NetTask):
        raise ValueError(f"{task.name} has a net instead of a process; run 'unamortized study locality' for nets")
    return task
