"""Where runs execute: side by side in a pool of processes of one thread each, resumable, with progress.

A job is a function with plain arguments, so that the same job can run in this process, in the pool, or
elsewhere. What a job has finished is on disk; stopping loses at most the steps since a run's checkpoint.
"""

import math
import multiprocessing
import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from threadpoolctl import threadpool_limits

from unamortized.evaluation.evaluate import Evaluation, Measured, collect, evaluate_run, evaluate_task, task_folder
from unamortized.learning.conditions import resolve_condition
from unamortized.learning.runs import RunSpec, is_finished, run_folder, write_text
from unamortized.learning.training import train_run
from unamortized.studies.output import write_output
from unamortized.studies.report import write_report
from unamortized.studies.study import Study
from unamortized.worlds.net_tasks import NetTask
from unamortized.worlds.tasks import Task

THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS")
TELL_EVERY = 15.0  # seconds between plain progress lines

Tell = Callable[[str, int, int, str], None]  # job, done, of, what


class JobError(RuntimeError):
    """A job failed; names it and says why."""


@dataclass(frozen=True)
class RunJob:
    """Train a run and measure it."""

    spec: RunSpec
    evaluations: tuple[Evaluation, ...]
    root: Path

    @property
    def title(self) -> str:
        return self.spec.title

    @property
    def cost(self) -> float:
        """FLOPs of training: what is longest goes first, so that no core waits at the end."""
        per_question = resolve_condition(self.spec.condition).training_flops_per_question(
            self.spec.task, self.spec.model
        )
        return per_question * self.spec.train.steps * self.spec.train.batch_size

    def is_done(self) -> bool:
        folder = run_folder(self.spec, self.root)
        return is_finished(folder) and all(evaluation.file(folder).exists() for evaluation in self.evaluations)

    def work(self, tell: Tell) -> None:
        """Train and measure what is missing."""
        steps = self.spec.train.steps
        folder = train_run(self.spec, self.root, lambda done, of, loss: tell(self.title, done, of, f"loss {loss:.3f}"))
        evaluate_run(folder, self.evaluations, lambda name: tell(self.title, steps, steps, f"evaluating {name}"))


@dataclass(frozen=True)
class TaskJob:
    """Measure a task's baselines, which need no model."""

    task: Task | NetTask
    seed: int
    evaluations: tuple[Evaluation, ...]
    root: Path

    @property
    def title(self) -> str:
        return f"{self.task.name} baselines seed {self.seed}"

    @property
    def cost(self) -> float:
        return math.inf  # soon done, but not so soon that all may wait for it at the end

    def is_done(self) -> bool:
        folder = task_folder(self.task, self.seed, self.root)
        return all(evaluation.file(folder).exists() for evaluation in self.evaluations)

    def work(self, tell: Tell) -> None:
        """Measure what is missing."""
        tell(self.title, 0, 1, "measuring")
        evaluate_task(self.task, self.seed, self.root, self.evaluations)


Job = RunJob | TaskJob


def run_study(
    study: Study,
    preset_name: str,
    specs: Sequence[RunSpec],
    root: Path,
    workers: int,
    console: Console,
    overrides: Sequence[str] = (),
) -> dict[str, Any]:
    """Train and measure what is missing of a study, and write its output; returns what ``claims.json`` says.

    ``overrides`` are those that the specifications were planned with, to be told beside the results.

    Raises:
        JobError: if a run failed.
    """
    measured = _measure(specs, study.preset(preset_name).evaluations, root, workers, console)
    folder = root / preset_name / study.name
    console.print(f"Drawing figures into {folder}/figures", highlight=False)
    made_by = {"preset": preset_name, "overrides": list(overrides), "runs": [spec.digest() for spec in specs]}
    record = write_output(study, made_by, measured, folder)
    write_report(root / preset_name)
    return record


def run_specs(
    specs: Sequence[RunSpec], evaluations: Sequence[Evaluation], root: Path, workers: int, console: Console
) -> list[Path]:
    """Train and measure runs on their own; returns their folders.

    Raises:
        JobError: if a run failed.
    """
    of_runs = [evaluation for evaluation in evaluations if evaluation.of == "run"]
    measured = _measure(specs, of_runs, root, workers, console)
    folders = list(dict.fromkeys(each.folder for each in measured))
    for folder in folders:  # also where all was measured before, as something else may have been since
        own = [each._replace(world="", variant="") for each in measured if each.folder == folder]
        write_text(folder / "metrics.csv", collect(own, "metrics"))
    return folders


