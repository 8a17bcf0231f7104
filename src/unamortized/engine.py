"""The engine: jobs run in a pool of single-threaded processes, resume where they stopped, and report progress.

A job has plain arguments, so that it can run in this process, in the pool, or elsewhere. Finished work is on disk;
stopping loses at most the steps since a run's last checkpoint.
"""

import math
import multiprocessing
import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from threadpoolctl import threadpool_limits

from unamortized.evaluation.evaluate import Evaluation, Measured, collect, evaluate_run, evaluate_task, task_folder
from unamortized.learning.runs import (
    RUN_FORMAT,
    is_finished,
    parents_of,
    run_digest,
    run_flops,
    run_folder,
    training_steps,
    with_parents,
    write_text,
)
from unamortized.learning.specification import RunSpec
from unamortized.learning.training import train_run
from unamortized.studies.output import write_output
from unamortized.studies.report import write_report
from unamortized.studies.study import Study
from unamortized.worlds.net_tasks import NetTask
from unamortized.worlds.tasks import Task

THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS")
REPORT_EVERY = 15.0  # seconds between plain progress lines

ReportJob = Callable[[str, int, int, str], None]  # job, steps done, total steps, activity


class JobError(RuntimeError):
    """A job failed; gives its title and the cause."""


@dataclass(frozen=True)
class Execution:
    """How jobs are executed: nothing here is part of a specification."""

    workers: int = 1  # jobs at a time, one thread each
    device: str = "cpu"  # that models train and answer on
    logger: str = ""  # tensorboard, or none


@dataclass(frozen=True)
class RunJob:
    """Train a run and measure it."""

    spec: RunSpec
    evaluations: tuple[Evaluation, ...]
    root: Path
    execution: Execution = Execution()

    @property
    def title(self) -> str:
        return self.spec.title

    @property
    def folder(self) -> Path:
        return run_folder(self.spec, self.root)

    @property
    def after(self) -> set[Path]:
        """The folders of the runs to finish first."""
        return {run_folder(parent, self.root) for parent in parents_of(self.spec).values()}

    @property
    def cost(self) -> float:
        """FLOPs of training; the longest job starts first, so that no core idles at the end."""
        return run_flops(self.spec)

    def is_done(self) -> bool:
        folder = self.folder
        return is_finished(folder) and all(evaluation.file(folder).exists() for evaluation in self.evaluations)

    def work(self, report: ReportJob) -> None:
        """Train the run and measure its missing evaluations."""
        title, steps = self.title, training_steps(self.spec)
        folder = train_run(
            self.spec,
            self.root,
            lambda done, total, loss: report(title, done, total, f"loss {loss:.3f}"),
            self.execution.device,
            self.execution.logger,
        )
        evaluate_run(
            folder,
            self.evaluations,
            lambda name: report(title, steps, steps, f"evaluating {name}"),
            self.execution.device,
        )


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
    def folder(self) -> Path:
        return task_folder(self.task, self.seed, self.root)

    @property
    def after(self) -> set[Path]:
        return set()

    @property
    def cost(self) -> float:
        return math.inf  # short, but the others should not wait for it at the end

    def is_done(self) -> bool:
        return all(evaluation.file(self.folder).exists() for evaluation in self.evaluations)

    def work(self, report: ReportJob) -> None:
        """Measure the missing evaluations."""
        report(self.title, 0, 1, "measuring")
        evaluate_task(self.task, self.seed, self.root, self.evaluations)


Job = RunJob | TaskJob


def run_study(
    study: Study,
    preset_name: str,
    specs: Sequence[RunSpec],
    root: Path,
    execution: Execution,
    console: Console,
    overrides: Sequence[str] = (),
) -> dict[str, Any]:
    """Train and measure the missing runs of a study, write its output, and return the content of ``claims.json``.

    ``overrides`` are recorded with the results; the specifications were planned with them.

    Raises:
        JobError: if a run failed.
    """
    measured = _measure(specs, study.preset(preset_name).evaluations, root, execution, console)
    folder = root / preset_name / study.name
    console.print(f"Drawing figures into {folder}/figures", highlight=False)
    made_by = {
        "preset": preset_name,
        "overrides": list(overrides),
        "runs": [run_digest(spec) for spec in specs],
        "format": RUN_FORMAT,
    }
    record = write_output(study, made_by, measured, folder)
    write_report(root / preset_name)
    return record


