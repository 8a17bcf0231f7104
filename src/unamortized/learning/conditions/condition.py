"""The protocol of a condition: what every way of learning provides, whatever its tasks and examples."""

from typing import Any, Protocol, runtime_checkable

from unamortized.models.transformer import Architecture, ModelSpec


@runtime_checkable
class Condition(Protocol):
    """A way of learning."""

    @property
    def name(self) -> str:
        """Name in code, tables, legends and README."""
        ...

    @property
    def description(self) -> str:
        """One line for readers."""
        ...

    @property
    def equal_flops(self) -> str | None:
        """Condition whose training FLOPs this one spends; None: it trains for the requested steps."""
        ...

    @property
    def architecture(self) -> Architecture | None:
        """The one architecture that it trains; None: the requested one."""
        ...

    def shape(self, model: ModelSpec) -> ModelSpec:
        """Return the model that it trains in place of the requested one."""
        ...

    def vocabulary(self, task: Any) -> Any:
        """Return the token ids of a task."""
        ...

    def training_flops_per_question(self, task: Any, model: ModelSpec) -> float:
        """Return the mean FLOPs of training on one question."""
        ...
