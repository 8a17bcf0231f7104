"""Supervised learning on exact traces: conditions that differ in the tokens between question and answer."""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from unamortized.language.edits import corrupt, draw_answers
from unamortized.language.layout import Examples, Render, lay_out
from unamortized.language.traces import resolve_trace
from unamortized.language.vocabulary import Vocabulary
from unamortized.models.flops import training_flops
from unamortized.models.transformer import Architecture, ModelSpec
from unamortized.worlds.problems import Problems
from unamortized.worlds.splits import draw
from unamortized.worlds.tasks import Task

CORRUPTED = 0.9  # share of corrupted traces in conditions with a reliance
INDEX_REACH = 8  # index tokens for each step of the longest training question: the limit of longer tests


@dataclass(frozen=True)
class TraceCondition:
    """Supervised learning on a trace and the answer."""

    name: str
    trace: str
    description: str
    equal_flops: str | None = None
    architecture: Architecture | None = None
    reliance: float | None = None  # rho: share of the corrupted traces that the answer follows; None: all are exact
    predicts_question: bool = False  # whether it also learns to predict each observation of the question

    def shape(self, model: ModelSpec) -> ModelSpec:
        """Return the requested model, or one of the condition's own architecture with equal depth and width."""
        if self.architecture in (None, model.architecture):
            return model
        return ModelSpec(architecture=self.architecture, layers=model.layers, width=model.width)

    def vocabulary(self, task: Task) -> Vocabulary:
        """Return the task's vocabulary with the tokens of the trace.

        The number of index tokens follows from the training lengths alone, so that tests do not change the model.
        """
        return resolve_trace(self.trace).vocabulary(task, INDEX_REACH * task.steps.train[1])

    def renderer(self, task: Task, model: ModelSpec) -> Render:
        """Return a function that renders problems as the columns that a model of that shape trains on."""
        vocabulary, kind = self.vocabulary(task), resolve_trace(self.trace)

        def render(problems: Problems) -> Examples:
            trace = kind(problems, vocabulary)
            if self.reliance is not None:
                corrupted = corrupt(task, problems, vocabulary, CORRUPTED, self.reliance)
                problems, trace = draw_answers(problems, corrupted), corrupted.trace._replace(hint=trace.hint)
            examples = lay_out(problems, trace, vocabulary, model.coupled, model.spread_over)
            if self.predicts_question:
                weights = np.where(examples.observes, 1, examples.weights).astype(np.float32)
                examples = examples._replace(weights=weights)
            return examples

        return render

    def training_flops_per_question(self, task: Task, model: ModelSpec) -> float:
        """Return the FLOPs of training on one question, averaged over the training lengths."""
        return _flops_per_question(self, task.model_dump_json(), model.model_dump_json())


@lru_cache(maxsize=1024)  # planning and reporting request the same few repeatedly
def _flops_per_question(condition: TraceCondition, task_json: str, model_json: str) -> float:
    task, model = Task.model_validate_json(task_json), ModelSpec.model_validate_json(model_json)
    vocabulary, render = condition.vocabulary(task), condition.renderer(task, model)
    first, last = task.steps.train
    costs = []
    for n_steps in range(first, last + 1):
        examples = render(draw(task, "train", n_steps, 1, "cost"))
        columns = examples.tokens.shape[1] - 1  # the last token is predicted, not read
        predicted = examples.written | examples.observes if condition.predicts_question else examples.written
        costs.append(training_flops(model, vocabulary.size, columns, int(predicted[1:].sum())))
    return float(np.mean(costs))
