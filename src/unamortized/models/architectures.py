"""The architectures by name; all are called in the same way, so that nothing above needs to know which it has."""

from unamortized.models.recurrent import Recurrent
from unamortized.models.transformer import Architecture, ModelSpec, Transformer

Model = Transformer | Recurrent

ARCHITECTURES: dict[Architecture, type[Transformer] | type[Recurrent]] = {"transformer": Transformer, "gru": Recurrent}


def build_model(spec: ModelSpec, vocabulary_size: int) -> Model:
    """An untrained model of that shape, its weights drawn from torch's generator."""
    return ARCHITECTURES[spec.architecture](spec, vocabulary_size)
