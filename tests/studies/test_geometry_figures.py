"""The figures of the study of geometry draw what its tables hold."""

import numpy as np
import pandas as pd
import pytest

from tests.studies.test_geometry_study import measured
from unamortized.evaluation.examples import EXAMPLE_COLUMNS
from unamortized.evaluation.rows import to_table
from unamortized.labels import place
from unamortized.studies.figures import FIGURES, Tables
from unamortized.studies.figures.geometry import MOVES, NAMED
from unamortized.studies.geometry import MESS3, NOISY, OTHER_BASELINES

SITES = ("question", "about_to_state")


@pytest.fixture(scope="module")
def tables() -> Tables:
    generator, rows = np.random.default_rng(0), []
    for seed in range(2):
        for world, name in ((MESS3[0], "next_token"), (NOISY[0], "cot"), (NOISY[0], "amortized")):

            def add(metric, value, name=name, seed=seed, world=world, **where):
                rows.append(measured(metric, name, value, seed, world, **where))

            for control in NAMED:
                layer = "" if control in (*OTHER_BASELINES, "last_statement") else "all"
                for site in SITES:
                    add("probe_r2", generator.random(), layer=layer, control=control, site=site)
            for layer in ("0", "1", "2"):
                for metric in ("effective_dimension", "belief_variance"):
                    for site in SITES:
                        add(metric, 2.0, layer=layer, site=site)
                for control in ("", "refit", "random_subspace", "amortized", "amortized_refit"):
                    far = {"split": "length", "n_steps": 32} if "amortized" not in control else {}
                    add("subspace_angle", 20.0, layer=layer, control=control, **far)
                for control in MOVES:
                    add("steered_kl", generator.random(), layer=layer, step=0, control=control)
        for after in (1, 2, 4):
            for layer in ("0", "1", "all"):
                where = {"variant": f"after_{after}", "site": "question", "layer": layer}
                rows.append(measured("probe_r2", "next_token", 0.1 * after, seed, MESS3[0], **where))
    known = dict.fromkeys(EXAMPLE_COLUMNS, "") | {"task": "mess3", "world": MESS3[0].world, "condition": "next_token"}
    known |= {"seed": 0, "n_steps": 16, "site": "question"}
    cloud = [
        known | {"problem": problem, "step": step, "state": state, "value": float(value)} | source
        for problem in range(5)
        for step in (1, 2)
        for source in ({"source": "exact"}, *({"source": "probed", "layer": layer} for layer in ("1", "all")))
        for state, value in enumerate(generator.dirichlet([1, 1, 1]))
    ]
    return Tables(to_table(rows), pd.DataFrame(cloud))


@pytest.mark.parametrize("name", ["residual_simplex", "probe_rivals", "probe_training", "steering", "subspaces"])
def test_figures_are_drawn_from_tables_and_of_nothing_not_at_all(name, tables):
    figure = FIGURES[name](tables)
    assert figure is not None
    assert figure.axes
    nothing = Tables(to_table([]), pd.DataFrame(columns=list(EXAMPLE_COLUMNS)))
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
    exact = (
        tables.examples[(tables.examples["source"] == "exact") & (tables.examples["site"] == "question")]["value"]
        .to_numpy()
        .reshape(-1, 3)
    )
    np.testing.assert_allclose(colors[0], exact)


def test_rivals_are_drawn_where_their_values_are(tables):
    figure = FIGURES["probe_rivals"](tables)
    assert figure is not None
    (panel,) = [
        axes
        for axes in figure.axes
        if axes.get_title(loc="left") == f"{place(*MESS3[0])}\nnext_token, reading the question"
    ]
    rows = tables.metrics
    own = rows[(rows["metric"] == "probe_r2") & (rows["site"] == "question") & (rows["task"] == "mess3")]
    height = list(NAMED)[::-1].index("random_relu")
    expected = own.loc[own["control"] == "random_relu", "value"].mean()
    marks = [line.get_xydata()[0] for line in panel.lines if line.get_ydata()[0] == height]
    assert any(mark[0] == pytest.approx(expected) for mark in marks)


def test_steering_is_drawn_by_layer_as_the_mean_over_seeds(tables):
    figure = FIGURES["steering"](tables)
    assert figure is not None
    (panel,) = [axes for axes in figure.axes if axes.get_title(loc="left").startswith(f"{place(*NOISY[0])}\ncot")]
    rows = tables.metrics
    own = rows[(rows["metric"] == "steered_kl") & (rows["task"] == "noisy_permutation") & (rows["layer"] == "1")]
    expected = own.loc[(own["condition"] == "cot") & (own["control"] == ""), "value"].mean()
    assert any(line.get_ydata()[0] == pytest.approx(expected) for line in panel.lines if len(line.get_ydata()) == 1)
