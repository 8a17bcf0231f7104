"""One problem as a picture: the observations, the beliefs at each step, and the answers."""

from typing import NamedTuple

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.collections import QuadMesh
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from unamortized.labels import display, place
from unamortized.studies.figures.style import Tables, compared, legend_below

MOST_STATES = 12
FIRST_CHOICE = "noisy_permutation"
PROBABILITY = "mako_r"  # seaborn's, from pale green to black
LATENT = {"color": "#FF7F2A", "linestyle": "", "marker": "o", "mfc": "none", "mew": 1.5}


class Strip(NamedTuple):
    """A heat map of beliefs by state and step, with the answer as its last column."""

    label: str
    condition: str
    source: str
    answer: str = ""  # source of the answer; none: no such column


def one_problem(tables: Tables) -> Figure | None:
    """Draw the first problem of a task: observations, exact, stated and probed beliefs by step, and the answers."""
    examples = tables.examples[tables.examples["variant"] == ""]
    task = _task(examples)
    if task is None:
        return None
    rows = examples[examples["task"] == task]
    rows = rows[rows["seed"] == rows["seed"].min()]
    rows = rows[rows["problem"] == rows["problem"].min()]
    strips = _strips(rows)
    n_states, n_steps = _states(rows), int(rows["step"].max())
    height = max(1.15, 0.24 * n_states)
    figure = Figure(figsize=(9.2, 0.6 + height * len(strips) + 1.7))
    ratios = {"height_ratios": (0.42, *[height] * len(strips))}
    panels = figure.subplots(len(strips) + 1, 1, sharex=True, gridspec_kw=ratios)
    _observations(panels[0], _values(rows, strips[0].condition, "observation"))
    latent = _values(rows, strips[0].condition, "latent")
    heats = [_beliefs(*pair, rows, n_steps, n_states) for pair in zip(panels[1:], strips, strict=True)]
    for axes in panels[1:]:
        axes.plot(latent.index, latent, ms=6, clip_on=False, **LATENT)
    shown = range(0, n_steps + 1, max(1, n_steps // 16))
    for axes in panels:
        axes.tick_params(length=0)
    panels[-1].set_xticks([*shown, n_steps + 2], [*map(str, shown), "answer"])
    panels[-1].set_xlabel("step t")
    figure.suptitle(f"One problem of {place(task)}: the belief at each step, and the answer", x=0.01, ha="left")
    figure.colorbar(heats[0], ax=panels, location="right", shrink=0.5, pad=0.02, label="probability")
    legend_below(figure, [Line2D([], [], label="true latent state", **LATENT)])
    return figure


def _task(examples: pd.DataFrame) -> str | None:
    if examples.empty:
        return None
    tasks = examples["task"].unique()
    fitting = [task for task in tasks if _states(examples[examples["task"] == task]) <= MOST_STATES]
    return FIRST_CHOICE if FIRST_CHOICE in fitting else next(iter(fitting), None)


def _states(rows: pd.DataFrame) -> int:
    return int(rows.loc[rows["source"].isin(("exact", "stated", "probed")), "state"].max()) + 1


def _strips(rows: pd.DataFrame) -> list[Strip]:
    """Return exact beliefs, those of CoT, and those inside models without a trace, with one answer of each."""
    names = compared(rows["condition"])
    there = set(zip(rows["condition"], rows["source"], strict=True))
    strips = [Strip("exact belief, exact answer", names[0], "exact", "exact_answer")]
    for name in reversed(names):
        answer = "answer"
        for source, label in (("stated", "belief stated in the trace"), ("probed", "belief probed inside")):
            if (name, source) in there:
                label += ", answer" if answer else ""
                strips.append(Strip(f"{display(name)}: {label}", name, source, answer))
                answer = ""
    return strips


def _values(rows: pd.DataFrame, condition: str, source: str) -> "pd.Series[float]":
    found = rows[(rows["condition"] == condition) & (rows["source"] == source)]
    return found.set_index("step")["value"].sort_index()


def _beliefs(axes: Axes, strip: Strip, rows: pd.DataFrame, n_steps: int, n_states: int) -> QuadMesh:
    """Draw beliefs by state and step, gray at steps without a belief, then the answer after a gap."""
    own = rows[rows["condition"] == strip.condition]
    answer = own[own["source"] == strip.answer].assign(step=n_steps + 2)
    found = pd.concat([own[own["source"] == strip.source], answer])
    table = found.pivot_table(index="state", columns="step", values="value", fill_value=0.0)
    table = table.reindex(index=range(n_states), fill_value=0.0).reindex(columns=range(n_steps + 3))
    edges = np.arange(n_steps + 4) - 0.5, np.arange(n_states + 1) - 0.5
    axes.axvspan(-0.5, n_steps + 0.5, color="#E4E4E4", linewidth=0)
    axes.set_ylim(n_states - 0.5, -0.5)
    axes.set_yticks(range(n_states))
    axes.set_ylabel("state")
    axes.set_title(strip.label)
    axes.spines[:].set_visible(False)
    heat = np.ma.masked_invalid(table.to_numpy(dtype=float))
    return axes.pcolormesh(*edges, heat, cmap=PROBABILITY, vmin=0, vmax=1, edgecolors="white", linewidth=0.4)


def _observations(axes: Axes, symbols: "pd.Series[float]") -> None:
    palette = matplotlib.colormaps["Pastel2"]
    for step, symbol in zip(symbols.index.to_numpy(dtype=int), symbols.to_numpy(dtype=int), strict=True):
        axes.axvspan(step - 0.46, step + 0.46, color=palette(int(symbol) % palette.N), linewidth=0)
        if len(symbols) <= 40:
            axes.text(step, 0.5, str(symbol), ha="center", va="center", fontsize=9)
    axes.set_ylim(0, 1)
    axes.set_yticks([])
    axes.spines[:].set_visible(False)
    axes.set_title("observations (symbols)")
