"""Charts as data: the rows of ``metrics.csv`` to draw, the columns to draw them along, and what to see.

A chart's column is a column of the table, or one of these:

- ``place``: task and world as people read them; ``name``: condition and variant as people read them;
- ``condition.every``, ``variant.after``, ``world.slip``: the number after that word in the name (``labels.numbers``).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from numbers import Real
from typing import Any, Literal

import pandas as pd
from matplotlib.figure import Figure

from unamortized.evaluation.metrics import METRICS
from unamortized.labels import column_and_word, display, layer_number, numbers, place
from unamortized.studies.figures.style import Tables

Values = tuple[Any, ...]
Scale = Literal["linear", "log", "symlog"]


@dataclass(frozen=True, kw_only=True)
class Chart:
    """Fields of every kind of chart.

    Rows of controls and of variants are drawn only if ``where`` or a column of the chart names that column.
    """

    name: str  # of the files
    title: str  # the question that the chart answers
    caption: str  # one line: what to see
    metrics: tuple[str, ...]
    # column -> values to keep, in this order (None: a missing number); an empty tuple keeps all
    where: Mapping[str, Values] = field(default_factory=dict)
    prepare: Callable[[pd.DataFrame], pd.DataFrame] | None = None  # adds columns to the rows, or drops rows
    panel: str = "place"  # column with a panel for each value; "": a single panel
    row: str = ""  # column with a row of panels for each value
    line: str = "condition"  # column told apart by color and mark
    dash: str = ""  # column told apart by dashes
    names: Mapping[Any, str] = field(default_factory=dict)  # value, or (column, value) -> its label
    # value of ``line`` -> ``Axes.plot`` arguments
    styles: Mapping[Any, Mapping[str, Any]] = field(default_factory=dict)
    references: tuple[float, ...] = ()  # thin dashed lines across the measured axis
    scale: Scale | None = None  # of the measured axis; default: log for nats, else linear
    floor: float | None = None  # smaller values are drawn here; default: 1e-4 on a log scale
    limits: tuple[float | None, float | None] = (None, None)  # of the measured axis
    shared: bool = True  # whether panels share the measured axis
    label: str = ""  # of the measured axis; default: as in METRICS
    columns: int = 4  # most panels side by side
    size: tuple[float, float] = (3.2, 2.8)  # inches of a panel; a height of 0 fits the values of ``y``

    @property
    def measured_scale(self) -> Scale:
        """The scale of the measured axis."""
        return self.scale or ("log" if METRICS[self.metrics[0]].unit == "nats" else "linear")

    @property
    def measured_floor(self) -> float | None:
        """The value at which smaller ones are drawn."""
        return 1e-4 if self.floor is None and self.measured_scale == "log" else self.floor

    @property
    def measured_label(self) -> str:
        """The label of the measured axis."""
        return self.label or METRICS[self.metrics[0]].axis


@dataclass(frozen=True, kw_only=True)
class Curves(Chart):
    """Means over seeds as lines along a numeric column, with 95 % t-intervals as bands."""

    x: str
    x_label: str = ""
    x_scale: Scale | None = None  # default: log for lengths and amounts of training, else linear
    seeds: bool = False  # whether each seed is a dot, in place of bands


@dataclass(frozen=True, kw_only=True)
class Dots(Chart):
    """Means over seeds as dots along the measured axis, with 95 % t-intervals; a row for each value of ``y``."""

    y: str


@dataclass(frozen=True, kw_only=True)
class Heat(Chart):
    """Means over seeds as colored cells with their number; ``scale`` is that of the colors."""

    x: str
    y: str
    x_label: str = ""
    y_label: str = ""
    palette: str = "Blues"
    range: tuple[float, float] = (0.0, 1.0)
    intervals: bool = False  # whether numbers have half their 95 % t-interval beside them, bold where it excludes 0


@dataclass(frozen=True)
class Picture:
    """A figure drawn by its own function, where no chart fits."""

    name: str  # of the files
    caption: str  # one line: what to see
    draw: Callable[[Tables], Figure | None]  # None where the tables hold nothing for it
    metrics: tuple[str, ...] = ()  # that it is drawn from; none: from examples


def runs_of(figure: Chart | Picture, tables: Tables) -> list[str]:
    """Return the hashes of the runs that a figure shows."""
    if isinstance(figure, Chart):
        rows = rows_of(figure, tables.metrics)
    else:
        rows = tables.metrics[tables.metrics["metric"].isin(figure.metrics)] if figure.metrics else tables.examples
    return sorted({str(run) for run in rows["run"].unique()} - {""})


def rows_of(chart: Chart, metrics: pd.DataFrame) -> pd.DataFrame:
    """Return the rows that a chart draws, with all columns that it names."""
    rows = metrics[metrics["metric"].isin(chart.metrics)]
    own = [getattr(chart, name, "") for name in ("panel", "row", "line", "dash", "x", "y")]
    for column in ("control", "variant"):
        named = any(name == column or name.startswith(f"{column}.") for name in own)
        if column not in chart.where and not named and not (column == "variant" and "name" in own):
            rows = rows[rows[column] == ""]
    if rows.empty:
        return rows
    if chart.prepare:
        rows = chart.prepare(rows)
    for column in {*own, *chart.where} - {""}:
        rows = with_column(rows, column)
    for column, values in chart.where.items():
        kept = rows[column].isin([value for value in values if value is not None])
        rows = rows[kept | rows[column].isna() if None in values else kept] if values else rows
    return rows


def with_column(rows: pd.DataFrame, column: str) -> pd.DataFrame:
    """Return rows with a column that charts may name."""
    if column in rows:
        return rows
    if column == "place":
        return rows.assign(place=[place(*pair) for pair in zip(rows["task"], rows["world"], strict=True)])
    if column == "name":
        return rows.assign(name=[display(*pair) for pair in zip(rows["condition"], rows["variant"], strict=True)])
    name, word = column_and_word(column)
    found = {value: numbers(value).get(word) for value in rows[name].unique()}
    return rows.assign(**{column: rows[name].map(found).astype(float)})


def in_order(chart: Chart, column: str, rows: pd.DataFrame) -> list[Any]:
    """Return a column's values as ``where`` orders them; else numbers and layers ascend, others are as in the table."""
    present = list(dict.fromkeys(rows[column].dropna()))
    if chart.where.get(column):
        return [value for value in chart.where[column] if value in present]
    if column == "layer":
        return sorted(present, key=lambda layer: (layer_number(layer) is None, layer_number(layer) or 0, layer))
    return sorted(present) if all(isinstance(value, Real) for value in present) else present
