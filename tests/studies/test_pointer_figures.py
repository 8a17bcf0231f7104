"""The figures on pointers show each layout's rows under its scheme and ids."""

import numpy as np
import pytest

from tests.studies.figure_tables import drawn, legend, lines, panels, rows, tables, texts, ticks
from unamortized.studies.figures.drawing import draw
from unamortized.studies.figures.pointer import FIGURES, LAYOUTS, SCHEMES
from unamortized.studies.figures.style import color

BY_NAME = {figure.name: figure for figure in FIGURES}
LENGTHS = (4, 16, 64)
VARIANTS = ("alibi_coupled", "alibi_plain", "rotary_plain", "none")


def level(condition: str, variant: str) -> float:
    """A value of its own for each model, so that a mistaken one shows."""
    return 0.01 * (1 + ["amortized", "cot", "cot_copied"].index(condition)) * (2 + [*LAYOUTS].index(variant))


def by_length(metric, values, condition, **where):
    return [
        row
        for n in LENGTHS
        for row in rows(
            metric, [value * np.log2(n) for value in values], condition, n_steps=n,
            split="length" if n > 16 else "in_distribution", **where
        )
    ]  # fmt: skip


@pytest.fixture(scope="module")
def found():
    groups = [by_length("answer_kl", [0.02, 0.03], name) for name in ("window_8", "prior", "cot")]
    models = [(condition, variant) for variant in VARIANTS for condition in ("amortized", "cot")]
    for condition, variant in (*models, ("cot_copied", "alibi_plain")):
        own = level(condition, variant)
        groups.append(by_length("answer_kl", [own, own + 0.002], condition, variant=variant))
        if condition.startswith("cot"):
            groups.append(by_length("pointer_error", [own, own], condition, variant=variant))
            groups.append(by_length("update_error", [own / 4], condition, variant=variant))
            groups.append(rows("pointer_share", [0.9, 0.92], condition, variant=variant, n_steps=64))
            groups.append(rows("pointer_share", [0.1], condition, variant=variant, n_steps=16))
            chance = {"variant": variant, "n_steps": 64, "control": "exchanged_codes"}
            groups.append(rows("pointer_share", [0.5, 0.6], condition, **chance))
    return tables(*groups)


def test_each_scheme_is_a_line_in_the_panel_of_its_ids(found):
    figure = drawn(BY_NAME["kl_by_scheme"], found)
    shown = panels(figure)
    assert list(shown) == ["CoT: coupled ids", "CoT: plain ids", "no trace: coupled ids", "no trace: plain ids"]
    for title, condition, variants in (
        ("CoT: coupled ids", "cot", ["alibi_coupled"]),
        ("CoT: plain ids", "cot", ["alibi_plain", "rotary_plain", "none"]),
        ("no trace: plain ids", "amortized", ["alibi_plain", "rotary_plain", "none"]),
    ):
        drawn_lines = lines(shown[title], linestyle="-")
        expected = [[(level(condition, each) + 0.001) * np.log2(n) for n in LENGTHS] for each in variants]
        np.testing.assert_allclose([line[:, 1] for line in drawn_lines], expected)
    assert set(texts(shown["CoT: plain ids"]).values()) == {"ALiBi", "rotary", "no positions", " seen in training"}


def test_a_scheme_has_one_color_in_all_panels(found):
    shown = panels(drawn(BY_NAME["kl_by_scheme"], found))
    colors = [axes.lines[0].get_color() for axes in shown.values()]
    assert len(set(colors)) == 1  # ALiBi is the first of each


def test_each_trace_stands_in_the_panel_of_its_ids(found):
    shown = panels(drawn(BY_NAME["kl_by_trace"], found))
    assert list(shown) == ["coupled ids", "plain ids"]
    assert len(lines(shown["coupled ids"], color=color("cot_copied"))) == 0
    assert len(lines(shown["plain ids"], color=color("cot_copied"))) == 1
    (cot,) = lines(shown["plain ids"], color=color("cot"))
    np.testing.assert_allclose(cot[:, 1], [(level("cot", "alibi_plain") + 0.001) * np.log2(n) for n in LENGTHS])


def test_wrong_observations_are_solid_and_wrong_updates_dashed(found):
    figure = drawn(BY_NAME["pointer_errors"], found)
    axes = panels(figure)["plain ids"]
    solid, dashed = (
        [line for line in axes.lines if (line.get_linestyle() == "-") is is_solid] for is_solid in (True, False)
    )
    expected = [level("cot", each) for each in ("alibi_plain", "rotary_plain", "none")]
    np.testing.assert_allclose([line.get_ydata()[0] / 2 for line in solid], expected)
    np.testing.assert_allclose([line.get_ydata()[0] / 2 for line in dashed], np.array(expected) / 4)
    assert [line.get_color() for line in solid] == [line.get_color() for line in dashed]
    assert legend(figure) == ["wrong observation", "wrong update"]


def test_shares_at_the_greatest_length_stand_beside_chance(found):
    figure = drawn(BY_NAME["pointer_share"], found)
    shown = panels(figure)
    assert list(shown) == ["coupled ids", "plain ids"]
    names = ["ALiBi", "rotary", "no positions", "ALiBi, observations copied"]
    assert ticks(shown["coupled ids"]) == names  # which both panels share
    values = [round(float(np.asarray(line.get_xdata())[0]), 6) for line in shown["plain ids"].lines]
    assert sorted(values) == [0.55] * len(names) + [0.91] * len(names)
    assert len(shown["coupled ids"].lines) == 2
    assert legend(figure) == ["measured", "codes of other problems"]


def test_every_layout_has_a_scheme_that_is_drawn():
    assert {scheme for scheme, _ in LAYOUTS.values()} == set(SCHEMES)


def test_without_layouts_nothing_is_drawn(found):
    bare = found.metrics[found.metrics["variant"] == ""]
    for figure in FIGURES:
        without = draw(figure, type(found)(bare, found.examples))
        assert without is None, figure.name
        assert draw(figure, tables()) is None
