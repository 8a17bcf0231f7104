"""A task: one process, one query, and the lengths to train and test on: the schema of `tasks/*.yaml`.

Everything is checked when the file is read, so that a task that loads can also be run.
"""

import hashlib
import json
import math
import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from itertools import takewhile
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    model_serializer,
    model_validator,
)

from unamortized.configuration.field_errors import combined, explain, got, validate, validate_nested
from unamortized.configuration.yaml_source import (
    Fault,
    FieldPath,
    Source,
    SpecError,
    apply_overrides,
    read_yaml,
    suggestion,
)
from unamortized.worlds.net_tasks import NetTask
from unamortized.worlds.processes import FAMILIES, Process, build_process, parameter_model
from unamortized.worlds.processes.matrices import matrices
from unamortized.worlds.processes.mixtures import mix
from unamortized.worlds.shifts import Shifts
from unamortized.worlds.spec import Complaints, Spec, Steps, snake_case

LARGEST_CODEBOOK = 5000  # codes; each is a token, so embedding and unembedding grow with it
TASKS = Path("tasks")


class StoredMatrices(Spec):
    """What replaces the path of a matrix file once it is read: a finished run must load without the file."""

    path: str  # the file's name, for the reader only
    sha256: str  # of the file's bytes
    transitions: list[list[list[float]]]  # (symbol, state, state)
    initial: list[float]


class ProcessSpec(BaseModel):
    """A family's name and its parameters, side by side as in the file; the family's own schema checks it."""

    model_config = ConfigDict(extra="allow", frozen=True)

    family: str = Field(examples=["noisy_permutation"])

    @property
    def parameters(self) -> dict[str, Any]:
        """Every parameter of the family, defaults included."""
        return dict(self.model_extra or {})

    @model_validator(mode="before")
    @classmethod
    def _resolve(cls, data: Any, info: Any) -> Any:  # info: a ValidationInfo, which no test can check
        if not isinstance(data, Mapping) or not isinstance(data.get("family"), str):
            return data  # the field's own check words it
        family = data["family"]
        if family not in FAMILIES:
            options = ", ".join(map(repr, sorted(FAMILIES)))
            message = f"must be one of {options} (got {family!r}){suggestion(family, FAMILIES)}"
            raise combined("process", [(("family",), message)])
        written = {name: value for name, value in data.items() if name != "family"}
        if family == "matrices" and "sha256" in written:
            return {"family": family} | validate_nested(StoredMatrices, written).model_dump(mode="json")
        parameters = validate_nested(parameter_model(family), written).model_dump(mode="json")
        if family == "matrices":
            folder = (info.context or {}).get("folder", Path())
            parameters = _stored(folder / parameters["path"]).model_dump(mode="json")
        if family == "mixture":
            parameters["components"] = _resolved(parameters["components"], info.context)
        return {"family": family} | parameters


class Query(Spec):
    """What is asked about a problem; written `filter`, `predict 3` or `smooth 0`."""

    kind: Literal["filter", "predict", "smooth"]
    argument: int | None = None  # steps ahead for predict, the index of the latent state for smooth

    @model_validator(mode="before")
    @classmethod
    def _parse(cls, data: Any) -> Any:
        if isinstance(data, Mapping):
            return data
        form = r"filter|predict +[1-9][0-9]{0,8}|smooth +(0|[1-9][0-9]{0,8})"
        if not isinstance(data, str) or not re.fullmatch(form, data):
            kinds, word = ("filter", "predict", "smooth"), str(data).partition(" ")[0]
            near = "" if word in kinds else suggestion(word, kinds)
            raise ValueError(f"must be 'filter', 'predict 1' (or more) or 'smooth 0' (or more) (got {got(data)}){near}")
        kind, *argument = data.split()
        return {"kind": kind, "argument": int(argument[0]) if argument else None}

    @model_validator(mode="after")
    def _has_its_argument(self) -> "Query":
        least = {"filter": None, "predict": 1, "smooth": 0}[self.kind]
        if (least is None) != (self.argument is None):
            raise ValueError(f"{self.kind} takes {'no' if least is None else 'an'} argument (got {self})")
        if least is not None and self.argument is not None and self.argument < least:
            raise ValueError(f"the argument of {self.kind} must be at least {least} (got {self.argument})")
        return self

    @model_serializer
    def _written(self) -> str:
        return str(self)

    def __str__(self) -> str:
        return self.kind if self.argument is None else f"{self.kind} {self.argument}"


class CodebookSpec(Spec):
    """How finely a trace can state a belief: lattice points with denominator `resolution` on the simplex."""

    resolution: Annotated[int, Field(strict=True, ge=1)] = Field(examples=[8])

    def size(self, n_states: int) -> int:
        """K = C(m+S-1, S-1) codes for resolution m and S states."""
        return math.comb(self.resolution + n_states - 1, n_states - 1)


