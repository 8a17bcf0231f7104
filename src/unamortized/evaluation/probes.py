"""Affine belief probes: is the exact belief a linear function of the residual stream, and would controls do as well?

Probes are fitted on validation problems and scored on test problems, which share no question.
"""

from dataclasses import dataclass, replace
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Int
from sklearn.linear_model import Ridge
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from unamortized.evaluation.generalization import Rows, split_of, test_problems
from unamortized.evaluation.metrics import row
from unamortized.evaluation.responses import Response, respond
from unamortized.learning.runs import Run, new_model
from unamortized.worlds.problems import Problems
from unamortized.worlds.randomness import stream
from unamortized.worlds.splits import draw

SITES = {"about_to_state": "probe_r2", "question": "question_probe_r2"}
WINDOW = 10  # observations that the window control sees


@dataclass(frozen=True)
class Probes:
    """How much is evaluated."""

    problems: int = 512  # to fit on, and as many to score on
    ridge: float = 1.0
    steps: tuple[int, ...] = ()  # steps that also get a probe of their own


class Read(NamedTuple):
    """Activations at one site, and the exact beliefs that go with them."""

    features: dict[str, Float[np.ndarray, "batch step width"]]  # by layer
    beliefs: Float[np.ndarray, "batch step state"]
    steps: np.ndarray  # t of each step


def layers(run: Run) -> dict[str, str]:
    """Layer number to tap: 0 is the embedding, l the residual stream after block l."""
    taps = [f"blocks.{layer}.hook_resid_post" for layer in range(run.spec.model.layers)]
    return {str(number): tap for number, tap in enumerate(["hook_embed", *taps])}


def listen(run: Run, problems: Problems, written: Int[np.ndarray, "batch written"] | None = None) -> Response:
    """A run's response with the activations of all layers, its own free-running trace or the one given."""
    return respond(run, problems, forced=written, taps=layers(run).values())


def read(run: Run, problems: Problems, response: Response, site: str) -> Read:
    """What was heard in a response (of ``listen``) at a site, by layer and for all layers concatenated."""
    columns = response.columns[site]
    features = {layer: response.taps[tap][:, columns].astype(np.float64) for layer, tap in layers(run).items()}
    features["all"] = np.concatenate(list(features.values()), axis=2)
    if site == "question":
        steps = np.arange(1, problems.n_steps + 1)
    else:
        steps = response.trace_steps if len(response.trace_steps) else np.array([problems.n_steps])
    return Read(features, problems.beliefs[:, steps], steps)


def fit(features: Float[np.ndarray, "... width"], beliefs: Float[np.ndarray, "... state"], ridge: float) -> Pipeline:
    """Ridge regression in float64 on standardised features."""
    probe = make_pipeline(StandardScaler(), Ridge(alpha=ridge))
    return probe.fit(features.reshape(-1, features.shape[-1]), beliefs.reshape(-1, beliefs.shape[-1]))


def apply(probe: Pipeline, features: Float[np.ndarray, "... width"]) -> Float[np.ndarray, "... state"]:
    """The beliefs that a probe reads."""
    return probe.predict(features.reshape(-1, features.shape[-1])).reshape(*features.shape[:-1], -1)


def r2(beliefs: Float[np.ndarray, "... state"], read_off: Float[np.ndarray, "... state"]) -> float:
    """Share of the beliefs' variance explained, all states pooled; problems are drawn, so P-weighted.

    Not a number where the beliefs do not vary.
    """
    flat = beliefs.reshape(-1, beliefs.shape[-1])
    spread = ((flat - flat.mean(axis=0)) ** 2).sum()
    missed = ((beliefs - read_off) ** 2).sum()
    return float(1 - missed / spread) if spread > 1e-12 else np.nan


