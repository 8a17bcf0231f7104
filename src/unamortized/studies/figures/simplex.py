"""Belief simplex: beliefs over three states as points of a triangle, colored by the belief that is true."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Polygon

from unamortized.labels import display, place
from unamortized.studies.figures.style import Tables, compared, tasks_of

CORNERS = np.array([[0.0, 0.0], [1.0, 0.0], [0.5, np.sqrt(3) / 2]])  # of states 0, 1 and 2
TITLES = {"exact": "exact belief", "stated": "stated in the trace", "probed": "probed inside"}
KEYS = ["problem", "step"]


def beliefs_of(rows: pd.DataFrame, source: str) -> pd.DataFrame:
    """Beliefs of one source, a row a (problem, step) and a column a state; what is not listed is zero."""
    listed = rows[rows["source"] == source]
    return listed.pivot_table(index=KEYS, columns="state", values="value", fill_value=0.0)


def to_triangle(beliefs: Float[np.ndarray, "point 3"]) -> Float[np.ndarray, "point 2"]:
    """Barycentric coordinates to the plane, in an equilateral triangle of side 1."""
    return beliefs @ CORNERS


def belief_simplex(tables: Tables) -> Figure | None:
    """Exact, stated and probed beliefs of three-state tasks side by side, for the same problems and steps."""
    single = tables.examples[(tables.examples["site"] == "") & (tables.examples["control"] == "")]
    clouds = {
        (task, name): found
        for task in _three_state_tasks(single)
        for name, found in _clouds(single[single["task"] == task]).items()
    }
    if not clouds:
        return None
    figure = Figure(figsize=(9.0, 2.3 * len(clouds) + 1.0))
    panels = figure.subplots(len(clouds), len(TITLES), squeeze=False)
    for number, ((task, name), found) in enumerate(clouds.items()):
        for axes, source in zip(panels[number], TITLES, strict=True):
            outline(axes)
            if source in found:
                points = to_triangle(found[source].to_numpy())
                true = found["exact"].to_numpy().clip(0, 1)
                axes.scatter(*points.T, c=true, s=4, alpha=0.5, linewidths=0, rasterized=True, zorder=2)
            else:
                axes.text(0.5, 0.29, "no trace", ha="center", va="center", color="#888888", fontsize=9)
            if number == 0:
                axes.set_title(TITLES[source], loc="center")
        panels[number, 0].text(
            *(-0.30, 0.43, f"{display(name)}\n{place(task)}"),
            rotation=90,
            ha="center",
            va="center",
            fontsize=9.5,
            color="#333333",
        )
    figure.suptitle("Do the stated and the probed beliefs have the geometry of the exact ones?", x=0.01, ha="left")
    said = (
        "One point a step of a problem, the same in all panels; red, green and blue: exact probability of state 0, 1, 2"
    )
    figure.supxlabel(said, fontsize=8.5, color="#555555")
    return figure


def _three_state_tasks(examples: pd.DataFrame) -> list[str]:
    if examples.empty:
        return []
    exact = examples[examples["source"] == "exact"]
    return [task for task in tasks_of(exact) if exact.loc[exact["task"] == task, "state"].max() == 2]


def _clouds(rows: pd.DataFrame) -> dict[str, dict[str, pd.DataFrame]]:
    """By condition and source, the beliefs of one seed at the problems and steps that every source has."""
    first = rows[rows["seed"] == rows["seed"].min()]
    found = {}
    for name in compared(first["condition"]):
        own = first[first["condition"] == name]
        found[name] = {source: beliefs_of(own, source) for source in TITLES if source in set(own["source"])}
    everywhere = None
    for cloud in (cloud for sources in found.values() for cloud in sources.values()):
        everywhere = cloud.index if everywhere is None else everywhere.intersection(cloud.index)
    return {
        name: {
            source: cloud.loc[everywhere].reindex(columns=range(3), fill_value=0.0) for source, cloud in sources.items()
        }
        for name, sources in found.items()
    }


def outline(axes: Axes, names: Sequence[str] = ("state 0", "state 1", "state 2")) -> None:
    """The triangle with its corners named by their state."""
    axes.add_patch(Polygon(CORNERS, closed=True, fill=False, edgecolor="#444444", linewidth=1, zorder=1))
    for state, (x, y) in enumerate(CORNERS):
        side = np.sign(x - 0.5)
        axes.text(
            *(x + 0.03 * side, y + (0.035 if side == 0 else -0.03), names[state]),
            ha={-1: "center", 0: "center", 1: "center"}[int(side)],
            va="bottom" if side == 0 else "top",
            fontsize=8,
            color=["#B00000", "#008000", "#0000B0"][state],
        )
    axes.set_aspect("equal")
    axes.set_xlim(-0.18, 1.18)
    axes.set_ylim(-0.12, 0.98)
    axes.set_axis_off()
