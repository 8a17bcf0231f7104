"""The architectures by name; all are called in the same way, so that nothing above needs to know which it has."""

from collections.abc import Iterable
from typing import Any, Protocol, runtime_checkable

from unamortized.models.recurrent import Recurrent
from unamortized.models.transformer import Architecture, ModelSpec, Output, Transformer

Model = Transformer | Recurrent


@runtime_checkable
class LanguageModel(Protocol):
    """Whatever reads tokens and says what comes next: a model, or something in its place."""

    def new_cache(self, capacity: int) -> Any:
        """What ``cache`` starts from."""
        ...

    def __call__(
        self,
        tokens: Any,
        positions: Any,
        *,
        taps: Iterable[str] = (),
        patches: Any = None,
        cache: Any = None,
        select: Any = None,
    ) -> Output:
        """Logits, and activations by name."""
        ...


ARCHITECTURES: dict[Architecture, type[Transformer] | type[Recurrent]] = {"transformer": Transformer, "gru": Recurrent}


def build_model(spec: ModelSpec, vocabulary_size: int) -> Model:
    """An untrained model of that shape, its weights drawn from torch's generator."""
    return ARCHITECTURES[spec.architecture](spec, vocabulary_size)
