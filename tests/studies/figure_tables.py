"""Made-up tables for tests of figures, and readings of what a figure has drawn."""

from collections.abc import Iterable
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from tests.studies.tables import metric_rows, metric_table
from unamortized.studies.figures.charts import Chart, Picture
from unamortized.studies.figures.drawing import draw
from unamortized.studies.figures.style import Tables

Rows = list[dict[str, Any]]
EXAMPLES = (
    *("task", "world", "condition", "variant", "control", "seed", "n_steps", "problem", "step", "site", "layer"),
    *("source", "state", "value", "run"),
)


def rows(
    metric: str,
    values: float | Iterable[float],
    condition: str = "cot",
    task: str = "mess3",
    split: str = "in_distribution",
    **where: Any,
) -> Rows:
    """Return a row for each value; a single value has one seed."""
    listed = [values] if isinstance(values, float | int) else list(values)
    return metric_rows(metric, condition, listed, task=task, split=split, **where)


def tables(*groups: Rows) -> Tables:
    """Return tables with these rows of metrics, and no examples."""
    return Tables(metric_table(*groups), pd.DataFrame(columns=list(EXAMPLES)))


def drawn(figure: Chart | Picture, found: Tables) -> Figure:
    """Return the drawn figure, which must exist."""
    picture = draw(figure, found)
    assert picture is not None
    return picture


def panels(figure: Figure) -> dict[str, Axes]:
    """Return the visible panels by title."""
    shown = [axes for axes in figure.axes if axes.get_visible() and axes.get_label() != "<colorbar>"]
    return {axes.get_title(loc="left"): axes for axes in shown}


def lines(axes: Axes, **look: Any) -> list[np.ndarray]:
    """Return the (x, y) points of each line that looks so, e.g. of a color."""
    alike = [line for line in axes.lines if all(getattr(line, f"get_{key}")() == value for key, value in look.items())]
    return [np.column_stack([np.atleast_1d(values) for values in line.get_data()]).astype(float) for line in alike]


def texts(axes: Axes) -> dict[tuple[float, float], str]:
    """Return the texts inside a panel by position."""
    return {tuple(map(float, text.get_position())): text.get_text() for text in axes.texts}  # pyright: ignore[reportReturnType]


def legend(figure: Figure) -> list[str]:
    """Return the entries of all legends."""
    return [text.get_text() for found in figure.legends for text in found.get_texts()]


def ticks(axes: Axes, along: str = "y") -> list[str]:
    """Return the tick labels of an axis."""
    labels = axes.get_yticklabels() if along == "y" else axes.get_xticklabels()
    return [label.get_text() for label in labels]
