"""Dense supervision: no trace, but a target at every observation, the answer so far, all in one pass.

With exact targets and a question about the latest state, the model is told what CoT is told, and may not write it down:
what CoT gains over it is due to writing.
"""

from functools import partial

import numpy as np
import torch
from jaxtyping import Float, Int
from scipy.special import entr

from unamortized.language.batches import Batch, to_batch
from unamortized.language.edits import counterfactual_answers
from unamortized.language.rendering import AnyLanguage, Language
from unamortized.learning.conditions.supervised import language_with, needs_process, supervised_flops
from unamortized.learning.questions import LONGEST, questions
from unamortized.learning.specification import AnyTask, BatchesOf, Condition, RunSpec, Setup
from unamortized.worlds.problems import Problems
from unamortized.worlds.splits import named_by_questions
from unamortized.worlds.tasks import Task, with_process

Answers = Float[np.ndarray, "batch step answer"]


def answers_so_far(task: Task, problems: Problems, beliefs: Float[np.ndarray, "batch step state"]) -> Answers:
    """Return the exact answer to the task's question, had it been asked when these were the beliefs."""
    if task.query.kind == "filter":
        return beliefs
    answers = [counterfactual_answers(task, problems, problems.n_steps, belief) for belief in beliefs.swapaxes(0, 1)]
    return np.stack(answers, axis=1)


def dense_batch(language: Language, problems: Problems, answers: Answers, drawn: bool) -> Batch:
    """Make a batch whose targets are the answers after each observation, or a token drawn from each."""
    examples, vocabulary = language.render(problems), language.vocabulary
    least = float(entr(answers).sum(axis=2).mean())
    batch, columns = to_batch(examples, least), np.flatnonzero(examples.weights)
    if drawn:
        tokens = examples.tokens.copy()
        tokens[:, columns] = vocabulary.answer(draw_each(problems, answers))
        return batch._replace(targets=torch.from_numpy(tokens))
    targets = np.zeros((*examples.tokens.shape, answers.shape[2]), dtype=np.float32)
    targets[:, columns] = answers
    return batch._replace(targets=torch.from_numpy(targets), block=vocabulary.blocks["answer"])


def draw_each(problems: Problems, answers: Answers) -> Int[np.ndarray, "batch step"]:
    """Draw an answer from each distribution; the questions of the batch key the draws."""
    cumulative = answers.cumsum(axis=2)
    uniforms = named_by_questions("dense", problems).random(answers.shape[:2]) * cumulative[:, :, -1]
    return (uniforms[:, :, None] >= cumulative).sum(axis=2).clip(max=answers.shape[2] - 1)


def exact_batches(setup: Setup, drawn: bool) -> BatchesOf:
    """Return batches with the exact answers as targets."""
    problems, language, task = questions(setup, own=LONGEST), setup.language, with_process(setup.spec.task)
    assert isinstance(language, Language)

    def batch(group: Problems) -> Batch:
        return dense_batch(language, group, answers_so_far(task, group, group.beliefs[:, 1:]), drawn)

    return lambda step, model: [batch(group) for group in problems(step)]


def dense_flops(language: AnyLanguage, spec: RunSpec) -> float:
    """Return the FLOPs of training on a question; a long question contains the short ones, so all are long."""
    return supervised_flops(language, spec, LONGEST)


def without_answers_so_far(task: AnyTask) -> str:
    """Return why a task cannot be learned: it has a net, or its question has no answer before the end."""
    if not (reason := needs_process(task)) and with_process(task).query.kind == "smooth":
        reason = "it needs an answer after every observation, so query filter or predict"
    return reason


def dense(name: str, description: str, drawn: bool) -> Condition:
    """Make a condition with exact targets after every observation."""
    return Condition(
        name=name,
        description=description,
        language=language_with("dense"),
        batches=partial(exact_batches, drawn=drawn),
        flops=dense_flops,
        unsupported=without_answers_so_far,
    )


DENSE = (
    dense("amortized_dense", "no trace; the exact answer after every observation as a soft target", drawn=False),
    dense("amortized_dense_drawn", "no trace; after every observation an answer drawn as the target", drawn=True),
)
