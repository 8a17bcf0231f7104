"""Describe a task's process: its entropy rate, how fast it forgets, the cost of its questions, and two pictures."""

from collections.abc import Iterator, Mapping, Sequence
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

SMALLEST = 1e-6  # beliefs less probable than this are not followed
PROBLEMS = 1024  # sampled to estimate the cost of questions
NEGLIGIBLE = 5e-6  # nats; bounds closer than this print as one number


def describe(task: Task, depth: int, folder: Path) -> Iterator[RenderableType]:
    """Yield the numbers about a task as tables, and write pictures of its states and mixed states into a folder.

    ``depth`` is the length of the longest words whose mixed states are computed.
    """
    built = task.build()
    process = mean_process(built)
    description = describe_process(process, depth, stream("describe", task.fingerprint()), SMALLEST)
    yield _summary(task, process, description, is_mean=built.per_problem or built.sampler is not None)
    levels = mixed_states(process, _start(task, process), depth, SMALLEST)
    yield _by_symbols(description, levels, process.is_generalized)
    yield _questions(task)
    title = f"{task.name}: {process.n_states} states, {process.n_symbols} symbols"
    save(process_graph(process, title), folder, "process")
    save(mixed_states_figure(process, levels, f"{task.name}: mixed states"), folder, "mixed_states")
    yield Text(f"Pictures of states and mixed states: {folder}/process.png, mixed_states.png (and .svg)")


# ── the process ──────────────────────────────────────────────────────────────────────────────────


def _summary(task: Task, process: Process, description: Description, is_mean: bool) -> RenderableType:
    table = Table.grid(padding=(0, 2))
    kind = ", generalized: predictive vectors instead of states" if process.is_generalized else ""
    table.add_row("process", f"{task.process.family}: {process.n_states} states, {process.n_symbols} symbols{kind}")
    if is_mean:
        table.add_row("", "each problem has its own transitions; the numbers below describe their mean")
    table.add_row("question", f"{task.query}; start {task.start}")
    table.add_row("entropy rate", _entropy_rate(description.entropy_rate))
    table.add_row("mixing time of the state", _mixing(description.mixing))
    table.add_row("forgetting time of the filter", _forgetting(description.forgetting))
    return Panel(table, title=task.name, title_align="left")


def _entropy_rate(rate: EntropyRate) -> str:
    if rate.n_mixed_states is not None:
        states = "mixed state" if rate.n_mixed_states == 1 else "mixed states"
        return f"{rate.estimate:.4f} nats per symbol, exact ({rate.n_mixed_states} {states})"
    low, high = rate.bounds
    sampled = f"sampled: {rate.estimate:.4f} ± {rate.error:.1g} (standard error)"
    if low == 0:
        return f"at most {high:.4f} nats per symbol, proven; {sampled}"
    if high - low < 5e-4:
        return f"{(low + high) / 2:.4f} nats per symbol, proven within ± {(high - low) / 2:.1g}; {sampled}"
    return f"between {low:.4f} and {high:.4f} nats per symbol, proven; {sampled}"


def _mixing(mixing: Mixing) -> str:
    steps = "less than one step" if mixing.steps < 1 else f"{mixing.steps:.4g} steps"
    text = f"{steps} per factor e, without observations"
    if mixing.period > 1:
        text = f"never mixes: it has period {mixing.period}; within a phase, {text}"
    if mixing.components > 1:
        text = f"never mixes: it has {mixing.components} closed sets of states; within one, {text}"
    return text


def _forgetting(forgetting: Forgetting) -> str:
    if np.isinf(forgetting.steps):
        return "infinite: no observation makes the belief forget the start"
    if forgetting.steps == 0:
        return "finite: some words make the belief forget the start at once"
    return f"{forgetting.steps:.4g} ± {forgetting.error:.2g} steps per factor e, given the observations"


# ── by number of symbols ─────────────────────────────────────────────────────────────────────────


