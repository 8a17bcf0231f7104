"""The pointer study's figures show the tables' numbers, each under its own scheme, ids and trace."""

import numpy as np
import pandas as pd
import pytest

from unamortized.evaluation.rows import COLUMNS
from unamortized.studies.figures import FIGURES, Tables
from unamortized.studies.figures.pointer import Place, place
from unamortized.studies.figures.style import color

LENGTHS = (4, 16, 64)
VARIANTS = ("alibi_coupled", "alibi_plain", "none")
NO_EXAMPLES = pd.DataFrame()


@pytest.fixture(scope="module")
def tables() -> Tables:
    """Numbers that nobody chose: two seeds of three layouts, copied traces under one of them."""
    draw, rows = np.random.default_rng(7), []

    def add(condition, metric, low=0.05, high=0.4):
        for n_steps in LENGTHS:
            for seed in (0, 1):
                split = "length" if n_steps > 16 else "in_distribution"
                cell = {"task": "noisy_permutation", "condition": condition, "seed": seed, "split": split}
                cell |= {"metric": metric, "n_steps": n_steps, "value": draw.uniform(low, high), "count": 64}
                rows.append(dict.fromkeys(COLUMNS) | cell)

    names = [f"{condition}@{variant}" for variant in VARIANTS for condition in ("amortized", "cot")]
    names.append("cot_copied@alibi_plain")
    for name in (*names, "window_8", "cot"):  # the last has no layout in its name: of another study
        add(name, "answer_kl")
    for name in names:
        if not name.startswith("amortized"):
            for metric in ("pointer_error", "update_error"):
                add(name, metric)
            for each in (name, f"{name}/exchanged_codes"):
                add(each, "pointer_share")
    add("cot_copied@alibi_plain/codes_only", "pointer_error")
    table = pd.DataFrame(rows, columns=list(COLUMNS))
    return Tables(table.astype({"seed": "Int64", "n_steps": "Int64", "layer": "string"}), NO_EXAMPLES)


def means(tables: Tables, condition: str, metric: str) -> list[float]:
    found = tables.metrics
    found = found[(found["condition"] == condition) & (found["metric"] == metric)]
    return [float(found.loc[found["n_steps"] == n_steps, "value"].mean()) for n_steps in LENGTHS]


def panels(figure) -> dict:
    return {axes.get_title(loc="left"): axes for axes in figure.axes if axes.get_visible()}


def test_a_name_says_what_was_trained_under_which_layout():
    assert place("cot@rotary_plain/exchanged_codes") == Place("cot", "rotary", "plain", "exchanged_codes")
    assert place("cot_copied@none") == Place("cot_copied", "none", "", "")
    assert place("window_8").scheme == ""


def test_kl_by_scheme_draws_each_condition_in_its_panel_and_dashes(tables):
    drawn = panels(FIGURES["kl_by_scheme"](tables))
    assert list(drawn) == ["ALiBi", "no positions"]
    for title, name, dashed in (
        ("ALiBi", "cot@alibi_coupled", False),
        ("ALiBi", "cot@alibi_plain", True),
        ("ALiBi", "cot_copied@alibi_plain", True),
        ("no positions", "amortized@none", False),
    ):
        lines = [line for line in drawn[title].lines if line.get_color() == color(name.partition("@")[0])]
        (line,) = [line for line in lines if (line.get_linestyle() != "-") == dashed]
        np.testing.assert_array_equal(line.get_xdata(), LENGTHS)
        np.testing.assert_allclose(line.get_ydata(), means(tables, name, "answer_kl"))
    assert len(drawn["ALiBi"].lines) == 2 + 2 + 1 + 1  # amortized, cot, copied, window
    assert len(drawn["no positions"].lines) == 2 + 1


def test_errors_are_stacked_and_chance_is_marked_where_codes_alone_are_judged(tables):
    drawn = panels(FIGURES["pointer_errors"](tables))
    assert list(drawn) == ["cot, ALiBi", "cot, no positions", "cot_copied, ALiBi"]
    for title, names in (
        ("cot, ALiBi", ["cot@alibi_coupled", "cot@alibi_plain"]),
        ("cot, no positions", ["cot@none"]),
        ("cot_copied, ALiBi", ["cot_copied@alibi_plain"]),
    ):
        bars = np.reshape(drawn[title].patches, (len(names), 2, len(LENGTHS)))
        for (pointers, updates), name in zip(bars, names, strict=True):
            lower, upper = means(tables, name, "pointer_error"), means(tables, name, "update_error")
            np.testing.assert_allclose([bar.get_height() for bar in pointers], lower)
            np.testing.assert_allclose([bar.get_height() for bar in updates], upper)
            np.testing.assert_allclose([bar.get_y() for bar in updates], lower)
            assert all((bar.get_hatch() is not None) == name.endswith("plain") for bar in pointers)
        marks = [line.get_ydata() for line in drawn[title].lines]
        assert len(marks) == (0 if "copied" in title else len(names))
        for mark, name in zip(marks, names, strict=False):
            wrong = np.add(means(tables, name, "pointer_error"), means(tables, name, "update_error"))
            np.testing.assert_allclose(mark, wrong * means(tables, f"{name}/exchanged_codes", "pointer_share"))


@pytest.mark.parametrize("name", ["kl_by_scheme", "pointer_errors"])
def test_without_layouts_nothing_is_drawn(tables, name):
    assert FIGURES[name](Tables(pd.DataFrame(), NO_EXAMPLES)) is None
    plain = tables.metrics[~tables.metrics["condition"].str.contains("@")]
    assert FIGURES[name](Tables(plain, NO_EXAMPLES)) is None
