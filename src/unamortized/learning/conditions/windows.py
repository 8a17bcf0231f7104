"""Learning from windows: what a net's variables do together, where only some of them are ever seen together."""

from dataclasses import dataclass

import numpy as np

from unamortized.language.layout import Examples
from unamortized.language.windows import NetVocabulary, lay_out_windows, net_vocabulary
from unamortized.models.flops import training_flops
from unamortized.models.transformer import ModelSpec
from unamortized.worlds.net_tasks import NetTask
from unamortized.worlds.windows import Kind, draw_windows

COSTED = 4096  # windows that the cost of one is averaged over


@dataclass(frozen=True)
class WindowCondition:
    """A way of learning a net."""

    name: str
    windows: Kind
    description: str  # in a line, for people
    equal_flops: None = None
    architecture: None = None  # whichever is asked for

    def shape(self, model: ModelSpec) -> ModelSpec:
        """The model that is asked for, whichever it is."""
        return model

    def vocabulary(self, task: NetTask) -> NetVocabulary:
        """The net's vocabulary, alike for all windows."""
        return net_vocabulary(task)

    def examples(self, task: NetTask, seed: int, batch_size: int, step: int) -> list[Examples]:
        """The windows of one training step, those of one size together; so nothing is padded."""
        vocabulary = self.vocabulary(task)
        return [
            lay_out_windows(group, vocabulary) for group in draw_windows(task, self.windows, batch_size, seed, step)
        ]

    def training_flops_per_question(self, task: NetTask, model: ModelSpec) -> float:
        """FLOPs of training on one window, on average."""
        vocabulary = self.vocabulary(task)
        costs = [
            len(group.values) * training_flops(model, vocabulary.size, columns, columns)  # all but the last are read
            for group in draw_windows(task, self.windows, COSTED, 0, "cost")
            for columns in (group.values.shape[1],)
        ]
        return float(np.sum(costs) / COSTED)
