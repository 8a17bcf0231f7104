"""Modes: what each kind of trace does for the answer, and when models begin to rely on theirs."""

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from unamortized.studies.figures.style import Tables, legend_below, over_seeds, rows_of, styled, whisker
from unamortized.studies.modes import AMORTIZED, COT, EMPTY, READABLE, TRACES, WORLD, trajectory

SAYS = {  # what each trace is, for people
    COT: "belief after every step",
    "cot_state": "drawn states",
    "cot_every_2": "every second belief",
    "cot_reversed": "beliefs from last to first",
    "cot_shuffled": "another problem's beliefs",
    "cot_posthoc": "beliefs after the answer",
    "cot_filler": "empty tokens",
}
READ, IDLE, NONE = "#0072B2", "#8A8A8A", "#D55E00"  # traces that can be read, that cannot, and no trace
SHADES = ("#E3A400", "#2CA6A4", "#08306B")  # from short or shallow to long or deep
TRACE_SHADES = ("#0072B2", "#D55E00", "#009E73", "#CC79A7")


class Column(NamedTuple):
    """A measure, where it is read, and what it would be for a model that reads its trace as Bayes would."""

    title: str
    metric: str
    where: dict[str, Any]
    marks: tuple[float, ...]
    scale: Mapping[str, Any] = MappingProxyType({"value": "linear"})


COLUMNS = (
    Column("crossed with another's\ntrace: indirect effect", "indirect_effect", {}, (0, 1)),
    Column("one step edited:\ncausal reliance, lag 0", "causal_reliance", {"step": 0}, (0, 1)),
    Column("and two steps\nbefore the end", "causal_reliance", {"step": 2}, (0, 1)),
    Column("without the trace:\nbits lost", "necessity", {}, (0,), {"value": "symlog", "linthresh": 1.0}),
    Column("KL of the answer at n = 8\n[nats]", "answer_kl", {"n_steps": 8}, (), {"value": "log"}),
)


@styled
def modes(tables: Tables) -> Figure | None:
    """A row a trace, a column a measure of what it does for the answer."""
    rows = rows_of(tables.metrics, *(column.metric for column in COLUMNS))
    rows = rows[rows["condition"].str.endswith("@l2") & (rows["task"] == WORLD)] if len(rows) else rows
    listed = [name for name in (*TRACES, AMORTIZED) if f"{name}@l2" in set(rows["condition"])] if len(rows) else []
    if not listed:
        return None
    figure = Figure(figsize=(11, 1.5 + 0.42 * len(listed)))
    panels = figure.subplots(1, len(COLUMNS), sharey=True)
    for axes, column in zip(panels, COLUMNS, strict=True):
        for place, name in enumerate(listed):
            own = rows[(rows["condition"] == f"{name}@l2") & (rows["metric"] == column.metric)]
            for field, value in column.where.items():
                own = own[(own[field] == value).fillna(False)]
            values = own["value"].to_numpy(dtype=float)
            whisker(axes, values, place, along="x", marker="o", markersize=5, color=_color(name))
        axes.set_xscale(**column.scale)
        for value in column.marks:
            axes.axvline(value, color="#BBBBBB", linewidth=0.8, zorder=1)
        axes.set_title(column.title, fontsize=9)
        axes.set_ylim(len(listed) - 0.5, -0.5)
        axes.grid(axis="y", color="#EEEEEE", linewidth=0.8)
        axes.tick_params(axis="y", length=0)
    panels[0].set_yticks(range(len(listed)), [f"{name}\n{SAYS.get(name, 'no trace')}" for name in listed], fontsize=8)
    figure.suptitle("Which traces are used, and which are decoration?", x=0.01, ha="left")
    kinds = {"the answer can be read from it": READ, "it cannot": IDLE, "no trace": NONE}
    handles = [Line2D([], [], linestyle="", marker="o", color=shade, label=says) for says, shade in kinds.items()]
    legend_below(figure, handles)
    return figure


