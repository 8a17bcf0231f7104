"""Training: from the last checkpoint of a run to its final weights.

A run uses one thread, because two runs side by side beat one run on two threads. Batches depend on their step alone, so
that a killed run resumes to the weights that it would have had.
"""

import logging
import math
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

from unamortized.language.batches import Batch, ExamplesOf, TrainingData, corpus_problems, fresh_problems
from unamortized.language.corpus import build_corpus
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
    written_whole,
)
from unamortized.models.architectures import Model
from unamortized.worlds.net_tasks import NetTask
from unamortized.worlds.tasks import with_process

ReportStep = Callable[[int, int, float], None]  # steps done, total steps, latest loss


def batch_loss(model: Model, batches: list[Batch]) -> Tensor:
    """Return the weighted mean cross-entropy over batches of several lengths, in nats a token."""
    total, weight = torch.zeros(()), torch.zeros(())
    for batch in batches:
        select = batch.select
        logits = model(batch.tokens[:, :-1], batch.positions[:, :-1], select=select).logits
        loss = F.cross_entropy(logits, batch.tokens[:, 1:][select], reduction="none")
        weights = batch.weights[..., 1:].expand_as(select)[select]
        total, weight = total + (loss * weights).sum(), weight + weights.sum()
    return total / weight


def learning_rate_factor(step: int, train: TrainSpec) -> float:
    """Warm up linearly, then decay by a cosine to ``final_learning_rate`` of the peak at the last step."""
    warmup = min(train.warmup_steps, max(1, train.steps // 2))
    if step < warmup:
        return (step + 1) / warmup
    progress = min(1.0, (step - warmup) / max(1, train.steps - warmup))
    cosine = 0.5 * (1 + math.cos(math.pi * progress))
    return train.final_learning_rate + (1 - train.final_learning_rate) * cosine


class Learner(lightning.LightningModule):
    """A model with its loss and optimizer."""

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


class AfterEachStep(Callback):
    """Keeps snapshots, and reports progress at most twice a second and at the end."""

    def __init__(self, spec: RunSpec, folder: Path, report: ReportStep) -> None:
        self.spec, self.folder, self.report = spec, folder, report
        self.snapshots, self.reported = set(snapshot_steps(spec)), 0.0

    def on_train_batch_end(
        self, trainer: lightning.Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        step, steps, now = trainer.global_step, self.spec.train.steps, time.monotonic()
        if step in self.snapshots:
            save_model(self.spec, pl_module.model, self.folder, step)
        if now - self.reported > 0.5 or step == steps:
            self.reported = now
            self.report(step, steps, float(outputs["loss"]))


class WholeCheckpoints(TorchCheckpointIO):
    """Writes checkpoints whole or not at all; Lightning's own plugin moves them from /tmp, maybe from another disk."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        with written_whole(Path(path)) as unfinished:
            torch.save(checkpoint, unfinished)


def train_run(spec: RunSpec, root: Path, report: ReportStep = lambda done, steps, loss: None) -> Path:
    """Train a run unless it is finished; resume from its last checkpoint, and return the run's folder."""
    folder = run_folder(spec, root)
    with exclusively(folder):
        if not is_finished(folder):
            _train(spec, folder, root, report)
    return folder


def _train(spec: RunSpec, folder: Path, root: Path, report: ReportStep) -> None:
    torch.set_num_threads(1)
    condition, train, data = resolve_condition(spec.condition), spec.train, TrainingData(_examples(spec, root))
    write_record(spec, folder, finished=False)
    learner = Learner(new_model(spec), train)
    checkpoint = folder / "last.ckpt"
    began = time.monotonic()
    trainer = _trainer(spec, folder, report)
    try:
        trainer.fit(learner, data, ckpt_path=checkpoint if checkpoint.exists() else None, weights_only=True)
    except (SystemExit, SystemError) as error:  # Lightning, or compiled code, turns Ctrl-C into these
        raise KeyboardInterrupt if was_interrupted(error) else error from None
    save_model(spec, learner.model, folder)
    flops = condition.training_flops_per_question(spec.task, spec.model) * train.steps * train.batch_size
    cost = {
        "questions": train.steps * train.batch_size,
        "training_flops": flops,
        "seconds": round(time.monotonic() - began, 1),
        "parameters": sum(parameter.numel() for parameter in learner.model.parameters()),
    }
    write_record(spec, folder, finished=True, cost=cost)


def _examples(spec: RunSpec, root: Path) -> ExamplesOf:
    """Return the examples of each training step: windows, or rendered problems."""
    condition, train, task = resolve_condition(spec.condition), spec.train, spec.task
    check_fits(condition, task)
    if isinstance(condition, WindowCondition) and isinstance(task, NetTask):
        if train.questions is not None:
            raise ValueError(f"condition {spec.condition} always draws fresh windows; leave out train.questions")
        return partial(condition.examples, task, spec.seed, train.batch_size)
    assert isinstance(condition, TraceCondition)
    task, size = with_process(task), (train.batch_size, train.lengths_per_batch)
    if train.questions is None:
        problems = partial(fresh_problems, task, *size, spec.seed)
    else:
        corpus = build_corpus(task, "train", train.questions, spec.seed, root / "corpora")
        problems = partial(corpus_problems, corpus, *size, spec.seed)
    render = condition.renderer(task, spec.model)
    return lambda step: [render(group) for group in problems(step)]


def was_interrupted(error: BaseException | None) -> bool:
    """Whether Ctrl-C raised or caused an error."""
    while error is not None and not isinstance(error, KeyboardInterrupt):
        error = error.__cause__ or error.__context__
    return error is not None


def _trainer(spec: RunSpec, folder: Path, report: ReportStep) -> lightning.Trainer:
    """Configure Lightning for one thread of one CPU, with ``report`` as the only output."""
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
        callbacks=[last, AfterEachStep(spec, folder, report)],
        plugins=[WholeCheckpoints()],
        default_root_dir=folder,
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        use_distributed_sampler=False,
    )
