"""The figure that every study has: how the training losses of its runs fell."""

from dataclasses import replace

import pandas as pd

from unamortized.labels import display, place, variant_name
from unamortized.studies.figures.charts import Curves


def by_variant(rows: pd.DataFrame) -> pd.DataFrame:
    """Add ``learner``, the condition with its task, and ``training``, the variant as people read it."""
    named = zip(rows["task"], rows["world"], rows["condition"], strict=True)
    learners = [f"{place(task, world)}: {display(condition)}" for task, world, condition in named]
    return rows.assign(learner=learners, training=[variant_name(variant) for variant in rows["variant"]])


TRAINING_LOSS = Curves(
    name="training_loss",
    title="Was training long enough?",
    caption="A loss that still falls at the end is that of a model not trained to its limit. Losses of different "
    "conditions are about different tokens, and do not compare.",
    metrics=("training_loss",),
    where={"split": ("train",)},
    x="step",
    x_label="training steps",
    x_scale="log",
    columns=3,
)
OF_VARIANTS = replace(
    TRAINING_LOSS,
    where={**TRAINING_LOSS.where, "variant": ()},
    prepare=by_variant,
    panel="learner",
    line="training",
    shared=False,
)


def training_loss(metrics: pd.DataFrame) -> Curves:
    """Return the chart of losses: of the runs without a variant, or of all by condition if every run has one."""
    plain = metrics[(metrics["metric"] == "training_loss") & (metrics["variant"] == "")]
    return TRAINING_LOSS if len(plain) else OF_VARIANTS
