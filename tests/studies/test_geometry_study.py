"""The study of geometry judges what it says it judges, and draws what its tables hold."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from unamortized.evaluation.examples import EXAMPLE_COLUMNS
from unamortized.evaluation.rows import COLUMNS
from unamortized.studies.claims import judge_all
from unamortized.studies.figures import FIGURES, Tables
from unamortized.studies.figures.geometry import MOVES, NAMED
from unamortized.studies.geometry import (
    CLAIMS,
    GEOMETRY,
    MESS3,
    NOISY,
    RIVALS,
    above_best,
    above_rivals,
    cost_of_erasing,
    used_in_the_question,
)
from unamortized.studies.study import plan

TYPES = {"step": "Int64", "n_steps": "Int64", "layer": "string", "condition": "string"}


@pytest.fixture(autouse=True)
def _at_the_top(monkeypatch):
    monkeypatch.chdir(Path(__file__).parents[2])  # where tasks/ is


def table(rows) -> pd.DataFrame:
    filled = [dict.fromkeys(COLUMNS) | {"split": "in_distribution", "count": 9} | row for row in rows]
    return pd.DataFrame(filled, columns=list(COLUMNS)).astype(TYPES)


def probed(condition: str, value: float, seed: int = 0, layer: str | None = "all", **more):
    own = {"task": MESS3, "condition": condition, "seed": seed, "metric": "question_probe_r2", "value": value}
    return own | {"layer": layer, "n_steps": 16} | more


def steered(condition: str, value: float, seed: int = 0, **more):
    own = {"task": NOISY, "condition": condition, "seed": seed, "metric": "steered_kl", "value": value}
    return own | {"layer": "chosen", "n_steps": 16} | more


def test_the_best_control_is_beaten_or_not():
    rows = [probed("next_token", 0.9), probed("next_token", 0.1, layer="2"), probed("next_token", 0.2, step=4)]
    rows += [probed("next_token", 0.0, n_steps=32)]
    for name in RIVALS:
        layered = name in ("untrained", "wrong_process", "control_task", "shuffled_belief")
        rows.append(probed(f"next_token/{name}", 0.3, layer="all" if layered else None))
    measure = above_rivals("next_token").per_seed
    assert measure(table(rows)).to_list() == pytest.approx([0.6])
    for at, name in enumerate(RIVALS):
        other = [dict(row) for row in rows]
        other[len(rows) - len(RIVALS) + at]["value"] = 0.95
        assert measure(table(other)).to_list() == pytest.approx([-0.05]), name


def test_steering_is_set_against_the_best_of_its_controls_at_the_chosen_layer():
    rows = [steered("cot", 0.2), steered("cot", 9.0, layer="2", step=0), steered("cot", 9.0, step=0)]
    rows += [steered("cot/a", 0.8), steered("cot/b", 0.5)]
    assert above_best("steered_kl", "cot", ("a", "b")).per_seed(table(rows)).to_list() == pytest.approx([0.4])


def test_erasing_is_told_as_a_share_of_what_exact_bayes_loses():
    values = {"": 0.8, "/random_subspace": 0.3, "/exact_loss": 1.1, "/untouched": 0.1}
    rows = [steered(f"cot{name}", value, metric="erased_kl", layer="1", step=0) for name, value in values.items()]
    rows += [{**row, "layer": "2", "value": 7.0} for row in rows] + [{**row, "step": 4, "value": 7.0} for row in rows]
    assert cost_of_erasing("cot").per_seed(table(rows)).to_list() == pytest.approx([0.7])
    assert cost_of_erasing("cot", "random_subspace").per_seed(table(rows)).to_list() == pytest.approx([0.2])


def test_what_is_used_in_the_question_is_the_most_that_any_layer_does():
    rows = [
        steered("amortized", value, metric="question_steered_reliance", layer=layer, step=step)
        for layer, step, value in (("0", 0, 0.9), ("0", 2, 0.1), ("0", 4, 0.0), ("1", 2, 0.3), ("1", 4, 0.1))
    ]
    rows.append(steered("amortized/donor_patch", 0.9, metric="question_steered_reliance", layer="1", step=2))
    assert used_in_the_question(table(rows)).to_list() == pytest.approx([0.2])


def test_every_claim_is_refuted_or_supported_by_numbers_that_say_so():
    named = {claim.name for claim in CLAIMS}
    assert len(named) == len(CLAIMS)
    assert all(claim["verdict"] == "inconclusive" for claim in judge_all(CLAIMS, table([probed("next_token", 0.9)])))
    rows = []
    for seed in range(3):
        rows += [probed("next_token", 0.95 + 0.001 * seed, seed, layer) for layer in ("4", "all")]
        rows += [probed("next_token/untrained", 0.5, seed, layer) for layer in ("4", "all")]
    (claim,) = [claim for claim in CLAIMS if claim.name == "the_simplex_of_mess3_lies_in_the_last_layer"]
    assert claim.judge(MESS3, table(rows))["verdict"] == "supported"
    lower = [{**row, "value": row["value"] - 0.2} for row in rows]
    assert claim.judge(MESS3, table(lower))["verdict"] == "refuted"


@pytest.mark.parametrize("preset", ["smoke", "quick", "full"])
def test_every_preset_has_what_claims_speak_of(preset):
    specs = plan(GEOMETRY.preset(preset))
    assert {"next_token", "amortized", "cot"} == {spec.condition for spec in specs}
    nexts = [spec for spec in specs if spec.condition == "next_token"]
    assert {str(spec.task.query) for spec in nexts} == {"predict 1"}  # or it would be taught the belief
    assert all(spec.train.snapshots for spec in nexts)
    against = {(spec.task.fingerprint(), spec.seed, spec.train) for spec in specs if spec.condition == "amortized"}
    assert against == {(spec.task.fingerprint(), spec.seed, spec.train) for spec in specs if spec.condition == "cot"}


# ── figures ──────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture(scope="module")
def tables() -> Tables:
    generator, rows = np.random.default_rng(0), []
    for seed in range(2):
        for task, name in ((MESS3, "next_token"), (NOISY, "cot"), (NOISY, "amortized")):
            for beside in NAMED:
                layer = None if beside in ("random_relu", "window_10", "own_output", "last_statement") else "all"
                for metric in ("probe_r2", "question_probe_r2"):
                    full = f"{name}/{beside}" if beside else name
                    rows.append(probed(full, generator.random(), seed, layer, task=task, metric=metric))
            for layer in ("0", "1", "2"):
                for metric in ("effective_dimension", "belief_variance"):
                    for prefix in ("", "question_"):
                        rows.append(probed(name, 2.0, seed, layer, task=task, metric=prefix + metric))
                for beside in ("", "refit", "random_subspace", "amortized", "amortized_refit"):
                    full = f"{name}/{beside}" if beside else name
                    far = {"split": "length", "n_steps": 32} if "amortized" not in beside else {}
                    rows.append(probed(full, 20.0, seed, layer, task=task, metric="subspace_angle", **far))
                for beside in MOVES:
                    full = f"{name}/{beside}" if beside else name
                    rows.append(steered(full, generator.random(), seed, task=task, layer=layer, step=0))
        for after in (1, 2, 4):
            for layer in ("0", "1", "all"):
                rows.append(probed(f"next_token/after_{after}", 0.1 * after, seed, layer))
    cloud = [
        (MESS3, "next_token", 0, 16, problem, step, source, state, float(value))
        for problem in range(5)
        for step in (1, 2)
        for source in ("cloud exact", "cloud layer 1", "cloud layer all")
        for state, value in enumerate(generator.dirichlet([1, 1, 1]))
    ]
    return Tables(table(rows), pd.DataFrame(cloud, columns=list(EXAMPLE_COLUMNS)))


@pytest.mark.parametrize("name", ["residual_simplex", "probe_rivals", "probe_training", "steering", "subspaces"])
def test_figures_are_drawn_from_tables_and_of_nothing_not_at_all(name, tables):
    figure = FIGURES[name](tables)
    assert figure is not None
    assert figure.axes
    nothing = Tables(table([]), pd.DataFrame(columns=list(EXAMPLE_COLUMNS)))
    assert FIGURES[name](nothing) is None


def test_the_residual_stream_stands_beside_the_truth_in_the_truths_colors(tables):
    figure = FIGURES["residual_simplex"](tables)
    assert figure is not None
    titles = [axes.get_title() for axes in figure.axes]
    assert titles[0] == "exact belief"
    assert [title.split("\n")[0] for title in titles[1:]] == ["layer 1", "all layers"]
    colors = [axes.collections[0].get_facecolors()[:, :3] for axes in figure.axes]
    for shades in colors[1:]:
        np.testing.assert_allclose(shades, colors[0])
    exact = tables.examples[tables.examples["source"] == "cloud exact"]["value"].to_numpy().reshape(-1, 3)
    np.testing.assert_allclose(colors[0], exact)


def test_rivals_are_drawn_where_their_values_are(tables):
    figure = FIGURES["probe_rivals"](tables)
    assert figure is not None
    (panel,) = [
        axes for axes in figure.axes if axes.get_title(loc="left") == f"{MESS3}\nnext_token, reading the question"
    ]
    rows = tables.metrics
    own = rows[(rows["metric"] == "question_probe_r2") & (rows["task"] == MESS3)]
    height = list(NAMED)[::-1].index("random_relu")
    expected = own.loc[own["condition"] == "next_token/random_relu", "value"].mean()
    marks = [line.get_xydata()[0] for line in panel.lines if line.get_ydata()[0] == height]
    assert any(mark[0] == pytest.approx(expected) for mark in marks)


def test_steering_is_drawn_by_layer_as_the_mean_over_seeds(tables):
    figure = FIGURES["steering"](tables)
    assert figure is not None
    (panel,) = [axes for axes in figure.axes if axes.get_title(loc="left").startswith(f"{NOISY}\ncot")]
    rows = tables.metrics
    own = rows[(rows["metric"] == "steered_kl") & (rows["task"] == NOISY) & (rows["layer"] == "1")]
    expected = own.loc[own["condition"] == "cot", "value"].mean()
    assert any(line.get_ydata()[0] == pytest.approx(expected) for line in panel.lines if len(line.get_ydata()) == 1)
