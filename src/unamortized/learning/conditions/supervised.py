"""Learning from exact traces: every condition that differs in what is written between question and answer."""

from dataclasses import dataclass

import numpy as np

from unamortized.language.layout import Examples, lay_out
from unamortized.language.traces import resolve_trace
from unamortized.language.vocabulary import Vocabulary, task_vocabulary
from unamortized.models.flops import training_flops
from unamortized.models.transformer import ModelSpec
from unamortized.worlds.problems import Problems
from unamortized.worlds.splits import draw
from unamortized.worlds.tasks import Task


@dataclass(frozen=True)
class Condition:
    """A way of learning."""

    name: str
    trace: str  # what is written between question and answer
    says: str  # in a line, for people
    equal_flops: str | None = None  # train until as many FLOPs are spent as this condition spends

    def render(self, problems: Problems, vocabulary: Vocabulary, coupled: bool) -> Examples:
        """Problems as the columns of this condition."""
        return lay_out(problems, resolve_trace(self.trace)(problems, vocabulary), vocabulary, coupled)

    def training_flops_per_question(self, task: Task, model: ModelSpec) -> float:
        """FLOPs of training on one question, on average over the training lengths."""
        vocabulary = task_vocabulary(task)
        first, last = task.steps.train
        costs = []
        for n_steps in range(first, last + 1):
            examples = self.render(draw(task, "train", n_steps, 1, "cost"), vocabulary, model.coupled)
            columns = examples.tokens.shape[1] - 1  # the last token is predicted, never read
            costs.append(training_flops(model, vocabulary.size, columns, int(examples.written.sum())))
        return float(np.mean(costs))
