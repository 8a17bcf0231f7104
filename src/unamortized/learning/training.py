"""Training a run to its end, from wherever it was left.

One thread a run: two runs side by side beat one run on two threads, and runs are what there are many of.
Batches are keyed by their step, so a run that was killed resumes to the weights it would have had.
"""

import logging
import math
import os
import time
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import lightning
import torch
import torch.nn.functional as F
from lightning.pytorch.callbacks import Callback, ModelCheckpoint
from lightning.pytorch.plugins.io import TorchCheckpointIO
from torch import Tensor

from unamortized.language.dataset import Batch, Drawn, TrainingQuestions, build_corpus
from unamortized.learning.conditions import TraceCondition, WindowCondition, check_fits, resolve_condition
from unamortized.learning.runs import (
    RunSpec,
    TrainSpec,
    exclusively,
    is_finished,
    new_model,
    run_folder,
    save_model,
    snapshot_steps,
    write_record,
)
from unamortized.models.architectures import Model
from unamortized.worlds.net_tasks import NetTask
from unamortized.worlds.tasks import with_process

Report = Callable[[int, int, float], None]  # steps done, steps in all, latest loss


def batch_loss(model: Model, batches: list[Batch]) -> Tensor:
    """Weighted mean cross-entropy, in nats a token, over batches of several lengths."""
    total, weight = torch.zeros(()), torch.zeros(())
    for batch in batches:
        select = batch.select
        logits = model(batch.tokens[:, :-1], batch.positions[:, :-1], select=select).logits
        loss = F.cross_entropy(logits, batch.tokens[:, 1:][select], reduction="none")
        weights = batch.weights[..., 1:].expand_as(select)[select]
        total, weight = total + (loss * weights).sum(), weight + weights.sum()
    return total / weight


