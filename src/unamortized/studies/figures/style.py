"""One look for all figures: a condition has one color everywhere, and a re-run writes the same bytes."""

import os
from collections.abc import Iterable
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any, Literal

import matplotlib
import numpy as np
import pandas as pd
import seaborn
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from PIL import Image
from scipy import stats

from unamortized.labels import numbers, stem
from unamortized.studies.statistics import Estimate, estimate


@dataclass(frozen=True)
class Tables:
    """``metrics.csv`` and ``examples.csv`` as tables, the only source of figures."""

    metrics: pd.DataFrame
    examples: pd.DataFrame


# Okabe & Ito's palette, for color-blind readers
CONDITIONS: dict[str, tuple[str, str]] = {
    "amortized": ("#D55E00", "o"),
    "amortized_equal_flops": ("#E69F00", "s"),
    "amortized_dense": ("#CC79A7", "P"),
    "amortized_dense_drawn": ("#8C6D31", "p"),
    "distilled": ("#009E73", "*"),
    "cot": ("#0072B2", "D"),
    "cot_copied": ("#7B5EA7", "h"),
    "cot_indexed": ("#1BA3B8", "d"),
    "cot_state": ("#DDA0C4", "v"),
    "cot_reversed": ("#4D4D4D", "<"),
    "next_token": ("#56B4E9", "X"),
    "gru": ("#6B6B00", "^"),
}
STRIDES = {2: ("#1B9AAA", "D"), 4: ("#009E73", "s"), 8: ("#7CB342", "p"), 16: ("#B7A800", "H")}  # away from CoT's blue
AVERAGED = {4: ("#B8568F", "<"), 16: ("#6B2350", ">")}  # the more traces are averaged, the darker
BESIDE: dict[str, Any] = {"gru": {"linestyle": (0, (4, 1.6)), "linewidth": 1.5, "zorder": 2.4}}  # behind the others
OTHER = ("#56B4E9", "X")  # conditions without a line above
BASELINES: dict[str, tuple[str, Any]] = {  # by the stem of the name
    "prior": ("#8A8A8A", (0, (1, 1.4))),
    "window": ("#6E6E6E", (0, (5, 1.8))),
    "particle": ("#8A8A8A", (0, (6, 1.5, 1, 1.5))),
    "codebook_floor": ("#B0B0B0", (0, (2.5, 1.2))),
    "trained_bayes": ("#5A5A5A", (0, (3, 1, 1, 1, 1, 1))),
    "codebook_recursive": ("#909090", (0, (1, 1, 4, 1))),
}
UNORDERED = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#8C6D31", "#6B2350")
TRAINED = "#F0EEE6"  # the shade of lengths and steps seen in training

DPI = 130
STYLE: Any = {
    **seaborn.axes_style("ticks"),
    **seaborn.plotting_context("paper"),
    "font.family": ["DejaVu Sans"],  # ships with matplotlib
    "font.size": 9.5,
    "axes.labelsize": 9.5,
    "axes.titlesize": 10.5,
    "axes.titlelocation": "left",
    "axes.edgecolor": "#444444",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "figure.dpi": DPI,
    "figure.titlesize": 13,
    "figure.constrained_layout.use": True,
    "legend.fontsize": 9,
    "legend.frameon": False,
    "lines.linewidth": 1.9,
    "lines.markersize": 5,
    "xtick.labelsize": 8.5,
    "ytick.labelsize": 8.5,
    "svg.hashsalt": "unamortized",
    "svg.fonttype": "path",
}


def is_baseline(condition: str) -> bool:
    """Return whether a name in the column ``condition`` is a baseline, which needs no training."""
    return stem(condition) in BASELINES


def color(condition: str, variant: str = "") -> str:
    """Return the color of a condition or baseline."""
    return BASELINES[stem(condition)][0] if is_baseline(condition) else _color_and_mark(condition, variant)[0]


def _color_and_mark(condition: str, variant: str) -> tuple[str, str]:
    own = CONDITIONS.get(condition, STRIDES.get(int(numbers(condition).get("every", 0)), OTHER))
    return AVERAGED.get(int(numbers(variant).get("mean", 0)), own)


def look(condition: str, variant: str = "") -> dict[str, Any]:
    """Return how a condition or baseline is drawn, as arguments of ``Axes.plot``."""
    shade = color(condition, variant)
    if is_baseline(condition):
        return {"color": shade, "linestyle": BASELINES[stem(condition)][1], "linewidth": 1.3, "zorder": 1.5}
    mark = {"marker": _color_and_mark(condition, variant)[1], "markeredgecolor": "white", "markeredgewidth": 0.6}
    return {"color": shade, **mark, "zorder": 3} | BESIDE.get(condition, {})


def shades(count: int, ordered: bool) -> list[Any]:
    """Return n colors: from light to dark if the values are ordered, else distinct hues."""
    if not ordered:
        return [UNORDERED[place % len(UNORDERED)] for place in range(count)]
    return [tuple(shade) for shade in matplotlib.colormaps["viridis"](np.linspace(0.72, 0.0, count))]


