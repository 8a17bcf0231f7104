"""Learning a net from windows: the model sees only some of its variables together."""

from dataclasses import dataclass

import numpy as np

from unamortized.language.layout import Examples
from unamortized.language.windows import NetVocabulary, lay_out_windows, net_vocabulary
from unamortized.models.flops import training_flops
from unamortized.models.transformer import ModelSpec
from unamortized.worlds.net_tasks import NetTask
from unamortized.worlds.windows import Kind, draw_windows

COSTED = 4096  # windows averaged for the cost of one


@dataclass(frozen=True)
class WindowCondition:
    """Supervised learning on windows of a net."""

    name: str
    windows: Kind
    description: str
    equal_flops: None = None
    architecture: None = None

    def shape(self, model: ModelSpec) -> ModelSpec:
        """Return the requested model."""
        return model

    def vocabulary(self, task: NetTask) -> NetVocabulary:
        """Return the net's vocabulary."""
        return net_vocabulary(task)

    def examples(self, task: NetTask, seed: int, batch_size: int, step: int) -> list[Examples]:
        """Draw the windows of a training step, grouped by size so that nothing is padded."""
        groups, vocabulary = draw_windows(task, self.windows, batch_size, seed, step), self.vocabulary(task)
        return [lay_out_windows(group, vocabulary) for group in groups]

    def training_flops_per_question(self, task: NetTask, model: ModelSpec) -> float:
        """Return the mean FLOPs of training on one window."""
        size, costs = self.vocabulary(task).size, []
        for group in draw_windows(task, self.windows, COSTED, 0, "cost"):
            count, columns = group.values.shape  # the model reads the question and all assignments but the last
            costs.append(count * training_flops(model, size, columns, columns))
        return float(np.sum(costs) / COSTED)
