"""Training: from the last checkpoint of a run to its final weights.

A run uses one thread, because two runs side by side beat one run on two threads. A batch depends on its step, on the
weights and on what the checkpoint keeps, so that a killed run resumes to the weights that it would have had.
"""

import logging
import math
import time
import warnings
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from itertools import count
from pathlib import Path
from typing import Any

import lightning
import torch
from lightning.pytorch.callbacks import Callback, ModelCheckpoint
from lightning.pytorch.loggers import Logger, TensorBoardLogger
from lightning.pytorch.plugins.io import TorchCheckpointIO
from torch import Tensor
from torch.utils.data import DataLoader, IterableDataset

from unamortized.learning.conditions import check_fits, resolve_condition
from unamortized.learning.curriculum import curriculum
from unamortized.learning.curves import Curves
from unamortized.learning.optimizers import build_optimizer
from unamortized.learning.runs import (
    exclusively,
    is_finished,
    load_run,
    parents_of,
    read_record,
    run_flops,
    run_folder,
    save_model,
    set_up,
    snapshot_steps,
    training_steps,
    write_record,
    written_whole,
)
from unamortized.learning.specification import Condition, RunSpec, Setup, Step, TrainSpec, excess_loss
from unamortized.models.device import resolve_device

ReportStep = Callable[[int, int, float], None]  # steps done, total steps, latest loss


def learning_rate_factor(step: int, train: TrainSpec, steps: int) -> float:
    """Warm up linearly, then decay by a cosine to ``final_learning_rate`` of the peak at the last of ``steps``."""
    warmup = min(train.warmup_steps, max(1, steps // 2))
    if step < warmup:
        return (step + 1) / warmup
    progress = min(1.0, (step - warmup) / max(1, steps - warmup))
    cosine = 0.5 * (1 + math.cos(math.pi * progress))
    return train.final_learning_rate + (1 - train.final_learning_rate) * cosine


class Learner(lightning.LightningModule):
    """A model with its condition's batches and loss, and an optimizer."""

    def __init__(self, condition: Condition, setup: Setup) -> None:
        super().__init__()
        self.condition, self.spec = condition, setup.spec
        self.model = condition.initial(setup)
        self.batches = condition.batches(setup)
        self.curriculum = curriculum(setup.spec)
        self.gradient_norm = torch.zeros(())

    def training_step(self, number: int, batch_index: int) -> Tensor:
        """Return the loss of a step; its batches are made here, because the model may act in them."""
        step = Step(number, self.curriculum and self.curriculum.longest)
        batches = self.batches(step, self.model)
        loss = self.condition.loss(self.model, batches)
        if self.curriculum:
            self.curriculum.see(excess_loss(loss.item(), batches))
        return loss

    def configure_optimizers(self) -> Any:
        train, steps = self.spec.train, training_steps(self.spec)
        optimizer = build_optimizer(self.model, train)
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: learning_rate_factor(step, train, steps))
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def configure_gradient_clipping(self, optimizer: Any, *_: Any, **__: Any) -> None:
        """Clip the norm of all gradients together, and keep what it was."""
        self.gradient_norm = torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.spec.train.gradient_clip)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint["curriculum"] = self.curriculum and self.curriculum.state_dict()

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        if self.curriculum:
            self.curriculum.load_state_dict(checkpoint["curriculum"])


class StepNumbers(IterableDataset[int]):
    """The numbers of the steps from the one after the checkpoint on."""

    def __init__(self, learner: Learner) -> None:
        self.learner = learner

    def __iter__(self) -> Iterator[int]:
        return count(self.learner.trainer.global_step)


