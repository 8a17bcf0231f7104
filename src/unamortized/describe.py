"""What a task's process is like: how random it is, how fast it forgets, what its questions cost, and two pictures."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text
from scipy.special import entr

from unamortized.evaluation.baselines import codebook, window
from unamortized.evaluation.distances import kl
from unamortized.language.codebook import Codebook
from unamortized.studies.figures.process import mixed_states as mixed_states_figure
from unamortized.studies.figures.process import process_graph
from unamortized.studies.figures.style import save
from unamortized.worlds.description import Description, EntropyRate, Forgetting, Mixing, describe_process, mean_process
from unamortized.worlds.mixed_states import (
    Bounds,
    Level,
    belief_entropy,
    certainty,
    known_start,
    mixed_states,
    unknown_start,
)
from unamortized.worlds.processes import Process
from unamortized.worlds.randomness import stream
from unamortized.worlds.splits import draw
from unamortized.worlds.tasks import LARGEST_CODEBOOK, Task

SMALLEST = 1e-6  # probability of a belief below which its words are not followed
PROBLEMS = 1024  # sampled for what questions cost
NEGLIGIBLE = 5e-6  # nats; bounds nearer than this are printed as one number


def describe(task: Task, depth: int, folder: Path) -> Iterator[RenderableType]:
    """The numbers as tables, and where in `folder` the pictures of states and of mixed states were written.

    Args:
        task: the task, whose process is described and whose questions are priced.
        depth: number of symbols up to which mixed states are followed.
        folder: where the pictures go.
    """
    built = task.build()
    process = mean_process(built)
    described = describe_process(process, depth, stream("describe", task.fingerprint()), SMALLEST)
    yield _summary(task, process, described, mean=built.per_problem or built.drawn is not None)
    levels = mixed_states(process, _start(task, process), depth, SMALLEST)
    yield _by_symbols(described, levels, process.is_generalized)
    yield _questions(task)
    title = f"{task.name}: {process.n_states} states, {process.n_symbols} symbols"
    save(process_graph(process, title), folder, "process")
    save(mixed_states_figure(process, levels, f"{task.name}: mixed states"), folder, "mixed_states")
    yield Text(f"Pictures of its states and of its mixed states: {folder}/process.png, mixed_states.png (and .svg)")


# ── in the long run ──────────────────────────────────────────────────────────────────────────────


def _summary(task: Task, process: Process, described: Description, mean: bool) -> RenderableType:
    table = Table.grid(padding=(0, 2))
    kind = ", generalized: predictive vectors in place of states" if process.is_generalized else ""
    table.add_row("process", f"{task.process.family}: {process.n_states} states, {process.n_symbols} symbols{kind}")
    if mean:
        table.add_row("", "each problem has transitions of its own; this is their mean, as if none had been told which")
    table.add_row("question", f"{task.query}; start {task.start}")
    table.add_row("entropy rate", _rate(described.entropy_rate))
    table.add_row("mixing time of the state", _mixing(described.mixing))
    table.add_row("forgetting time of the filter", _forgetting(described.forgetting))
    return Panel(table, title=task.name, title_align="left")


def _rate(rate: EntropyRate) -> str:
    if rate.n_mixed_states is not None:
        states = "mixed state" if rate.n_mixed_states == 1 else "mixed states"
        return f"{rate.estimate:.4f} nats a symbol, exact ({rate.n_mixed_states} {states})"
    low, high = rate.bounds
    sampled = f"sampled: {rate.estimate:.4f} ± {rate.error:.1g} (standard error)"
    if low == 0:
        return f"at most {high:.4f} nats a symbol, proven; {sampled}"
    if high - low < 5e-4:
        return f"{(low + high) / 2:.4f} nats a symbol, proven within ± {(high - low) / 2:.1g}; {sampled}"
    return f"between {low:.4f} and {high:.4f} nats a symbol, proven; {sampled}"


def _mixing(mixing: Mixing) -> str:
    steps = "less than one step" if mixing.steps < 1 else f"{mixing.steps:.4g} steps"
    says = f"{steps} for a factor e, if nobody looks"
    if mixing.period > 1:
        says = f"never: it has period {mixing.period}; within a phase, {says}"
    if mixing.components > 1:
        says = f"never: {mixing.components} sets of states are never left; within one, {says}"
    return says


def _forgetting(forgetting: Forgetting) -> str:
    if np.isinf(forgetting.steps):
        return "infinite: observations never make it forget where it started"
    if forgetting.steps == 0:
        return "finite: some words make it forget all at once where it started"
    return f"{forgetting.steps:.4g} ± {forgetting.error:.2g} steps for a factor e, given the observations"


# ── by number of symbols ─────────────────────────────────────────────────────────────────────────


def _by_symbols(described: Description, levels: list[Level], generalized: bool) -> RenderableType:
    """Row n: what is expected after n symbols."""
    columns = {
        "symbols seen": [str(n) for n in range(len(levels))],
        "next symbol\n(nats)": [_nats(each) for each in described.myopic],
    }
    if described.given_start is not None:
        columns["and start known\n(nats)"] = [_nats(each) for each in described.given_start]
    if not generalized:
        columns["belief\n(nats)"] = [_nats(belief_entropy(level)) for level in levels]
        columns["state is certain\n(probability)"] = [_nats(certainty(level)) for level in levels]
    columns["mixed states"] = [str(len(level.probability)) for level in levels]
    columns["left out\n(probability)"] = [f"{level.dropped:.2g}" for level in levels]
    table = Table(box=None, pad_edge=False)
    for heading in columns:
        table.add_column(heading, justify="right")
    for row in zip(*columns.values(), strict=True):
        table.add_row(*row)
    known = ", and with that start known rises towards it" if described.given_start is not None else ""
    says = (
        "Expected entropy of the next symbol, from a stationary start: it falls towards the entropy rate"
        f"{known}. The belief, and all mixed states: from the task's own start."
    )
    return Panel(Group(Text(says), table), title="after n symbols", title_align="left")


def _start(task: Task, process: Process) -> Level:
    """What is believed before the first symbol of a question."""
    if task.start == "known":
        return known_start(process.initial)
    if task.start == "belief":
        points = Codebook(process.n_states, task.codebook.resolution).points
        return Level(np.full(len(points), 1 / len(points)), points)
    return unknown_start(process.initial)


def _nats(bounds: Bounds) -> str:
    low, high = bounds
    return f"{low:.4f}" if high - low < NEGLIGIBLE else f"{low:.4f} – {high:.4f}"


# ── what questions cost ──────────────────────────────────────────────────────────────────────────


def _questions(task: Task) -> RenderableType:
    """Row n: the loss of chance, of exact inference, and how far above it codes of the exact belief remain."""
    table = Table(box=None, pad_edge=False)
    resolutions = _resolutions(task)
    for heading in (
        *("n", "chance\n(nats)", "optimal\n(nats)", "to be gained\n(nats)"),
        *(f"floor of codes, m = {resolution}\n({size} codes; nats)" for resolution, size in resolutions.items()),
    ):
        table.add_column(heading, justify="right")
    for n_steps in task.steps.test:
        problems = draw(task, "test", n_steps, PROBLEMS, "describe")
        chance = entr(window(task, problems, 0)).sum(axis=1)
        optimal = entr(problems.answer_distribution.clip(min=0.0)).sum(axis=1)
        floors = []
        for resolution in resolutions:
            coded = codebook(_at(task, resolution), problems)
            floors.append(f"{float(kl(problems.answer_distribution, coded).mean()):.4f}")
        table.add_row(str(n_steps), *map(_mean, (chance, optimal, chance - optimal)), *floors)
    says = (
        f"Cross-entropy of '{task.query}' answered without a look at the symbols, and by exact inference: means over "
        f"{PROBLEMS} problems of the test split, with 95 % intervals. A belief "
        "trace whose last code is exact remains at its floor above the optimum."
    )
    return Panel(Group(Text(says), table), title="what questions of n symbols cost", title_align="left")


def _resolutions(task: Task) -> dict[int, int]:
    """The task's resolution, half and double of it, with their numbers of codes; none where codes bound nothing."""
    if task.query.kind == "smooth":
        return {}
    process, own = task.build(), task.codebook.resolution
    n_coded = process.n_symbols if process.is_generalized else process.n_states
    sizes = {resolution: Codebook(n_coded, resolution).size for resolution in (own // 2, own, 2 * own) if resolution}
    return {resolution: size for resolution, size in sizes.items() if size <= LARGEST_CODEBOOK}


def _at(task: Task, resolution: int) -> Task:
    fields = task.canonical()
    return Task.model_validate(fields | {"codebook": fields["codebook"] | {"resolution": resolution}})


def _mean(values: np.ndarray) -> str:
    half = 1.96 * float(values.std(ddof=1)) / np.sqrt(len(values))
    return f"{float(values.mean()):.4f}" + (f" ± {half:.4f}" if half >= NEGLIGIBLE * 10 else "")
