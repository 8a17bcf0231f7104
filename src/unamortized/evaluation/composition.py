"""Composition: how many steps a model that writes none has put together, at which token, after which layer.

A model without a trace may walk the path inside, one belief after the other, or take a shortcut: windows of two, of
four, of eight observations, each twice as long as those of the layer before (Liu et al. 2023). Both leave beliefs that
can be read off: those of the path at the observations, those of windows where the question ends.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from unamortized.evaluation.probes import apply, classify, discriminant, fit, layers, listen, moments, r2, read
from unamortized.evaluation.protocol import Rows, split_of, test_problems
from unamortized.evaluation.rows import row
from unamortized.learning.runs import Run, new_model
from unamortized.worlds.inference import filter_beliefs
from unamortized.worlds.problems import Problems
from unamortized.worlds.processes import Process
from unamortized.worlds.splits import apart, draw

MOST_OPTIONS = 64  # numbers that a window is described by, if one start state does not have to do
UNKNOWN = 1e-9  # weight of all other start states, so that no window is impossible
CERTAIN = 1e-6  # a belief that is nearer than this to a state is one
READ = 0.5  # share of what the untrained network leaves unexplained that has to be read, to count

Belief = Float[np.ndarray, "batch option"]


@dataclass(frozen=True)
class Composition:
    """How much is evaluated."""

    problems: int = 1024  # to score on
    fitted: int = 1024  # to fit on
    ridge: float = 1.0  # of beliefs, which are read by regression
    shrinkage: float = 0.1  # of states that are certain, which are classes: read by a linear discriminant


class ProbeQuestion(NamedTuple):
    """What is asked of the activations at one token of each problem."""

    metric: str
    step: int  # t of a belief, or the length of a window
    site: str  # as ``probes.SITES``
    place: int  # which of the site's tokens; -1 is the last
    targets: tuple[Belief, ...]  # distributions over states, side by side


def composition(run: Run, settings: Composition) -> Rows:
    """Beliefs of the path and of windows by layer, at the longest training length, and how many steps that makes.

    Nothing for runs that write a trace, and where predictive vectors are over no states. Beside them
    ``<condition>/untrained``, the network before training.
    """
    task, seed, condition = run.task, run.spec.seed, run.spec.condition
    if run.condition.trace != "none" or task.build().is_generalized:
        return []
    n_steps = task.steps.train[1]
    fitted_on = apart(task, draw(task, "validation", n_steps, settings.fitted, seed, "probes"), "validation")
    scored_on = apart(task, test_problems(task, n_steps, settings.problems, seed), "test")
    on = (questions(fitted_on), questions(scored_on))
    unlearned = replace(run, model=new_model(run.spec).eval())
    own, before = (r2_by_layer(each, fitted_on, scored_on, on, settings) for each in (run, unlearned))
    record = partial(row, task.name, seed=seed, split=split_of(task, n_steps), count=len(scored_on), n_steps=n_steps)
    rows = [
        record(name, metric=metric, value=value, layer=layer, step=step)
        for name, found in ((condition, own), (f"{condition}/untrained", before))
        for (metric, layer, step), value in found.items()
    ]
    for metric, among in (("path_steps", ("path_r2",)), ("composed_steps", ("window_r2", "question_window_r2"))):
        for name, found in ((condition, own), (f"{condition}/untrained", before)):
            rows += [
                record(name, metric=metric, value=steps_read(found, before, among, at), layer=at) for at in layers(run)
            ]
    return rows


# ── what is asked for ────────────────────────────────────────────────────────────────────────────


def questions(problems: Problems) -> list[ProbeQuestion]:
    """Each belief of the path, where its observation was just read and at the answer mark; each window at the end."""
    asked, beliefs = [], problems.beliefs
    for k in range(1, problems.n_steps + 1):
        window = window_beliefs(problems, k)
        asked += [
            ProbeQuestion("path_r2", k, "question", k - 1, (beliefs[:, k],)),
            ProbeQuestion("answer_path_r2", k, "about_to_state", -1, (beliefs[:, k],)),
            ProbeQuestion("window_r2", k, "about_to_state", -1, window),
            ProbeQuestion("question_window_r2", k, "question", -1, window),
        ]
    return asked


def window_beliefs(problems: Problems, length: int) -> tuple[Belief, ...]:
    r"""The last k observations alone, as what they make of known states.

    $e_i T^{(x_{n-k+1})} \cdots T^{(x_n)}$, normalized, for each start state i (``start_states``). From a state in which
    they are impossible, what they tell of any.
    """
    process, seen = problems.process, problems.observations[:, problems.n_steps - length :]
    known = (1 - UNKNOWN) * np.eye(process.n_states) + UNKNOWN / process.n_states
    starts = start_states(process)
    return tuple(filter_beliefs(process.transitions, known[start], seen).beliefs[:, -1] for start in starts)


def start_states(process: Process) -> Int[np.ndarray, " start"]:
    """The states that windows begin in: all, where they are few; else the first of the likeliest.

    In a group one is enough, as an element is known from what it makes of the identity.
    """
    states = np.arange(process.n_states)
    return states if len(states) ** 2 <= MOST_OPTIONS else states[[np.argmax(np.atleast_2d(process.initial)[0])]]


# ── what is read ─────────────────────────────────────────────────────────────────────────────────

Found = dict[tuple[str, str, int], float]  # R2 by metric, layer and step


def r2_by_layer(
    run: Run,
    fitted_on: Problems,
    scored_on: Problems,
    asked: tuple[list[ProbeQuestion], list[ProbeQuestion]],
    settings: Composition,
) -> Found:
    """R2 of all that is asked, at each layer; each token, layer and distribution has a probe of its own."""
    fitting, scoring = activations(run, fitted_on), activations(run, scored_on)
    found: Found = {}
    for known, wanted in zip(*asked, strict=True):
        exact = np.concatenate(wanted.targets, axis=1)
        for layer in layers(run):
            seen, unseen = (heard(known.site, known.place, layer) for heard in (fitting, scoring))
            read_off = [reading(seen, target, unseen, settings) for target in known.targets]
            found[known.metric, layer, known.step] = r2(exact, np.concatenate(read_off, axis=1))
    return found


def reading(
    seen: Float[np.ndarray, "fitted width"],
    target: Float[np.ndarray, "fitted option"],
    unseen: Float[np.ndarray, "batch width"],
    settings: Composition,
) -> Belief:
    """What a probe, fitted on some problems, says of others: a discriminant where states are certain, else a line."""
    states = target.round()
    if np.abs(target - states).max() < CERTAIN:
        return classify(discriminant(moments(seen, states), settings.shrinkage), unseen)
    return apply(fit(seen, target, settings.ridge), unseen)


def activations(run: Run, problems: Problems) -> Callable[[str, int, str], Float[np.ndarray, "batch width"]]:
    """A run's activations while it answers, by site, place and layer."""
    response = listen(run, problems)
    features = {site: read(run, problems, response, site).features for site in ("question", "about_to_state")}
    return lambda site, place, layer: features[site][layer][:, place]


def steps_read(own: Found, untrained: Found, metrics: tuple[str, ...], layer: str) -> int:
    """The most steps that can be read after a layer by any of these metrics; 0 if none can.

    They are read where half of the variance is explained, and half of what the untrained network leaves. A few steps
    are words that can be known by heart, and are read from an untrained network, too: of them the first will do.
    """

    def is_read(metric: str, step: int) -> bool:
        before, now = max(0.0, untrained[metric, layer, step]), own[metric, layer, step]
        return now >= READ and (before >= READ or now - before >= READ * (1 - before))

    steps = {(metric, step) for metric, at, step in own if metric in metrics and at == layer}
    return max((step for metric, step in steps if is_read(metric, step)), default=0)
