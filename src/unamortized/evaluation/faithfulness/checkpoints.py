"""Faithfulness along training: answers and causal reliance of the weights that a run kept on the way."""

from unamortized.evaluation.faithfulness.edits import light_cone
from unamortized.evaluation.faithfulness.rollout import FaithfulnessSettings
from unamortized.evaluation.generalization import by_length
from unamortized.evaluation.protocol import Rows, SampleSize, snapshots
from unamortized.labels import joined, numbered
from unamortized.learning.runs import Run

KEPT = ("answer_kl", "causal_reliance")  # metrics


def along_training(run: Run, settings: FaithfulnessSettings) -> Rows:
    """Measure answers and causal reliance after 1, 2, 4, ... training steps, as variants ``after_<steps>``.

    No rows for a run without snapshots.
    """
    return [
        row | {"variant": joined(row["variant"], numbered("after", step))}
        for step, then in snapshots(run)
        for row in by_length(then, SampleSize(settings.problems)) + light_cone(then, settings)
        if row["metric"] in KEPT and not row["control"]
    ]
