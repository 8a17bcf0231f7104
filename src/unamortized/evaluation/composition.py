"""Composition: how many steps a model without a trace has composed, at which token and after which layer.

Such a model may walk the path, one belief after the other, or take a shortcut: windows of two, four, eight observations
(Liu et al. 2023). Probes read both: beliefs of the path at the observations, those of windows where the question ends.
"""

from functools import partial
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from unamortized.evaluation.probes.activations import layers, read_activations
from unamortized.evaluation.probes.fitting import fit_by_layer, fitting_problems, scoring_problems
from unamortized.evaluation.probes.ridge import discriminant, r2, ridge_probe
from unamortized.evaluation.protocol import Rows, SampleSize, before_training, recorder
from unamortized.labels import ABOUT_TO_STATE, QUESTION
from unamortized.learning.specification import Run
from unamortized.worlds.inference import filter_beliefs
from unamortized.worlds.problems import Problems
from unamortized.worlds.processes import Process

MOST_OPTIONS = 64  # a window's beliefs given each start state, at most; given one state where there are more
UNKNOWN = 1e-9  # weight of all other start states, so that no window is impossible
CERTAIN = 1e-6  # a belief closer than this to a state is certain
READ = 0.5  # share of the variance that must be read, and of the variance that the untrained network leaves unread

Belief = Float[np.ndarray, "batch option"]


class TokenTarget(NamedTuple):
    """Distributions to read from the activations at one token of each problem."""

    metric: str
    step: int  # t of a belief, or the length of a window
    site: str
    place: int  # of the token among those of the site; -1 is the last
    beliefs: tuple[Belief, ...]  # over states


def composition(run: Run, settings: SampleSize) -> Rows:
    """Measure R2 of the path's and of windows' beliefs by layer at the longest training length, and the composed steps.

    For runs without a trace whose process has states. The control ``untrained`` is the network before training.
    """
    task = run.task
    if not run.language.is_direct or task.build().is_generalized:
        return []
    fitted_on = fitting_problems(run, settings.problems, "probes")
    scored_on = scoring_problems(run, settings.problems)
    before = before_training(run)
    scores = {name: r2_by_layer(each, fitted_on, scored_on) for name, each in (("", run), ("untrained", before))}
    record = partial(recorder(run, scored_on.n_steps), count=len(scored_on))
    rows = Rows()
    for control, found in scores.items():
        for (metric, site, layer, step), value in found.items():
            rows.append(record(metric, value, control=control, site=site, layer=layer, step=step))
        for layer in layers(run):
            path = steps_read(found, scores["untrained"], "path_r2", (QUESTION,), layer)
            windows = steps_read(found, scores["untrained"], "window_r2", (QUESTION, ABOUT_TO_STATE), layer)
            rows.append(record("path_steps", path, control=control, site=QUESTION, layer=layer))
            rows.append(record("composed_steps", windows, control=control, layer=layer))
    return rows


def token_targets(problems: Problems) -> list[TokenTarget]:
    """List each belief of the path, at its observation and at the answer mark, and each window where it ends."""
    targets = []
    for k in range(1, problems.n_steps + 1):
        path, window = (problems.beliefs[:, k],), window_beliefs(problems, k)
        targets += [
            TokenTarget("path_r2", k, QUESTION, k - 1, path),
            TokenTarget("path_r2", k, ABOUT_TO_STATE, -1, path),
            TokenTarget("window_r2", k, ABOUT_TO_STATE, -1, window),
            TokenTarget("window_r2", k, QUESTION, -1, window),
        ]
    return targets


def window_beliefs(problems: Problems, length: int) -> tuple[Belief, ...]:
    r"""Return the beliefs after the last k observations alone, given each start state (``start_states``).

    $e_i T^{(x_{n-k+1})} \cdots T^{(x_n)}$, normalized, for start state i. Where the observations are impossible from
    it, the belief given any state.
    """
    process, window = problems.process, problems.observations[:, problems.n_steps - length :]
    known = (1 - UNKNOWN) * np.eye(process.n_states) + UNKNOWN / process.n_states
    starts = start_states(process)
    return tuple(filter_beliefs(process.transitions, known[start], window).beliefs[:, -1] for start in starts)


def start_states(process: Process) -> Int[np.ndarray, " start"]:
    """Return the states that windows start in: all if they are few, else the first of the most probable ones.

    In a group one is enough: its image of the identity determines an element.
    """
    states = np.arange(process.n_states)
    return states if len(states) ** 2 <= MOST_OPTIONS else states[[np.argmax(np.atleast_2d(process.initial)[0])]]


Scores = dict[tuple[str, str, str, int], float]  # R2 by metric, site, layer and step


def r2_by_layer(run: Run, fitted_on: Problems, scored_on: Problems) -> Scores:
    """Score one probe for each token, layer and distribution; those of one target are pooled.

    Where all states are certain, they are classes, and the probe is a linear discriminant.
    """
    fitting, scoring = read_activations(run, fitted_on), read_activations(run, scored_on)
    scores: Scores = {}
    for target, wanted in zip(token_targets(fitted_on), token_targets(scored_on), strict=True):
        probes = []
        for belief in target.beliefs:
            states = belief.round()
            certain = np.abs(belief - states).max() < CERTAIN
            solve = discriminant if certain else ridge_probe
            probes.append(fit_by_layer(fitting[target.site], states if certain else belief, target.place, solve))
        for layer in layers(run):
            features = scoring[target.site].features[layer][:, target.place]
            readings = np.concatenate([each[layer].probe.read(features) for each in probes], axis=1)
            scores[target.metric, target.site, layer, target.step] = r2(
                np.concatenate(wanted.beliefs, axis=1), readings
            )
    return scores


def steps_read(own: Scores, untrained: Scores, metric: str, sites: tuple[str, ...], layer: str) -> int:
    """Return the most steps that can be read after a layer at any of these sites; 0 if none can.

    A step is read where half of the variance is explained, and half of what the untrained network leaves unexplained.
    An untrained network holds the first few observations, too: for steps that it holds, the first condition is enough.
    """

    def is_read(site: str, step: int) -> bool:
        before, now = max(0.0, untrained[metric, site, layer, step]), own[metric, site, layer, step]
        return now >= READ and (before >= READ or now - before >= READ * (1 - before))

    steps = {(site, step) for name, site, at, step in own if name == metric and site in sites and at == layer}
    return max((step for site, step in steps if is_read(site, step)), default=0)
