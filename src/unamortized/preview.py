"""Preview a task: a few problems with their exact beliefs, and the same problem under every trace."""

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
from unamortized.language.rendering import Language
from unamortized.language.traces import TRACES, resolve_trace
from unamortized.language.vocabulary import HINT_STRENGTHS, MARKS, Vocabulary, task_vocabulary
from unamortized.language.windows import net_vocabulary
from unamortized.learning.conditions import CONDITIONS
from unamortized.models.transformer import ModelSpec
from unamortized.worlds.net_tasks import NetTask
from unamortized.worlds.nets import conditional
from unamortized.worlds.problems import Problems
from unamortized.worlds.processes import Process
from unamortized.worlds.splits import draw
from unamortized.worlds.tasks import Task
from unamortized.worlds.windows import Kind, draw_windows

SHADES = " ░▒▓█"
LINE = 60  # characters of a trace per line
MOST_STATES = 12  # in columns; a process with more prints only the likeliest states of a belief
HIGH_FLOOR = 0.05  # nats; a higher floor hides the differences between conditions


def preview(task: Task, n_steps: int, n_problems: int, seed: int) -> Iterator[RenderableType]:
    """Yield a summary of a task, problems with their beliefs, and every trace of the first problem."""
    process, vocabulary = task.build(), task_vocabulary(task)
    yield _summary(task, process, vocabulary)
    problems = draw(task, "test", n_steps, n_problems, seed, "preview")
    for number in range(n_problems):
        yield _problem(task, process, problems, number)
    yield Text("Problem 0 under every trace, one column per token:", style="bold")
    for name in (*TRACES, "every_4"):
        kind = resolve_trace(name)
        if process.is_generalized and name == "state":
            continue  # it has no states to write
        if name == "hint_told" and task.query.kind != "filter":
            continue  # this trace states the hint as a belief, so the answer must be a state
        trace_vocabulary = kind.vocabulary(task, 2 * n_steps)
        examples = lay_out(problems, kind(problems, trace_vocabulary), trace_vocabulary)
        columns = _columns(task, process, trace_vocabulary, examples)
        yield Panel(columns, title=f"trace {name}{_learned_by(task, name)}", title_align="left")


def _learned_by(task: Task, trace: str) -> str:
    languages = {
        each.name: each.language(task, ModelSpec()) for each in CONDITIONS.values() if not each.unsupported(task)
    }
    conditions = [name for name, each in languages.items() if isinstance(each, Language) and each.trace == trace]
    return f" (conditions {', '.join(conditions)})" if conditions else ""


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
        hint = "; high, raise codebook.resolution to lower it" if floor > HIGH_FLOOR else ""
        table.add_row("codebook floor", f"{floor:.4f} nats at n = {problems.n_steps}{hint}")
    table.add_row("vocabulary", f"{vocabulary.size} tokens")
    return Panel(table, title=task.name, title_align="left")


def _problem(task: Task, process: Process, problems: Problems, number: int) -> RenderableType:
    """Show the observation, true latent and belief of each step."""
    table = Table(box=None, pad_edge=False)
    few = process.n_states <= MOST_STATES
    for heading in ("t", "x", "s", *(process.state_names if few else ("belief",))):
        table.add_column(heading, justify="right")
    for step in range(problems.n_steps + 1):
        belief = problems.beliefs[number, step]
        observed = "" if step == 0 else process.symbol_names[problems.observations[number, step - 1]]
        latent = "" if process.is_generalized else process.state_names[problems.latents[number, step]]
        cells = [_cell(value) for value in belief] if few else [_likeliest(process.state_names, belief)]
        table.add_row(str(step), observed, latent, *cells)
    answers = _answer_names(task, process)
    text = (
        f"{task.query}: {_likeliest(answers, problems.answer_distribution[number])}; sampled answer "
        f"{answers[problems.answers[number]]}; log P(x) = {problems.log_probability[number]:.3f} nats"
    )
    return Panel(Group(table, Text(text)), title=f"problem {number}", title_align="left")


def _cell(value: float) -> Text:
    shade = SHADES[min(len(SHADES) - 1, max(0, int(value * len(SHADES))))]
    return Text(f"{value:.3f}{shade}")


def _likeliest(names: tuple[str, ...], distribution: np.ndarray, most: int = 3) -> str:
    best = [i for i in np.argsort(-distribution, kind="stable")[:most] if distribution[i] >= 0.0005]
    return ", ".join(f"{names[i]} {distribution[i]:.3f}" for i in best)


def _columns(task: Task, process: Process, vocabulary: Vocabulary, examples: Examples) -> RenderableType:
    """Show the tokens of the first problem with their position ids, steps and loss weights, wrapped into lines."""
    tokens = [_token(task, process, vocabulary, int(token)) for token in examples.tokens[0]]
    weights = np.broadcast_to(examples.weights, examples.tokens.shape)[0]
    rows = {
        "token": tokens,
        "position": ["·" if position == NOWHERE else str(position) for position in examples.positions],
        "step": ["·" if step < 0 else str(step) for step in examples.steps],
        "loss": [f"{weight:g}" if weight else "·" for weight in weights],
    }
    tables = []
    lines = np.cumsum([max(2, len(token)) + 1 for token in tokens]) // LINE
    for line in np.unique(lines):
        table = Table.grid(padding=(0, 1))
        for name, cells in rows.items():
            table.add_row(name, *(cells[column] for column in np.flatnonzero(lines == line)))
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
    """Yield the net of a seed, windows of each kind, and the exact answers to questions about held-out pairs."""
    net, pairs, vocabulary = task.build(seed), task.pairs(seed), net_vocabulary(task)
    table = Table.grid(padding=(0, 2))
    table.add_row("net", f"{task.net.shape}: {net.n_variables} variables of {net.n_values} values; seed {seed}")
    table.add_row("edges", ", ".join(f"X{own[0]}→X{variable}" for variable, own in enumerate(net.parents) if own))
    smallest, largest = task.steps.train
    table.add_row("windows", f"{smallest} to {largest} steps around a variable; {task.windows.dropout:.0%} dropped")
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
    questions = Table(title="questions about held-out pairs", title_justify="left")
    for heading in ("question", "exact", "marginal", "path"):
        questions.add_column(heading)
    for a, b in pairs.held_out[:n_questions].tolist():
        exact, marginal = conditional(net, a, {b: 0}), conditional(net, a, {})
        path = " ".join(f"X{v}" for v in net.path(b, a))
        questions.add_row(f"p(X{a} | X{b}=0)", *(" ".join(f"{p:.3f}" for p in row) for row in (exact, marginal)), path)
    yield questions
