"""The figures of the geometry show clouds, probes, moves and routes as the tables have them, simplest model first."""

import numpy as np
import pandas as pd
import pytest

from tests.studies.figure_tables import EXAMPLES, Rows, drawn, lines, panels, rows, tables, ticks
from unamortized.labels import ABOUT_TO_STATE, QUESTION
from unamortized.studies.figures.geometry import BASELINES, FIGURES, MOVES, residual_simplex
from unamortized.studies.figures.routes import GROUPS, PATHS
from unamortized.studies.figures.simplex import to_triangle
from unamortized.studies.figures.style import Tables

NAMED = {figure.name: figure for figure in FIGURES}
MODELS = {  # (task, world, condition) -> the title of its panel, in the order of panels
    ("mess3", "next", "next_token"): "mess3, next symbol",
    ("rrxor", "next", "next_token"): "rrxor, next symbol",
    ("mess3", "", "cot"): "mess3, CoT",
    ("noisy_permutation", "", "amortized"): "noisy permutation, no trace",
    ("noisy_permutation", "", "cot"): "noisy permutation, CoT",
}
DRAW = np.random.default_rng(0)


def add(model: tuple[str, str, str], metric: str, values=None, seeds: int = 2, **where) -> Rows:
    task, world, condition = model
    values = DRAW.uniform(0.1, 0.9, seeds) if values is None else values
    return rows(metric, values, condition, task, world=world, **{"n_steps": 16} | where)


def mean(found: Tables, model: tuple[str, str, str], metric: str, **where) -> float:
    own = found.metrics
    for column, value in {
        **dict(zip(("task", "world", "condition"), model, strict=True)),
        "metric": metric,
        **where,
    }.items():
        own = own[own[column].isna() if value is None else own[column].eq(value).fillna(False)]
    return float(own["value"].mean())


def marks(axes, marker: str = "o") -> list[tuple[float, float]]:
    """The points of a panel of dots: row and value."""
    points = [np.ravel(line.get_data()) for line in axes.lines if line.get_marker() == marker]
    return sorted((float(y), float(x)) for x, y in points)


# ── clouds of beliefs ────────────────────────────────────────────────────────────────────────────


def cloud(task: str, n_states: int) -> tuple[pd.DataFrame, dict[str, np.ndarray]]:
    """Rows of examples of one model of the next symbol, and its beliefs by layer (the exact ones under "")."""
    beliefs = {layer: DRAW.dirichlet(np.ones(n_states), (3, 4)) for layer in ("", "1", "2", "3", "all")}
    found = []
    for layer, values in beliefs.items():
        problem, step, state = np.meshgrid(*map(np.arange, values.shape), indexing="ij")
        own = {"task": task, "world": "next", "condition": "next_token", "seed": 0, "site": QUESTION, "layer": layer}
        own |= {"source": "probed" if layer else "exact", "problem": problem.ravel(), "step": 1 + step.ravel()}
        found.append(
            pd.DataFrame(dict.fromkeys(EXAMPLES, "") | own | {"state": state.ravel(), "value": values.ravel()})
        )
    return pd.concat(found), beliefs


def test_what_probes_read_stands_beside_the_exact_beliefs_in_their_colors():
    examples, beliefs = cloud("mess3", 3)
    found = tables(add(("mess3", "next", "next_token"), "probe_r2", (0.9, 0.8), site=QUESTION, layer="3"))
    figure = residual_simplex(Tables(found.metrics, examples))
    assert figure is not None
    titles = [axes.get_title() for axes in figure.axes]
    assert titles == ["exact belief", "layer 1", "layer 3: R² 0.85", "all layers"]
    exact = beliefs[""].reshape(-1, 3)
    for axes, layer in zip(figure.axes, ("", "1", "3", "all"), strict=True):
        (points,) = axes.collections
        distance = np.linalg.norm(points.get_offsets()[:, None] - to_triangle(beliefs[layer].reshape(-1, 3)), axis=2)
        np.testing.assert_allclose(distance.min(axis=1), 0, atol=1e-9)
        np.testing.assert_allclose(points.get_facecolors()[:, :3], exact[distance.argmin(axis=1)], atol=1e-9)


