"""Shifts: how tests differ from training in properties other than length, as a task file declares them.

Each shift is a property of the question (its start, its probability, its adjacent symbols, the table in its prompt),
never of its answer, so selecting questions by a shift leaves every exact posterior unchanged. A `parameters` shift
changes the process itself, and exact inference uses the changed process.
"""

from typing import Annotated, Any, Literal

import numpy as np
from jaxtyping import Int
from pydantic import Field, model_validator

from unamortized.configuration.field_errors import Violations, got, violation_error
from unamortized.configuration.schema import Index, Spec
from unamortized.worlds.predictive_vectors import SMALLEST_EVIDENCE
from unamortized.worlds.processes import Process
from unamortized.worlds.steps import not_ascending

AXES = ("parameters", "start", "rare", "composition")  # the `length` shift needs no declaration
Axis = Literal["length", "parameters", "start", "rare", "composition"]


class Shifts(Spec):
    """The shifts that a task's tests use; training never sees their questions, except under changed parameters."""

    # the parameters of the process in tests; or `tables`, for tables that training never sees
    parameters: dict[str, Any] | Literal["tables"] | None = Field(default=None, examples=["{slip: 0.1}"])
    # states: selects questions whose start belief is highest in one of them
    start: Annotated[tuple[Index, ...], Field(min_length=1)] | None = None
    # share of the questions of each length that counts as rare: those with the lowest log P(x_1..n)
    rare: Annotated[float, Field(gt=0, le=0.5)] | None = None
    # pairs of adjacent symbols
    composition: Annotated[tuple[tuple[Index, Index], ...], Field(min_length=1)] | None = None
    # tests that shift several axes at once, such as [length, parameters]
    crossed: tuple[Annotated[tuple[Axis, ...], Field(min_length=2)], ...] = ()

    @property
    def declared(self) -> tuple[str, ...]:
        """The axes that the task declares."""
        return tuple(axis for axis in AXES if getattr(self, axis) is not None)

    @property
    def withheld(self) -> tuple[str, ...]:
        """The axes whose questions training never sees: all but changed parameters of a shared process."""
        visible = () if self.parameters == "tables" else ("parameters",)
        return tuple(axis for axis in self.declared if axis not in visible)

    @model_validator(mode="after")
    def _check_repeats(self) -> "Shifts":
        violations = [*not_ascending("start", self.start or ()), *not_ascending("composition", self.composition or ())]
        for place, axes in enumerate(self.crossed):
            if len(set(axes)) < len(axes) or not set(axes) <= {"length", *self.declared}:
                options = ", ".join(("length", *self.declared))
                message = f"must name different axes of those declared here: {options} (got {got(axes)})"
                violations.append((("crossed", place), message))
            elif set(axes) in map(set, self.crossed[:place]):
                message = f"names the same axes as an entry before it (got {got(axes)})"
                violations.append((("crossed", place), message))
        if violations:
            raise violation_error("shifts", violations)
        return self

    def violations(self, process: Process, start: str) -> Violations:
        """Return the shifts that do not apply to this process; paths start at `shifts`."""
        violations: Violations = []
        if self.start is not None and start == "fixed":
            violations.append((("start",), "needs starts that vary; write 'start: known' or 'start: belief' above"))
        elif self.start is not None:
            states = np.flatnonzero(process.initial > 0) if start == "known" else np.arange(process.n_states)
            if not set(self.start) < set(states.tolist()):
                message = f"must be some, not all, of the states that problems start in: {_listed(states)}"
                violations.append((("start",), f"{message} (got {got(self.start)})"))
        for place, (first, second) in enumerate(self.composition or ()):
            if max(first, second) >= process.n_symbols:
                message = f"must be two of the symbols 0 to {process.n_symbols - 1} (got {got((first, second))})"
                violations.append((("composition", place), message))
            elif np.abs(process.transitions[first] @ process.transitions[second]).max() < SMALLEST_EVIDENCE:
                message = f"symbol {second} never follows symbol {first} in this process; name pairs that occur"
                violations.append((("composition", place), message))
        if self.parameters == "tables" and process.sampler is None:
            message = "this process has no tables; write the parameters that change and their new values"
            violations.append((("parameters",), message))
        if isinstance(self.parameters, dict) and process.sampler is not None:
            violations.append((("parameters",), "each problem has its own table; write 'tables'"))
        return violations


def _listed(states: Int[np.ndarray, " state"]) -> str:
    """List states, as a range if they are all those up to some number."""
    if len(states) > 1 and states[-1] == len(states) - 1:
        return f"0 to {states[-1]}"
    return ", ".join(map(str, states.tolist()))