class AfterEachStep(Callback):
    """Keeps snapshots, and reports progress at most twice a second and at the end."""

    def __init__(self, spec: RunSpec, folder: Path, report: ReportStep) -> None:
        self.spec, self.folder, self.report = spec, folder, report
        self.snapshots, self.steps, self.reported = set(snapshot_steps(spec)), training_steps(spec), 0.0

    def on_train_batch_end(
        self, trainer: lightning.Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        step, now = trainer.global_step, time.monotonic()
        if step in self.snapshots:
            save_model(self.spec, pl_module.model, self.folder, step)
        if now - self.reported > 0.5 or step == self.steps:
            self.reported = now
            self.report(step, self.steps, float(outputs["loss"]))


class WholeCheckpoints(TorchCheckpointIO):
    """Writes checkpoints whole or not at all; Lightning's own plugin moves them from /tmp, maybe from another disk."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        with written_whole(Path(path)) as unfinished:
            torch.save(checkpoint, unfinished)


def train_run(
    spec: RunSpec,
    root: Path,
    report: ReportStep = lambda done, steps, loss: None,
    device: str = "cpu",
    logger: str = "",
) -> Path:
    """Train a run unless it is finished, after the runs that it learns from; return its folder.

    A run resumes from its last checkpoint. ``logger`` is empty or ``tensorboard``.
    """
    folder = run_folder(spec, root)
    if not is_finished(folder):
        parents = {role: train_run(parent, root, report, device, logger) for role, parent in parents_of(spec).items()}
        with exclusively(folder):
            if not is_finished(folder):
                _train(spec, folder, root, parents, report, device, logger)
    return folder


def _train(
    spec: RunSpec,
    folder: Path,
    root: Path,
    parents: dict[str, Path],
    report: ReportStep,
    device: str,
    logger: str,
) -> None:
    torch.set_num_threads(1)
    condition, train, steps = resolve_condition(spec.condition), spec.train, training_steps(spec)
    check_fits(condition, spec.task)
    chosen = resolve_device(device)
    learner = Learner(
        condition, set_up(spec, root, {role: load_run(parent, device=chosen) for role, parent in parents.items()})
    )
    learned_from = {role: parent.name for role, parent in parents.items()}
    write_record(spec, folder, finished=False, parents=learned_from)
    checkpoint, curves = folder / "last.ckpt", Curves(folder, steps)
    trainer = _trainer(spec, folder, chosen, logger, AfterEachStep(spec, folder, report), curves)
    numbers = DataLoader(StepNumbers(learner), batch_size=None, num_workers=0)
    try:
        trainer.fit(learner, numbers, ckpt_path=checkpoint if checkpoint.exists() else None, weights_only=True)
    except (SystemExit, SystemError) as error:  # Lightning, or compiled code, turns Ctrl-C into these
        raise KeyboardInterrupt if was_interrupted(error) else error from None
    save_model(spec, learner.model, folder)
    curves.write()
    cost = {
        "questions": steps * train.batch_size,
        "training_flops": run_flops(spec),
        "parents_flops": sum(_all_flops(parent) for parent in parents.values()),
        "seconds": round(curves.spent(), 1),
        "parameters": sum(parameter.numel() for parameter in learner.model.parameters()),
        "device": chosen.type,
    }
    write_record(spec, folder, finished=True, parents=learned_from, cost=cost)


def _all_flops(folder: Path) -> float:
    """Return the training FLOPs of a run and of all runs that it learned from."""
    cost = read_record(folder)["cost"]
    return cost["training_flops"] + cost["parents_flops"]


def check_logger(name: str) -> None:
    """Raise a ValueError if there is no such logger, or it is not installed."""
    if name not in ("", "tensorboard"):
        raise ValueError(f"logger must be tensorboard (got '{name}'); every run writes training.csv without one")
    if name and not any(map(find_spec, ("tensorboard", "tensorboardX"))):
        raise ValueError(
            "logger tensorboard needs the package tensorboard; install the extra, unamortized[tensorboard]"
        )


def was_interrupted(error: BaseException | None) -> bool:
    """Whether Ctrl-C raised or caused an error."""
    while error is not None and not isinstance(error, KeyboardInterrupt):
        error = error.__cause__ or error.__context__
    return error is not None


def _trainer(
    spec: RunSpec, folder: Path, device: torch.device, logger: str, after_each_step: Callback, curves: Curves
) -> lightning.Trainer:
    """Configure Lightning for one thread of one CPU, or a GPU, with the report as the only output."""
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    warnings.filterwarnings("ignore", module=r"lightning\.", category=UserWarning)
    warnings.filterwarnings("ignore", message=r".*LeafSpec.*", category=FutureWarning)  # lightning 2.6, on each fit
    last = ModelCheckpoint(
        dirpath=folder,
        filename="last",
        every_n_train_steps=spec.train.checkpoint_every,
        enable_version_counter=False,
    )
    chosen: Logger | bool = TensorBoardLogger(folder, name="", version="tensorboard") if logger else False
    return lightning.Trainer(
        accelerator="gpu" if device.type == "cuda" else "cpu",
        devices=1,
        max_steps=training_steps(spec),
        max_epochs=-1,
        callbacks=[curves, last, after_each_step],  # curves first, so that the checkpoint holds them
        plugins=[WholeCheckpoints()],
        default_root_dir=folder,
        logger=chosen,
        log_every_n_steps=curves.every,
        enable_progress_bar=False,
        enable_model_summary=False,
        use_distributed_sampler=False,
    )
