"""The command line: ``unamortized train | compare | study | evaluate | report | preview | describe | export``."""

import itertools
import os
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from unamortized.configuration.document import SpecError

INTERRUPTED = 130  # the exit status after Ctrl-C

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="A testbed with exact posteriors: what does a model gain by thinking step by step, "
    "and does its answer follow the steps it writes?",
)

Preset = Annotated[
    str, typer.Option(help="How much to compute: smoke (a minute), quick (about five), full (up to two hours).")
]
Seeds = Annotated[int | None, typer.Option(min=1, help="Number of seeds; each preset has its own.")]
Workers = Annotated[int | None, typer.Option(min=1, help="Runs at a time, one thread each; default: all cores.")]
Device = Annotated[str, typer.Option(help="Where models train and answer: auto (a GPU if there is one), cpu, or cuda.")]
Logger = Annotated[
    str, typer.Option(help="Also log training curves with Lightning's logger of this name: tensorboard.")
]
Results = Annotated[Path, typer.Option(help="Where runs and outputs are kept.")]
Overrides = Annotated[
    list[str] | None,
    typer.Argument(help="Dotted overrides: train.steps=500 model.layers=4 process.slip=0.1 …"),
]
TaskName = Annotated[str, typer.Argument(help="A task file, or the name of one in tasks/.")]


@app.command()
def train(
    task: TaskName,
    overrides: Overrides = None,
    condition: Annotated[
        str, typer.Option(help="amortized, cot, cot_state, cot_every_4 …; docs/conditions.md lists them.")
    ] = "cot",
    preset: Preset = "quick",
    seeds: Seeds = None,
    workers: Workers = None,
    grid: Annotated[
        list[str] | None, typer.Option(help="A list of values to cross: seed=0,1,2 or model.layers=1,2,4.")
    ] = None,
    device: Device = "auto",
    logger: Logger = "",
    results: Results = Path("results"),
) -> None:
    """Train on a task and measure the result. Studies share the runs."""
    from unamortized.engine import run_specs
    from unamortized.studies import study_of
    from unamortized.studies.study import plan

    study = study_of(condition)
    chosen, crossed = expand_grid(grid or [])
    specs = [
        spec
        for more in crossed
        for spec in plan(
            study.preset(preset),
            [task],
            [condition],
            chosen or range(seeds or 0),
            [*(overrides or []), *more],
        )
    ]
    console = Console()
    folders = run_specs(specs, study.preset(preset).evaluations, results, _execution(workers, device, logger), console)
    for folder in folders:
        _show_run(folder, console)


@app.command()
def compare(
    overrides: Overrides = None,
    task: Annotated[list[str] | None, typer.Option(help="Only this task (may be repeated).")] = None,
    preset: Preset = "quick",
    seeds: Seeds = None,
    workers: Workers = None,
    device: Device = "auto",
    logger: Logger = "",
    results: Results = Path("results"),
) -> None:
    """Run the headline study: amortized against chain of thought, with figures and verdicts."""
    study("compare", overrides, task, preset, seeds, workers, device, logger, results)


@app.command()
def study(
    name: Annotated[
        str,
        typer.Argument(
            help="The study: compare, training, worlds, pointer, locality, stride, faithfulness, law, modes, geometry, "
            "depth."
        ),
    ],
    overrides: Overrides = None,
    task: Annotated[list[str] | None, typer.Option(help="Only this task (may be repeated).")] = None,
    preset: Preset = "quick",
    seeds: Seeds = None,
    workers: Workers = None,
    device: Device = "auto",
    logger: Logger = "",
    results: Results = Path("results"),
) -> None:
    """Run a study: train what is missing, measure it, draw its figures and judge its claims."""
    from unamortized.engine import run_study
    from unamortized.studies import find_study
    from unamortized.studies.study import plan

    found = find_study(name)
    specs = plan(found.preset(preset), task or [], [], range(seeds or 0), overrides or [])
    console = Console()
    execution = _execution(workers, device, logger)
    record = run_study(found, preset, specs, results, execution, console, overrides or [])
    show_claims(record["claims"], console)
    if preset == "smoke":
        console.print("Preset smoke checks that everything runs: models have hardly trained, verdicts mean nothing.")
    folder = results / preset
    console.print(
        f"Figures, tables and claims: {folder / name}/\nOne page with all of it: {folder / 'report.html'}",
        highlight=False,
    )


