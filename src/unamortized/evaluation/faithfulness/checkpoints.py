"""Faithfulness while it grows: the same tests on the weights that a run kept on its way."""

from unamortized.evaluation.faithfulness.edits import light_cone
from unamortized.evaluation.faithfulness.rollout import FaithfulnessSettings, under
from unamortized.evaluation.generalization import ByLength, by_length
from unamortized.evaluation.protocol import Rows
from unamortized.learning.runs import Run, load_run, snapshot_steps


def along_training(run: Run, settings: FaithfulnessSettings) -> Rows:
    """Answers and light cone after 1, 2, 4, .. steps of training, under the condition ``<condition>/after_<steps>``.

    Nothing for a run that kept no snapshots.
    """
    rows: Rows = []
    for step in snapshot_steps(run.spec):
        then = load_run(run.folder, step)
        measured = by_length(then, ByLength(settings.problems)) + light_cone(then, settings)
        rows += under(f"after_{step}", measured)
    return rows
