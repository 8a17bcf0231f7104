"""A task made visible: a few problems with their exact beliefs, and how each trace writes them down."""

from collections.abc import Iterator
from typing import get_args

import numpy as np
from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from unamortized.evaluation.baselines import codebook
from unamortized.evaluation.distances import kl
from unamortized.language.layout import NOWHERE, Examples, lay_out
from unamortized.language.traces import TRACES, resolve_trace
from unamortized.language.vocabulary import HINT_STRENGTHS, MARKS, Vocabulary, task_vocabulary
from unamortized.language.windows import net_vocabulary
from unamortized.worlds.net_tasks import NetTask
from unamortized.worlds.nets import conditional
from unamortized.worlds.problems import Problems
from unamortized.worlds.processes import Process
from unamortized.worlds.splits import draw
from unamortized.worlds.tasks import Task
from unamortized.worlds.windows import Kind, draw_windows

SHADES = " ░▒▓█"
LINE = 60  # characters of a trace
MOST_STATES = 12  # with more, only the likeliest states of a belief are printed
HIGH_FLOOR = 0.05  # nats: a floor above this hides what is to be measured


def preview(task: Task, n_steps: int, n_problems: int, seed: int) -> Iterator[RenderableType]:
    """What there is to see of a task: its process, problems with beliefs, and every trace of the first one."""
    process, vocabulary = task.build(), task_vocabulary(task)
    yield _summary(task, process, vocabulary)
    problems = draw(task, "test", n_steps, n_problems, seed, "preview")
    for number in range(n_problems):
        yield _problem(task, process, problems, number)
    yield Text("The first problem under every trace, one column a token:", style="bold")
    for name in (*TRACES, "every_4"):
        kind = resolve_trace(name)
        if process.is_generalized and name == "state":
            continue  # there are none to write
        if name == "hint_told" and task.query.kind != "filter":
            continue  # what is hinted at is no belief that could be told
        own = kind.vocabulary(task, 2 * n_steps)
        yield Panel(
            _columns(task, process, own, lay_out(problems, kind(problems, own), own)),
            title=f"trace {name}",
            title_align="left",
        )


def _summary(task: Task, process: Process, vocabulary: Vocabulary) -> RenderableType:
    problems = draw(task, "test", task.steps.train[1], 1024, "preview floor")
    table = Table.grid(padding=(0, 2))
    parameters = {name: value for name, value in task.process.parameters.items() if not isinstance(value, list)}
    shown = ", ".join(f"{name}={value}" for name, value in parameters.items())
    table.add_row("process", f"{task.process.family}({shown}): {process.n_states} states, {process.n_symbols} symbols")
    table.add_row("query", f"{task.query}; start {task.start}")
    table.add_row(
        "lengths",
        f"train {task.steps.train[0]} to {task.steps.train[1]}; test {', '.join(map(str, task.steps.test))}",
    )
    table.add_row("belief codes", f"{vocabulary.codebook.size} (resolution {vocabulary.codebook.resolution})")
    if task.query.kind != "smooth":
        floor = float(kl(problems.answer_distribution, codebook(task, problems)).mean())
        hint = "; high, a finer codebook.resolution would lower it" if floor > HIGH_FLOOR else ""
        table.add_row("codebook floor", f"{floor:.4f} nats at n = {problems.n_steps}{hint}")
    table.add_row("vocabulary", f"{vocabulary.size} tokens")
    return Panel(table, title=task.name, title_align="left")


def _problem(task: Task, process: Process, problems: Problems, number: int) -> RenderableType:
    """Step by step: observation, true latent, and belief."""
    table = Table(box=None, pad_edge=False)
    few = process.n_states <= MOST_STATES
    for heading in ("t", "x", "s", *(process.state_names if few else ("belief",))):
        table.add_column(heading, justify="right")
    for step in range(problems.n_steps + 1):
        belief = problems.beliefs[number, step]
        observed = "" if step == 0 else process.symbol_names[problems.observations[number, step - 1]]
        latent = "" if process.is_generalized else process.state_names[problems.latents[number, step]]
        cells = [_cell(value) for value in belief] if few else [_likeliest(process, belief)]
        table.add_row(str(step), observed, latent, *cells)
    answers = _answer_names(task, process)
    says = (
        f"asks {task.query}: {_likeliest_of(answers, problems.answer_distribution[number])}; the answer drawn "
        f"is {answers[problems.answers[number]]}; log P(x) = {problems.log_probability[number]:.3f} nats"
    )
    return Panel(table, title=f"problem {number}", title_align="left", subtitle=says, subtitle_align="left")


def _cell(value: float) -> Text:
    shade = SHADES[min(len(SHADES) - 1, max(0, int(value * len(SHADES))))]
    return Text(f"{value:.3f}{shade}")


