"""Tests where the truth is known without training: on readers of every faithfulness, and on a net before training."""

from dataclasses import dataclass, field, replace

from unamortized.evaluation.bayes_reader import reader_run, unreadable
from unamortized.evaluation.faithfulness.crossing import crossing
from unamortized.evaluation.faithfulness.edits import light_cone
from unamortized.evaluation.faithfulness.resampling import resampling
from unamortized.evaluation.faithfulness.rollout import FaithfulnessSettings, under
from unamortized.evaluation.faithfulness.simulation import simulation
from unamortized.evaluation.faithfulness.truncation import truncation
from unamortized.evaluation.protocol import Rows
from unamortized.learning.runs import Run, new_model
from unamortized.worlds.tasks import Task

OUTSIDE = (light_cone, truncation, crossing, resampling, simulation)  # tests that look at no activation


@dataclass(frozen=True)
class Calibration:
    """Which readers, and how thoroughly they are tested."""

    rhos: tuple[float, ...] = (0.0, 0.25, 0.5, 0.75, 1.0)
    laboratory: FaithfulnessSettings = field(default_factory=FaithfulnessSettings)


def on_readers(task: Task, seed: int, settings: Calibration) -> Rows:
    """The rows of each test, under the condition ``reader_<rho>``; none of a task that readers cannot read."""
    rows: Rows = []
    if unreadable(task, "belief"):
        return rows
    for rho in settings.rhos:
        run = reader_run(task, rho, f"dial_{rho:g}", seed)
        for test in OUTSIDE:
            for row in test(run, settings.laboratory):
                rows.append(row | {"condition": row["condition"].replace("dial_", "reader_", 1)})
    return rows


def on_untrained(run: Run, settings: FaithfulnessSettings) -> Rows:
    """The rows of the first tests for the network before training, under the condition ``<condition>/untrained``."""
    before = replace(run, model=new_model(run.spec).eval())
    return [row for test in (light_cone, truncation, crossing) for row in under("untrained", test(before, settings))]
