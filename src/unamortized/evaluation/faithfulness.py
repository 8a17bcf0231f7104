"""Causal faithfulness: edit a step of the trace, let the model go on, compare with the exact counterfactual.

Every edit is judged by what Bayes would have done with it: in a process that forgets, ignoring an old edit
is correct, and only the propagator can tell that from unfaithfulness.
"""

from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from unamortized.evaluation.generalization import Rows, split_of, test_problems
from unamortized.evaluation.metrics import row, total_variation
from unamortized.evaluation.responses import Response, respond
from unamortized.evaluation.stated import code_meanings
from unamortized.language.traces import resolve_trace
from unamortized.learning.runs import Run
from unamortized.worlds.problems import Problems, exact_answer
from unamortized.worlds.randomness import stream


@dataclass(frozen=True)
class LightCone:
    """How much is evaluated."""

    problems: int = 512
    lags: tuple[int, ...] = (0, 1, 2, 4, 8, 12)  # steps between the edit and the end
    threshold: float = 0.1  # tau: problems whose exact answer moves less than this are not kept


class Reliance(NamedTuple):
    """The fit of how answers moved on how they should have moved."""

    alpha: float
    r2: float


def causal_reliance(moved: Float[np.ndarray, "batch answer"], should: Float[np.ndarray, "batch answer"]) -> Reliance:
    r"""$\alpha = \sum \langle q_{edit} - q, \pi_{cf} - \pi^* \rangle / \sum \|\pi_{cf} - \pi^*\|^2$ and its fit.

    The least-squares coefficient, through the origin, of the answers' movement on the exact one: 1 is
    driven by the trace, 0 by the question. Not a number where no problem was kept.
    """
    along, size = float((moved * should).sum()), float((should**2).sum())
    if size == 0:
        return Reliance(np.nan, np.nan)
    alpha = along / size
    left, total = float(((moved - alpha * should) ** 2).sum()), float((moved**2).sum())
    return Reliance(alpha, 1 - left / total if total else np.nan)


class Edit(NamedTuple):
    """One step of every problem's trace replaced, and what exact inference makes of it."""

    forced: Int[np.ndarray, "batch written"]  # the trace with the edit in it
    place: int  # of the edit within the trace
    exact: Float[np.ndarray, "batch answer"]  # pi_cf: the exact answer, had the belief been what the edit states
    kept: Bool[np.ndarray, " batch"]


def edit_step(run: Run, problems: Problems, base: Response, step: int, threshold: float) -> Edit:
    """Replace the token that states ``step`` by what another problem's exact trace states there.

    The donor is another problem of the batch, so that edits are as plausible as traces are. An edit that
    the later observations rule out leaves the exact answer as it is, and so is not kept.
    """
    task, vocabulary = run.task, run.vocabulary
    trace = resolve_trace(run.condition.trace)(problems, vocabulary)
    place = int(base.places[base.trace_steps == step][0])
    donors = _derangement(len(problems), stream("donors", task.fingerprint(), run.spec.seed, step))
    block = trace.blocks[place]
    edited = trace.tokens[donors, place] - vocabulary.blocks[block].start
    meanings = code_meanings(task, softening=1e-12) if block == "code" else np.eye(vocabulary.n_states)
    # a little of the true belief keeps a ruled-out edit possible, and then decides alone
    belief = (1 - 1e-9) * meanings[edited] + 1e-9 * problems.beliefs[:, step]
    if not problems.process.is_generalised:  # predictive vectors need not sum to one
        belief /= belief.sum(axis=1, keepdims=True)
    exact = exact_answer(problems.process, belief, problems.observations[:, step:], task.query, after=step)
    forced = base.written.copy()
    forced[:, place] = edited
    return Edit(forced, place, exact, total_variation(exact, problems.answer_distribution) > threshold)


def light_cone(run: Run, settings: LightCone) -> Rows:
    """Causal reliance, and how far an edit reaches by the model and by Bayes, at each lag; for trace models.

    Control, under ``<condition>/wrong_counterfactual``: the same movements fitted on the counterfactual of
    another problem, which must come out near zero.
    """
    task, seed = run.task, run.spec.seed
    n_steps = task.steps.train[1]
    problems = test_problems(task, n_steps, settings.problems, seed)
    base = respond(run, problems)
    sampled = resolve_trace(run.condition.trace).sampled
    rows: Rows = []
    for lag in settings.lags:
        step = n_steps - lag
        if step not in base.trace_steps or (task.query.kind == "smooth" and (task.query.argument or 0) < step):
            continue
        edit = edit_step(run, problems, base, step, settings.threshold)
        regenerated = respond(run, problems, forced=edit.forced, n_forced=edit.place + 1).answers
        frozen = respond(run, problems, forced=edit.forced).answers
        kept, count = edit.kept, int(edit.kept.sum())
        should = edit.exact - problems.answer_distribution
        reliance = causal_reliance((regenerated - base.answers)[kept], should[kept])
        wrong = causal_reliance((regenerated - base.answers)[kept], np.roll(should[kept], 1, axis=0))
        still = causal_reliance((frozen - base.answers)[kept], should[kept])
        record = partial(row, task.name, seed=seed, split=split_of(task, n_steps), n_steps=n_steps, step=lag)
        own, everyone = partial(record, run.spec.condition), len(problems)
        rows += [
            own(metric="causal_reliance", value=reliance.alpha, count=count),
            own(metric="causal_reliance_frozen", value=still.alpha, count=count),
            own(
                metric="counterfactual_tv",
                value=total_variation(edit.exact, problems.answer_distribution).mean(),
                count=everyone,
            ),
            own(metric="edits_kept", value=count, count=everyone),
            record(
                f"{run.spec.condition}/wrong_counterfactual", metric="causal_reliance", value=wrong.alpha, count=count
            ),
        ]
        if not sampled:  # two draws of a trace differ without any edit; alpha alone is a mean over draws
            rows += [
                own(metric="reliance_r2", value=reliance.r2, count=count),
                own(metric="edit_tv", value=total_variation(regenerated, base.answers).mean(), count=everyone),
            ]
    return rows


def _derangement(size: int, generator: np.random.Generator) -> Int[np.ndarray, " batch"]:
    """A permutation that leaves nobody in place: each is followed by the next in a random circle."""
    circle = generator.permutation(size)
    donors = np.empty(size, dtype=np.int64)
    donors[circle] = np.roll(circle, 1)
    return donors
