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
from unamortized.studies.figures.style import EXACT, Tables, color, compared, legend_below

MOST_STATES = 12
FIRST_CHOICE = "noisy_permutation"
PROBABILITY = "mako_r"  # seaborn's, from pale green to black
DRAWN = "#FF7F2A"


class Strip(NamedTuple):
    """A heat map of beliefs, and the answer beside it."""

    label: str
    condition: str
    source: str
    answer: str | None


def one_problem(tables: Tables) -> Figure | None:
    """Draw the first problem of a task: observations, exact, stated and probed beliefs by step, and the answers."""
    task = _task(tables.examples)
    if task is None:
        return None
    rows = tables.examples[tables.examples["task"] == task]
    rows = rows[rows["seed"] == rows["seed"].min()]
    rows = rows[rows["problem"] == rows["problem"].min()]
    strips = _strips(rows)
    n_states = _states(rows)
    n_steps = int(rows["step"].max())
    height = max(1.15, 0.24 * n_states)
    figure = Figure(figsize=(9.4, 0.6 + height * len(strips) + 1.7))
    ratios = {"width_ratios": (3.4, 1), "height_ratios": (0.42, *[height] * len(strips))}
    panels = figure.subplots(len(strips) + 1, 2, gridspec_kw=ratios)
    _observations(panels[0, 0], _values(rows, strips[0].condition, "observation"), n_steps)
    latent = _values(rows, strips[0].condition, "latent")
    pairs = list(zip(panels[1:], strips, strict=True))
    shades = [_beliefs(heat, rows, strip, n_steps, n_states) for (heat, _), strip in pairs]
    for heat in panels[1:, 0]:
        heat.plot(latent.index, latent, "o", color=DRAWN, mfc="none", mew=1.5, ms=6, clip_on=False)
    answered = [(bars, strip) for (_, bars), strip in pairs if strip.answer]
    for bars, strip in answered:
        _answer(bars, rows, strip)
    lowest = answered[-1][0]
    for axes in panels[:, 1]:
        axes.set_visible(any(axes is bars for bars, _ in answered))
        axes.tick_params(labelbottom=axes is lowest)
    lowest.set_xlabel("probability")
    for axes in panels[:, 0]:
        axes.set_xlim(-0.5, n_steps + 0.5)
        axes.set_xticks(range(0, n_steps + 1, max(1, n_steps // 16)))
        axes.tick_params(length=0, labelbottom=axes is panels[-1, 0])
    panels[-1, 0].set_xlabel("step t")
    figure.suptitle(f"One problem of {place(task)}: the belief at each step, and the answer", x=0.01, ha="left")
    figure.colorbar(shades[0], ax=panels, location="right", shrink=0.5, pad=0.02, label="belief  [probability]")
    circle = Line2D([], [], color=DRAWN, ls="", marker="o", mfc="none", mew=1.5, label="true latent state")
    legend_below(figure, [circle, Line2D([], [], color=EXACT, ls="", marker="|", ms=9, mew=1.8, label="exact answer")])
    return figure


def _task(examples: pd.DataFrame) -> str | None:
    if examples.empty:
        return None
    fitting = [task for task in examples["task"].unique() if _states(examples[examples["task"] == task]) <= MOST_STATES]
    return FIRST_CHOICE if FIRST_CHOICE in fitting else next(iter(fitting), None)


def _states(rows: pd.DataFrame) -> int:
    return int(rows.loc[rows["source"].isin(("exact", "stated", "probed")), "state"].max()) + 1


def _strips(rows: pd.DataFrame) -> list[Strip]:
    """Return exact beliefs, those of CoT, and those inside models without a trace; each with its answer."""
    names = compared(rows["condition"])
    there = set(zip(rows["condition"], rows["source"], strict=True))
    strips = [Strip("exact belief", names[0], "exact", "exact_answer")]
    for name in reversed(names):
        sources = [source for source in ("stated", "probed") if (name, source) in there]
        for source in sources:
            label = {"stated": "belief stated in the trace", "probed": "belief probed inside"}[source]
            strips.append(Strip(f"{display(name)}: {label}", name, source, "answer" if source == sources[0] else None))
    return strips


def _values(rows: pd.DataFrame, condition: str, source: str) -> "pd.Series[float]":
    found = rows[(rows["condition"] == condition) & (rows["source"] == source)]
    return found.set_index("step")["value"].sort_index()


def _beliefs(axes: Axes, rows: pd.DataFrame, strip: Strip, n_steps: int, n_states: int) -> QuadMesh:
    """Draw beliefs by state and step, gray at the steps that the source leaves out."""
    found = rows[(rows["condition"] == strip.condition) & (rows["source"] == strip.source)]
    table = found.pivot_table(index="state", columns="step", values="value", fill_value=0.0)
    table = table.reindex(index=range(n_states), fill_value=0.0).reindex(columns=range(n_steps + 1))
    edges = np.arange(n_steps + 2) - 0.5, np.arange(n_states + 1) - 0.5
    axes.set_facecolor("#E4E4E4")
    axes.set_ylim(n_states - 0.5, -0.5)
    axes.set_yticks(range(n_states))
    axes.set_ylabel("state")
    axes.set_title(strip.label)
    heat = np.ma.masked_invalid(table.to_numpy(dtype=float))
    return axes.pcolormesh(*edges, heat, cmap=PROBABILITY, vmin=0, vmax=1, edgecolors="white", linewidth=0.4)


def _observations(axes: Axes, symbols: "pd.Series[float]", n_steps: int) -> None:
    palette = matplotlib.colormaps["Pastel2"]
    for step, symbol in zip(symbols.index.to_numpy(dtype=int), symbols.to_numpy(dtype=int), strict=True):
        axes.axvspan(step - 0.46, step + 0.46, color=palette(int(symbol) % palette.N), linewidth=0)
        if n_steps <= 40:
            axes.text(step, 0.5, str(symbol), ha="center", va="center", fontsize=9)
    axes.set_ylim(0, 1)
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set_visible(False)
    axes.set_title("observations (symbols)")


def _answer(axes: Axes, rows: pd.DataFrame, strip: Strip) -> None:
    """Draw the answer as bars, state by state beside the heat map, with the exact answer marked on each."""
    given, exact = (_distribution(rows, strip.condition, source) for source in (strip.answer, "exact_answer"))
    options = max(len(given), len(exact))
    own = strip.answer == "answer"
    axes.barh(range(len(given)), given, height=0.72, color=color(strip.condition) if own else EXACT, alpha=0.85)
    if own:
        axes.plot(exact, range(len(exact)), "|", color=EXACT, ms=10, mew=1.8, clip_on=False)
    axes.set_ylim(options - 0.5, -0.5)
    axes.set_xlim(0, 1)
    axes.set_yticks(range(options))
    axes.tick_params(axis="y", length=0)
    axes.set_title(f"{display(strip.condition)}: answer" if own else "exact answer")


def _distribution(rows: pd.DataFrame, condition: str, source: str | None) -> np.ndarray:
    """Return an answer by option; options that are not listed have probability zero."""
    found = rows[(rows["condition"] == condition) & (rows["source"] == source)].set_index("state")["value"]
    return found.reindex(range(int(found.index.max()) + 1), fill_value=0.0).to_numpy(dtype=float)
