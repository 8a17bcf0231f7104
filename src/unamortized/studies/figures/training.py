"""Figures of the study of training: KL by way of training."""

import pandas as pd

from unamortized.labels import display, place, variant_name
from unamortized.studies.figures.charts import Dots


def named_training(rows: pd.DataFrame) -> pd.DataFrame:
    """Add ``learner`` (condition, layers, steps), ``learner_in`` (with its task) and ``training`` (the rest)."""
    learners, trainings = [], []
    for condition, variant in zip(rows["condition"], rows["variant"], strict=True):
        training, *layers_and_steps = variant_name(variant).split(", ")
        learners.append(", ".join([display(condition), *layers_and_steps]))
        trainings.append(training)
    where = [f"{place(task)}: {learner}" for task, learner in zip(rows["task"], learners, strict=True)]
    return rows.assign(learner=learners, training=trainings, learner_in=where)


TRAININGS = ("adamw", "muon", "muon mixed", "muon longest", "muon growing")
NAMES = {
    "adamw": "AdamW",
    "muon": "Muon",
    "muon mixed": "Muon, mixed lengths",
    "muon longest": "Muon, longest only",
    "muon growing": "Muon, growing lengths",
}

FIGURES = (
    Dots(
        name="training_kl",
        title="What trains how fast?",
        caption="At equal steps Muon is nearer to exact than AdamW; a dense model may train on long questions alone, "
        "CoT needs short ones, too; growing lengths teach S3 what mixed ones do not.",
        metrics=("answer_kl",),
        where={"variant": (), "training": TRAININGS, "n_steps": (4, 8, 16)},
        prepare=named_training,
        y="learner_in",
        line="training",
        panel="n_steps",
        names=NAMES | {("n_steps", n): f"n = {n}" for n in (4, 8, 16)},
        shared=False,
        size=(3.0, 0),
    ),
)