def test_more_than_three_states_are_drawn_on_the_components_that_vary_most():
    examples, beliefs = cloud("rrxor", 5)
    figure = residual_simplex(Tables(tables().metrics, examples))
    assert figure is not None
    exact = beliefs[""].reshape(-1, 5)
    spread = np.linalg.svd(exact - exact.mean(axis=0), compute_uv=False)
    offsets = np.asarray(figure.axes[0].collections[0].get_offsets())
    np.testing.assert_allclose(sorted((offsets**2).sum(axis=0)), sorted(spread[:2] ** 2))
    assert len({axes.get_xlim() + axes.get_ylim() for axes in figure.axes}) == 1


def test_there_is_no_cloud_without_models_of_the_next_symbol():
    examples, _ = cloud("mess3", 3)
    assert residual_simplex(Tables(tables().metrics, examples.assign(site=""))) is None
    assert residual_simplex(Tables(tables().metrics, examples[:0])) is None


# ── probes ───────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture(scope="module")
def probed() -> Tables:
    groups = []
    for model in reversed(MODELS):
        for site in (QUESTION, ABOUT_TO_STATE):
            for control in BASELINES:
                layer = "all" if control in ("", "untrained") else ""
                groups.append(add(model, "probe_r2", site=site, control=control, layer=layer))
            groups.append(add(model, "probe_r2", site=site, layer="all", step=3))  # of one step alone
            for layer in ("1", "2"):
                groups.append(add(model, "probe_r2", site=site, layer=layer))
                groups.append(add(model, "probe_r2", site=site, layer=layer, n_steps=64, split="length"))
                groups.append(
                    add(model, "probe_r2", site=site, layer=layer, n_steps=64, split="length", control="refitted")
                )
    return tables(*groups)


def test_baselines_are_read_with_steps_pooled_from_all_layers_or_from_none(probed):
    shown = panels(drawn(NAMED["probe_baselines"], probed))
    assert list(shown) == list(MODELS.values())
    for model, title in MODELS.items():
        assert ticks(next(iter(shown.values()))) == list(BASELINES.values())
        sites = (QUESTION,) if model[2] == "next_token" else (ABOUT_TO_STATE, QUESTION)
        expected = [
            mean(probed, model, "probe_r2", site=site, control=control, layer=layer, step=None)
            for control, layer in ((each, "all" if each in ("", "untrained") else "") for each in BASELINES)
            for site in sites
        ]
        np.testing.assert_allclose([value for _, value in marks(shown[title])], expected)


def test_lengths_are_read_at_the_last_layer_where_the_model_needs_the_belief(probed):
    shown = panels(drawn(NAMED["probe_lengths"], probed))
    for model, title in MODELS.items():
        where = {"site": QUESTION if model[2] == "next_token" else ABOUT_TO_STATE, "layer": "2", "step": None}
        same = [(n, mean(probed, model, "probe_r2", control="", n_steps=n, **where)) for n in (16, 64)]
        refitted = [(64, mean(probed, model, "probe_r2", control="refitted", n_steps=64, **where))]
        found = lines(shown[title], marker="o")
        np.testing.assert_allclose(found[0], same)
        np.testing.assert_allclose(found[1], refitted)


def test_along_training_each_layer_is_a_line():
    model = ("mess3", "next", "next_token")
    values = {(layer, after): DRAW.uniform(0.1, 0.9, 2) for layer in ("0", "1", "all") for after in (1, 4, 16)}
    groups = [
        add(model, "probe_r2", read, site=QUESTION, layer=layer, variant=f"after_{after}")
        for (layer, after), read in reversed(values.items())
    ]
    beside = add(model, "probe_r2", site=QUESTION, layer="1", variant="after_4", control="untrained")
    (axes,) = panels(drawn(NAMED["probe_training"], tables(*groups, beside))).values()
    expected = [[(after, values[layer, after].mean()) for after in (1, 4, 16)] for layer in ("0", "1", "all")]
    np.testing.assert_allclose(lines(axes, marker="o"), expected)


# ── moves ────────────────────────────────────────────────────────────────────────────────────────


