"""The study of depth reads steps by layer, and its figures show them beside what doublings would have put together."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from unamortized.evaluation.rows import COLUMNS
from unamortized.studies.depth import (
    AMORTIZED,
    COT,
    DEPTH,
    LAYERS,
    LENGTHS,
    TASKS,
    TRAINED,
    longest_path,
    slowest_doubling,
    steps_by_layer,
    world,
)
from unamortized.studies.figures import FIGURES, Tables, save
from unamortized.studies.figures.captions import CAPTIONS
from unamortized.studies.figures.depth import explained
from unamortized.studies.study import plan

SEEDS = 3


@pytest.fixture(autouse=True)
def _at_the_top(monkeypatch):
    monkeypatch.chdir(Path(__file__).parents[2])  # where tasks/ is


def windows_held(layers, layer):
    """Models of three layers double; those of six add one a layer; after the next layer it is forgotten again."""
    return min(2**layer, TRAINED) if layers == 3 else min(1 + layer, TRAINED)


def right(task, layers, n_steps):
    return 1.0 if n_steps <= (2**layers if "s5" in task else TRAINED) else 0.1


def synthetic() -> pd.DataFrame:
    rows = []

    def add(task, condition, seed, metric, value, n_steps=TRAINED, **more):
        split = "in_distribution" if n_steps <= TRAINED else "length"
        own = {"task": task, "condition": condition, "seed": seed, "metric": metric, "value": value, "split": split}
        rows.append(dict.fromkeys(COLUMNS) | own | {"n_steps": n_steps, "count": 100} | more)

    for task in map(world, TASKS):
        for seed in range(SEEDS):
            for n_steps in LENGTHS:
                names = {f"{AMORTIZED}@l{layers}": right(task, layers, n_steps) for layers in LAYERS}
                names |= {f"{COT}@l1": 0.99, "window_8": 1.0 if n_steps <= 8 else 0.2, "prior": 0.2}
                for name, share in names.items():
                    add(task, name, seed, "map_agreement", share + 0.001 * seed, n_steps)
                    add(task, name, seed, "answer_kl", 2 * (1 - share) + 0.02 + 0.001 * seed, n_steps)
            for layers in LAYERS:
                name = f"{AMORTIZED}@l{layers}"
                for layer in range(layers + 1):
                    held, walked = windows_held(layers, layer), min(layer + 1, 5)
                    add(task, name, seed, "composed_steps", held if layer < 3 or layers == 3 else 1, layer=str(layer))
                    add(task, name, seed, "path_steps", walked, layer=str(layer))
                    for step in range(1, TRAINED + 1):
                        where = {"layer": str(layer), "step": step}
                        for metric in ("window_r2", "question_window_r2", "path_r2", "answer_path_r2"):
                            here = {"window_r2": held, "path_r2": walked}.get(metric, 1)
                            add(task, name, seed, metric, 0.95 if step <= here else 0.1 - 0.02 * seed, **where)
                            add(task, f"{name}/untrained", seed, metric, 0.9 if step < 3 else -0.01, **where)
    types = {"step": "Int64", "n_steps": "Int64", "layer": "string", "condition": "string", "metric": "string"}
    return pd.DataFrame(rows, columns=list(COLUMNS)).astype(types)


@pytest.fixture(scope="module")
def metrics():
    return synthetic()


@pytest.fixture(scope="module")
def one_task(metrics):
    return metrics[metrics["task"] == world(TASKS[0])]


def test_steps_are_those_of_the_layer_or_of_one_before(one_task):
    steps = steps_by_layer(one_task, f"{AMORTIZED}@l6", "composed_steps")
    assert steps.to_numpy(dtype=float).tolist() == [[1, 2, 3, 3, 3, 3, 3]] * SEEDS
    both = steps_by_layer(one_task, f"{AMORTIZED}@l6", "composed_steps", "path_steps")
    assert both.loc[0].tolist() == [1, 2, 3, 4, 5, 5, 5]
    assert longest_path(f"{AMORTIZED}@l6").per_seed(one_task).tolist() == [5] * SEEDS


def test_doubling_is_told_from_one_more_a_layer(one_task):
    assert slowest_doubling(f"{AMORTIZED}@l3").per_seed(one_task).tolist() == [1.0] * SEEDS
    assert slowest_doubling(f"{AMORTIZED}@l6").per_seed(one_task).tolist() == [4 / 8] * SEEDS
    assert slowest_doubling("gru").per_seed(one_task).empty


def test_claims_judge_each_task_that_they_speak_of(metrics):
    for claim in DEPTH.claims:
        for task in claim.tasks or tuple(map(world, TASKS)):
            judged = claim.judge(task, metrics[metrics["task"] == task])
            assert judged["estimate"] is not None, (claim.name, task)
            assert judged["control"]["estimate"] is not None, (claim.name, task)
            assert judged["seeds"] == SEEDS


def test_verdicts_on_a_world_that_is_as_expected(metrics):
    s5 = metrics[metrics["task"] == world("group_word_s5")]
    judged = {claim.name: claim.judge("s5", s5)["verdict"] for claim in DEPTH.claims if claim.name.startswith("s5")}
    assert judged == dict.fromkeys(
        ("s5_needs_depth", "s5_steps_double_with_layers", "s5_shortcut_breaks_out_of_length"), "supported"
    ) | {"s5_shortcut_breaks_out_of_length": "refuted"}  # here six layers compose 64 steps


def test_every_run_has_a_name_of_its_own_and_claims_name_runs_that_there_are():
    for preset in DEPTH.presets.values():
        specs = plan(preset)
        assert len({spec.digest() for spec in specs}) == len(specs)
        assert len({(spec.task.name, spec.world, spec.variant, spec.condition, spec.seed) for spec in specs}) == len(
            specs
        )
    full = plan(DEPTH.preset("full"))
    assert {f"{spec.task.name}@{spec.world}" for spec in full} == set(map(world, TASKS))
    assert {spec.variant for spec in full if spec.condition == AMORTIZED} == {f"l{layers}" for layers in LAYERS}
    assert {spec.model.layers for spec in full if spec.condition == COT} == {1}
    assert {task for claim in DEPTH.claims for task in claim.tasks or ()} <= set(map(world, TASKS))


# ── figures ──────────────────────────────────────────────────────────────────────────────────────


def drawn(name, metrics):
    figure = FIGURES[name](Tables(metrics, pd.DataFrame()))
    assert figure is not None
    return figure


def test_figures_have_captions_and_are_drawn_alike_twice(metrics, tmp_path):
    for name in DEPTH.figures:
        assert name in CAPTIONS
        for folder in ("first", "second"):
            save(drawn(name, metrics), tmp_path / folder, name)
        for kind in ("png", "svg"):
            once, again = (tmp_path / folder / f"{name}.{kind}" for folder in ("first", "second"))
            assert once.read_bytes() == again.read_bytes()


def test_accuracy_has_a_line_a_depth_beside_the_one_that_walks(metrics):
    panels = drawn("depth_accuracy", metrics).axes
    assert [axes.get_title(loc="left") for axes in panels] == [world(task) for task in TASKS]
    for axes, task in zip(panels, TASKS, strict=True):
        heights = [line.get_ydata() for line in axes.lines]
        assert len(heights) == len(LAYERS) + 2
        for layers, line in zip(LAYERS, heights, strict=False):
            np.testing.assert_allclose(line, [right(task, layers, n) + 0.001 for n in LENGTHS])
        assert axes.patches[0].get_x() + axes.patches[0].get_width() == TRAINED


def test_heat_maps_show_the_mean_of_what_is_read_best_and_mark_what_counts(metrics, one_task):
    figure = drawn("depth_windows", metrics)
    panels = [axes for axes in figure.axes if axes.images]
    assert len(panels) == 2 * len(TASKS) * len(LAYERS)
    doubling = panels[LAYERS.index(3)]
    assert doubling.get_title(loc="left") == "3 layers"
    expected = [[0.95 if k <= min(2**layer, 8) else 0.08 for k in range(1, 9)] for layer in range(4)]
    np.testing.assert_allclose(np.asarray(doubling.images[0].get_array()), expected)
    dots = set(zip(*(values.tolist() for values in doubling.lines[0].get_data()), strict=True))
    assert dots == {(k - 1, layer) for layer in range(4) for k in range(1, min(2**layer, 8) + 1)}
    assert doubling.lines[1].get_xdata().max() == 7.5
    _, counts = explained(one_task, f"{AMORTIZED}@l3", "window_r2")
    assert counts.loc[3].tolist() == [True] * 8  # of two steps the untrained network tells .9, too
    assert counts.loc[0].tolist() == [True] + [False] * 7


def test_steps_are_drawn_by_layer_beside_both_predictions(metrics):
    for axes in drawn("depth_steps", metrics).axes:
        joined = [line.get_ydata() for line in axes.lines if line.get_linestyle() == "-" and len(line.get_ydata()) > 1]
        assert [len(line) for line in joined] == [layers + 1 for layers in LAYERS]
        assert joined[LAYERS.index(3)].tolist() == [1, 2, 4, 8]
        assert joined[LAYERS.index(6)].tolist() == [1, 2, 3, 4, 5, 5, 5]
        doubling, one_more = axes.lines[-2:]
        assert doubling.get_ydata()[-1] == TRAINED
        assert one_more.get_ydata()[-1] == 7
