"""Where a belief is looked for: activations by site, step and layer, aligned with the exact beliefs."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from unamortized.evaluation.responses import Response, respond
from unamortized.learning.runs import Run
from unamortized.worlds.problems import Problems

SITES = ("about_to_state", "question")  # as ``responses.sites`` defines them
LAST = "ln_final.hook_normalized"  # what the next token is read off


@dataclass(frozen=True)
class Read:
    """Activations at one site, and the exact beliefs that go with them."""

    features: dict[str, Float[np.ndarray, "batch step width"]]  # by layer
    beliefs: Float[np.ndarray, "batch step state"]
    steps: Int[np.ndarray, " step"]  # t of each step


def layers(run: Run) -> dict[str, str]:
    """Layer number to tap: 0 is the embedding, l the residual stream after block l."""
    taps = [f"blocks.{layer}.hook_resid_post" for layer in range(run.spec.model.layers)]
    return {str(number): tap for number, tap in enumerate(["hook_embed", *taps])}


def listen(
    run: Run, problems: Problems, written: Int[np.ndarray, "batch written"] | None = None, output: bool = False
) -> Response:
    """A run's response with the activations of all layers, its own free-running trace or the one given.

    With ``output`` also with what the next token is read off.
    """
    return respond(run, problems, forced=written, taps=[*layers(run).values(), *([LAST] if output else [])])


def read(run: Run, problems: Problems, response: Response, site: str) -> Read:
    """What was heard in a response (of ``listen``) at a site, by layer and for all layers concatenated."""
    columns = response.columns[site]
    features = {layer: response.taps[tap][:, columns].astype(np.float64) for layer, tap in layers(run).items()}
    features["all"] = np.concatenate(list(features.values()), axis=2)
    steps = steps_at(problems, response, site)
    return Read(features, problems.beliefs[:, steps], steps)


def steps_at(problems: Problems, response: Response, site: str) -> Int[np.ndarray, " step"]:
    """The step t of each column of a site."""
    if site == "question":
        return np.arange(1, problems.n_steps + 1)
    return response.trace_steps if len(response.trace_steps) else np.array([problems.n_steps])
