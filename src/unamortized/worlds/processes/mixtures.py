"""Mixtures of processes: each problem draws one component, which never changes and has to be inferred."""

from collections.abc import Callable
from typing import Any

import numpy as np

from unamortized.worlds.processes.process import Process


def mixture(components: list[dict[str, Any]], weights: list[float] | None = None) -> Process:
    r"""Build a non-ergodic mixture of ordinary processes, each given by its family and parameters.

    $T^{(x)}$ is block-diagonal over the components, which share symbols by index up to the largest alphabet. The start
    is each component's own, times its weight; weights default to equal ones. State i of component c is named "c:i".
    The belief over blocks is the posterior over components.
    """
    from unamortized.worlds.processes import build_process  # here, since that module imports this one

    return mix(components, weights, lambda component: build_process(**component))


def mix(
    components: list[dict[str, Any]], weights: list[float] | None, build: Callable[[dict[str, Any]], Process]
) -> Process:
    """Mix the processes that `build` returns for the components; errors name the component."""
    if not components:
        raise ValueError("components must list at least one process")
    processes = [_build_component(index, component, build) for index, component in enumerate(components)]
    shares = np.full(len(processes), 1 / len(processes)) if weights is None else np.array(weights)
    if shares.shape != (len(processes),) or not (shares >= 0).all() or not abs(shares.sum() - 1) <= 1e-9:
        raise ValueError(f"weights must hold {len(processes)} shares, one per component, that sum to 1 (got {weights})")
    largest = max(processes, key=lambda process: process.n_symbols)
    bounds = np.cumsum([0, *(process.n_states for process in processes)])
    transitions = np.zeros((largest.n_symbols, bounds[-1], bounds[-1]))
    for process, begin, end in zip(processes, bounds, bounds[1:], strict=False):
        transitions[: process.n_symbols, begin:end, begin:end] = process.transitions
    return Process(
        transitions,
        initial=np.concatenate([share * process.initial for share, process in zip(shares, processes, strict=True)]),
        symbol_names=largest.symbol_names,
        state_names=tuple(f"{c}:{name}" for c, process in enumerate(processes) for name in process.state_names),
    )


def _build_component(index: int, component: dict[str, Any], build: Callable[[dict[str, Any]], Process]) -> Process:
    if not isinstance(component.get("family"), str):
        raise ValueError(f"components[{index}] must name its family, for example {{'family': 'mess3', 'x': 0.05}}")
    try:
        process = build(component)
    except ValueError as error:
        parameter = str(error).partition(" ")[0]
        raise ValueError(f"components[{index}]{'.' if parameter in component else ': '}{error}") from None
    if process.is_generalized or process.sampler is not None:
        raise ValueError(f"components[{index}] must be an ordinary hidden Markov process (got {component['family']})")
    return process
