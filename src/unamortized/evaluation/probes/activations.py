"""Activations by site, step and layer, aligned with the exact beliefs of the same steps."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from unamortized.labels import ABOUT_TO_STATE, ALL_LAYERS, QUESTION
from unamortized.learning.rollouts import Response, respond
from unamortized.learning.specification import Run
from unamortized.worlds.problems import Problems

SITES = (ABOUT_TO_STATE, QUESTION)  # as ``responses.sites`` defines them
FINAL_NORM = "ln_final.hook_normalized"  # the activation that is unembedded


@dataclass(frozen=True)
class Activations:
    """Activations at one site, with the exact belief of each step."""

    features: dict[str, Float[np.ndarray, "batch step width"]]  # by layer, and of all layers concatenated
    beliefs: Float[np.ndarray, "batch step state"]
    steps: Int[np.ndarray, " step"]  # t of each step


def layers(run: Run) -> dict[str, str]:
    """Return the tap of each layer: 0 is the embedding, l the residual stream after block l."""
    taps = [f"blocks.{layer}.hook_resid_post" for layer in range(run.spec.model.layers)]
    return {str(number): tap for number, tap in enumerate(["hook_embed", *taps])}


def respond_with_activations(
    run: Run, problems: Problems, written: Int[np.ndarray, "batch written"] | None = None, final_norm: bool = False
) -> Response:
    """Let a run respond, to a given trace or with its own, and keep the activations of all layers."""
    return respond(run, problems, forced=written, taps=[*layers(run).values(), *([FINAL_NORM] if final_norm else [])])


def activations_at(run: Run, problems: Problems, response: Response, site: str) -> Activations:
    """Select the activations of a response at one site."""
    columns = response.columns[site]
    features = {layer: response.taps[tap][:, columns].astype(np.float64) for layer, tap in layers(run).items()}
    features[ALL_LAYERS] = np.concatenate(list(features.values()), axis=2)
    if site == QUESTION:
        steps = np.arange(1, problems.n_steps + 1)
    else:  # without a stated step, the answer mark stands for the last one
        steps = response.trace_steps if len(response.trace_steps) else np.array([problems.n_steps])
    return Activations(features, problems.beliefs[:, steps], steps)


def read_activations(run: Run, problems: Problems) -> dict[str, Activations]:
    """Let a run respond, and return its activations by site."""
    response = respond_with_activations(run, problems)
    return {site: activations_at(run, problems, response, site) for site in SITES}
