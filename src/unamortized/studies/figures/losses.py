"""The figure that every study has: how the training losses of its runs fell."""

import pandas as pd

from unamortized.studies.figures.charts import Curves


def without_variants(rows: pd.DataFrame) -> pd.DataFrame:
    """Keep runs without a variant, if there are any: losses of many variants could not be told apart."""
    plain = rows[rows["variant"] == ""]
    return plain if len(plain) else rows


TRAINING_LOSS = Curves(
    name="training_loss",
    title="Was training long enough?",
    caption="A loss that still falls at the end is that of a model not trained to its limit. Losses of different "
    "conditions are about different tokens, and do not compare.",
    metrics=("training_loss",),
    where={"split": ("train",), "variant": ()},
    prepare=without_variants,
    x="step",
    x_label="training steps",
    x_scale="log",
    line="name",
    columns=3,
)