def test_moves_are_shares_of_the_unchanged_kl_seed_by_seed():
    model = ("noisy_permutation", "", "cot")
    where = {"site": ABOUT_TO_STATE, "layer": "chosen"}
    kls = {control: np.array([0.2, 0.9]) + number for number, control in enumerate(MOVES)}
    unsteered = np.array([2.0, 4.0])
    groups = [add(model, "steered_kl", values, control=control, **where) for control, values in kls.items()]
    groups.append(add(model, "steered_kl", unsteered, control="unsteered", **where))
    groups.append(add(model, "steered_kl", control="unsteered", **where | {"site": QUESTION}))
    groups.append(add(model, "steered_kl", **where | {"layer": "1"}, step=0))
    shown = panels(drawn(NAMED["steering"], tables(*groups)))
    assert list(shown) == ["noisy permutation, CoT"]
    axes = shown["noisy permutation, CoT"]
    assert ticks(axes) == list(MOVES.values())
    expected = [(row, np.mean(values / unsteered)) for row, values in enumerate(kls.values())]
    np.testing.assert_allclose(marks(axes), expected)


# ── routes ───────────────────────────────────────────────────────────────────────────────────────

HEADS = ("L0H0", "L0H1", "L1H0", "L1H1")
PARTS = {  # in the order in which they compute
    "embed": "embedding",
    "L0H0": "layer 1, head 1",
    "L0H1": "layer 1, head 2",
    "L0MLP": "layer 1, MLP",
    "L1H0": "layer 2, head 1",
    "L1H1": "layer 2, head 2",
    "L1MLP": "layer 2, MLP",
    "all": "all together",
}
COT_MODEL = ("mess3", "", "cot")


@pytest.fixture(scope="module")
def routed() -> Tables:
    """Reliance through each part but of a whole layer, and what each head's look at each group is worth."""
    groups = []
    for site in GROUPS:
        random = site == "random_columns"
        where = {"site": "observation" if random else site, "control": site if random else ""}
        for layer in ("all", "L0", *HEADS[::-1]) if site != "last_code" else ():
            groups.append(add(COT_MODEL, "route_tv", layer=layer, **where))
    for path in PATHS:
        site, direct = path.removesuffix("_direct"), path.endswith("_direct")
        for layer in (*reversed(PARTS), "L1"):
            if not (direct and layer == "all"):
                groups.append(add(COT_MODEL, "route_reliance" + "_direct" * direct, site=site, layer=layer))
    return tables(*groups)


def test_cells_of_routes_are_heads_in_the_order_in_which_they_compute_by_groups_of_columns(routed):
    (axes,) = panels(drawn(NAMED["routes"], routed)).values()
    heads = [layer for layer in PARTS if layer in (*HEADS, "all")]
    assert ticks(axes) == [PARTS[layer] for layer in heads]
    sites = [site for site in GROUPS if site != "last_code"]
    assert ticks(axes, "x") == [GROUPS[site] for site in sites]
    expected = [
        [
            mean(routed, COT_MODEL, "route_tv", layer=layer, site="observation", control=site)
            if site == "random_columns"
            else mean(routed, COT_MODEL, "route_tv", layer=layer, site=site, control="")
            for site in sites
        ]
        for layer in heads
    ]
    np.testing.assert_allclose(np.asarray(axes.images[0].get_array()), expected)


def test_reliance_through_each_part_is_drawn_by_what_was_replaced_and_how_it_gets_out(routed):
    (axes,) = panels(drawn(NAMED["route_reliance"], routed)).values()
    assert ticks(axes) == list(PARTS.values())
    found: dict[int, list[float]] = {}
    for row, value in marks(axes):
        found.setdefault(round(row), []).append(value)
    for row, layer in enumerate(PARTS):
        expected = [
            mean(
                routed,
                COT_MODEL,
                "route_reliance" + "_direct" * path.endswith("_direct"),
                layer=layer,
                site=path.removesuffix("_direct"),
            )
            for path in PATHS
            if not (path.endswith("_direct") and layer == "all")
        ]
        np.testing.assert_allclose(found[row], expected)
