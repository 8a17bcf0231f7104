"""Shifts: what tests change beside the length, as a task file declares it; training is kept away from it.

Each shift is a property of the question (where it starts, how likely it is, which symbols follow one another,
which table it tells), never of its answer, so that selecting by it leaves every exact posterior as it is. Changed
parameters are another process, under which the exact answer is computed.
"""

from typing import Annotated, Any, Literal

import numpy as np
from jaxtyping import Int
from pydantic import Field, model_validator

from unamortized.configuration.field_errors import combined, got
from unamortized.worlds.predictive_vectors import SMALLEST_EVIDENCE
from unamortized.worlds.processes import Process
from unamortized.worlds.spec import Complaints, Spec

AXES = ("parameters", "start", "rare", "composition")  # of shifts; length needs no declaration
Axis = Literal["length", "parameters", "start", "rare", "composition"]
SymbolPair = tuple[Annotated[int, Field(strict=True, ge=0)], Annotated[int, Field(strict=True, ge=0)]]


class Shifts(Spec):
    """What tests change beside the length; from all of it but `parameters` training is kept away."""

    # the process's parameters in the tests; `tables`, where each problem brings its own: tables never seen
    parameters: dict[str, Any] | Literal["tables"] | None = Field(default=None, examples=["{slip: 0.1}"])
    # states: questions whose start belief is highest there
    start: Annotated[tuple[Annotated[int, Field(strict=True, ge=0)], ...], Field(min_length=1)] | None = None
    # the share of questions of each length that are least likely, by log P(x_1..n)
    rare: Annotated[float, Field(gt=0, le=0.5)] | None = None
    # symbols that follow one another
    composition: Annotated[tuple[SymbolPair, ...], Field(min_length=1)] | None = None
    # tests that change several at once, such as [length, parameters]
    crossed: tuple[Annotated[tuple[Axis, ...], Field(min_length=2)], ...] = ()

    @property
    def declared(self) -> tuple[str, ...]:
        """The axes that are not left out."""
        return tuple(axis for axis in AXES if getattr(self, axis) is not None)

    @model_validator(mode="after")
    def _names_nothing_twice(self) -> "Shifts":
        wrong: Complaints = []
        for field in ("start", "composition"):
            written = getattr(self, field) or ()
            if list(written) != sorted(set(written)):
                right = got(sorted(set(written)))
                wrong.append(((field,), f"must ascend without repeats; write {right} (got {got(written)})"))
        for place, axes in enumerate(self.crossed):
            if len(set(axes)) < len(axes) or not set(axes) <= {"length", *self.declared}:
                known = ", ".join(("length", *self.declared))
                message = f"must name different axes of those declared here: {known} (got {got(axes)})"
                wrong.append((("crossed", place), message))
            elif set(axes) in map(set, self.crossed[:place]):
                wrong.append((("crossed", place), f"names the same axes as an entry before it (got {got(axes)})"))
        if wrong:
            raise combined("shifts", wrong)
        return self

    @property
    def withheld(self) -> tuple[str, ...]:
        """The axes that training is kept away from: all but changed parameters of one process."""
        kept = () if self.parameters == "tables" else ("parameters",)
        return tuple(axis for axis in self.declared if axis not in kept)

    def unfit(self, process: Process, start: str) -> Complaints:
        """What cannot be shifted in this process."""
        wrong: Complaints = []
        if self.start is not None and start == "fixed":
            wrong.append((("start",), "needs starts that differ; write 'start: known' or 'start: belief' above"))
        elif self.start is not None:
            states = np.flatnonzero(process.initial > 0) if start == "known" else np.arange(process.n_states)
            if not set(self.start) < set(states.tolist()):
                message = f"must be some, not all, of the states that problems start in, which are {_listed(states)}"
                wrong.append((("start",), f"{message} (got {got(self.start)})"))
        for place, (first, second) in enumerate(self.composition or ()):
            if max(first, second) >= process.n_symbols:
                message = f"must be two of the symbols 0 to {process.n_symbols - 1} (got {got((first, second))})"
                wrong.append((("composition", place), message))
            elif np.abs(process.transitions[first] @ process.transitions[second]).max() < SMALLEST_EVIDENCE:
                message = f"symbol {second} never follows symbol {first} in this process; name pairs that occur"
                wrong.append((("composition", place), message))
        if self.parameters == "tables" and process.drawn is None:
            message = "problems bring no tables here; write the parameters that change, each with its other value"
            wrong.append((("parameters",), message))
        if isinstance(self.parameters, dict) and process.drawn is not None:
            wrong.append((("parameters",), "each problem brings its own table; write 'tables'"))
        return wrong


def _listed(states: Int[np.ndarray, " state"]) -> str:
    """States as a reader writes them, short where they are all that there are up to some number."""
    if len(states) > 1 and states[-1] == len(states) - 1:
        return f"0 to {states[-1]}"
    return ", ".join(map(str, states.tolist()))
