"""The study of modes plans runs that keep their weights on the way, and reads reliance along them."""

from pathlib import Path

import pandas as pd
import pytest

from unamortized.evaluation.rows import COLUMNS
from unamortized.studies.figures import FIGURES, Tables
from unamortized.studies.figures.captions import CAPTIONS
from unamortized.studies.modes import COT, MODES, TRACES, WORLD, lost_on_the_way, trajectory
from unamortized.studies.study import plan

ALONG = {1: 0.0, 2: 0.1, 16: 0.9, 128: 0.6}


@pytest.fixture(autouse=True)
def _at_the_top(monkeypatch):
    monkeypatch.chdir(Path(__file__).parents[2])  # where tasks/ is


@pytest.fixture(scope="module")
def metrics():
    rows = []

    def add(condition, seed, metric, value, **more):
        own = {"task": WORLD, "condition": condition, "seed": seed, "metric": metric, "value": value, "count": 100}
        rows.append(dict.fromkeys(COLUMNS) | own | {"n_steps": 8} | more)

    for seed in range(3):
        for name in (*TRACES, "amortized"):
            add(f"{name}@l2", seed, "answer_kl", 0.1)
            add(f"{name}@l2", seed, "indirect_effect", 0.5)
        for after, alpha in reversed(ALONG.items()):
            for lag in (0, 1, 2, 4):
                value = alpha + 0.01 * seed if lag < 4 else 7.0
                add(f"{COT}@l2/after_{after}", seed, "causal_reliance", value, step=lag)
            add(f"{COT}@l2/after_{after}", seed, "answer_kl", 0.3)
            add(f"{COT}@l1/after_{after}", seed, "causal_reliance", 0.2, step=0)
    types = {"step": "Int64", "n_steps": "Int64", "layer": "string", "condition": "string"}
    return pd.DataFrame(rows, columns=list(COLUMNS)).astype(types)


def test_reliance_along_training_is_in_order_and_of_lags_0_to_2(metrics):
    along = trajectory(metrics, f"{COT}@l2")
    assert list(along.columns) == list(ALONG)
    assert along.loc[0].tolist() == pytest.approx(list(ALONG.values()))
    assert along.loc[2].tolist() == pytest.approx([alpha + 0.02 for alpha in ALONG.values()])
    assert lost_on_the_way(f"{COT}@l2").per_seed(metrics).tolist() == pytest.approx([0.3] * 3)
    assert lost_on_the_way("cot_state@l2").per_seed(metrics).empty


@pytest.mark.parametrize("name", ["smoke", "quick", "full"])
def test_every_run_has_a_name_of_its_own_and_keeps_its_weights(name):
    specs = plan(MODES.preset(name))
    assert len({spec.digest() for spec in specs}) == len(specs)
    assert len({(spec.world, spec.variant, spec.condition, spec.seed) for spec in specs}) == len(specs)
    assert all(spec.train.snapshots for spec in specs)
    if name != "smoke":
        assert {spec.condition for spec in specs} == {*TRACES, "amortized"}


def test_figures_are_drawn_where_there_is_something_to_draw(metrics):
    empty = Tables(pd.DataFrame(columns=list(COLUMNS)), pd.DataFrame())
    for name in MODES.figures:
        assert name in CAPTIONS
        assert FIGURES[name](Tables(metrics, pd.DataFrame())) is not None
        assert FIGURES[name](empty) is None