class Task(Spec):
    """One task file, checked and complete."""

    name: Annotated[str, AfterValidator(snake_case)] = Field(examples=["my_task"])
    process: ProcessSpec
    query: Query = Field(examples=["filter"])
    start: Literal["fixed", "known", "belief"] = Field(examples=["fixed"])
    steps: Steps
    codebook: CodebookSpec
    shifts: Shifts = Shifts()

    @model_validator(mode="after")
    def _fits_together(self) -> "Task":
        wrong: Complaints = []
        shortest = min(self.steps.train[0], *self.steps.test)
        index = self.query.argument if self.query.kind == "smooth" else None
        if index is not None and index >= shortest:
            field = "steps.train" if shortest == self.steps.train[0] else "steps.test"
            message = f"asks for state {index}, so every length must be greater; {field} has {shortest}"
            wrong.append((("query",), message))
        try:
            process = self.build()
        except ValueError as error:
            wrong.append(_unbuildable(self.process, str(error)))
        else:
            # what a generalized process believes is stated as what it predicts
            n_coded = process.n_symbols if process.is_generalized else process.n_states
            size = self.codebook.size(n_coded)
            if size > LARGEST_CODEBOOK:
                message = _too_many_codes(self.codebook.resolution, n_coded, size)
                wrong.append((("codebook", "resolution"), message))
            wrong += self._wrong_for(process)
        if wrong:
            raise combined("task", wrong)
        return self

    def _wrong_for(self, process: Process) -> Complaints:
        """What cannot be asked of this process, or cannot be shifted."""
        wrong: Complaints = []
        if process.is_generalized and self.query.kind != "predict":
            wrong.append(
                (("query",), f"a generalized process has no latent states; write 'predict 1' (got {self.query})")
            )
        if process.is_generalized and self.start != "fixed":
            wrong.append(
                (("start",), f"a generalized process has no start state; write 'fixed' (got {got(self.start)})")
            )
        wrong += [(("shifts", *path), message) for path, message in self.shifts.unfit(process, self.start)]
        if isinstance(self.shifts.parameters, dict) and process.drawn is None:
            found = self._wrong_parameters(process, self.shifts.parameters)
            wrong += [(("shifts", "parameters", *path), message) for path, message in found]
        return wrong

    def _wrong_parameters(self, process: Process, changed: dict[str, Any]) -> Complaints:
        """What is wrong with the parameters that tests change, each path from `shifts.parameters` on."""
        if "family" in changed:
            return [(("family",), f"another family is another task; leave this out (got {got(changed['family'])})")]
        if self.process.family == "matrices":
            return [((), "matrices from a file have no parameters; make the other file a task of its own")]
        try:
            other = self.shifted_process()
        except ValidationError as error:
            return explain(ProcessSpec, error, changed)
        except ValueError as error:
            path, message = _unbuildable(self.process, str(error))
            return [(path[1:], message)]
        shape = process.transitions.shape
        if other.transitions.shape != shape:
            is_now = f"must leave {shape[0]} symbols and {shape[1]} states"
            return [((), f"{is_now} (got {other.n_symbols} and {other.n_states})")]
        if np.array_equal(other.transitions, process.transitions) and np.array_equal(other.initial, process.initial):
            return [((), "must change the process; with these it is as it was")]
        return []

    def shifted_process(self) -> Process:
        """The process with its parameters as the `parameters` shift has them."""
        changed = self.shifts.parameters if isinstance(self.shifts.parameters, dict) else {}
        spec = ProcessSpec.model_validate(self.canonical()["process"] | changed)
        return _build(json.dumps(spec.model_dump(mode="json"), sort_keys=True))

    @model_serializer(mode="wrap")
    def _without_what_is_not_declared(self, serialize: Any) -> dict[str, Any]:
        written = serialize(self)
        shifts = {name: value for name, value in written["shifts"].items() if value not in (None, [], ())}
        return {name: value for name, value in written.items() if name != "shifts"} | (
            {"shifts": shifts} if shifts else {}
        )

    def build(self) -> Process:
        """The process; built once for equal specs."""
        return _build(json.dumps(self.canonical()["process"], sort_keys=True))

    def canonical(self) -> dict[str, Any]:
        """The task as JSON values, free of any file: `Task.model_validate(task.canonical()) == task`."""
        return self.model_dump(mode="json")

    def fingerprint(self) -> str:
        """Equal for equal problems: of process, query, start and what training must not see; not of name or lengths."""
        spec = self.canonical()
        decisive = {part: spec[part] for part in ("process", "query", "start")}
        if self.start == "belief":
            decisive["resolution"] = self.codebook.resolution  # of the lattice that start beliefs lie on
        if withheld := self.shifts.withheld:
            decisive["withheld"] = {axis: spec["shifts"][axis] for axis in withheld}
        if self.process.family == "matrices":
            # the bytes decide, not the file's name, nor the last digit of a stationary start
            decisive["process"] = {"family": "matrices", "sha256": spec["process"]["sha256"]}
        text = json.dumps(decisive, sort_keys=True, separators=(",", ":"), allow_nan=False)
        return hashlib.sha256(text.encode()).hexdigest()[:16]


