"""The learning curve: what a run's training loss was, as its ``training.csv`` has it."""

from dataclasses import dataclass
from functools import partial

import pandas as pd

from unamortized.evaluation.protocol import Rows
from unamortized.evaluation.rows import row
from unamortized.learning.runs import run_flops, training_steps
from unamortized.learning.specification import Run


@dataclass(frozen=True)
class CurveSettings:
    """How much of the curve is tabulated."""

    every: float = 1.5  # ratio of each tabulated step to the one before


def learning_curve(run: Run, settings: CurveSettings) -> Rows:
    """Tabulate the training loss at steps in geometric sequence and at the last, and what training cost."""
    curve, last = pd.read_csv(run.folder / "training.csv"), training_steps(run.spec)
    wanted, step = {last}, 1.0
    while step < last:
        wanted.add(int(step))
        step *= settings.every
    kept = curve.iloc[sorted({int(curve["step"].searchsorted(step)) for step in wanted})]
    spec, size = run.spec, run.spec.train.batch_size
    record = partial(row, spec.task.name, spec.condition, spec.seed, "train")
    losses = zip(kept["step"], kept["loss"], strict=True)
    rows = [record("training_loss", loss, size, step=int(step)) for step, loss in losses]
    return [*rows, record("training_flops", run_flops(spec), last * size)]
