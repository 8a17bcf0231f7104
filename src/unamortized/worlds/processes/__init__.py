"""Families of processes: each is a function from named, bounded parameters to matrices, and a line in `FAMILIES`."""

import inspect
from collections.abc import Callable
from functools import cache
from typing import Any, get_type_hints

import numpy as np
import pydantic

from unamortized.configuration.document import dotted, suggestion
from unamortized.configuration.field_errors import explain
from unamortized.worlds.processes.computational_mechanics import (
    coin,
    days_of_week,
    even_ones,
    leaky_rrxor,
    mess3,
    mr_name,
    no_consecutive_ones,
    rrxor,
    sns,
    zero_one_random,
)
from unamortized.worlds.processes.generalized import fanizza, post_quantum, tom_quantum
from unamortized.worlds.processes.groups import group_word
from unamortized.worlds.processes.matrices import matrices
from unamortized.worlds.processes.mixtures import mixture
from unamortized.worlds.processes.process import Process
from unamortized.worlds.processes.random_processes import in_context, noisy_permutation, random_hmm

FAMILIES: dict[str, Callable[..., Process]] = {
    "mess3": mess3,
    "zero_one_random": zero_one_random,
    "rrxor": rrxor,
    "leaky_rrxor": leaky_rrxor,
    "coin": coin,
    "even_ones": even_ones,
    "no_consecutive_ones": no_consecutive_ones,
    "sns": sns,
    "mr_name": mr_name,
    "days_of_week": days_of_week,
    "tom_quantum": tom_quantum,
    "fanizza": fanizza,
    "post_quantum": post_quantum,
    "mixture": mixture,
    "random_hmm": random_hmm,
    "noisy_permutation": noisy_permutation,
    "in_context": in_context,
    "group_word": group_word,
    "matrices": matrices,
}


@cache
def parameter_model(family: str) -> type[pydantic.BaseModel]:
    """Return a pydantic model with one field for each parameter in the signature of a family.

    Raises:
        ValueError: if the family does not exist; names the most similar one.
    """
    if family not in FAMILIES:
        hint = suggestion(family, FAMILIES) or f"; the families are {', '.join(FAMILIES)}"
        raise ValueError(f"{family}: unknown family{hint}")
    hints = get_type_hints(FAMILIES[family], include_extras=True)
    fields: dict[str, Any] = {
        name: (hints[name], ... if parameter.default is parameter.empty else parameter.default)
        for name, parameter in inspect.signature(FAMILIES[family]).parameters.items()
    }
    # strict: "3" and 3.0 are not integers, and true is not a number; integers are still accepted as floats
    config = pydantic.ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)
    return pydantic.create_model(f"{family}_parameters", __config__=config, **fields)


def build_process(family: str, **parameters: Any) -> Process:
    """Build a process from the name of its family and the family's parameters.

    Raises:
        ValueError: if the family is unknown or parameters are invalid; names every invalid parameter.
    """
    model = parameter_model(family)
    plain = {name: value.item() if isinstance(value, np.generic) else value for name, value in parameters.items()}
    try:
        checked = model(**plain)
    except pydantic.ValidationError as error:
        violations = explain(model, error, plain)
        raise ValueError("\n".join(f"{dotted((family, *path))}: {message}" for path, message in violations)) from None
    return FAMILIES[family](**{name: getattr(checked, name) for name in model.model_fields})