def learning_rate_factor(step: int, train: TrainSpec) -> float:
    """Linear warm-up, then a cosine down to ``final_learning_rate`` of the peak at the last step."""
    warmup = min(train.warmup_steps, max(1, train.steps // 2))
    if step < warmup:
        return (step + 1) / warmup
    progress = min(1.0, (step - warmup) / max(1, train.steps - warmup))
    cosine = 0.5 * (1 + math.cos(math.pi * progress))
    return train.final_learning_rate + (1 - train.final_learning_rate) * cosine


class Learner(lightning.LightningModule):
    """A model with its loss and its optimizer."""

    def __init__(self, model: Model, train: TrainSpec) -> None:
        super().__init__()
        self.model, self.train_spec = model, train

    def training_step(self, batches: list[Batch], batch_index: int) -> Tensor:
        return batch_loss(self.model, batches)

    def configure_optimizers(self) -> Any:
        spec = self.train_spec
        optimizer = torch.optim.AdamW(
            self.model.parameters(),
            lr=spec.learning_rate,
            betas=(0.9, 0.98),
            weight_decay=spec.weight_decay,
            fused=True,
        )
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: learning_rate_factor(step, spec))
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


class Progress(Callback):
    """Tells how far training is, twice a second at most, and at its end."""

    def __init__(self, report: Report, steps: int) -> None:
        self.report, self.steps, self.told = report, steps, 0.0

    def on_train_batch_end(
        self, trainer: lightning.Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        now = time.monotonic()
        if now - self.told > 0.5 or trainer.global_step == self.steps:
            self.told = now
            self.report(trainer.global_step, self.steps, float(outputs["loss"]))


class Snapshots(Callback):
    """Keeps the weights of early steps and, ever more rarely, of later ones."""

    def __init__(self, spec: RunSpec, folder: Path) -> None:
        self.spec, self.folder, self.steps = spec, folder, set(snapshot_steps(spec))

    def on_train_batch_end(
        self, trainer: lightning.Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if trainer.global_step in self.steps:
            save_model(self.spec, pl_module.model, self.folder, trainer.global_step)


class WholeCheckpoints(TorchCheckpointIO):
    """Checkpoints appear whole or not at all; Lightning moves its own from /tmp, maybe from another disk."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        unfinished = Path(path).with_name(f".{Path(path).name}.{os.getpid()}")
        torch.save(checkpoint, unfinished)
        unfinished.replace(path)


def train_run(spec: RunSpec, root: Path, report: Report = lambda done, steps, loss: None) -> Path:
    """Train a run to its end unless it is finished; resumes from its last checkpoint.

    Args:
        spec: what to train.
        root: the results folder.
        report: called now and then with steps done, steps in all and the loss.

    Returns:
        The run's folder.
    """
    folder = run_folder(spec, root)
    with exclusively(folder):
        if not is_finished(folder):
            _train(spec, folder, root, report)
    return folder


def _train(spec: RunSpec, folder: Path, root: Path, report: Report) -> None:
    torch.set_num_threads(1)
    condition, train, questions = resolve_condition(spec.condition), spec.train, _questions(spec, root)
    write_record(spec, folder, finished=False)
    learner = Learner(new_model(spec), train)
    checkpoint = folder / "last.ckpt"
    began = time.monotonic()
    trainer = _trainer(spec, folder, report)
    try:
        trainer.fit(learner, questions, ckpt_path=checkpoint if checkpoint.exists() else None, weights_only=True)
    except (SystemExit, SystemError) as error:  # which Lightning, or compiled code, makes of Ctrl-C
        raise KeyboardInterrupt if was_interrupted(error) else error from None  # the checkpoint stays to resume from
    save_model(spec, learner.model, folder)
    flops = condition.training_flops_per_question(spec.task, spec.model) * train.steps * train.batch_size
    cost = {
        "questions": train.steps * train.batch_size,
        "training_flops": flops,
        "seconds": round(time.monotonic() - began, 1),
        "parameters": sum(parameter.numel() for parameter in learner.model.parameters()),
    }
    write_record(spec, folder, finished=True, cost=cost)


def _questions(spec: RunSpec, root: Path) -> TrainingQuestions | Drawn:
    """What a run trains on: windows, or questions that its condition renders."""
    condition, train, model = resolve_condition(spec.condition), spec.train, spec.model
    if isinstance(condition, WindowCondition) and isinstance(spec.task, NetTask):
        if train.questions is not None:
            raise ValueError(f"{spec.condition}: windows are always drawn fresh: leave out train.questions")
        return Drawn(partial(condition.examples, spec.task, spec.seed, train.batch_size))
    check_fits(condition, spec.task)
    task, corpus = with_process(spec.task), None
    assert isinstance(condition, TraceCondition)
    if train.questions is not None:
        corpus = build_corpus(task, "train", train.questions, spec.seed, root / "corpora")
    return TrainingQuestions(
        task,
        condition.renderer(task, model),
        train.batch_size,
        train.lengths_per_batch,
        spec.seed,
        corpus,
    )


def was_interrupted(error: BaseException | None) -> bool:
    """Whether an error is, or follows from, Ctrl-C."""
    while error is not None and not isinstance(error, KeyboardInterrupt):
        error = error.__cause__ or error.__context__
    return error is not None


def _trainer(spec: RunSpec, folder: Path, report: Report) -> lightning.Trainer:
    """Lightning for one thread of one CPU, silent but for what ``report`` is told."""
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    warnings.filterwarnings("ignore", module=r"lightning\.", category=UserWarning)
    warnings.filterwarnings("ignore", message=r".*LeafSpec.*", category=FutureWarning)  # lightning 2.6, on each fit
    last = ModelCheckpoint(
        dirpath=folder,
        filename="last",
        every_n_train_steps=spec.train.checkpoint_every,
        enable_version_counter=False,
    )
    return lightning.Trainer(
        accelerator="cpu",
        devices=1,
        max_steps=spec.train.steps,
        max_epochs=-1,
        gradient_clip_val=spec.train.gradient_clip,
        callbacks=[last, Progress(report, spec.train.steps), Snapshots(spec, folder)],
        plugins=[WholeCheckpoints()],
        default_root_dir=folder,
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        use_distributed_sampler=False,
    )
