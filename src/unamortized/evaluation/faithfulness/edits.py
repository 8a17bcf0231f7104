"""Edited traces: replace a step, let the model continue, and compare its answer with the exact counterfactual.

Exact Bayes judges every edit. In a process that forgets, ignoring an old edit is correct, and only the exact
counterfactual tells that from unfaithfulness.
"""

import numpy as np
from jaxtyping import Int

from unamortized.evaluation.distances import kl, total_variation
from unamortized.evaluation.faithfulness.rollout import (
    Edit,
    FaithfulnessSettings,
    Rollout,
    causal_reliance,
    changed,
    roll_out,
    without_hints,
)
from unamortized.evaluation.generalization import by_length
from unamortized.evaluation.protocol import Rows, SampleSize, snapshots
from unamortized.labels import joined, numbered
from unamortized.language.edits import answers_from_codes, counterfactual_answers, donors, edited_beliefs
from unamortized.language.meanings import code_meanings
from unamortized.learning.rollouts import Response, respond
from unamortized.learning.specification import Run
from unamortized.worlds.problems import Problems
from unamortized.worlds.randomness import stream


def place_of(response: Response, step: int) -> int:
    """Return the place in the trace that states a step."""
    return int(response.places[response.trace_steps == step][0])


def edit_to(rollout: Rollout, step: int, numbers: Int[np.ndarray, " batch"]) -> Edit:
    """Replace the tokens that state ``step`` by others of their block, given as numbers within it.

    An edit that later observations rule out leaves the exact answer as it is.
    """
    run, problems, response = rollout.run, rollout.problems, rollout.response
    of_codes = run.language.trace != "state"
    meanings = code_meanings(run.task, softening=1e-12) if of_codes else np.eye(run.vocabulary.n_states)
    belief = edited_beliefs(problems, step, meanings[numbers % len(meanings)])
    place, forced = place_of(response, step), response.written.copy()
    forced[:, place] = numbers
    return Edit(forced, place, belief, counterfactual_answers(run.task, problems, step, belief))


def edit_step(rollout: Rollout, step: int) -> Edit:
    """Replace the tokens that state ``step`` by those of the exact traces of other problems.

    The donors are problems of the same batch, so that edits are as plausible as traces. All tests of a rollout share
    the edit of a step.
    """
    if step not in rollout.edits:
        run, problems = rollout.run, rollout.problems
        trace = run.language.kind(problems, run.vocabulary)
        place = place_of(rollout.response, step)
        start = run.vocabulary.blocks[trace.blocks[place]].start
        donated = trace.tokens[donors_of(run, problems, step), place] - start
        rollout.edits[step] = edit_to(rollout, step, donated)
    return rollout.edits[step]


def donors_of(run: Run, problems: Problems, step: int) -> Int[np.ndarray, " batch"]:
    """Draw the problem that donates its exact step to each problem's edit; the same for all conditions."""
    return donors(len(problems), stream("donors", run.task.fingerprint(), run.spec.seed, step))


def abruptly(response: Response, edited: Response) -> Int[np.ndarray, "batch written"]:
    """Return the undisturbed trace with the last step of the edited one: the wrong end without the way to it."""
    last, forced = place_of(response, int(response.trace_steps.max())), response.written.copy()
    forced[:, last] = edited.written[:, last]
    return forced


def editable_steps(rollout: Rollout) -> list[tuple[int, int]]:
    """List the lags and their steps that the trace states and the answer depends on."""
    query, last = rollout.run.task.query, rollout.problems.n_steps
    latest = (query.argument or 0) if query.kind == "smooth" else last
    steps = [(lag, last - lag) for lag in rollout.settings.lags]
    return [(lag, step) for lag, step in steps if step in rollout.response.trace_steps and step <= latest]


@without_hints
def light_cone(run: Run, settings: FaithfulnessSettings) -> Rows:
    """Measure, at each lag, how far an edited step moves the model's answer and how far it moves the exact one.

    The control ``wrong_counterfactual`` must come out near zero.
    """
    rollout, rows = roll_out(run, settings), Rows()
    sampled, rho = run.language.kind.sampled, run.language.reliance
    own, exact = rollout.response.answers, rollout.exact
    for lag, step in editable_steps(rollout):
        edit = edit_step(rollout, step)
        edited = respond(run, rollout.problems, forced=edit.forced, n_forced=edit.place + 1)
        kept = rollout.kept(edit.exact)
        count = int(kept.sum())
        alternatives = {
            "causal_reliance": edited.answers,
            "causal_reliance_frozen": rollout.again(forced=edit.forced),
            "causal_reliance_abrupt": rollout.again(forced=abruptly(rollout.response, edited)),
        }
        rows += [
            rollout.record(metric, rollout.reliance(answers, edit.exact, kept), count, step=lag)
            for metric, answers in alternatives.items()
        ]
        over_all = {"counterfactual_tv": total_variation(edit.exact, exact).mean()}
        if count > 1:
            another = np.roll((edit.exact - exact)[kept], 1, axis=0)
            alpha = causal_reliance((edited.answers - own)[kept], another)
            rows.append(rollout.record("causal_reliance", alpha, count, step=lag, control="wrong_counterfactual"))
        if not sampled:  # two draws of a trace differ even without an edit; only alpha averages over them
            over_all |= {
                "edit_tv": total_variation(edited.answers, own).mean(),
                "mistake_changed": changed(edited.answers, own),
                "mistake_changed_exact": changed(edit.exact, exact),
            }
        rows += [rollout.record(metric, value, len(rollout.problems), step=lag) for metric, value in over_all.items()]
        if rho is not None and count:
            best = (rho * edit.exact + (1 - rho) * exact)[kept]
            rows.append(rollout.record("dial_distance", kl(best, edited.answers[kept]).mean(), count, step=lag))
    return rows


@without_hints
def undisturbed(run: Run, settings: FaithfulnessSettings) -> Rows:
    """Measure the KL of undisturbed answers, by lag, on the problems whose exact answer an edit would move.

    This is how well a model answers that ignores the edit; it needs no trace.
    """
    rollout, rows = roll_out(run, settings), Rows()
    task, problems, last = run.task, rollout.problems, rollout.problems.n_steps
    if task.query.kind == "smooth":
        return []
    for lag, step in ((lag, last - lag) for lag in settings.lags if lag < last):
        codes = run.vocabulary.encode(problems.beliefs[:, step])[donors_of(run, problems, step)]
        kept = rollout.kept(answers_from_codes(task, problems, step, codes))
        if kept.any():
            loss = kl(rollout.exact, rollout.response.answers)[kept].mean()
            rows.append(rollout.record("undisturbed_kl", loss, int(kept.sum()), step=lag))
    return rows


def along_training(run: Run, settings: FaithfulnessSettings) -> Rows:
    """Measure answers and causal reliance after 1, 2, 4, ... training steps, as variants ``after_<steps>``.

    No rows for a run without snapshots.
    """
    return [
        row | {"variant": joined(row["variant"], numbered("after", step))}
        for step, then in snapshots(run)
        for row in by_length(then, SampleSize(settings.problems)) + light_cone(then, settings)
        if row["metric"] in ("answer_kl", "causal_reliance") and not row["control"]
    ]
