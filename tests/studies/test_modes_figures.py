"""The figures of the modes show reliance by trace and along training, of the rows that the claims are about."""

import numpy as np
import pytest

from tests.studies.figure_tables import drawn, lines, panels, rows, tables, ticks
from unamortized.labels import display
from unamortized.studies.figures.modes import FIGURES, TRACES
from unamortized.studies.figures.style import Tables, color

NAMED = {figure.name: figure for figure in FIGURES}
AFTER = (1, 16, 256)


@pytest.fixture(scope="module")
def found() -> Tables:
    draw, groups = np.random.default_rng(5), []

    def add(metric, condition, variant="l2", world="n8", **where):
        where = {"task": "noisy_permutation", "world": world, "variant": variant} | where
        groups.append(rows(metric, draw.uniform(0.1, 0.9, 3), condition, **where))

    for name in (*TRACES, "amortized"):
        for n_steps in (4, 8):
            add("answer_kl", name, n_steps=n_steps)
        if name == "amortized":
            continue
        add("indirect_effect", name, n_steps=8)
        for lag in (0, 1, 2, 4):
            add("causal_reliance", name, n_steps=8, step=lag)
            add("causal_reliance", name, n_steps=8, step=lag, control="wrong_counterfactual")
            for after in AFTER:
                add("causal_reliance", name, f"l2_after_{after}", n_steps=8, step=lag)
        for after in AFTER:
            for n_steps in (4, 8):
                add("answer_kl", name, f"l2_after_{after}", n_steps=n_steps)
    for world, variant in (("n4", "l2"), ("n8", "l1"), ("n16", "l2")):
        for after in AFTER:
            for lag in (0, 1, 2):
                add("causal_reliance", "cot", f"{variant}_after_{after}", world, n_steps=int(world[1:]), step=lag)
    return tables(*groups)


def mean(found: Tables, metric: str, condition: str, **where) -> float:
    own = found.metrics
    own = own[(own["metric"] == metric) & (own["condition"] == condition) & (own["control"] == "")]
    for column, value in where.items():
        own = own[own[column].isin(value if isinstance(value, tuple) else (value,)).fillna(False)]
    return float(own["value"].mean())


def test_each_trace_has_a_row_and_each_reading_a_panel(found):
    shown = panels(drawn(NAMED["modes"], found))
    assert list(shown) == ["trace exchanged", "last step edited", "edit two steps earlier"]
    where = {"world": "n8", "variant": "l2"}
    readings = {
        "trace exchanged": ("indirect_effect", where),
        "last step edited": ("causal_reliance", where | {"step": 0}),
        "edit two steps earlier": ("causal_reliance", where | {"step": 2}),
    }
    for title, (metric, rest) in readings.items():
        axes = shown[title]
        points = {
            round(y): x
            for line in axes.lines
            if line.get_marker() == "o"
            for x, y in zip(*line.get_data(), strict=True)
        }
        assert points == pytest.approx({at: mean(found, metric, name, **rest) for at, name in enumerate(TRACES)})
    assert ticks(shown["trace exchanged"]) == [display(name) for name in TRACES]


def test_answers_of_the_longest_questions_stand_beside_those_without_a_trace(found):
    (axes,) = panels(drawn(NAMED["modes_kl"], found)).values()
    points = {
        round(y): x for line in axes.lines if line.get_marker() == "o" for x, y in zip(*line.get_data(), strict=True)
    }
    names = (*TRACES, "amortized")
    where = {"world": "n8", "variant": "l2", "n_steps": 8}
    assert points == pytest.approx({at: mean(found, "answer_kl", name, **where) for at, name in enumerate(names)})


def test_along_training_reliance_is_that_of_the_first_lags(found):
    (axes,) = panels(drawn(NAMED["modes_training"], found)).values()
    for name in ("cot", "cot_reversed"):
        (points,) = lines(axes, color=color(name))
        where = {"world": "n8", "step": (0, 1, 2)}
        expected = [mean(found, "causal_reliance", name, variant=f"l2_after_{after}", **where) for after in AFTER]
        np.testing.assert_allclose(points, list(zip(AFTER, expected, strict=True)))


def test_depths_are_lines_and_lengths_panels(found):
    shown = panels(drawn(NAMED["modes_size"], found))
    assert list(shown) == [f"up to {n} observations" for n in (4, 8, 16)]
    curves = [line for line in shown["up to 8 observations"].lines if line.get_marker() == "o"]
    expected = [
        [
            mean(found, "causal_reliance", "cot", world="n8", variant=f"{l}_after_{after}", step=(0, 1, 2))
            for after in AFTER
        ]
        for l in ("l1", "l2")
    ]
    np.testing.assert_allclose([line.get_ydata() for line in curves], expected)
