"""Architectures by name; all share one call signature, so that other floors do not depend on the choice."""

from collections.abc import Iterable
from typing import Any, Protocol, runtime_checkable

from unamortized.models.recurrent import Recurrent
from unamortized.models.transformer import Architecture, ModelSpec, Output, Transformer

Model = Transformer | Recurrent


@runtime_checkable
class LanguageModel(Protocol):
    """Anything that predicts the next token: a model, or a stand-in for one.

    It takes tensors of any device; logits and activations are on its own (``device_of``).
    """

    def new_cache(self, capacity: int) -> Any: ...

    def __call__(
        self,
        tokens: Any,
        positions: Any,
        *,
        taps: Iterable[str] = (),
        patches: Any = None,
        cache: Any = None,
        select: Any = None,
    ) -> Output: ...


ARCHITECTURES: dict[Architecture, type[Transformer] | type[Recurrent]] = {"transformer": Transformer, "gru": Recurrent}


def build_model(spec: ModelSpec, vocabulary_size: int) -> Model:
    """Build an untrained model; torch's global generator draws its weights."""
    return ARCHITECTURES[spec.architecture](spec, vocabulary_size)
