"""Distillation: a student without a trace learns what its teacher's trace states, on questions new to both."""

from typing import Literal

import numpy as np

from unamortized.configuration.schema import Count, Spec
from unamortized.language.batches import Batch
from unamortized.language.meanings import code_meanings
from unamortized.language.rendering import AnyLanguage, Language
from unamortized.learning.conditions.dense import answers_so_far, dense_batch, dense_flops, without_answers_so_far
from unamortized.learning.conditions.supervised import language_with
from unamortized.learning.questions import LONGEST, questions, training_lengths
from unamortized.learning.rollouts import respond
from unamortized.learning.specification import BatchesOf, Condition, RunSpec, Setup
from unamortized.models.flops import generation_flops
from unamortized.worlds.problems import Problems
from unamortized.worlds.splits import draw
from unamortized.worlds.tasks import with_process

TEACHERS = {"cot": "belief", "cot_dithered": "dithered", "cot_streaming": "streaming", "cot_synonyms": "synonyms"}


class DistilledOptions(Spec):
    """From whom a student learns, and how."""

    teacher: Literal["cot", "cot_dithered", "cot_streaming", "cot_synonyms"] = "cot"
    teacher_steps: Count | None = None  # of the teacher's training; None: as many as the student's
    labels: Literal["soft", "drawn"] = "soft"  # the answer that a stated belief implies, or a draw from it


def teacher(spec: RunSpec) -> dict[str, RunSpec]:
    """Return the run that the student learns from: of the same task, seed and model, on lengths of its own choice.

    Raises:
        ValueError: if the student is to learn from a corpus, whose questions its teacher would know.
    """
    if spec.train.questions is not None:
        raise ValueError("condition distilled always draws fresh questions; leave out train.questions")
    options = DistilledOptions.model_validate(spec.options)
    steps = options.teacher_steps or spec.train.steps
    train = spec.train.model_copy(update={"steps": steps, "snapshots": False, "lengths": "own"})
    return {"teacher": spec.model_copy(update={"condition": options.teacher, "train": train, "options": {}})}


def stated_batches(setup: Setup) -> BatchesOf:
    """Return batches with the answers that the teacher's stated beliefs imply as targets."""
    task, language, run = with_process(setup.spec.task), setup.language, setup.parents["teacher"]
    assert isinstance(language, Language)
    problems, meanings = questions(setup, "distilled", own=LONGEST), code_meanings(task)
    drawn = DistilledOptions.model_validate(setup.spec.options).labels == "drawn"

    def batch(group: Problems, step: int) -> Batch:
        beliefs = meanings[respond(run, group, draw=step).stated]  # a trace that is sampled is another at each step
        return dense_batch(language, group, answers_so_far(task, group, beliefs), drawn)

    return lambda step, model: [batch(group, step.number) for group in problems(step)]


def student_flops(language: AnyLanguage, spec: RunSpec) -> float:
    """Return the FLOPs of training on a question, including the trace that the teacher writes for it."""
    task, trace = with_process(spec.task), TEACHERS[DistilledOptions.model_validate(spec.options).teacher]
    taught = language_with(trace)(task, spec.model)
    written = [
        taught.render(draw(task, "train", n, 1, "cost")).written.tolist() for n in training_lengths(spec, LONGEST)
    ]
    costs = [generation_flops(spec.model, taught.vocabulary.size, each) for each in written]
    return dense_flops(language, spec) + float(np.mean(costs))


DISTILLED = Condition(
    name="distilled",
    description="no trace; after every observation what a finished CoT model states, as a target",
    language=language_with("dense"),
    batches=stated_batches,
    flops=student_flops,
    parents=teacher,
    unsupported=without_answers_so_far,
    options=DistilledOptions,
)
