"""Charts as data: which rows of ``metrics.csv`` are drawn, along which columns, and what there is to see.

A column of a chart is a column of the table, or one of these:

- ``place``: task and world as people read them; ``name``: condition and variant as people read them;
- ``condition.every``, ``variant.after``, ``world.slip``: the number after that word in the name (``labels.numbers``);
- ``metric``: to tell several metrics apart.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from numbers import Real
from typing import Any, Literal

import pandas as pd
from matplotlib.figure import Figure

from unamortized.evaluation.metrics import METRICS
from unamortized.labels import display, layer_number, numbers, place
from unamortized.studies.figures.style import Tables

Values = tuple[Any, ...]
Scale = Literal["linear", "log", "log2", "symlog"]


@dataclass(frozen=True)
class Reference:
    """A value that readings are compared with, drawn as a thin line."""

    value: float
    label: str = ""


@dataclass(frozen=True, kw_only=True)
class Chart:
    """What every kind of chart has.

    Rows of a control are left out unless ``where`` or a column of the chart names controls; so are rows of a variant.
    """

    name: str  # of the files
    title: str  # the question that it answers
    caption: str  # one line: what to see
    metrics: tuple[str, ...]
    # column -> the values that are kept, in this order (None: a missing number); an empty tuple keeps all
    where: Mapping[str, Values] = field(default_factory=dict)
    prepare: Callable[[pd.DataFrame], pd.DataFrame] | None = None  # adds columns to the metrics' rows, or drops some
    panel: str = "place"  # a panel for each value of this column; none: a single panel
    row: str = ""  # and a row of panels for each value of this one
    line: str = "condition"  # told apart by color (and mark)
    dash: str = ""  # told apart by dashes
    names: Mapping[Any, str] = field(default_factory=dict)  # what people read in place of a value, or (column, value)
    # how values of ``line`` are drawn, as arguments of ``Axes.plot``; none: by condition, or from a palette
    styles: Mapping[Any, Mapping[str, Any]] = field(default_factory=dict)
    references: tuple[Reference, ...] = ()
    scale: Scale | None = None  # of the measured axis; none: log for nats, else linear
    floor: float | None = None  # smaller values are drawn here; none: 1e-4 for nats on a log scale
    limits: tuple[float | None, float | None] = (None, None)  # of the measured axis
    shared: bool = True  # whether panels share the measured axis
    label: str = ""  # of the measured axis; none: as METRICS has it
    columns: int = 4  # panels side by side, at most
    size: tuple[float, float] = (3.2, 2.8)  # inches of a panel; a height of 0 is what the values of ``y`` need

    @property
    def measured_scale(self) -> Scale:
        """The scale of the measured axis."""
        if self.scale is not None:
            return self.scale
        return "log" if METRICS[self.metrics[0]].unit == "nats" else "linear"

    @property
    def measured_floor(self) -> float | None:
        """The value below which nothing is told apart."""
        return 1e-4 if self.floor is None and self.measured_scale == "log" else self.floor

    @property
    def measured_label(self) -> str:
        """The label of the measured axis."""
        return self.label or METRICS[self.metrics[0]].axis


@dataclass(frozen=True, kw_only=True)
class Curves(Chart):
    """Means over seeds as lines along a column of numbers, with 95 % t-intervals as bands."""

    x: str
    x_scale: Scale | None = None  # none: log2 for lengths and steps of training, else linear with ticks at values
    x_label: str = ""
    bands: bool = True
    seeds: bool = False  # whether each seed is a dot, too
    levels: bool = False  # whether rows without x are lines across their panel


@dataclass(frozen=True, kw_only=True)
class Dots(Chart):
    """Means over seeds as dots along the measured axis, with 95 % t-intervals, a row for each value of a column."""

    y: str


@dataclass(frozen=True, kw_only=True)
class Bars(Chart):
    """Means over seeds as bars in groups, with 95 % t-intervals; a group for each value of a column."""

    x: str
    x_label: str = ""
    stacked: bool = False  # whether the values of ``line`` lie on each other rather than side by side
    levels: bool = False  # whether rows without x are lines across their panel


@dataclass(frozen=True, kw_only=True)
class Heat(Chart):
    """Means over seeds as colored cells with their number, by two columns; ``scale`` is that of the colors."""

    x: str
    y: str
    x_label: str = ""
    y_label: str = ""
    palette: str = "Blues"
    range: tuple[float, float] = (0.0, 1.0)
    digits: int = 2  # decimals, or significant digits on a log scale; 0: no numbers
    intervals: bool = False  # whether numbers have half their 95 % t-interval beside them, bold where it excludes 0
    frontier: Callable[[Any], float] | None = None  # of a value of y: up to which x a stair is drawn


@dataclass(frozen=True)
class Picture:
    """A picture that no chart can be: a function from the tables."""

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
    """Return the rows that a chart draws, with a column for each that it names; empty where there are none."""
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
    name, _, word = column.partition(".")
    found = {value: numbers(value).get(word) for value in rows[name].unique()}
    return rows.assign(**{column: rows[name].map(found).astype(float)})


def in_order(chart: Chart, column: str, rows: pd.DataFrame) -> list[Any]:
    """Return the values that a column has: as ``where`` lists them, numbers ascending, else as in the table."""
    present = list(dict.fromkeys(rows[column].dropna()))
    if chart.where.get(column):
        return [value for value in chart.where[column] if value in present]
    if column == "layer":
        return sorted(present, key=lambda layer: (layer_number(layer) is None, layer_number(layer) or 0, layer))
    return sorted(present) if all(isinstance(value, Real) for value in present) else present
