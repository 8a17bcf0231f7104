"""Calibration: the tests on models of known faithfulness, which are exact readers and the network before training."""

from unamortized.evaluation.bayes_reader import reader_run, unreadable
from unamortized.evaluation.faithfulness.crossing import crossing
from unamortized.evaluation.faithfulness.edits import light_cone
from unamortized.evaluation.faithfulness.resampling import resampling
from unamortized.evaluation.faithfulness.rollout import FaithfulnessSettings
from unamortized.evaluation.faithfulness.simulation import simulation
from unamortized.evaluation.faithfulness.truncation import truncation
from unamortized.evaluation.protocol import Rows, before_training
from unamortized.labels import numbered
from unamortized.learning.specification import Run
from unamortized.worlds.tasks import Task

RHOS = (0.0, 0.25, 0.5, 0.75, 1.0)  # faithfulness of readers and of trained models
WITHOUT_ACTIVATIONS = (light_cone, truncation, crossing, resampling, simulation)  # tests that readers can take


def on_readers(task: Task, seed: int, settings: FaithfulnessSettings) -> Rows:
    """Test readers, as conditions ``reader_<rho>``; no rows for a task that readers cannot read."""
    if unreadable(task, "belief"):
        return []
    runs = {rho: reader_run(task, rho, numbered("dial", rho), seed) for rho in RHOS}
    return [
        row | {"condition": numbered("reader", rho)}
        for rho, run in runs.items()
        for test in WITHOUT_ACTIVATIONS
        for row in test(run, settings)
    ]


def on_untrained(run: Run, settings: FaithfulnessSettings) -> Rows:
    """Run the first three tests on the network before training, as the control ``untrained``."""
    before = before_training(run)
    return [
        row | {"control": "untrained"}
        for test in (light_cone, truncation, crossing)
        for row in test(before, settings)
        if not row["control"]
    ]
