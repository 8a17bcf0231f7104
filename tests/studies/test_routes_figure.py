"""The figure of routes shows the tables' numbers: a cell a head and group, a mark a part of the network."""

import numpy as np
import pandas as pd
import pytest

from unamortized.evaluation.rows import COLUMNS
from unamortized.studies.figures import FIGURES, Tables
from unamortized.studies.figures.routes import CORRUPTED, GROUPS

HEADS = ("L0H0", "L0H1", "L1H0", "L1H1")
PARTS = ("embed", "L0H0", "L0H1", "L0MLP", "L1H0", "L1H1", "L1MLP", "all")  # as they compute
HELD = {"cot": ("last_code",), "cot_streaming": ("observation",), "cot_copied": ()}  # by the column itself


@pytest.fixture(scope="module")
def tables() -> Tables:
    """Numbers that nobody chose, of three seeds; the heads of a layer as one are no part of the figure."""
    draw, rows = np.random.default_rng(3), []

    def add(condition, metric, layer):
        for seed in range(3):
            cell = {"task": "mess3", "condition": condition, "seed": seed, "split": "in_distribution", "n_steps": 16}
            cell |= {"metric": metric, "layer": layer, "value": draw.uniform(0, 1), "count": 64}
            rows.append(dict.fromkeys(COLUMNS) | cell)

    for condition, held in HELD.items():
        for group in GROUPS:
            for layer in (*HEADS, "L0", "L1", "all") if group not in held else ():
                for metric in ("route_tv", "route_right"):
                    add(f"{condition}/{group}", metric, layer)
        for name in CORRUPTED:
            for layer in (*PARTS[::-1], "L0", "L1"):
                for metric in ("route_reliance", "route_reliance_direct")[: 1 if layer == "all" else 2]:
                    add(f"{condition}/{name}", metric, layer)
    return Tables(pd.DataFrame(rows, columns=list(COLUMNS)), pd.DataFrame())


def mean(tables: Tables, condition: str, metric: str, layer: str) -> float:
    own = tables.metrics
    return own[(own["condition"] == condition) & (own["metric"] == metric) & (own["layer"] == layer)]["value"].mean()


def labels(axes, which: str) -> list[str]:
    return [label.get_text() for label in getattr(axes, f"get_{which}ticklabels")()]


def model_of(axes) -> str:
    """The condition that a panel's title names."""
    return axes.get_title(loc="left").partition(", ")[2].partition(":")[0]


def test_cells_and_marks_are_means_over_seeds_in_the_order_in_which_parts_compute(tables):
    panels = [axes for axes in FIGURES["routes"](tables).axes if axes.get_visible()]
    assert len(panels) == 2 * len(HELD)
    assert {model_of(axes) for axes in panels[::2]} == set(HELD)
    for left, right in zip(panels[::2], panels[1::2], strict=True):
        condition = model_of(left)
        held = HELD[condition]
        assert labels(left, "y") == labels(right, "y") == [*PARTS]
        shown = [group for group in GROUPS if group not in held]
        assert [text.split("\n")[0] for text in labels(left, "x")] == [GROUPS[g].split("\n")[0] for g in shown]
        cells = np.ma.filled(left.images[0].get_array(), np.nan)
        for (y, x), value in np.ndenumerate(cells):
            expected = mean(tables, f"{condition}/{shown[x]}", "route_tv", PARTS[y])
            np.testing.assert_allclose(value, expected)  # not a number for parts that attend to nothing
        marks = {
            (round(float(y)), line.get_color(), line.get_markerfacecolor() == "white"): float(x)
            for line in right.lines
            if line.get_marker() not in (None, "None")
            for x, y in zip(*line.get_data(), strict=True)
        }
        expected = {
            (place, CORRUPTED[name][0], metric.endswith("direct")): mean(tables, f"{condition}/{name}", metric, part)
            for name in CORRUPTED
            for place, part in enumerate(PARTS)
            for metric in ("route_reliance", "route_reliance_direct")
            if (part, metric) != ("all", "route_reliance_direct")
        }
        assert marks == pytest.approx(expected)


def test_what_a_column_holds_itself_is_said(tables):
    panels = FIGURES["routes"](tables).axes[::2]
    said = {model_of(axes): labels(axes, "x") for axes in panels}
    assert "itself\n($c_{t-1}$)" in said["cot"]
    assert "itself\n($x_t$)" in said["cot_streaming"]
    assert "itself" in said["cot_copied"]
