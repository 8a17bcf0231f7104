"""Shifts: what tests change beside the length, as a task file declares it; training is kept away from it.

Each shift is a property of the question (where it starts, how likely it is, which symbols follow one another,
which table it tells), never of its answer, so that selecting by it leaves every exact posterior as it is. Changed
parameters are another process, under which the exact answer is computed.
"""

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from unamortized.worlds.field_errors import combined, got
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
    def _crosses_what_is_declared(self) -> "Shifts":
        for place, axes in enumerate(self.crossed):
            unknown = [axis for axis in axes if axis != "length" and axis not in self.declared]
            if unknown or len(set(axes)) < len(axes):
                known = ", ".join(("length", *self.declared))
                message = f"must name different axes that are declared here, of {known} (got {got(axes)})"
                raise combined("shifts", [(("crossed", place), message)])
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
        states = set(range(process.n_states))
        if self.start is not None and not set(self.start) < states:
            last = process.n_states - 1
            wrong.append((("start",), f"must be some, not all, of the states 0 to {last} (got {got(self.start)})"))
        symbols = {symbol for pair in self.composition or () for symbol in pair}
        if symbols and max(symbols) >= process.n_symbols:
            message = f"must be pairs of the symbols 0 to {process.n_symbols - 1} (got {got(self.composition)})"
            wrong.append((("composition",), message))
        if self.parameters == "tables" and process.drawn is None:
            wrong.append((("parameters",), "only problems that bring their own table have 'tables'; name parameters"))
        if isinstance(self.parameters, dict) and process.drawn is not None:
            wrong.append((("parameters",), "each problem brings its own table; write 'tables'"))
        return wrong