def _measure(
    specs: Sequence[RunSpec], evaluations: Sequence[Evaluation], root: Path, workers: int, console: Console
) -> list[Measured]:
    """Do all jobs of the runs and of their tasks, then what compares runs; returns which folder holds what."""
    of_tasks = [evaluation for evaluation in evaluations if evaluation.of == "task"]
    of_runs = [evaluation for evaluation in evaluations if evaluation.of == "run" and not evaluation.against]
    jobs: dict[Path, Job] = {}
    measured: list[Measured] = []
    for spec in {(spec.task.name, spec.world, spec.seed): spec for spec in specs}.values():
        if own := tuple(each for each in of_tasks if each.applies(spec.seed)):
            folder = task_folder(spec.task, spec.seed, root)
            jobs[folder] = TaskJob(spec.task, spec.seed, own, root)
            measured.append(Measured(folder, own, spec.world))
    for spec in specs:
        own = tuple(each.at(spec.task) for each in of_runs if each.applies(spec.seed))
        folder = run_folder(spec, root)
        same = jobs.get(folder)  # two cells may share a run and yet differ in their tests
        before = same.evaluations if same else ()
        jobs[folder] = RunJob(spec, (*before, *(each for each in own if each not in before)), root)
        measured.append(Measured(folder, own, spec.world, spec.variant, folder.name))
    run_jobs(list(jobs.values()), workers, console)
    comparing: dict[Path, Job] = {}
    for spec in specs:
        folder = run_folder(spec, root)
        if own := tuple(each.at(spec.task) for each in evaluations if each.compares(spec, root, jobs)):
            before = jobs[folder].evaluations
            comparing[folder] = RunJob(spec, (*before, *own), root)
            measured.append(Measured(folder, own, spec.world, spec.variant, folder.name))
    run_jobs(list(comparing.values()), workers, console)
    return measured


def run_jobs(jobs: Sequence[Job], workers: int, console: Console) -> None:
    """Do the jobs that are not done, ``workers`` at a time; with one worker, in this process.

    Raises:
        JobError: if a job failed; those under way are finished first, so that nothing is lost.
    """
    waiting = sorted((job for job in jobs if not job.is_done()), key=lambda job: -job.cost)
    if skipped := len(jobs) - len(waiting):
        console.print(f"{skipped} of {len(jobs)} jobs are done already.")
    if not waiting:
        return
    workers = min(workers, len(waiting))
    with _progress(waiting, console) as tell:
        if workers == 1:
            for job in waiting:
                _alone(job, tell)
        else:
            _in_pool(waiting, workers, tell)


def _alone(job: Job, tell: Tell) -> None:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # as in the pool, so that the numbers are those of the pool
    try:
        with threadpool_limits(1):
            job.work(tell)
    except Exception as error:
        raise JobError(f"{job.title}: {error}") from error
    finally:
        torch.set_num_threads(threads)
    tell(job.title, 1, 1, "done")


def _in_pool(jobs: Sequence[Job], workers: int, tell: Tell) -> None:
    os.environ |= dict.fromkeys(THREADS, "1")  # inherited by the workers, which start fresh
    context = multiprocessing.get_context("spawn")
    messages = context.Queue()
    listener = threading.Thread(target=_pass_on, args=(messages, tell), daemon=True)
    listener.start()
    pool = ProcessPoolExecutor(workers, mp_context=context, initializer=_start_worker, initargs=(messages,))
    try:
        futures = {pool.submit(_work, job): job for job in jobs}
        _wait(futures)
    except BaseException:
        pool.shutdown(wait=False, cancel_futures=True)
        raise
    finally:
        pool.shutdown()
        messages.put(None)
        listener.join(timeout=5)


def _wait(futures: dict[Future[None], Job]) -> None:
    failed: list[str] = []
    cause: Exception | None = None
    for future in as_completed(futures):
        error = future.exception() if not future.cancelled() else None
        if isinstance(error, Exception):
            failed.append(f"{futures[future].title}: {error}")
            cause = cause or error
            for other in futures:
                other.cancel()
    if failed:
        raise JobError("\n".join(failed)) from cause


_messages: Any = None  # a worker's way to the parent, set when it starts


def _start_worker(messages: Any) -> None:
    global _messages
    _messages = messages
    torch.set_num_threads(1)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """A worker whose parent was killed would train on unseen; its checkpoint is there to resume from."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _work(job: Job) -> None:
    job.work(lambda *message: _messages.put(message))
    _messages.put((job.title, 1, 1, "done"))


def _pass_on(messages: Any, tell: Tell) -> None:
    while (message := messages.get()) is not None:
        tell(*message)


@contextmanager
def _progress(jobs: Sequence[Job], console: Console) -> Iterator[Tell]:
    """Bars on a terminal; elsewhere a plain line when a job ends, and now and then in between."""
    yield from _bars(jobs, console) if console.is_terminal else _lines(jobs, console)


def _bars(jobs: Sequence[Job], console: Console) -> Iterator[Tell]:
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.fields[what]}"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console, transient=True) as progress:
        overall = progress.add_task("all", total=len(jobs), what=f"0 of {len(jobs)}")
        bars: dict[str, Any] = {}
        done = 0

        def tell(title: str, at: int, of: int, what: str) -> None:
            nonlocal done
            if title not in bars:
                bars[title] = progress.add_task(title, total=of, what=what)
            if what == "done":
                done += 1
                progress.update(overall, completed=done, what=f"{done} of {len(jobs)}")
                progress.remove_task(bars.pop(title))
            else:
                progress.update(bars[title], completed=at, total=of, what=what)

        yield tell


def _lines(jobs: Sequence[Job], console: Console) -> Iterator[Tell]:
    began = time.monotonic()
    done, told = 0, began
    at: dict[str, str] = {}

    def tell(title: str, at_step: int, of: int, what: str) -> None:
        nonlocal done, told
        now = time.monotonic()
        at[title] = f"{title} {at_step}/{of} {what}"
        if what == "done":
            done += 1
            del at[title]
            console.print(f"[{done}/{len(jobs)}] {title}: done ({now - began:.0f} s)", markup=False, highlight=False)
        elif now - told > TELL_EVERY:
            told = now
            console.print("  " + "; ".join(at.values()), markup=False, highlight=False)

    yield tell
