"""Steering: move, erase or replace the belief in an activation, and compare the answer with the exact counterfactual.

A probe shows that a belief can be read; moving it shows that the model reads it. One activation is changed, at one
column and layer, and the model goes on by itself. As large a change in a random subspace is the control.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
from jaxtyping import Bool, Float, Int

from unamortized.evaluation.distances import kl
from unamortized.evaluation.faithfulness.edits import donors_of, place_of
from unamortized.evaluation.faithfulness.rollout import (
    FaithfulnessSettings,
    Rollout,
    causal_reliance,
    moves_enough,
    roll_out,
    without_hints,
)
from unamortized.evaluation.interventions import Answers, HeldBelief, Vectors, answers_under, held_belief
from unamortized.evaluation.probes import (
    SITES,
    activations_at,
    fit_by_layer,
    fitting_problems,
    layers,
    read_activations,
    respond_with_activations,
)
from unamortized.evaluation.protocol import Rows
from unamortized.evaluation.responses import Response
from unamortized.labels import ABOUT_TO_STATE, CHOSEN_LAYER
from unamortized.language.edits import answers_from_codes, counterfactual_answers, edited_beliefs
from unamortized.language.meanings import code_meanings
from unamortized.language.traces import resolve_trace
from unamortized.learning.runs import Run
from unamortized.worlds.randomness import stream

FITTED = 4  # problems to fit on for each problem that is steered: each step has a probe of its own
TOKEN_EDIT, UNSTEERED = "token_edit", "unsteered"
Losses = dict[tuple[str, str, int], Float[np.ndarray, " batch"]]  # KLs by control, layer and lag; NaN if not kept


@dataclass(frozen=True)
class SteeredStep:
    """A step at a site, the beliefs to steer to there, and the exact answers that should follow."""

    site: str
    lag: int
    step: int
    column: int
    place: int  # of the step among those of the site
    donors: Int[np.ndarray, " batch"]
    codes: Int[np.ndarray, " batch"]  # of the donors' beliefs
    belief: Float[np.ndarray, "batch state"]  # b'
    exact: Answers  # pi_cf
    kept: Bool[np.ndarray, " batch"]  # problems whose exact answer moves enough
    n_forced: int | None  # number of tokens of the trace that are written before


CHANGES: dict[str, Callable[[HeldBelief, SteeredStep], Vectors]] = {  # by control
    "": lambda held, at: held.moved_to(at.belief),
    "random_subspace": lambda held, at: held.moved_randomly(at.belief),
    "wrong_state": lambda held, at: held.moved_to(np.roll(at.belief, 1, axis=0)),
    "mean_patch": lambda held, at: np.tile(held.subspace.mean, (len(held.activations), 1)),
    "donor_subspace": lambda held, at: held.with_part_of(at.donors, held.subspace),
    "donor_random": lambda held, at: held.with_part_of(at.donors, held.random),
    "donor_patch": lambda held, at: held.activations[at.donors],
}


@without_hints
def steering(run: Run, settings: FaithfulnessSettings) -> Rows:
    """Measure the KL of answers to the exact counterfactual after a change, by site, layer and lag.

    The site is where a step, or the answer, is about to be stated; without a trace also the question. ``steered_kl``
    without a control moves the activation along the belief subspace to b', a donor's belief. Controls:
    ``random_subspace`` moves it as far in a random subspace of the same rank and variance; ``wrong_state`` to another
    belief; ``mean_patch`` replaces it by its mean; ``donor_subspace`` and ``donor_random`` replace that part of it by
    the donor's, ``donor_patch`` all of it; ``token_edit`` replaces the written code instead; ``unsteered`` nothing.

    ``erased_kl`` is the KL to the undisturbed exact answer with the belief subspace erased. Controls:
    ``random_subspace``, ``untouched``, and ``exact_loss``, what losing the belief costs exact Bayes.
    """
    rollout = roll_out(run, settings)
    trace = resolve_trace(run.condition.trace)
    if trace.sampled or run.task.query.kind == "smooth" or trace.n_filler:
        return []
    problems, own, rows = rollout.problems, rollout.own.written, Rows()
    fitting = read_activations(run, fitting_problems(run, FITTED * settings.problems, "steering"))
    response = respond_with_activations(run, problems, own)
    for site in SITES if run.condition.trace == "none" else (ABOUT_TO_STATE,):
        seen = activations_at(run, problems, response, site)
        losses: Losses = {}
        for at in _steered_steps(rollout, response, site, seen.steps, settings):
            fitted = fit_by_layer(fitting[site], place=at.place)
            edited = _edited_answers(rollout, at)
            for layer, tap in layers(run).items():
                generator = stream("steering", run.task.fingerprint(), run.spec.seed, site, at.step, layer)
                held = held_belief(fitted[layer], seen.features[layer][:, at.place], generator)
                answers_with = partial(answers_under, run, problems, tap, at.column, forced=own, n_forced=at.n_forced)
                answers = {control: answers_with(activations=change(held, at)) for control, change in CHANGES.items()}
                rows += _steered(rollout, at, layer, answers | edited, losses)
                rows += _erased(rollout, at, layer, held, answers_with)
        rows += _at_chosen_layer(rollout, site, losses)
    return rows


def _steered_steps(
    rollout: Rollout, response: Response, site: str, steps: Int[np.ndarray, " step"], settings: FaithfulnessSettings
) -> list[SteeredStep]:
    """List the lags of a site at which the exact answers of at least two problems move enough."""
    run, problems, found = rollout.run, rollout.problems, []
    for lag in settings.lags:
        step = problems.n_steps - lag
        if step not in steps or step < 1:
            continue
        place = int(np.flatnonzero(steps == step)[0])
        donors = donors_of(run, problems, step)
        codes = run.vocabulary.encode(problems.beliefs[:, step])[donors]
        belief = edited_beliefs(problems, step, code_meanings(run.task, softening=1e-12)[codes])
        exact = answers_from_codes(run.task, problems, step, codes)
        kept = moves_enough(exact, rollout.exact, settings)
        n_forced = place_of(response, step) if len(response.trace_steps) else None
        if kept.sum() > 1:
            column = int(response.columns[site][place])
            found.append(SteeredStep(site, lag, step, column, place, donors, codes, belief, exact, kept, n_forced))
    return found


def _edited_answers(rollout: Rollout, at: SteeredStep) -> dict[str, Answers]:
    """Return the answers without a change of activations: undisturbed, and after an edit of the written code."""
    answers = {UNSTEERED: rollout.own.answers}
    if at.n_forced is not None:
        forced = rollout.own.written.copy()
        forced[:, at.n_forced] = at.codes
        answers[TOKEN_EDIT] = rollout.again(forced=forced, n_forced=at.n_forced + 1)
    return answers


def _steered(rollout: Rollout, at: SteeredStep, layer: str, answers: dict[str, Answers], losses: Losses) -> Rows:
    """Make the rows of steered answers, by control, and note their KLs in ``losses``."""
    rows, kept = Rows(), at.kept
    should = (at.exact - rollout.exact)[kept]
    for control, found in answers.items():
        loss = kl(at.exact, found)
        losses[control, layer, at.lag] = np.where(kept, loss, np.nan)
        alpha = causal_reliance((found - rollout.own.answers)[kept], should).alpha
        rows += [
            rollout.record(metric, value, int(kept.sum()), control=control, site=at.site, layer=layer, step=at.lag)
            for metric, value in (("steered_kl", loss[kept].mean()), ("steered_reliance", alpha))
        ]
    return rows


def _erased(
    rollout: Rollout, at: SteeredStep, layer: str, held: HeldBelief, answers_with: Callable[..., Answers]
) -> Rows:
    """Measure the loss when a subspace is erased, and when exact Bayes forgets the belief."""
    task, problems = rollout.run.task, rollout.problems
    average = np.tile(problems.beliefs[:, at.step].mean(axis=0), (len(problems), 1))
    answers = {
        "": answers_with(activations=held.subspace.erased(held.activations)),
        "random_subspace": answers_with(activations=held.random.erased(held.activations)),
        "exact_loss": counterfactual_answers(task, problems, at.step, edited_beliefs(problems, at.step, average)),
        "untouched": rollout.own.answers,
    }
    return [
        rollout.record(
            "erased_kl",
            kl(rollout.exact, found).mean(),
            len(problems),
            control=control,
            site=at.site,
            layer=layer,
            step=at.lag,
        )
        for control, found in answers.items()
    ]


def _at_chosen_layer(rollout: Rollout, site: str, losses: Losses) -> Rows:
    """Choose the layer that steers best on one half of the problems; measure it on the other half, by lag and overall.

    Where a token is about to be written, the stream after the last block only chooses that token: the last layer is
    then not a choice.
    """
    rows: Rows = []
    if not losses:
        return rows
    excluded = [*layers(rollout.run)][-1] if site == ABOUT_TO_STATE else ""
    lags = sorted({lag for _, _, lag in losses})
    kept = {key: values[np.isfinite(values)] for key, values in losses.items()}
    means = {
        layer: float(np.mean([kept["", layer, lag][::2].mean() for lag in lags]))
        for _, layer, _ in losses
        if layer != excluded
    }
    chosen = min(means, key=lambda layer: means[layer])
    for control in dict.fromkeys(control for control, _, _ in losses):
        others = {lag: kept[control, chosen, lag][1::2] for lag in lags}
        by_lag: dict[int | None, float] = {lag: float(values.mean()) for lag, values in others.items()}
        by_lag[None] = float(np.mean(list(by_lag.values())))
        count = sum(map(len, others.values()))
        rows += [
            rollout.record("steered_kl", loss, count, control=control, site=site, layer=CHOSEN_LAYER, step=lag)
            for lag, loss in by_lag.items()
        ]
    return rows
