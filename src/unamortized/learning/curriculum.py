"""The curriculum in length: questions grow longer as the loss allows."""

from dataclasses import dataclass
from typing import Any

from unamortized.learning.specification import RunSpec
from unamortized.worlds.tasks import with_process

MEMORY = 0.9  # of the running mean of the loss, a step


@dataclass
class Curriculum:
    """The longest length allowed, and the running mean of the excess loss at it; part of a run's checkpoint."""

    longest: int
    last: int  # the longest training length
    below: float  # the limit grows when the mean is lower; nats a target above exact predictions
    mean: float | None = None

    def see(self, loss: float) -> None:
        """Take in the excess loss of a step; the limit grows, and the mean starts anew, when it is low enough."""
        self.mean = loss if self.mean is None else MEMORY * self.mean + (1 - MEMORY) * loss
        if self.mean < self.below and self.longest < self.last:
            self.longest, self.mean = self.longest + 1, None

    def state_dict(self) -> dict[str, Any]:
        """Return what a checkpoint keeps."""
        return {"longest": self.longest, "mean": self.mean}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from a checkpoint."""
        self.longest, self.mean = state["longest"], state["mean"]


def curriculum(spec: RunSpec) -> Curriculum | None:
    """Return the curriculum of a run, from its shortest length on; None unless its lengths grow."""
    if spec.train.lengths != "growing":
        return None
    first, last = with_process(spec.task).steps.train
    return Curriculum(first, last, spec.train.grow_below)
