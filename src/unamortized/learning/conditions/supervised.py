"""Learning from exact traces: every condition that differs in what is written between question and answer."""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from unamortized.language.layout import Examples, lay_out
from unamortized.language.traces import resolve_trace
from unamortized.language.vocabulary import Vocabulary, task_vocabulary
from unamortized.models.flops import training_flops
from unamortized.models.transformer import Architecture, ModelSpec
from unamortized.worlds.problems import Problems
from unamortized.worlds.splits import draw
from unamortized.worlds.tasks import Task

INDEX_REACH = 8  # index tokens for each step of the longest training question: tests may be so many times as long


@dataclass(frozen=True)
class Condition:
    """A way of learning."""

    name: str
    trace: str  # what is written between question and answer
    says: str  # in a line, for people
    equal_flops: str | None = None  # train until as many FLOPs are spent as this condition spends
    architecture: Architecture | None = None  # none: whichever is asked for

    def shape(self, model: ModelSpec) -> ModelSpec:
        """The model that this condition trains where ``model`` is asked for: its own architecture, as deep and wide."""
        if self.architecture in (None, model.architecture):
            return model
        return ModelSpec(architecture=self.architecture, layers=model.layers, width=model.width)

    def vocabulary(self, task: Task) -> Vocabulary:
        """The task's vocabulary, with index tokens only where the trace needs them.

        How many there are follows from the training lengths, not from what happens to be tested.
        """
        return task_vocabulary(task, INDEX_REACH * task.steps.train[1] if resolve_trace(self.trace).indexed else 0)

    def render(
        self, problems: Problems, vocabulary: Vocabulary, coupled: bool, spread_over: int | None = None
    ) -> Examples:
        """Problems as the columns of this condition; the last two are those of ``lay_out``."""
        trace = resolve_trace(self.trace)(problems, vocabulary)
        return lay_out(problems, trace, vocabulary, coupled, spread_over)

    def training_flops_per_question(self, task: Task, model: ModelSpec) -> float:
        """FLOPs of training on one question, on average over the training lengths."""
        return _flops_per_question(self, task.model_dump_json(), model.model_dump_json())


@lru_cache(maxsize=1024)  # plans and progress ask for the same few again and again
def _flops_per_question(condition: Condition, task_json: str, model_json: str) -> float:
    task, model = Task.model_validate_json(task_json), ModelSpec.model_validate_json(model_json)
    vocabulary = condition.vocabulary(task)
    first, last = task.steps.train
    costs = []
    for n_steps in range(first, last + 1):
        examples = condition.render(draw(task, "train", n_steps, 1, "cost"), vocabulary, model.coupled)
        columns = examples.tokens.shape[1] - 1  # the last token is predicted, never read
        costs.append(training_flops(model, vocabulary.size, columns, int(examples.written.sum())))
    return float(np.mean(costs))
