"""The figure that every study has: how the training losses of its runs fell."""

from unamortized.studies.figures.charts import Curves

TRAINING_LOSS = Curves(
    name="training_loss",
    title="Was training long enough?",
    caption="A loss that still falls at the end is that of a model not trained to its limit. Losses of different "
    "conditions are about different tokens, and do not compare.",
    metrics=("training_loss",),
    where={"split": ("train",), "variant": ()},
    x="step",
    x_label="training steps",
    x_scale="log",
    line="name",
    columns=3,
)
