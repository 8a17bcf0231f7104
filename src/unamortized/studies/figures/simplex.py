"""Belief simplex: beliefs over three states as points of a triangle, colored by the exact belief."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Polygon

from unamortized.labels import display, place
from unamortized.studies.figures.style import Tables, compared

CORNERS = np.array([[0.0, 0.0], [1.0, 0.0], [0.5, np.sqrt(3) / 2]])  # of states 0, 1 and 2
SOURCES = {"stated": "stated", "probed": "probed inside"}
KEYS = ["problem", "step"]


def beliefs_of(rows: pd.DataFrame, source: str) -> pd.DataFrame:
    """Return the beliefs of one source, with a row for each problem and step; probabilities not listed are zero."""
    listed = rows[rows["source"] == source]
    return listed.pivot_table(index=KEYS, columns="state", values="value", fill_value=0.0)


def to_triangle(beliefs: Float[np.ndarray, "point 3"]) -> Float[np.ndarray, "point 2"]:
    """Return the places of beliefs in an equilateral triangle of side 1."""
    return beliefs @ CORNERS


class Clouds(NamedTuple):
    """A row of panels: clouds of beliefs by title, as points of a plane in the colors of the exact beliefs."""

    name: str
    points: dict[str, Float[np.ndarray, "point 2"]]
    colors: Float[np.ndarray, "point 3"]
    in_triangle: bool = True


def belief_simplex(tables: Tables) -> Figure | None:
    """Draw exact, stated and probed beliefs of three-state tasks side by side, for the same problems and steps."""
    rows = tables.examples
    rows = rows[(rows["site"] == "") & (rows["control"] == "") & (rows["variant"] == "")] if len(rows) else rows
    found = [clouds for _, own in rows.groupby(["task", "world"], sort=False) if (clouds := _clouds(own))]
    stating = [clouds for clouds in found if any("stated" in title for title in clouds.points)]
    title = "Do the stated and the probed beliefs have the geometry of the exact ones?"
    return draw_clouds(stating or found, title)  # models that state nothing are drawn only if no other is there


def draw_clouds(lines: Sequence[Clouds], title: str, note: str = "") -> Figure | None:
    """Draw a row of panels for each task, or nothing if there is none."""
    if not lines:
        return None
    wide = max(len(line.points) for line in lines)
    figure = Figure(figsize=(max(7.5, 2.3 * wide), 2.2 * len(lines) + 0.8))
    panels = figure.subplots(len(lines), wide, squeeze=False, sharex="row", sharey="row")
    for axes in panels.flat:
        axes.set_axis_off()
    for row, line in zip(panels, lines, strict=True):
        for axes, (name, points) in zip(row, line.points.items(), strict=False):
            if line.in_triangle:
                outline(axes)
            scatter(axes, points, line.colors)
            axes.set_title(name, loc="center", fontsize=9.5)
            axes.set_aspect("equal")
            axes.autoscale()
        if len(lines) > 1:
            side = {"rotation": 90, "ha": "right", "va": "center", "fontsize": 9.5, "transform": row[0].transAxes}
            row[0].text(-0.02, 0.5, line.name, **side)
    figure.suptitle(title, x=0.01, ha="left")
    text = f"color: the exact belief; area: how often a belief occurs{note}"
    figure.supxlabel(text, fontsize=8.5, color="#555555")
    return figure


def _clouds(rows: pd.DataFrame) -> Clouds | None:
    """Return the beliefs of one seed at the problems and steps that all sources share; only of three states."""
    if not (rows["source"] == "exact").any() or rows.loc[rows["source"] == "exact", "state"].max() != 2:
        return None
    first = rows[rows["seed"] == rows["seed"].min()]
    names = compared(first["condition"])
    found = {"exact\nbelief": beliefs_of(first[first["condition"] == names[0]], "exact")}
    for name in reversed(names):
        own = first[first["condition"] == name]
        for source, label in SOURCES.items():
            if (own["source"] == source).any():
                found[f"{display(name)}:\n{label}"] = beliefs_of(own, source)
    shared = next(iter(found.values())).index
    for beliefs in found.values():
        shared = shared.intersection(beliefs.index)
    kept = {
        title: beliefs.loc[shared].reindex(columns=range(3), fill_value=0.0).to_numpy()
        for title, beliefs in found.items()
    }
    points = {title: to_triangle(beliefs) for title, beliefs in kept.items()}
    return Clouds(place(rows["task"].iloc[0], rows["world"].iloc[0]), points, kept["exact\nbelief"].clip(0, 1))


def scatter(axes: Axes, points: Float[np.ndarray, "point 2"], colors: Float[np.ndarray, "point 3"]) -> None:
    """Draw a cloud of some 1,000 to 10,000 points; points that coincide become one, with an area for their number."""
    _, first, counts = np.unique(np.round(points, 3), axis=0, return_index=True, return_counts=True)
    order = np.argsort(-counts, kind="stable")  # rare points on top, because they are small
    chosen, least = first[order], np.clip(3500 / len(first), 1, 5)
    area = np.clip(250 * counts[order] / len(points), least, 40)
    axes.scatter(*points[chosen].T, c=colors[chosen], s=area, alpha=0.7, linewidths=0, rasterized=True, zorder=2)


def outline(axes: Axes, names: Sequence[str] = ("", "", "")) -> None:
    """Draw the triangle, with the names of the states at its corners."""
    axes.add_patch(Polygon(CORNERS, closed=True, fill=False, edgecolor="#444444", linewidth=0.8, zorder=1))
    for state, (x, y) in enumerate(CORNERS):
        side = np.sign(x - 0.5)
        axes.text(
            *(x + 0.03 * side, y + (0.035 if side == 0 else -0.03), names[state]),
            ha="center",
            va="bottom" if side == 0 else "top",
            fontsize=8,
            color=["#B00000", "#008000", "#0000B0"][state],
        )
    named = 0.12 if any(names) else 0.02
    axes.set_aspect("equal")
    axes.set_xlim(-0.02 - named / 2, 1.02 + named / 2)
    axes.set_ylim(-named, 0.88 + named)
    axes.set_axis_off()
