"""The figures of faithfulness show each test's change to one problem, and readings against the trained ρ."""

import numpy as np
import pandas as pd
import pytest
from matplotlib.patches import Rectangle

from tests.studies.figure_tables import EXAMPLES, drawn, lines, panels, rows, tables, ticks
from unamortized.evaluation.rows import to_table
from unamortized.studies.faithfulness_measures import FAITHFULNESS_MEASURES, RHOS, VarianceShare, readings
from unamortized.studies.figures.faithfulness import (
    BY_BAYES,
    FIGURES,
    KNOWN,
    MEASURES,
    RAW,
    SCENES,
    faithfulness_measures,
    read_by_measures,
    worked,
)
from unamortized.studies.figures.style import Tables

NAMED = {figure.name: figure for figure in FIGURES}
SLIPS = (0.02, 0.3)
N_STEPS, N_STATES = 4, 3


# ── one problem under every test ─────────────────────────────────────────────────────────────────


def scene(name: str, condition: str, seed: int, stated: int = N_STEPS, changed: tuple[int, ...] = ()) -> list[dict]:
    """Rows of examples of one scene; the trace states as many steps as ``stated``."""
    draw = np.random.default_rng(seed)
    found = []

    def add(source, step, values):
        for state, value in enumerate(np.atleast_1d(values)):
            own = {"task": "noisy_permutation", "world": "w", "condition": condition, "control": name, "step": step}
            found.append(dict.fromkeys(EXAMPLES, "") | own | {"source": source, "state": state, "value": float(value)})

    for step in range(1, N_STEPS + 1):
        add("observation", step, (step + seed) % 4)
        if step <= stated:
            add("stated", step, draw.dirichlet(np.ones(N_STATES)))
    for step in changed:
        add("changed", step, 1.0)
    for source in ("answer", "should"):
        add(source, N_STEPS, draw.dirichlet(np.ones(N_STATES)))
    return found


@pytest.fixture(scope="module")
def examples() -> pd.DataFrame:
    """Three tests of both models, and one of a model with a vocabulary of its own."""
    found = []
    for seed, condition in enumerate(("dial_1", "dial_0")):
        found += scene("undisturbed", condition, seed)
        found += scene("edited", condition, 10 + seed, changed=(2,))
        found += scene("early", condition, 20 + seed, stated=2)
    return pd.DataFrame(found + scene("hinted", "hint_told", 30))


def panels_of_scenes(examples: pd.DataFrame) -> np.ndarray:
    figure = worked(Tables(pd.DataFrame(), examples))
    assert figure is not None
    return np.reshape(figure.axes, (-1, 3))


def of(examples: pd.DataFrame, scene: str, condition: str, source: str) -> pd.DataFrame:
    own = examples[(examples["control"] == scene) & (examples["condition"] == condition)]
    return own[own["source"] == source]


def test_each_test_that_was_taken_is_a_row_in_order(examples):
    titles = [line[0].texts[0].get_text() for line in panels_of_scenes(examples)]
    taken = ("undisturbed", "edited", "early", "hinted")
    assert titles == [scene.title for scene in SCENES if scene.name in taken]


def test_traces_are_stacked_beliefs_over_the_symbols_with_changed_steps_framed(examples):
    for line, name, framed in zip(
        panels_of_scenes(examples)[:3], ("undisturbed", "edited", "early"), ([], [2], []), strict=True
    ):
        axes = line[1]
        bars = [patch for patch in axes.patches if patch.get_fill()]
        stated = of(examples, name, "dial_1", "stated").sort_values(["step", "state"])
        np.testing.assert_allclose([bar.get_height() for bar in bars], stated["value"])
        np.testing.assert_allclose([bar.get_x() + bar.get_width() / 2 for bar in bars], stated["step"])
        tops = {bar.get_x(): bar.get_y() + bar.get_height() for bar in bars}
        np.testing.assert_allclose(list(tops.values()), 1)
        frames = [patch for patch in axes.patches if isinstance(patch, Rectangle) and not patch.get_fill()]
        assert [frame.get_x() + frame.get_width() / 2 for frame in frames] == pytest.approx(framed)
        unstated = [text.get_position()[0] for text in axes.texts]
        assert unstated == sorted(set(range(1, N_STEPS + 1)) - set(stated["step"]))
        observed = of(examples, name, "dial_1", "observation").sort_values("step")["value"]
        assert [label.get_text() for label in axes.get_xticklabels()] == [str(int(symbol)) for symbol in observed]


def test_answers_of_both_models_stand_below_the_one_that_is_called_for(examples):
    lines_of_scenes = panels_of_scenes(examples)
    widths = [patch.get_width() for patch in lines_of_scenes[1, 2].patches]
    expected = [
        of(examples, "edited", *which) for which in (("dial_1", "should"), ("dial_1", "answer"), ("dial_0", "answer"))
    ]
    np.testing.assert_allclose(widths, np.concatenate([rows["value"] for rows in expected]))
    assert ticks(lines_of_scenes[0, 2]) == ["exact", "ρ = 1", "ρ = 0"]
    assert ticks(lines_of_scenes[1, 2]) == ["by the trace", "ρ = 1", "ρ = 0"]
    assert ticks(lines_of_scenes[3, 2]) == ["by the trace", "CoT, states the hint"]


def test_the_world_with_most_tests_is_shown(examples):
    few = examples[examples["control"] == "edited"].assign(world="other", value=0.5)
    assert len(panels_of_scenes(pd.concat([few, examples]))) == 4
    assert worked(Tables(pd.DataFrame(), pd.DataFrame(columns=list(EXAMPLES)))) is None


