"""Figures of the study of training: KL by way of training."""

import pandas as pd

from unamortized.labels import display, numbers, place, stem
from unamortized.studies.figures.charts import Dots


def named_training(rows: pd.DataFrame) -> pd.DataFrame:
    """Add ``learner`` (condition, layers, steps), ``learner_in`` (with its task) and ``training`` (the rest)."""
    learners, trainings = [], []
    for condition, variant in zip(rows["condition"], rows["variant"], strict=True):
        found = numbers(variant)
        layers = f", {found['layers']:g} layers" if "layers" in found else ""
        steps = f", {found['steps']:,.0f} steps" if "steps" in found else ""
        learners.append(f"{display(condition)}{layers}{steps}")
        trainings.append(stem(variant).removesuffix("steps").replace("layers", "").replace("_", " ").strip())
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
