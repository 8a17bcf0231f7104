"""Training curves: what a run's loss did, in ``training.csv``."""

import time
from pathlib import Path
from typing import Any

import lightning
import pandas as pd
from lightning.pytorch.callbacks import Callback

from unamortized.learning.runs import write_text

POINTS = 200  # rows of a training curve, about
COLUMNS = ("step", "loss", "learning_rate", "muon_learning_rate", "gradient_norm", "longest", "seconds")


class Curves(Callback):
    """Keeps the mean loss since the last row, with rates, gradient norm and seconds; part of a run's checkpoint.

    The rates are those of the row's step, as is ``gradient_norm``, before clipping. ``longest`` is the longest length
    that a curriculum allows after it. ``seconds`` counts the time spent training, whatever the number of interruptions.
    """

    def __init__(self, folder: Path, steps: int) -> None:
        self.folder, self.steps, self.every = folder, steps, max(1, steps // POINTS)
        self.rows: list[list[float | None]] = []
        self.losses: list[Any] = []  # since the last row; on the model's device until then
        self.rates: list[float] = []  # of the step
        self.seconds, self.began = 0.0, time.monotonic()

    def on_train_start(self, trainer: lightning.Trainer, pl_module: Any) -> None:
        self.began = time.monotonic()

    def on_before_optimizer_step(self, trainer: lightning.Trainer, pl_module: Any, optimizer: Any) -> None:
        self.rates = [float(group["lr"]) for group in optimizer.param_groups]

    def on_train_batch_end(
        self, trainer: lightning.Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        step = trainer.global_step
        self.losses.append(outputs["loss"].detach())
        if step % self.every and step != self.steps:
            return
        rates, loss = self.rates, sum(map(float, self.losses)) / len(self.losses)
        curriculum = pl_module.curriculum
        self.losses.clear()
        row = (
            *(step, loss, rates[-1], rates[0] if len(rates) > 1 else None, float(pl_module.gradient_norm)),
            *(curriculum and curriculum.longest, self.spent()),
        )
        self.rows.append(list(row))
        if trainer.logger:
            named = zip(COLUMNS[1:], row[1:], strict=True)
            trainer.logger.log_metrics({name: value for name, value in named if value is not None}, step)

    def spent(self) -> float:
        """Return the seconds spent training, in all processes that trained the run."""
        return round(self.seconds + time.monotonic() - self.began, 3)

    def state_dict(self) -> dict[str, Any]:
        """Return what a checkpoint keeps."""
        return {
            "rows": [list(row) for row in self.rows],
            "losses": [float(x) for x in self.losses],
            "seconds": self.spent(),
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continue from a checkpoint."""
        self.rows, self.losses = state_dict["rows"], list(state_dict["losses"])
        self.seconds = state_dict["seconds"]

    def write(self) -> None:
        """Write ``training.csv``, whole."""
        table = pd.DataFrame(self.rows, columns=list(COLUMNS)).astype({"step": int, "longest": "Int64"})
        write_text(self.folder / "training.csv", table.to_csv(index=False, float_format="%.6g", lineterminator="\n"))