def _by_symbols(description: Description, levels: list[Level], is_generalized: bool) -> RenderableType:
    """Show in row n the expectations after n symbols."""
    columns = {
        "symbols\nseen": [str(n) for n in range(len(levels))],
        "next symbol\n(nats)": [_nats(each) for each in description.myopic],
    }
    if description.given_start is not None:
        columns["given start\n(nats)"] = [_nats(each) for each in description.given_start]
    if not is_generalized:
        columns["belief\n(nats)"] = [_nats(belief_entropy(level)) for level in levels]
        columns["P(certain)"] = [_nats(certainty(level)) for level in levels]
    columns["mixed\nstates"] = [str(len(level.probability)) for level in levels]
    columns["P(left out)"] = [f"{level.dropped:.2g}" for level in levels]
    from_below = "; given the start state, it rises to the rate" if description.given_start is not None else ""
    text = (
        "Expected entropy of the next symbol after n symbols, from a stationary start: it falls to the entropy "
        f"rate{from_below}. The other columns use the task's own start: the entropy of the belief, the probability "
        "that it is certain of the state, the number of distinct beliefs, and the probability of beliefs too rare to "
        "follow."
    )
    return Panel(Group(Text(text), _table(columns)), title="after n symbols", title_align="left")


def _table(columns: Mapping[str, Sequence[str]]) -> Table:
    table = Table(box=None, pad_edge=False)
    for heading in columns:
        table.add_column(heading, justify="right")
    for row in zip(*columns.values(), strict=True):
        table.add_row(*row)
    return table


def _start(task: Task, process: Process) -> Level:
    """Return the beliefs before the first symbol of a question."""
    if task.start == "known":
        return known_start(process.initial)
    if task.start == "belief":
        points = Codebook(process.n_states, task.codebook.resolution).points
        return Level(np.full(len(points), 1 / len(points)), points)
    return unknown_start(process.initial)


def _nats(bounds: Bounds) -> str:
    low, high = bounds
    return f"{low:.4f}" if high - low < NEGLIGIBLE else f"{low:.4f} – {high:.4f}"


# ── the cost of questions ────────────────────────────────────────────────────────────────────────


def _questions(task: Task) -> RenderableType:
    """Show in each row, for one length, the loss of guessing, of exact inference, and of coded beliefs."""
    resolutions = _resolutions(task)
    headings = ["n", "chance\n(nats)", "optimal\n(nats)", "gain\n(nats)"]
    headings += [f"floor\nm = {resolution}\n{size} codes" for resolution, size in resolutions.items()]
    rows = []
    for n_steps in task.steps.test:
        problems = draw(task, "test", n_steps, PROBLEMS, "describe")
        chance = entr(window(task, problems, 0)).sum(axis=1)
        optimal = entr(problems.answer_distribution.clip(min=0.0)).sum(axis=1)
        coded = (codebook(_with_resolution(task, resolution), problems) for resolution in resolutions)
        floors = [f"{float(kl(problems.answer_distribution, each).mean()):.4f}" for each in coded]
        rows.append([str(n_steps), *map(_mean, (chance, optimal, chance - optimal)), *floors])
    text = (
        f"Cross-entropy of '{task.query}' answered without the symbols (chance) and by exact inference (optimal): "
        f"means over {PROBLEMS} test problems, with 95 % intervals. The floor is how far (nats) above the optimum an "
        "answer stays that is read off the code of the exact belief, at resolution m."
    )
    table = _table(dict(zip(headings, zip(*rows, strict=True), strict=True)))
    return Panel(Group(Text(text), table), title="cost of questions with n symbols", title_align="left")


def _resolutions(task: Task) -> dict[int, int]:
    """Return the task's resolution, half of it and double, with their numbers of codes; empty if codes set no floor."""
    if task.query.kind == "smooth":
        return {}
    process, own = task.build(), task.codebook.resolution
    n_coded = process.n_symbols if process.is_generalized else process.n_states
    sizes = {resolution: Codebook(n_coded, resolution).size for resolution in (own // 2, own, 2 * own) if resolution}
    return {resolution: size for resolution, size in sizes.items() if size <= LARGEST_CODEBOOK}


def _with_resolution(task: Task, resolution: int) -> Task:
    fields = task.canonical()
    return Task.model_validate(fields | {"codebook": fields["codebook"] | {"resolution": resolution}})


def _mean(values: np.ndarray) -> str:
    half_width = 1.96 * float(values.std(ddof=1)) / np.sqrt(len(values))
    return f"{float(values.mean()):.4f}" + (f" ± {half_width:.4f}" if half_width >= NEGLIGIBLE * 10 else "")