@app.command()
def evaluate(
    run: Annotated[Path, typer.Argument(help="A run's folder, results/runs/<hash>.")],
    preset: Preset = "quick",
    device: Device = "auto",
) -> None:
    """Measure a finished run as the study that trains its condition does, and show the results."""
    from unamortized.evaluation.evaluate import evaluate_run
    from unamortized.learning.runs import read_record
    from unamortized.learning.specification import RunSpec
    from unamortized.studies import study_of

    spec = RunSpec.model_validate(read_record(run)["spec"])
    known = study_of(spec.condition).preset(preset).evaluations
    evaluations = [each.at(spec.task) for each in known if each.of == "run" and each.applies(spec.seed)]
    console = Console()
    chosen = _execution(1, device).device
    evaluate_run(run, evaluations, lambda name: console.print(f"measuring {name}"), chosen)
    _show_run(run, console)


@app.command()
def report(
    preset: Annotated[str, typer.Option(help="smoke, quick, full, or reference: what is committed.")] = "quick",
    results: Results = Path("results"),
) -> None:
    """Draw every study's figures again from its tables, and write the page that shows all of them."""
    from unamortized.studies import STUDIES
    from unamortized.studies.output import read_made_by, redraw
    from unamortized.studies.report import write_report

    computed = [each for each in STUDIES.values() if (results / preset / each.name / "metrics.csv").is_file()]
    if not computed:
        raise ValueError(f"nothing has been computed in {results / preset}; 'make compare' computes the quick preset")
    for each in computed:
        folder = results / preset / each.name
        redraw(each, read_made_by(folder, preset), folder)
    Console().print(f"Written: {write_report(results / preset)}", highlight=False)


@app.command()
def preview(
    task: TaskName,
    overrides: Overrides = None,
    steps: Annotated[int, typer.Option(min=1, help="Number of observations.")] = 6,
    problems: Annotated[int, typer.Option(min=1, help="Number of problems.")] = 2,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the problems.")] = 0,
) -> None:
    """Show a task: a few problems with their exact beliefs, and each trace."""
    from unamortized.preview import preview as shown
    from unamortized.preview import preview_net
    from unamortized.worlds.net_tasks import NetTask
    from unamortized.worlds.task_files import load_task

    console, loaded = Console(), load_task(task, overrides or [])
    of_net = isinstance(loaded, NetTask)
    for part in preview_net(loaded, problems, seed) if of_net else shown(loaded, steps, problems, seed):
        console.print(part)


@app.command()
def describe(
    task: TaskName,
    overrides: Overrides = None,
    depth: Annotated[int, typer.Option(min=1, help="Length of the words that are enumerated.")] = 10,
    out: Annotated[Path | None, typer.Option(help="Folder of the pictures; default: results/describe/<task>.")] = None,
) -> None:
    """Describe a task's process: entropy rate, mixing, forgetting, the cost of its questions; with two pictures."""
    from unamortized.describe import describe as shown
    from unamortized.worlds.task_files import load_task
    from unamortized.worlds.tasks import with_process

    console, loaded = Console(), with_process(load_task(task, overrides or []))
    for part in shown(loaded, depth, out or Path("results") / "describe" / loaded.name):
        console.print(part, highlight=False, soft_wrap=isinstance(part, str))


@app.command()
def export(
    run: Annotated[Path, typer.Argument(help="A run's folder, results/runs/<hash>.")],
    folder: Annotated[Path, typer.Argument(help="A new or empty folder; written whole or not at all.")],
) -> None:
    """Write a run's model as a GPT-2 for transformers and TransformerLens.

    The run must have been trained with model.positions=learned model.coupled=false.
    """
    from unamortized.learning.exports import export_gpt2
    from unamortized.learning.runs import load_run

    export_gpt2(load_run(run), folder)
    Console().print(f"Written: {folder}", highlight=False, soft_wrap=True)


def expand_grid(grid: Sequence[str]) -> tuple[list[int], list[list[str]]]:
    """Return the seeds, and every combination of the other overrides, of items such as ``model.layers=1,2``.

    Raises:
        ValueError: if an item is not ``field=value,value``.
    """
    seeds: list[int] = []
    crossed: list[list[str]] = []
    for item in grid:
        field, equals, text = item.partition("=")
        values = re.split(r",(?![^\[]*\])", text)  # commas within brackets belong to a value
        if not equals or not field or not all(values):
            raise ValueError(f"--grid {item}: write 'field=value,value', for example seed=0,1,2")
        if field == "seed":
            if not all(value.isdecimal() for value in values):
                raise ValueError(f"--grid {item}: seeds are whole numbers from 0")
            seeds += [int(value) for value in values]
        else:
            crossed.append([f"{field}={value}" for value in values])
    return seeds, [list(combination) for combination in itertools.product(*crossed)]


