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
from unamortized.evaluation.faithfulness.rollout import FaithfulnessSettings, Rollout, roll_out, without_hints
from unamortized.evaluation.interventions import Answers, HeldBelief, Vectors, answers_under, held_belief
from unamortized.evaluation.probes.activations import (
    SITES,
    activations_at,
    layers,
    read_activations,
    respond_with_activations,
)
from unamortized.evaluation.probes.fitting import fit_by_layer, fitting_problems
from unamortized.evaluation.protocol import Rows
from unamortized.labels import ABOUT_TO_STATE, CHOSEN_LAYER
from unamortized.language.edits import answers_from_codes, counterfactual_answers, edited_beliefs
from unamortized.language.meanings import code_meanings
from unamortized.learning.specification import Run
from unamortized.worlds.randomness import stream

FITTED = 4  # problems to fit on for each problem that is steered: each step has a probe of its own
Losses = dict[tuple[str, str, int], Float[np.ndarray, " kept"]]  # KLs of kept problems by control, layer and lag


@dataclass(frozen=True)
class SteeredStep:
    """A step at a site, the beliefs to steer to there, and the exact answers that should follow."""

    step: int
    place: int  # of the step among those of the site
    column: int
    n_forced: int | None  # number of tokens of the trace that are written before
    donors: Int[np.ndarray, " batch"]
    belief: Float[np.ndarray, "batch state"]  # b'
    exact: Answers  # pi_cf
    kept: Bool[np.ndarray, " batch"]  # problems whose exact answer moves enough
    unpatched: dict[str, Answers]  # answers without a change of activations, by control


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
    without a control moves the activation along the belief subspace to b', a donor's belief. ``erased_kl`` is the KL to
    the undisturbed exact answer with the belief subspace erased.
    """
    rollout, kind, rows = roll_out(run, settings), run.language.kind, Rows()
    if kind.sampled or run.task.query.kind == "smooth" or kind.n_filler:
        return rows
    problems, own, exact = rollout.problems, rollout.response, rollout.exact
    fitting = read_activations(run, fitting_problems(run, FITTED * settings.problems, "steering"))
    response = respond_with_activations(run, problems, own.written)
    for site in SITES if run.language.is_direct else (ABOUT_TO_STATE,):
        seen, losses = activations_at(run, problems, response, site), Losses()
        for lag in settings.lags:
            at = _steered_step(rollout, response.columns[site], seen.steps, lag)
            if at is None:
                continue
            average = np.tile(problems.beliefs[:, at.step].mean(axis=0), (len(problems), 1))
            forgotten = edited_beliefs(problems, at.step, average)
            fitted = fit_by_layer(fitting[site], place=at.place)
            for layer, tap in layers(run).items():
                generator = stream("steering", run.task.fingerprint(), run.spec.seed, site, at.step, layer)
                held = held_belief(fitted[layer], seen.features[layer][:, at.place], generator)
                forced = {"forced": own.written, "n_forced": at.n_forced}
                answers = partial(answers_under, run, problems, tap, at.column, **forced)
                record = partial(rollout.record, site=site, layer=layer, step=lag)
                steered = {control: answers(change(held, at)) for control, change in CHANGES.items()}
                for control, found in (steered | at.unpatched).items():
                    kls = losses[control, layer, lag] = kl(at.exact, found)[at.kept]
                    rows.append(record("steered_kl", kls.mean(), len(kls), control=control))
                alpha = rollout.reliance(steered[""], at.exact, at.kept)
                rows.append(record("steered_reliance", alpha, int(at.kept.sum())))
                erased = {
                    "": answers(held.subspace.erased(held.activations)),
                    "random_subspace": answers(held.random.erased(held.activations)),
                    "exact_loss": counterfactual_answers(run.task, problems, at.step, forgotten),
                    "untouched": own.answers,
                }
                for control, found in erased.items():
                    rows.append(record("erased_kl", kl(exact, found).mean(), len(problems), control=control))
        rows += _at_chosen_layer(rollout, site, losses)
    return rows


def _steered_step(
    rollout: Rollout, columns: Int[np.ndarray, " step"], steps: Int[np.ndarray, " step"], lag: int
) -> SteeredStep | None:
    """Prepare a lag of a site; None unless the site has its step and the exact answers of two problems move enough."""
    run, problems, own, step = rollout.run, rollout.problems, rollout.response, rollout.problems.n_steps - lag
    if step not in steps or step < 1:
        return None
    place, donors = int(np.flatnonzero(steps == step)[0]), donors_of(run, problems, step)
    codes = run.vocabulary.encode(problems.beliefs[:, step])[donors]
    belief = edited_beliefs(problems, step, code_meanings(run.task, softening=1e-12)[codes])
    exact = answers_from_codes(run.task, problems, step, codes)
    kept = rollout.kept(exact)
    if kept.sum() < 2:
        return None
    n_forced, unpatched = None, {"unsteered": own.answers}
    if len(own.trace_steps):
        n_forced, forced = place_of(own, step), own.written.copy()
        forced[:, n_forced] = codes
        unpatched["token_edit"] = rollout.again(forced=forced, n_forced=n_forced + 1)
    return SteeredStep(step, place, int(columns[place]), n_forced, donors, belief, exact, kept, unpatched)


def _at_chosen_layer(rollout: Rollout, site: str, losses: Losses) -> Rows:
    """Choose the layer that steers best on one half of the problems; measure it on the other half, by lag and overall.

    Where a token is about to be written, the stream after the last block only chooses that token: the last layer is
    then not a choice.
    """
    if not losses:
        return []
    rows, lags = Rows(), sorted({lag for _, _, lag in losses})
    choices = [*layers(rollout.run)][: -1 if site == ABOUT_TO_STATE else None]
    chosen = min(choices, key=lambda layer: float(np.mean([losses["", layer, lag][::2].mean() for lag in lags])))
    for control in dict.fromkeys(control for control, _, _ in losses):
        others = {lag: losses[control, chosen, lag][1::2] for lag in lags}
        means: dict[int | None, float] = {lag: float(values.mean()) for lag, values in others.items()}
        means[None] = float(np.mean([*means.values()]))
        record = partial(rollout.record, "steered_kl", count=sum(map(len, others.values())), control=control)
        rows += [record(mean, site=site, layer=CHOSEN_LAYER, step=lag) for lag, mean in means.items()]
    return rows