@lru_cache(maxsize=8)  # few, as the matrices of a large process take hundreds of megabytes
def _build(process: str) -> Process:
    spec = json.loads(process)
    if spec["family"] == "matrices":
        return Process(np.array(spec["transitions"]), np.array(spec["initial"]))
    if spec["family"] == "mixture":
        return mix(spec["components"], spec["weights"], lambda part: _build(json.dumps(part, sort_keys=True)))
    return build_process(**spec)


def _resolved(components: list[dict[str, Any]], context: Any) -> list[dict[str, Any]]:
    """The components of a mixture, each a process of its own with its own mistakes."""
    wrong, resolved = [], []
    for index, component in enumerate(components):
        try:
            resolved.append(ProcessSpec.model_validate(component, context=context).model_dump(mode="json"))
        except ValidationError as error:
            found = explain(ProcessSpec, error, component)
            wrong += [(("components", index, *path), message) for path, message in found]
    if wrong:
        raise combined("process", wrong)
    return resolved


def _stored(file: Path) -> StoredMatrices:
    try:
        process = matrices(file)
        digest = hashlib.sha256(file.read_bytes()).hexdigest()
    except (ValueError, OSError) as error:
        raise combined("process", [(("path",), str(error))]) from None
    transitions, initial = process.transitions.tolist(), process.initial.tolist()
    return StoredMatrices(path=file.name, sha256=digest, transitions=transitions, initial=initial)


def _unbuildable(process: ProcessSpec, message: str) -> tuple[FieldPath, str]:
    """A family's complaint begins with the parameter it is about: 'generators must be …', 'components[1].q must …'."""
    written, _, need = message.partition(" ")
    path = [int(part) if part.isdigit() else part for part in re.findall(r"\w+", written)]
    return (("process", *path), need) if path and path[0] in process.parameters else (("process",), message)


def _too_many_codes(resolution: int, n_states: int, size: int) -> str:
    smaller = (CodebookSpec(resolution=m).size(n_states) for m in range(1, resolution))
    largest = sum(1 for _ in takewhile(lambda size: size <= LARGEST_CODEBOOK, smaller))
    # a number of thousands of digits helps nobody, and Python refuses to print it
    many = f"{size} codes" if size < 10**9 else "over a billion codes"
    says = f"{resolution} gives {many} for {n_states} states, more than {LARGEST_CODEBOOK}"
    fits = f"write {largest} or less" if largest else "this process has too many states for a codebook"
    return f"{says}; {fits}"


def load_task(path: str | Path, overrides: Sequence[str] = ()) -> Task | NetTask:
    """The task in a file; a bare name such as `mess3` means `tasks/mess3.yaml`.

    A file with `net:` in place of `process:` describes a task about a Bayes net.

    Raises:
        SpecError: with every problem of the file and of the overrides, each with its line.
    """
    file = _find(Path(path))
    written = read_yaml(file)
    source = apply_overrides(_named(written, file.stem), overrides)
    if "net" in written.data and "process" not in written.data:
        return validate(NetTask, source)
    return validate(Task, source, context={"folder": file.parent})


def with_process(task: Task | NetTask) -> Task:
    """The task, if it has a process.

    Raises:
        ValueError: if it has a net in its place.
    """
    if isinstance(task, NetTask):
        raise ValueError(f"{task.name} is about a net and has no process; 'unamortized study locality' is about nets")
    return task


def _named(source: Source, stem: str) -> Source:
    source.data.setdefault("name", stem)
    return source


def _find(path: Path) -> Path:
    bare = path.parent == Path() and not path.suffix
    file = TASKS / f"{path}.yaml" if bare else path
    if file.is_file():
        return file
    names = sorted(other.stem for other in file.parent.glob("*.yaml"))
    here = f"the tasks here are {', '.join(names)}" if names else f"there are no tasks in {file.parent}/"
    message = f"no such task; {here}{suggestion(file.stem, names)}"
    raise SpecError(str(file), [Fault(str(file), "", message)])