def compared(conditions: Iterable[str]) -> list[str]:
    """Return one amortized condition and CoT, for figures with room for two; all conditions if both are missing."""
    present = sorted(set(conditions))
    amortized = [name for name in present if name in ("amortized", "amortized_equal_flops")][:1]
    return amortized + [name for name in present if name == "cot"] or present


def over_seeds(rows: pd.DataFrame, by: str) -> pd.DataFrame:
    r"""Return mean and 95 % t-interval over seeds: $\bar v \pm t_{.975, k-1} s / \sqrt{k}$.

    Args:
        rows: rows of one metric, task and condition.
        by: the column of the curve's x.

    Returns:
        ``mean``, ``low`` and ``high``, indexed by ``by``. One seed has no interval; a seed with an infinite value
        removes its index.
    """
    seeds = rows.groupby([by, "seed"])["value"].mean().unstack("seed").astype(float)
    finite = seeds[~seeds.isin([np.inf, -np.inf]).any(axis=1) & seeds.notna().any(axis=1)]
    count = finite.count(axis=1)
    spread = finite.std(axis=1) / np.sqrt(count)
    half = spread * stats.t.ppf(0.975, (count - 1).clip(lower=1))
    mean = finite.mean(axis=1)
    return pd.DataFrame({"mean": mean, "low": mean - half, "high": mean + half})


def curve(
    axes: Axes, rows: pd.DataFrame, by: str, *, floor: float | None = None, band: bool = True, **line: Any
) -> Line2D:
    """Draw the mean over seeds as a line and its interval as a band, both clipped at ``floor``."""
    summary = over_seeds(rows, by).clip(lower=floor)
    x = summary.index.to_numpy(dtype=float)
    (drawn,) = axes.plot(x, summary["mean"].to_numpy(), **line)
    if band and summary["low"].notna().any():
        shade = {"color": line.get("color"), "alpha": 0.14, "linewidth": 0, "zorder": line.get("zorder", 2) - 0.5}
        axes.fill_between(x, summary["low"].to_numpy(), summary["high"].to_numpy(), **shade)
    return drawn


def whisker(
    axes: Axes, values: np.ndarray | Estimate | None, at: float, *, along: Literal["x", "y"], **marker: Any
) -> None:
    """Draw the mean over seeds as a mark and its 95 % interval as a line along one axis, at a point of the other."""
    if isinstance(values, np.ndarray):
        finite = values[np.isfinite(values)]
        values = estimate(finite) if len(finite) else None
    if values is None:
        return
    x, y = (values.value, at) if along == "x" else (at, values.value)
    axes.plot(x, y, linestyle="", **marker)
    if values.low is not None and values.high is not None:
        across = axes.hlines if along == "x" else axes.vlines
        across(at, values.low, values.high, color=marker.get("color"), linewidth=1.2)


def shade_trained(axes: Axes, left: float, right: float) -> None:
    """Shade and name the lengths or steps seen in training."""
    axes.axvspan(left, right, color=TRAINED, linewidth=0, zorder=0)
    axes.text(
        *(left, 0.98, " seen in training"),
        transform=axes.get_xaxis_transform(),
        va="top",
        fontsize=7.5,
        color="#7A7466",
        bbox={"facecolor": TRAINED, "edgecolor": "none", "pad": 0.5},  # no line crosses the words
    )


def legend_below(figure: Figure, handles: Iterable[Any], columns: int = 4) -> None:
    """Draw one legend for all panels below them, in as many columns as fit."""
    listed = list(handles)
    widest = 0.6 + 0.068 * max(len(handle.get_label()) for handle in listed)  # inches of an entry
    columns = max(1, min(columns, len(listed), int(figure.get_figwidth() / widest)))
    figure.legend(handles=listed, loc="outside lower center", ncols=columns, handlelength=3.2)


def save(figure: Figure, folder: Path, name: str) -> None:
    """Write ``<name>.png`` (256 colors) and ``<name>.svg`` atomically, with the same bytes on every run."""
    folder.mkdir(parents=True, exist_ok=True)
    with matplotlib.rc_context(STYLE):
        _settle(figure)
        drawn = BytesIO()
        figure.savefig(drawn, format="png", dpi=DPI)
        picture = Image.open(drawn).convert("RGB").quantize(256, dither=Image.Dither.NONE)
        for kind in ("png", "svg"):
            unfinished = folder / f".{name}.{kind}.{os.getpid()}"
            if kind == "png":
                picture.save(unfinished, format="png", optimize=True)
            else:
                figure.savefig(unfinished, format="svg", dpi=DPI, metadata={"Date": None, "Creator": None})
            unfinished.replace(folder / f"{name}.{kind}")


def _settle(figure: Figure) -> None:
    """Fix the layout and round it: the solver's last bit differs between runs, and would change names in the SVG."""
    figure.draw_without_rendering()
    figure.set_layout_engine("none")
    for axes in figure.axes:
        left, bottom, width, height = np.round(axes.get_position(original=True).bounds, 6)
        axes.set_position((left, bottom, width, height))