def run_specs(
    specs: Sequence[RunSpec], evaluations: Sequence[Evaluation], root: Path, execution: Execution, console: Console
) -> list[Path]:
    """Train and measure runs outside a study, and return their folders; a JobError if a run failed."""
    of_runs = [evaluation for evaluation in evaluations if evaluation.of == "run"]
    measured = _measure(specs, of_runs, root, execution, console)
    folders = list(dict.fromkeys(each.folder for each in measured))
    for folder in folders:  # even of finished runs: other evaluations may have been measured since
        own = [each._replace(world="", variant="") for each in measured if each.folder == folder]
        write_text(folder / "metrics.csv", collect(own, "metrics"))
    return folders


def _measure(
    specs: Sequence[RunSpec], evaluations: Sequence[Evaluation], root: Path, execution: Execution, console: Console
) -> list[Measured]:
    """Run the jobs of all runs and their tasks, then the comparisons of runs; return the evaluations of each folder."""
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
        for parent in with_parents(spec)[:-1]:  # trained, and measured only if it is a run of its own right, too
            jobs.setdefault(run_folder(parent, root), RunJob(parent, (), root, execution))
        folder = run_folder(spec, root)
        own = tuple(each.at(spec.task) for each in of_runs if each.applies(spec.seed))
        jobs[folder] = _extended(jobs.get(folder), spec, own, root, execution)
        measured.append(Measured(folder, own, spec.world, spec.variant, folder.name))
    run_jobs(list(jobs.values()), execution.workers, console)
    comparing: dict[Path, Job] = {}
    for spec in specs:
        folder = run_folder(spec, root)
        if own := tuple(each.at(spec.task) for each in evaluations if each.compares(spec, root, jobs)):
            comparing[folder] = _extended(comparing.get(folder, jobs[folder]), spec, own, root, execution)
            measured.append(Measured(folder, own, spec.world, spec.variant, folder.name))
    run_jobs(list(comparing.values()), execution.workers, console)
    return measured


def _extended(
    job: Job | None, spec: RunSpec, evaluations: Sequence[Evaluation], root: Path, execution: Execution
) -> RunJob:
    """Add evaluations to the job of a run: two cells of a study may share a run but differ in their tests."""
    before = job.evaluations if job else ()
    return RunJob(spec, (*before, *(each for each in evaluations if each not in before)), root, execution)


def run_jobs(jobs: Sequence[Job], workers: int, console: Console) -> None:
    """Run the unfinished jobs, ``workers`` at a time, each after those it needs; a single worker runs in this process.

    Raises:
        JobError: if a job failed; running jobs finish first, so that nothing is lost.
    """
    waiting = sorted((job for job in jobs if not job.is_done()), key=lambda job: -job.cost)
    if skipped := len(jobs) - len(waiting):
        console.print(f"{skipped} of {len(jobs)} jobs are done already.")
    if not waiting:
        return
    workers = min(workers, len(waiting))
    with _progress(list(waiting), console) as report:  # all of them, though the list shrinks
        if workers == 1:
            while waiting:
                job = _ready(waiting, waiting)[0]
                _run_here(job, report)
                waiting.remove(job)
        else:
            _run_in_pool(waiting, workers, report)


def _ready(waiting: Sequence[Job], unfinished: Sequence[Job]) -> list[Job]:
    """Select the waiting jobs that need no unfinished one."""
    folders = {job.folder for job in unfinished}
    return [job for job in waiting if not job.after & folders]