# ── measures against the trained faithfulness ────────────────────────────────────────────────────


def over_rho(metric: str, reading, of: str = "dial", seeds: int = 3, **where) -> list[dict]:
    """Rows of a metric for each ρ and world, from ``reading(rho, slip, seed)``."""
    found = []
    for slip in SLIPS:
        for rho in RHOS:
            values = [reading(rho, slip, seed) for seed in range(seeds)]
            world = {"task": "noisy_permutation", "world": f"slip_{slip}"}
            found += rows(metric, values, f"{of}_{rho:g}", n_steps=6, **world, **where)
    return found


FAITHFUL = over_rho("sufficiency", lambda rho, slip, seed: rho + 0.01 * seed)
WORLDLY = over_rho("early_aoc", lambda rho, slip, seed: rho / 10 + slip)
SAME = over_rho("posthocness", lambda rho, slip, seed: 0.5)


def test_measures_are_sorted_by_the_share_that_rho_explains_and_drawn_as_that_share():
    found = tables(WORLDLY, SAME, FAITHFUL)
    figure = faithfulness_measures(found)
    assert figure is not None
    bars, ranks, errors = figure.axes[:3]
    named = {measure.metric: measure for measure in FAITHFULNESS_MEASURES if not measure.over}
    order = [named[metric] for metric in ("sufficiency", "early_aoc", "posthocness")]
    assert [label.split(" (")[0] for label in ticks(bars)] == [measure.title for measure in order]
    widths = [patch.get_width() for patch in bars.patches]
    parts = ("rho", "world", "neither")
    shares = [VarianceShare(measure, part=part).values(found.metrics).mean() for measure in order[:2] for part in parts]
    np.testing.assert_allclose(widths, shares, atol=1e-12)
    assert [text.get_text() for text in bars.texts] == ["always reads the same"]
    on_ranks = {round(line.get_ydata()[0]): line.get_xdata()[0] for line in ranks.lines if line.get_marker() == "o"}
    assert on_ranks[0] == pytest.approx(1, abs=0.02)
    assert set(on_ranks) == {0, 1}  # a reading that never varies has no rank correlation
    on_errors = {round(line.get_ydata()[0]): line.get_xdata()[0] for line in errors.lines if line.get_marker() == "o"}
    assert on_errors == {2: pytest.approx(np.mean([abs(0.5 - (1 - rho)) for rho in RHOS]))}  # alone is on ρ's scale


def test_nothing_is_drawn_where_no_measure_was_read():
    assert faithfulness_measures(tables()) is None
    assert faithfulness_measures(tables(rows("sufficiency", 0.5, "cot", n_steps=6))) is None


def test_readings_of_chosen_measures_are_those_that_are_judged():
    draw = np.random.default_rng(2)
    groups = []
    for metric in sorted({metric for name in (*BY_BAYES, *RAW) for metric in MEASURES[name].metrics}):
        measure = next(each for each in MEASURES.values() if metric in each.metrics)
        for kind in ("dial", "reader"):
            for step in measure.steps or (None,):
                groups.append(over_rho(metric, lambda *_: draw.uniform(0.2, 0.9), kind, step=step))
    metrics = to_table(row for group in groups for row in group)
    read = read_by_measures(metrics)
    for name in (*BY_BAYES, *RAW):
        for kind in ("dial", "reader"):
            own = read[(read["measure"] == name) & (read["kind"] == kind)]
            drawn_means = own.groupby(["world", "rho", "seed"])["value"].mean()
            judged = readings(metrics, MEASURES[name], kind).set_index(["world", "rho", "seed"])["value"]
            pd.testing.assert_series_equal(drawn_means.sort_index(), judged.sort_index(), check_dtype=False)
    shown = panels(drawn(NAMED["measure_readings"], Tables(metrics, pd.DataFrame())))
    assert list(shown) == [*BY_BAYES, *RAW]


def test_reliance_by_lag_leaves_out_too_few_problems_and_dashes_the_wrong_end_alone():
    groups = [
        over_rho(metric, lambda rho, slip, seed, add=add: rho + add, step=lag)
        for metric, add in (("causal_reliance", 0.0), ("causal_reliance_abrupt", -0.1))
        for lag in (0, 1, 3)
    ]
    few = [row | {"count": 3} for row in over_rho("causal_reliance", lambda *_: 9.0, step=4)]
    shown = panels(drawn(NAMED["dial"], tables(*groups, few)))
    assert list(shown) == ["slip 0.02", "slip 0.3"]
    for axes in shown.values():
        solid = [points for points in lines(axes, linestyle="-") if len(points) == 3]
        np.testing.assert_allclose(solid, [[(lag, rho) for lag in (0, 1, 3)] for rho in RHOS])
        dashed = [points for points in lines(axes, linestyle="--") if len(points) == 3]
        np.testing.assert_allclose([points[:, 1] for points in dashed], [[rho - 0.1] * 3 for rho in RHOS])


def test_known_cases_are_read_where_the_claims_read_them():
    groups = [
        rows(metric, 0.1 * number, condition, control=control, n_steps=6)
        for number, (metric, condition, control) in enumerate(KNOWN)
    ]
    beside = rows("hint_slope", 0.77, "cot", n_steps=6), rows("causal_reliance", 0.77, control="untrained", n_steps=6)
    (axes,) = panels(drawn(NAMED["known_cases"], tables(*groups, *beside))).values()
    assert ticks(axes) == list(KNOWN.values())
    points = {round(y): x for line in axes.lines if line.get_marker() == "o" for x, y in [np.ravel(line.get_data())]}
    assert points == pytest.approx({number: 0.1 * number for number in range(len(KNOWN))})