def _color(name: str) -> str:
    return READ if name in READABLE else IDLE if name in EMPTY else NONE


@styled
def modes_training(tables: Tables) -> Figure | None:
    """Reliance and KL of answers by steps of training: by depth, by length, and by trace."""
    metrics = tables.metrics
    if not len(metrics) or not metrics["condition"].str.contains("/after_").any():
        return None
    panels = {
        "by depth, n = 8": _by_number(metrics, WORLD, r"l(\d+)", "layers"),
        "by length, two layers": _by_number(metrics, None, r"n(\d+)", "steps"),
        "by trace": {name: (WORLD, f"{name}@l2") for name in READABLE if f"{name}@l2" in set(metrics["condition"])},
    }
    figure = Figure(figsize=(10.8, 5.9))
    above, below = figure.subplots(2, len(panels), sharex=True, sharey="row")
    for top, bottom, (title, lines) in zip(above, below, panels.items(), strict=True):
        for place, (label, (task, condition)) in enumerate(lines.items()):
            table = metrics[metrics["task"] == task]
            shade = (TRACE_SHADES if title == "by trace" else SHADES)[place]
            _line(top, trajectory(table, condition), color=shade, label=label)
            _line(bottom, _answers(table, condition), color=shade)
        top.set_title(title)
        top.axhline(1, color="#BBBBBB", linewidth=0.8, zorder=1)
        top.axhline(0, color="#BBBBBB", linewidth=0.8, zorder=1)
        top.legend(fontsize=8, loc="upper left")
        bottom.set_xscale("log", base=2)
        bottom.set_yscale("log")
        bottom.set_xlabel("steps of training")
    above[0].set_ylabel("causal reliance α, lags 0 to 2")
    below[0].set_ylabel("KL of the answer, longest n  [nats]")
    figure.suptitle("When do models come to rely on exact traces, and does it last?", x=0.01, ha="left")
    return figure


def _by_number(metrics: pd.DataFrame, task: str | None, pattern: str, unit: str) -> dict[str, tuple[str, str]]:
    """Belief traces by the number in their variant (or, without a task, in that of the world)."""
    names = metrics[["task", "condition"]].drop_duplicates()
    names = names[~names["condition"].str.contains("/")]
    found = {}
    for own_task, condition in names.itertuples(index=False):
        name, _, variant = condition.partition("@")
        where = variant if task else own_task.partition("@")[2]
        number = re.fullmatch(pattern, where)
        if name == COT and number and (own_task == task if task else variant == "l2"):
            found[int(number[1])] = (own_task, condition)
    return {f"{number} {unit if number > 1 else unit.rstrip('s')}": found[number] for number in sorted(found)}


def _answers(table: pd.DataFrame, condition: str) -> pd.DataFrame:
    """KL at the longest tested length (columns: steps of training; index: seeds)."""
    rows = table[(table["metric"] == "answer_kl") & table["condition"].str.startswith(f"{condition}/after_")]
    rows = rows[rows["n_steps"] == rows["n_steps"].max()]
    after = rows["condition"].str.removeprefix(f"{condition}/after_").astype(int)
    return rows.assign(after=after).pivot_table(index="seed", columns="after", values="value")


def _line(axes: Axes, along: pd.DataFrame, **line: Any) -> None:
    """Mean over seeds with its interval, along the columns."""
    if along.empty:
        return
    long = along.rename_axis(index="seed").reset_index().melt(id_vars="seed", var_name="after", value_name="value")
    summary = over_seeds(long, "after")
    axes.plot(summary.index.to_numpy(dtype=float), summary["mean"], marker="o", markersize=3, linewidth=1.5, **line)
    axes.fill_between(
        *(summary.index.to_numpy(dtype=float), summary["low"], summary["high"]),
        color=line["color"],
        alpha=0.15,
        linewidth=0,
    )