def _likeliest(process: Process, belief: np.ndarray) -> str:
    return _likeliest_of(process.state_names, belief)


def _likeliest_of(names: tuple[str, ...], distribution: np.ndarray, most: int = 3) -> str:
    best = [i for i in np.argsort(-distribution, kind="stable")[:most] if distribution[i] >= 0.0005]
    return ", ".join(f"{names[i]} {distribution[i]:.3f}" for i in best)


def _columns(task: Task, process: Process, vocabulary: Vocabulary, examples: Examples) -> RenderableType:
    """Tokens of the first problem with their position ids and loss weights, some of them a line."""
    tokens = [_token(task, process, vocabulary, int(token)) for token in examples.tokens[0]]
    rows = {
        "token": tokens,
        "position": ["·" if position == NOWHERE else str(position) for position in examples.positions],
        "step": ["·" if step < 0 else str(step) for step in examples.steps],
        "loss": [
            f"{weight:g}" if weight else "·" for weight in np.broadcast_to(examples.weights, examples.tokens.shape)[0]
        ],
    }
    tables = []
    places = np.cumsum([max(2, len(token)) + 1 for token in tokens]) // LINE
    for line in np.unique(places):
        within = np.flatnonzero(places == line)
        table = Table.grid(padding=(0, 1))
        for name, cells in rows.items():
            table.add_row(name, *(cells[column] for column in within))
        tables.append(table)
    return Group(*tables)


def _token(task: Task, process: Process, vocabulary: Vocabulary, token: int) -> str:
    kind, place = vocabulary.kind(token)
    if kind == "mark":
        return MARKS[place]
    if kind == "index":
        return f"#{place}"
    if kind == "filler":
        return "..."
    if kind == "hint":
        answer, level = divmod(place, len(HINT_STRENGTHS))
        return f"{_answer_names(task, process)[answer]}+{HINT_STRENGTHS[level]:g}"
    if kind == "rule":
        symbol, state, following = np.unravel_index(place, process.transitions.shape)
        return f"{process.symbol_names[symbol]}:{process.state_names[state]}→{process.state_names[following]}"
    if kind == "code":
        spelling, code = divmod(place, vocabulary.codebook.size)
        counts = np.round(vocabulary.codebook.decode(np.array(code)) * vocabulary.codebook.resolution).astype(int)
        if vocabulary.codebook.resolution == 1:
            return process.state_names[int(counts.argmax())] + "'" * spelling
        return ("" if vocabulary.codebook.resolution < 10 else ":").join(map(str, counts)) + "'" * spelling
    names = {
        "observation": process.symbol_names,
        "state": process.state_names,
        "answer": _answer_names(task, process),
    }[kind]
    return names[place]


def _answer_names(task: Task, process: Process) -> tuple[str, ...]:
    return process.symbol_names if task.query.kind == "predict" else process.state_names


def preview_net(task: NetTask, n_questions: int, seed: int) -> Iterator[RenderableType]:
    """What there is to see of a task about a net: the net of a seed, windows of each kind, and what is asked of it."""
    net, pairs, vocabulary = task.build(seed), task.pairs(seed), net_vocabulary(task)
    table = Table.grid(padding=(0, 2))
    table.add_row("net", f"{task.net.shape}: {net.n_variables} variables of {net.n_values} values; seed {seed}")
    table.add_row("edges", ", ".join(f"X{own[0]}→X{variable}" for variable, own in enumerate(net.parents) if own))
    reach, holes = "{} to {}".format(*task.steps.train), f"{task.windows.dropout:.0%} left out"
    table.add_row("windows", f"{reach} steps around a variable, {holes}")
    table.add_row("held out", ", ".join(f"X{a}–X{b}" for a, b in pairs.held_out.tolist()))
    table.add_row("vocabulary", f"{vocabulary.size} tokens")
    yield Panel(table, title=task.name, title_align="left")
    for kind in get_args(Kind):
        lines = [
            f"ask X{variables[-1]}: " + " ".join(f"X{v}={x}" for v, x in zip(variables, values, strict=True))
            for group in draw_windows(task, kind, 4, seed, "preview")
            for variables, values in zip(group.variables.tolist(), group.values.tolist(), strict=True)
        ]
        yield Panel("\n".join(lines), title=f"{kind} windows", title_align="left")
    asked = Table(title="asked of pairs never seen together", title_justify="left")
    for heading in ("question", "exact", "marginal", "by way of"):
        asked.add_column(heading)
    for a, b in pairs.held_out[:n_questions].tolist():
        exact, marginal = conditional(net, a, {b: 0}), conditional(net, a, {})
        way = " ".join(f"X{v}" for v in net.path(b, a))
        asked.add_row(f"p(X{a} | X{b}=0)", *(" ".join(f"{p:.3f}" for p in row) for row in (exact, marginal)), way)
    yield asked
