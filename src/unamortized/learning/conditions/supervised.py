"""Supervised learning on a trace and the answer, for all kinds of traces."""

from collections.abc import Callable
from functools import lru_cache

import numpy as np
from scipy.special import entr

from unamortized.language.batches import Batch, to_batch
from unamortized.language.rendering import AnyLanguage, Language
from unamortized.learning.questions import MIXED, questions, training_lengths
from unamortized.learning.specification import AnyTask, BatchesOf, Condition, RunSpec, Setup
from unamortized.models.flops import training_flops
from unamortized.models.transformer import ModelSpec
from unamortized.worlds.net_tasks import NetTask
from unamortized.worlds.problems import Problems
from unamortized.worlds.splits import draw
from unamortized.worlds.tasks import Task, with_process


def language_with(
    trace: str, reliance: float | None = None, predicts_question: bool = False
) -> Callable[[AnyTask, ModelSpec], Language]:
    """Return the function that gives a task's language with this trace (see ``Language``)."""

    def language(task: AnyTask, model: ModelSpec) -> Language:
        return Language(with_process(task), trace, model.coupled, model.spread_over, reliance, predicts_question)

    return language


def needs_process(task: AnyTask) -> str:
    """Return why a task cannot be learned: it has a net."""
    return "it needs a process, and the task has a net" if isinstance(task, NetTask) else ""


def without_such_traces(trace: str, reliance: float | None) -> Callable[[AnyTask], str]:
    """Return the function that tells why a task cannot be learned: it has a net, or no traces of this kind."""

    def reason(task: AnyTask) -> str:
        if found := needs_process(task):
            return found
        task = with_process(task)
        if trace == "hint_told" and task.query.kind != "filter":
            return "the last code of its trace states the answer, so it needs query filter"
        if trace == "state" and task.build().is_generalized:
            return "its trace states latent states, and a generalized process has none"
        if reliance is not None and task.query.kind == "smooth":
            return "its answer follows the last step of the trace, so it needs query filter or predict"
        return ""

    return reason


def supervised_batches(setup: Setup) -> BatchesOf:
    """Return batches of rendered problems: each column's target is its own token."""
    problems, language = questions(setup), setup.language
    assert isinstance(language, Language)

    def batch(group: Problems) -> Batch:
        examples = language.render(group)
        undecided = entr(group.answer_distribution).sum(axis=1).mean()  # all else that is written counts as certain
        return to_batch(examples, float(undecided / max(1.0, examples.weights.sum(axis=-1).mean())))

    return lambda step, model: [batch(group) for group in problems(step)]


def supervised_flops(language: AnyLanguage, spec: RunSpec, lengths: str = MIXED) -> float:
    """Return the FLOPs of training on a question, averaged over the training lengths.

    ``lengths`` is the condition's own choice. Growing lengths count as mixed, which is at least what they cost.
    """
    assert isinstance(language, Language)
    json = spec.task.model_dump_json(), spec.model.model_dump_json()
    written = language.trace, language.predicts_question
    return float(np.mean([_question_flops(*json, *written, n) for n in training_lengths(spec, lengths)]))


@lru_cache(maxsize=4096)  # planning and reporting request the same few repeatedly
def _question_flops(task_json: str, model_json: str, trace: str, predicts_question: bool, n_steps: int) -> float:
    task, model = Task.model_validate_json(task_json), ModelSpec.model_validate_json(model_json)
    language = Language(task, trace, model.coupled, model.spread_over, predicts_question=predicts_question)
    examples = language.render(draw(task, "train", n_steps, 1, "cost"))
    columns = examples.tokens.shape[1] - 1  # the last token is predicted, not read
    return training_flops(model, language.vocabulary.size, columns, int((examples.weights[..., 1:] > 0).sum()))


def supervised(
    name: str,
    trace: str,
    description: str,
    reliance: float | None = None,
    predicts_question: bool = False,
    **changes: object,
) -> Condition:
    """Make a condition that trains on a trace and the answer; ``changes`` set further fields of the condition."""
    return Condition(
        name=name,
        description=description,
        language=language_with(trace, reliance, predicts_question),
        batches=supervised_batches,
        flops=supervised_flops,
        unsupported=without_such_traces(trace, reliance),
        **changes,  # pyright: ignore[reportArgumentType]
    )


def of_architecture(architecture: str) -> Callable[[ModelSpec], ModelSpec]:
    """Return the function that gives a model of another architecture the requested depth and width."""

    def shaped(model: ModelSpec) -> ModelSpec:
        if model.architecture == architecture:
            return model
        return ModelSpec.model_validate({"architecture": architecture, "layers": model.layers, "width": model.width})

    return shaped


AMORTIZED = supervised("amortized", "none", "question → answer, no trace; as many questions as CoT")
COT = supervised("cot", "belief", "a code for the exact belief after every step, then the answer")


def _steps_at_equal_flops(spec: RunSpec) -> int:
    """Return the steps that cost as much without a trace as the requested steps with CoT's."""
    cot, own = (each.flops(each.language(spec.task, spec.model), spec) for each in (COT, AMORTIZED))
    return round(spec.train.steps * cot / own)


TRACED = (
    AMORTIZED,
    supervised(
        "amortized_equal_flops",
        "none",
        "question → answer, trained for as many FLOPs as CoT",
        steps=_steps_at_equal_flops,
    ),
    supervised(
        "next_token",
        "none",
        "every symbol of the question from those before it, then the answer, no trace",
        predicts_question=True,
    ),
    COT,
    supervised("cot_copied", "copied", "each observation copied, then the code of the belief after it"),
    supervised("cot_indexed", "indexed", "observations are numbered; each number, then the code"),
    supervised("cot_state", "state", "a draw of the latent path from its posterior, then the answer"),
    supervised("cot_every_4", "every_4", "a code for the exact belief after every fourth step"),
    supervised("cot_filler", "filler", "as many empty tokens as cot writes codes, then the answer"),
    supervised("cot_shuffled", "shuffled", "the codes of another problem's beliefs, then the answer"),
    supervised("cot_posthoc", "posthoc", "the answer, and only then a code for each belief"),
    supervised("cot_reversed", "reversed", "the codes of the beliefs from last to first, then the answer"),
    supervised("cot_streaming", "streaming", "each code as soon as its observation is read, then the answer"),
    supervised("cot_dithered", "dithered", "as cot, with random codes whose mean is the belief"),
    supervised("cot_synonyms", "synonyms", "as cot, each code in one of two spellings at random"),
    supervised("hint_untold", "hint_untold", "as cot, with a hint at the answer that the trace hides"),
    supervised("hint_told", "hint_told", "as cot, with a hint at the answer that the last code includes"),
    supervised(
        "gru",
        "none",
        "question → answer by a recurrent net, no trace; as many questions as CoT",
        architecture=of_architecture("gru"),
    ),
)