def _run_here(job: Job, report: ReportJob) -> None:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # as in the pool, for identical numbers
    try:
        with threadpool_limits(1):
            job.work(report)
    except Exception as error:
        raise JobError(f"{job.title}: {error}") from error
    finally:
        torch.set_num_threads(threads)
    report(job.title, 1, 1, "done")


def _run_in_pool(jobs: Sequence[Job], workers: int, report: ReportJob) -> None:
    os.environ |= dict.fromkeys(THREADS, "1")  # the workers inherit this
    context = multiprocessing.get_context("spawn")
    messages = context.Queue()
    listener = threading.Thread(target=_forward, args=(messages, report), daemon=True)
    listener.start()
    pool = ProcessPoolExecutor(workers, mp_context=context, initializer=_start_worker, initargs=(messages,))
    try:
        _work_off(pool, list(jobs))
    except BaseException:
        pool.shutdown(wait=False, cancel_futures=True)
        raise
    finally:
        pool.shutdown()
        messages.put(None)
        listener.join(timeout=5)


def _work_off(pool: ProcessPoolExecutor, waiting: list[Job]) -> None:
    """Submit each job as soon as those it needs are done; after a failure, only let the running ones finish."""
    running: dict[Future[None], Job] = {}
    failed: list[str] = []
    cause: Exception | None = None
    while running or (waiting and not failed):
        for job in [] if failed else _ready(waiting, [*waiting, *running.values()]):
            running[pool.submit(_work, job)] = job
            waiting.remove(job)
        done, _ = wait(running, return_when=FIRST_COMPLETED)
        for future in done:
            job = running.pop(future)
            error = future.exception() if not future.cancelled() else None
            if isinstance(error, Exception):
                failed.append(f"{job.title}: {error}")
                cause = cause or error
                for other in running:
                    other.cancel()
    if failed:
        raise JobError("\n".join(failed)) from cause


_messages: Any = None  # a worker's queue to the parent, set when the worker starts


def _start_worker(messages: Any) -> None:
    global _messages
    _messages = messages
    torch.set_num_threads(1)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """Exit when the parent is killed: otherwise the worker would train on unnoticed. Its checkpoint remains."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _work(job: Job) -> None:
    job.work(lambda *message: _messages.put(message))
    _messages.put((job.title, 1, 1, "done"))


def _forward(messages: Any, report: ReportJob) -> None:
    while (message := messages.get()) is not None:
        report(*message)


@contextmanager
def _progress(jobs: Sequence[Job], console: Console) -> Iterator[ReportJob]:
    """Show bars on a terminal; elsewhere a plain line when a job ends, and every ``REPORT_EVERY`` seconds."""
    yield from _bars(jobs, console) if console.is_terminal else _lines(jobs, console)


def _bars(jobs: Sequence[Job], console: Console) -> Iterator[ReportJob]:
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[what]}"), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        overall = progress.add_task("all", total=len(jobs), what=f"0 of {len(jobs)}")
        bars: dict[str, Any] = {}
        done = 0

        def report(title: str, step: int, total: int, what: str) -> None:
            nonlocal done
            if title not in bars:
                bars[title] = progress.add_task(title, total=total, what=what)
            if what == "done":
                done += 1
                progress.update(overall, completed=done, what=f"{done} of {len(jobs)}")
                progress.remove_task(bars.pop(title))
            else:
                progress.update(bars[title], completed=step, total=total, what=what)

        yield report


def _lines(jobs: Sequence[Job], console: Console) -> Iterator[ReportJob]:
    began = time.monotonic()
    done, reported = 0, began
    running: dict[str, str] = {}

    def report(title: str, step: int, total: int, what: str) -> None:
        nonlocal done, reported
        now = time.monotonic()
        running[title] = f"{title} {step}/{total} {what}"
        if what == "done":
            done += 1
            del running[title]
            console.print(
                f"[{done}/{len(jobs)}] {title}: done {now - began:.0f} s after the start", markup=False, highlight=False
            )
        elif now - reported > REPORT_EVERY:
            reported = now
            console.print("  " + "; ".join(running.values()), markup=False, highlight=False)

    yield report