def to_simplex(points: Float[np.ndarray, "*batch state"]) -> Float[np.ndarray, "*batch state"]:
    """Euclidean projection on the simplex (Duchi et al. 2008)."""
    descending = -np.sort(-points, axis=-1)
    ranks = np.arange(1, points.shape[-1] + 1)
    shift = (descending.cumsum(axis=-1) - 1) / ranks
    support = (descending > shift).sum(axis=-1, keepdims=True)
    return np.maximum(points - np.take_along_axis(shift, support - 1, axis=-1), 0)


def recent_observations(problems: Problems, n_symbols: int, steps: np.ndarray) -> Float[np.ndarray, "batch step width"]:
    """One-hot of the last ten observations at each step, nothing before the first."""
    padded = np.pad(problems.observations + 1, ((0, 0), (WINDOW, 0)))
    windows = np.stack([padded[:, step : step + WINDOW] for step in steps], axis=1)
    return np.eye(n_symbols + 1)[windows].reshape(*windows.shape[:2], -1)


def by_layer(run: Run, settings: Probes) -> Rows:
    """Probe R2 at each layer and site, pooled over steps and per step, beside its controls.

    Controls: ``<condition>/untrained``, the network before training, reading the same question and trace;
    ``<condition>/shuffled_belief``, beliefs permuted among problems within each step; ``window_10``, the last
    ten observations alone.
    """
    n_steps, seed = run.task.steps.train[1], run.spec.seed
    fitted_on = draw(run.task, "validation", n_steps, settings.problems, seed, "probes")
    scored_on = test_problems(run.task, n_steps, settings.problems, seed)
    condition, untrained = run.spec.condition, replace(run, model=new_model(run.spec).eval())
    given = [(problems, respond(run, problems).written) for problems in (fitted_on, scored_on)]
    heard, unlearned = ([listen(reader, *asked) for asked in given] for reader in (run, untrained))
    rows: Rows = []
    for site, metric in SITES.items():
        fitting, scoring = read(run, fitted_on, heard[0], site), read(run, scored_on, heard[1], site)
        shuffled = fitting._replace(beliefs=_shuffled(fitting.beliefs, seed))
        window = [
            seen._replace(features={"": recent_observations(problems, run.vocabulary.n_symbols, seen.steps)})
            for seen, problems in ((fitting, fitted_on), (scoring, scored_on))
        ]
        pairs = {
            condition: (fitting, scoring),
            f"{condition}/untrained": (
                read(untrained, fitted_on, unlearned[0], site),
                read(untrained, scored_on, unlearned[1], site),
            ),
            f"{condition}/shuffled_belief": (shuffled, scoring),
            f"{condition}/window_{WINDOW}": (window[0], window[1]),
        }
        split, count = split_of(run.task, n_steps), len(scored_on)
        for name, (a, b) in pairs.items():
            record = partial(row, run.task.name, name, seed, split, metric, count=count, n_steps=n_steps)
            rows += [record(score, **where) for where, score in _scores(a, b, settings)]
    return rows


def _scores(fitting: Read, scoring: Read, settings: Probes) -> list[tuple[dict[str, Any], float]]:
    """R2 per layer with steps pooled, and per layer and step."""
    scores: list[tuple[dict[str, Any], float]] = []
    for layer, features in fitting.features.items():
        where = {"layer": layer} if layer else {}
        pooled = fit(features, fitting.beliefs, settings.ridge)
        scores.append((where, r2(scoring.beliefs, apply(pooled, scoring.features[layer]))))
        for place, step in enumerate(fitting.steps):
            if step not in settings.steps:
                continue
            own = fit(features[:, place], fitting.beliefs[:, place], settings.ridge)
            score = r2(scoring.beliefs[:, place], apply(own, scoring.features[layer][:, place]))
            scores.append((where | {"step": int(step)}, score))
    return scores


def _shuffled(beliefs: Float[np.ndarray, "batch step state"], seed: int) -> Float[np.ndarray, "batch step state"]:
    generator = stream("shuffled_belief", seed)
    return np.stack([beliefs[generator.permutation(len(beliefs)), t] for t in range(beliefs.shape[1])], axis=1)