def show_claims(claims: list[dict[str, Any]], console: Console) -> None:
    """Print claims with estimate, interval, control and verdict, as a table."""
    from unamortized.labels import place
    from unamortized.studies.claims import measured, p_value, qualified, wanted

    if not claims:
        console.print("No claim of this study applies to these tasks and lengths; see its table and figures.")
        return
    colors = {"supported": "green", "refuted": "red", "inconclusive": "yellow", "void": "yellow", "not measured": "dim"}
    table = Table(
        title="Claims: mean over seeds and 95 % interval; p (after Holm)", title_justify="left", show_lines=True
    )
    table.add_column("verdict")
    for heading in ("claim", "measured", "control"):
        table.add_column(heading, ratio=1)
    for claim in claims:
        control = claim["control"]
        table.add_row(
            f"[{colors[claim['verdict']]}]{qualified(claim)}[/]"
            + (f"\np {p_value(claim)}" if claim["p"] is not None else ""),
            f"[bold]{place(claim['task'], claim['world'])}[/]: {claim['statement']}",
            f"{measured(claim)}; wanted {wanted(claim)}",
            f"{control['description']}: {measured(control)}; wanted {wanted(control)}",
        )
    console.print(table)


def _show_run(folder: Path, console: Console) -> None:
    """Print a run's answers by length, from its own metrics."""
    from unamortized.learning.runs import read_record
    from unamortized.learning.specification import RunSpec
    from unamortized.studies.output import read_metrics

    spec = RunSpec.model_validate(read_record(folder)["spec"])
    metrics = read_metrics(folder / "metrics.csv")
    pooled = metrics[metrics["step"].isna() & (metrics["layer"] == "") & (metrics["control"] == "")]
    by_length = pooled[(pooled["variant"] == "") & pooled["n_steps"].notna()]
    if by_length.empty:
        _show_estimators(pooled, f"{spec.title}: {folder}", console)
        return
    shown = by_length.pivot_table(index="metric", columns="n_steps", values="value")
    caption = "answer_kl is in nats, 0 is exact; docs/metrics.md explains all. Studies add baselines and figures."
    table = Table(title=f"{spec.title}: {folder}", title_justify="left", caption=caption, caption_justify="left")
    table.add_column("metric", no_wrap=True)
    for n_steps in shown.columns:
        table.add_column(f"n = {n_steps}", justify="right")
    for metric, values in shown.iterrows():
        table.add_row(str(metric), *(f"{value:.3g}" for value in values))
    console.print(table)


def _show_estimators(pooled: Any, title: str, console: Console) -> None:
    """Print the error of each way of asking a net."""
    shown = pooled.pivot_table(index=["metric", "variant"], columns="split", values="value")
    table = Table(title=title, title_justify="left")
    for heading in ("metric", "estimator", *shown.columns):
        table.add_column(heading)
    for names, values in shown.iterrows():
        table.add_row(*names, *(f"{value:.4g}" for value in values))
    console.print(table)


def _execution(workers: int | None, device: str, logger: str = "") -> Any:
    """Choose how jobs are executed; a ValueError if the machine has no such device, or Lightning no such logger."""
    from unamortized.engine import Execution
    from unamortized.learning.training import check_logger
    from unamortized.models.device import resolve_device

    check_logger(logger)
    return Execution(workers or _cores(), resolve_device(device).type, logger)


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def main() -> None:
    """Run the command line; print errors that a reader can act on without a traceback."""
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    sys.exit(guarded(app))


def guarded(command: Callable[[], Any]) -> int:
    """Return the exit status of a command: 2 for wrong input, 1 for a failure, 130 for Ctrl-C."""
    try:
        command()
    except SpecError as error:
        print(error, file=sys.stderr)
        return 2
    except ValueError as error:
        print(f"unamortized: {error}", file=sys.stderr)
        return 2
    except (RuntimeError, OSError) as error:
        print(f"unamortized: {error}", file=sys.stderr)
        return 1
    except MemoryError as error:
        print(f"unamortized: not enough memory ({error}); ask for fewer or shorter problems", file=sys.stderr)
        return 1
    except (KeyboardInterrupt, SystemError) as error:
        from unamortized.learning.training import was_interrupted

        if not was_interrupted(error):
            raise
        return _interrupted()
    except SystemExit as stop:  # typer turns Ctrl-C into one
        return _interrupted() if stop.code == INTERRUPTED else int(stop.code or 0)
    return 0


def _interrupted() -> int:
    print("\nInterrupted; run the same command again to continue.", file=sys.stderr)
    return INTERRUPTED
