"""What every way of learning says of itself, whatever its tasks and examples are."""

from typing import Any, Protocol, runtime_checkable

from unamortized.models.transformer import Architecture, ModelSpec


@runtime_checkable
class Condition(Protocol):
    """A way of learning: a condition of any kind."""

    @property
    def name(self) -> str:
        """The one name in code, tables, legends and README."""
        ...

    @property
    def description(self) -> str:
        """What it is, in a line, for people."""
        ...

    @property
    def equal_flops(self) -> str | None:
        """The condition that it spends as many FLOPs as."""
        ...

    @property
    def architecture(self) -> Architecture | None:
        """The only one that it trains; none: whichever is asked for."""
        ...

    def shape(self, model: ModelSpec) -> ModelSpec:
        """The model that it trains where another is asked for."""
        ...

    def vocabulary(self, task: Any) -> Any:
        """The token ids of a task."""
        ...

    def training_flops_per_question(self, task: Any, model: ModelSpec) -> float:
        """FLOPs of training on one question."""
        ...
