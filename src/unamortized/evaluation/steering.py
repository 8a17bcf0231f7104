"""Steered beliefs: what an activation says is moved, erased or kept alone, and the answer must follow as Bayes says.

A probe shows that a belief could be read; that the model reads it is shown by moving it. One activation is changed, at
one column and layer, and the model goes on by itself. All changes are judged by the exact counterfactual answer, beside
as large a change elsewhere.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Int

from unamortized.evaluation.distances import kl, total_variation
from unamortized.evaluation.faithfulness.edits import donors_of, place_of
from unamortized.evaluation.faithfulness.rollout import (
    FaithfulnessSettings,
    Rollout,
    causal_reliance,
    moves_enough,
    roll_out,
    without_hints,
)
from unamortized.evaluation.probes import SITES, Moments, Probe, layers, listen, moments, read
from unamortized.evaluation.protocol import Rows
from unamortized.evaluation.responses import Response, respond
from unamortized.evaluation.subspaces import Subspace, as_far, fitted, likeliest_change, random_subspace
from unamortized.language.edits import answers_from_codes, counterfactual_answers, edited_beliefs
from unamortized.language.meanings import code_meanings
from unamortized.language.traces import resolve_trace
from unamortized.learning.runs import Run
from unamortized.models.decoding import Patch
from unamortized.worlds.randomness import stream
from unamortized.worlds.splits import draw

RIDGE = 1.0
FITTED = 4  # problems that probes are fitted on, for each that they are tried on: a step has no more than these
CHOSEN = "chosen"  # the inner layer that steers best on one half of the problems; scored on the other half
Answers = Float[np.ndarray, "batch answer"]


@dataclass(frozen=True)
class Spot:
    """Where activations are changed, and what that should do."""

    site: str
    lag: int
    step: int
    column: int
    at: int  # the place of the step among those of the site
    donors: Int[np.ndarray, " batch"]
    codes: Int[np.ndarray, " batch"]  # of the beliefs that are steered to
    belief: Float[np.ndarray, "batch state"]  # b'
    exact: Answers  # pi_cf
    kept: Bool[np.ndarray, " batch"]
    n_forced: int | None  # how much of the trace is written before


class Held(NamedTuple):
    """What the activations there hold, and where else they could be changed."""

    activations: Float[np.ndarray, "batch width"]
    probe: Probe
    subspace: Subspace
    random: Subspace
    generator: np.random.Generator


def _held(found: Moments, activations: Float[np.ndarray, "batch width"], generator: np.random.Generator) -> Held:
    probe, subspace, _ = fitted(found, RIDGE)
    return Held(activations, probe, subspace, random_subspace(subspace, found.covariance, generator), generator)


@without_hints
def steering(run: Run, settings: FaithfulnessSettings) -> Rows:
    """KL of answers to the exact counterfactual after a change, by site, layer and lag; and what it costs to erase.

    Where a step is about to be stated (``steered_kl``), or the answer, and where no trace is written also in the
    question (``question_steered_kl``). Without a name: moved along the belief subspace to b', a donor's belief. Under
    ``/random_subspace``, as far in a random one of the same rank and variance; ``/wrong_state``, to another belief;
    ``/mean_patch``, replaced by its mean; ``/donor_subspace`` and ``/donor_random``, that part of it replaced by the
    donor's; ``/donor_patch``, replaced by the donor's; ``/token_edit``, the code that is written replaced instead;
    ``/unsteered``, left as it is.

    ``erased_kl`` and ``alone_kl`` are KLs from the undisturbed exact answer with that part erased, or all but it;
    beside them ``/random_subspace``, ``/untouched``, and ``/exact_loss``, what losing the belief costs exact Bayes.
    """
    rollout = roll_out(run, settings)
    trace = resolve_trace(run.condition.trace)
    if trace.sampled or run.task.query.kind == "smooth" or trace.n_filler:
        return []
    problems = rollout.problems
    fitted_on = draw(run.task, "validation", problems.n_steps, FITTED * settings.problems, run.spec.seed, "steering")
    heard, heard_fitting = listen(run, problems, rollout.own.written), listen(run, fitted_on)
    rows: Rows = []
    for site in SITES if run.condition.trace == "none" else SITES[:1]:
        seen, fitting = read(run, problems, heard, site), read(run, fitted_on, heard_fitting, site)
        spots = _spots(rollout, heard, site, seen.steps, settings)
        steered: dict[tuple[str, str, int], np.ndarray] = {}  # KLs by name, layer and lag; nan where not kept
        for spot in spots:
            for layer, tap in layers(run).items():
                found = moments(fitting.features[layer][:, spot.at], fitting.beliefs[:, spot.at])
                generator = stream("steering", run.task.fingerprint(), run.spec.seed, site, spot.step, layer)
                held = _held(found, seen.features[layer][:, spot.at], generator)
                answers_with = partial(_answers, rollout, spot, tap)
                rows += _moved(rollout, spot, layer, held, answers_with, steered)
                rows += _erased(rollout, spot, layer, held, answers_with)
        rows += _chosen(rollout, site, steered)
    return rows


def _spots(
    rollout: Rollout, heard: Response, site: str, steps: np.ndarray, settings: FaithfulnessSettings
) -> list[Spot]:
    """The places of a site that are steered at, by lag, where the exact answers of enough problems move."""
    run, problems, spots = rollout.run, rollout.problems, []
    for lag in settings.lags:
        step = problems.n_steps - lag
        if step not in steps or step < 1:
            continue
        at = int(np.flatnonzero(steps == step)[0])
        given = donors_of(run, problems, step)
        codes = run.vocabulary.encode(problems.beliefs[:, step])[given]
        belief = edited_beliefs(problems, step, code_meanings(run.task, softening=1e-12)[codes])
        exact = answers_from_codes(run.task, problems, step, codes)
        kept = moves_enough(exact, rollout.exact, settings)
        n_forced = place_of(heard, step) if len(heard.trace_steps) else None
        if kept.sum() > 1:
            column = int(heard.columns[site][at])
            spots.append(Spot(site, lag, step, column, at, given, codes, belief, exact, kept, n_forced))
    return spots


def _answers(rollout: Rollout, spot: Spot, tap: str, activations: Float[np.ndarray, "batch width"]) -> Answers:
    """The answers with an activation replaced."""
    patch = Patch(tap, spot.column, torch.from_numpy(activations).float())
    return rollout.again(forced=rollout.own.written, n_forced=spot.n_forced, patches=[patch])


def _moved(
    rollout: Rollout,
    spot: Spot,
    layer: str,
    held: Held,
    answers_with: Callable[[np.ndarray], Answers],
    steered: dict[tuple[str, str, int], np.ndarray],
) -> Rows:
    """All ways to move an activation; their KLs are noted in ``steered``, too."""
    run, own = rollout.run, rollout.own.answers
    activations, probe, subspace, random, generator = held
    there, elsewhere = (
        likeliest_change(probe, subspace, activations, belief)
        for belief in (spot.belief, np.roll(spot.belief, 1, axis=0))
    )
    given = activations[spot.donors]
    answers = {
        "": answers_with(activations + there),
        "random_subspace": answers_with(activations + as_far(there, random, generator)),
        "wrong_state": answers_with(activations + elsewhere),
        "mean_patch": answers_with(np.broadcast_to(subspace.mean, activations.shape).copy()),
        "donor_subspace": answers_with(activations + subspace.part(given - activations)),
        "donor_random": answers_with(activations + random.part(given - activations)),
        "donor_patch": answers_with(given),
        "unsteered": own,
    }
    if spot.n_forced is not None:
        forced = rollout.own.written.copy()
        forced[:, spot.n_forced] = spot.codes
        answers["token_edit"] = respond(run, rollout.problems, forced=forced, n_forced=spot.n_forced + 1).answers
    rows: Rows = []
    prefix, kept = _prefix(spot.site), spot.kept
    should = (spot.exact - rollout.exact)[kept]
    for name, told in answers.items():
        record = _recorder(rollout, name, int(kept.sum()), layer=layer, step=spot.lag)
        losses = kl(spot.exact, told)
        steered[name, layer, spot.lag] = np.where(kept, losses, np.nan)
        rows.append(record(f"{prefix}steered_kl", losses[kept].mean()))
        rows.append(record(f"{prefix}steered_reliance", causal_reliance((told - own)[kept], should).alpha))
        if "token_edit" in answers and name not in ("token_edit", "unsteered"):
            token = answers["token_edit"]
            apart, between = (float(total_variation(each, token)[kept].mean()) for each in (own, told))
            rows.append(record("steered_agreement", 1 - between / apart if apart else np.nan))
    return rows


def _erased(
    rollout: Rollout,
    spot: Spot,
    layer: str,
    held: Held,
    answers_with: Callable[[np.ndarray], Answers],
) -> Rows:
    """What is lost without the belief subspace, and with nothing else."""
    run, problems = rollout.run, rollout.problems
    activations, _, subspace, random, _ = held
    average = np.broadcast_to(problems.beliefs[:, spot.step].mean(axis=0), spot.belief.shape)
    lost = counterfactual_answers(run.task, problems, spot.step, edited_beliefs(problems, spot.step, average))
    answers = {
        ("erased_kl", ""): answers_with(subspace.erased(activations)),
        ("erased_kl", "random_subspace"): answers_with(random.erased(activations)),
        ("erased_kl", "exact_loss"): lost,
        ("erased_kl", "untouched"): rollout.own.answers,
        ("alone_kl", ""): answers_with(subspace.alone(activations)),
        ("alone_kl", "random_subspace"): answers_with(random.alone(activations)),
    }
    return [
        _recorder(rollout, name, len(problems), layer=layer, step=spot.lag)(
            _prefix(spot.site) + metric, kl(rollout.exact, told).mean()
        )
        for (metric, name), told in answers.items()
    ]


def _chosen(rollout: Rollout, site: str, steered: dict[tuple[str, str, int], np.ndarray]) -> Rows:
    """The KLs at the layer that steers best on one half of the problems, on the others; by lag and over lags.

    Where something is about to be written, the stream after the last block is that: nothing is left to compute, and it
    is not among the layers to choose from.
    """
    rows: Rows = []
    if not steered:
        return rows
    last = [*layers(rollout.run)][-1] if site == "about_to_state" else ""
    lags = sorted({lag for _, _, lag in steered})
    kept = {key: losses[np.isfinite(losses)] for key, losses in steered.items()}
    best = {
        layer: float(np.mean([kept["", layer, lag][::2].mean() for lag in lags]))
        for _, layer, _ in steered
        if layer != last
    }
    chosen = min(best, key=lambda layer: best[layer])
    for name in dict.fromkeys(name for name, _, _ in steered):
        losses = {lag: kept[name, chosen, lag][1::2] for lag in lags}
        means, count = {lag: float(each.mean()) for lag, each in losses.items()}, sum(map(len, losses.values()))
        record = _recorder(rollout, name, count, layer=CHOSEN)
        rows += [record(f"{_prefix(site)}steered_kl", mean, step=lag) for lag, mean in means.items()]
        rows.append(record(f"{_prefix(site)}steered_kl", float(np.mean(list(means.values())))))
    return rows


def _prefix(site: str) -> str:
    return "question_" if site == "question" else ""


def _recorder(rollout: Rollout, name: str, count: int, **where: Any) -> Callable[..., dict[str, Any]]:
    """Rows under the condition, or under what is beside it."""
    condition = rollout.run.spec.condition

    def record(metric: str, value: float, **more: Any) -> dict[str, Any]:
        row = rollout.record(metric, value, count, **where, **more)
        return row | {"condition": f"{condition}/{name}" if name else condition}

    return record
