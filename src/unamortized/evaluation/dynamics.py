"""What a task's process is like, as rows: numbers that figures and claims set answers against."""

from dataclasses import dataclass

from unamortized.evaluation.protocol import Rows
from unamortized.evaluation.rows import row
from unamortized.worlds.description import describe_process, mean_process
from unamortized.worlds.randomness import stream
from unamortized.worlds.tasks import Task


@dataclass(frozen=True)
class Dynamics:
    """How far mixed states are followed."""

    depth: int = 6  # symbols
    smallest: float = 1e-4  # probability below which a mixed state is not followed


def dynamics(task: Task, seed: int, settings: Dynamics) -> Rows:
    """Entropy rate, mixing time and forgetting time of a task's process, under the condition ``process``.

    Where each problem brings its own transitions, of one problem's process.
    """
    process = task.build()
    if process.sampler is not None:
        process = mean_process(process.sampler(stream("dynamics", task.fingerprint(), "table"), 1))
    generator = stream("dynamics", task.fingerprint())
    told = describe_process(process, settings.depth, generator, settings.smallest)
    numbers = {
        "entropy_rate": told.entropy_rate.estimate,
        "mixing_time": told.mixing.steps,
        "forgetting_time": told.forgetting.steps,
    }
    return [row(task.name, "process", seed, "train", metric, value, 1) for metric, value in numbers.items()]
