"""Learning from exact traces: every condition that differs in what is written between question and answer."""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from unamortized.language.dataset import Render
from unamortized.language.edits import dialed
from unamortized.language.layout import Examples, lay_out
from unamortized.language.traces import resolve_trace
from unamortized.language.vocabulary import Vocabulary
from unamortized.models.flops import training_flops
from unamortized.models.transformer import Architecture, ModelSpec
from unamortized.worlds.problems import Problems
from unamortized.worlds.splits import draw
from unamortized.worlds.tasks import Task

CORRUPTED = 0.9  # share of the traces that are corrupted where an answer need not follow its trace
INDEX_REACH = 8  # index tokens for each step of the longest training question: tests may be so many times as long


@dataclass(frozen=True)
class TraceCondition:
    """A way of learning."""

    name: str
    trace: str  # what is written between question and answer
    description: str  # in a line, for people
    equal_flops: str | None = None  # train until as many FLOPs are spent as this condition spends
    architecture: Architecture | None = None  # none: whichever is asked for
    reliance: float | None = (
        None  # rho: of traces that were corrupted, how many the answer follows; none: all are exact
    )
    predicts_question: bool = False  # whether it also learns to predict each observation of the question

    def shape(self, model: ModelSpec) -> ModelSpec:
        """The model that this condition trains where ``model`` is asked for: its own architecture, as deep and wide."""
        if self.architecture in (None, model.architecture):
            return model
        return ModelSpec(architecture=self.architecture, layers=model.layers, width=model.width)

    def vocabulary(self, task: Task) -> Vocabulary:
        """The task's vocabulary, with indices, filler and synonyms only where the trace needs them.

        How many indices there are follows from the training lengths, not from what happens to be tested.
        """
        return resolve_trace(self.trace).vocabulary(task, INDEX_REACH * task.steps.train[1])

    def renderer(self, task: Task, model: ModelSpec) -> Render:
        """What turns problems of a task into the columns that a model of that shape is trained on."""
        vocabulary, kind = self.vocabulary(task), resolve_trace(self.trace)

        def render(problems: Problems) -> Examples:
            trace = kind(problems, vocabulary)
            if self.reliance is not None:
                problems, corrupted = dialed(task, problems, vocabulary, CORRUPTED, self.reliance)
                trace = corrupted._replace(hint=trace.hint)
            examples = lay_out(problems, trace, vocabulary, model.coupled, model.spread_over)
            if self.predicts_question:
                weights = np.where(examples.observes, 1, examples.weights).astype(np.float32)
                examples = examples._replace(weights=weights)
            return examples

        return render

    def training_flops_per_question(self, task: Task, model: ModelSpec) -> float:
        """FLOPs of training on one question, on average over the training lengths."""
        return _flops_per_question(self, task.model_dump_json(), model.model_dump_json())


@lru_cache(maxsize=1024)  # plans and progress ask for the same few again and again
def _flops_per_question(condition: TraceCondition, task_json: str, model_json: str) -> float:
    task, model = Task.model_validate_json(task_json), ModelSpec.model_validate_json(model_json)
    vocabulary, render = condition.vocabulary(task), condition.renderer(task, model)
    first, last = task.steps.train
    costs = []
    for n_steps in range(first, last + 1):
        examples = render(draw(task, "train", n_steps, 1, "cost"))
        columns = examples.tokens.shape[1] - 1  # the last token is predicted, never read
        predicted = examples.written | examples.observes if condition.predicts_question else examples.written
        costs.append(training_flops(model, vocabulary.size, columns, int(predicted[1:].sum())))
    return float(np.mean(costs))
