"""Figures show the tables' numbers, draw nothing where there is nothing, and have the same bytes on every run."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes
from scipy import stats

from unamortized.evaluation.examples import EXAMPLE_COLUMNS
from unamortized.evaluation.rows import COLUMNS
from unamortized.studies.compare import COMPARE
from unamortized.studies.figures import FIGURES, Tables, save
from unamortized.studies.figures.simplex import to_triangle
from unamortized.studies.figures.style import (
    CONDITIONS,
    color,
    compared,
    in_order,
    is_baseline,
    longest_trained,
    look,
    over_seeds,
)

TASKS = ("noisy_permutation", "mess3")
LENGTHS = (4, 8, 16, 32)
TRAINED = 16
ANSWERING = ("amortized", "cot", "prior", "window_8")


def synthetic_metrics(seeds: int) -> pd.DataFrame:
    """Numbers that nobody chose, in the form of ``metrics.csv``."""
    draw = np.random.default_rng(7)
    rows = []

    def add(condition, metric, low=0.05, high=0.95, **where):
        for task in TASKS:
            for seed in range(seeds):
                split = "length" if where.get("n_steps", 0) > TRAINED else "in_distribution"
                cell = {"task": task, "condition": condition, "seed": seed, "split": split, "metric": metric}
                rows.append(dict.fromkeys(COLUMNS) | cell | {"value": draw.uniform(low, high), "count": 64} | where)

    for n_steps in LENGTHS:
        for condition in ANSWERING:
            add(condition, "answer_kl", n_steps=n_steps)
            add(condition, "map_agreement", n_steps=n_steps)
    for lag in (0, 4, 8):
        where = {"n_steps": TRAINED, "step": lag}
        for metric in ("edit_tv", "counterfactual_tv", "causal_reliance", "causal_reliance_frozen"):
            add("cot", metric, **where)
        add("cot/wrong_counterfactual", "causal_reliance", **where)
    for n_steps in (16, 32):
        for step in range(1, n_steps + 1):
            for condition, metric in (("amortized", "probed_kl"), ("cot", "probed_kl"), ("cot", "stated_kl")):
                add(condition, metric, n_steps=n_steps, step=step)
            add("cot", "stated_probed_kl", n_steps=n_steps, step=step)
    for site in ("probe_r2", "question_probe_r2"):
        for condition in ("amortized", "cot"):
            for layer in ("0", "1", "2", "all"):
                for name in (condition, f"{condition}/untrained", f"{condition}/shuffled_belief"):
                    add(name, site, n_steps=TRAINED, layer=layer)
                add(condition, site, n_steps=TRAINED, layer=layer, step=3)  # of one step alone: not to be pooled
            add(f"{condition}/window_10", site, n_steps=TRAINED)
    table = pd.DataFrame(rows, columns=list(COLUMNS))
    return table.astype({"seed": "Int64", "n_steps": "Int64", "step": "Int64", "layer": "string"})


def synthetic_examples() -> pd.DataFrame:
    """Two problems each of a task with five states and one with three, in the form of ``examples.csv``."""
    draw, n_steps, rows = np.random.default_rng(8), 6, []

    def add(task, condition, problem, source, step, values):
        for state, value in enumerate(np.atleast_1d(values)):
            if source in ("observation", "latent") or value >= 1e-6:  # what is missing is zero
                rows.append((task, condition, 0, n_steps, problem, step, source, state, float(value)))

    for task, states in zip(TASKS, (5, 3), strict=True):
        for problem in range(2):
            exact = draw.dirichlet(np.ones(states), n_steps + 1)
            exact[2] = np.eye(states)[1]
            for condition in ("amortized", "cot"):
                for step in range(n_steps + 1):
                    add(task, condition, problem, "exact", step, exact[step])
                    add(task, condition, problem, "latent", step, step % states)
                    if step:
                        add(task, condition, problem, "observation", step, step % 4)
                        for source in ("probed", "stated") if condition == "cot" else ("probed",):
                            add(task, condition, problem, source, step, draw.dirichlet(np.ones(states)))
                add(task, condition, problem, "exact_answer", n_steps, exact[-1])
                add(task, condition, problem, "answer", n_steps, draw.dirichlet(np.ones(states)))
    return pd.DataFrame(rows, columns=list(EXAMPLE_COLUMNS))


@pytest.fixture(scope="module")
def tables() -> Tables:
    return Tables(synthetic_metrics(seeds=3), synthetic_examples())


def panels(figure) -> list[Axes]:
    return [axes for axes in figure.axes if axes.get_visible()]


def lines_like(axes: Axes, **look) -> list[np.ndarray]:
    """The points of the panel's lines of a color and, if given, a linestyle."""
    same = [line for line in axes.lines if all(getattr(line, f"get_{key}")() == value for key, value in look.items())]
    return [np.column_stack(line.get_data()).astype(float) for line in same]


def expected_curve(tables: Tables, by: str, **where) -> np.ndarray:
    """Means over seeds, counted anew: (x, mean) in order."""
    rows = tables.metrics
    for column, value in where.items():
        rows = rows[rows[column].isna() if value is None else (rows[column] == value).fillna(False)]
    points = {
        x: np.mean([float(v) for v, at in zip(rows["value"], rows[by], strict=True) if at == x]) for x in rows[by]
    }
    return np.array([(float(x), points[x]) for x in sorted(points)])


@pytest.mark.parametrize(
    "name, count",
    [
        ("kl_by_length", 2),
        ("accuracy_by_length", 2),
        ("light_cone", 4),
        ("triangle_along_trace", 4),
        ("probe_r2_by_layer", 4),
        ("belief_simplex", 6),
        ("one_problem", 9),  # observations, four heat maps, three answers, color bar
    ],
)
def test_each_figure_has_a_panel_for_each_thing(tables, name, count):
    assert len(panels(FIGURES[name](tables))) == count


@pytest.mark.parametrize("name, metric", [("kl_by_length", "answer_kl"), ("accuracy_by_length", "map_agreement")])
def test_curves_by_length_are_the_means_over_seeds(tables, name, metric):
    for axes, task in zip(panels(FIGURES[name](tables)), TASKS, strict=True):
        assert axes.get_title(loc="left") == task
        for condition in ANSWERING:
            expected = expected_curve(tables, "n_steps", task=task, condition=condition, metric=metric)
            drawn = [points for points in lines_like(axes, color=color(condition)) if len(points) == len(LENGTHS)]
            assert any(np.allclose(points, expected) for points in drawn), condition


def test_values_below_the_floor_are_drawn_on_it_and_the_floor_is_named(tables):
    metrics = tables.metrics.copy()
    cot = (metrics["condition"] == "cot") & (metrics["metric"] == "answer_kl")
    metrics.loc[cot, "value"] = 1e-9
    figure = FIGURES["kl_by_length"](Tables(metrics, tables.examples))
    (points,) = lines_like(panels(figure)[0], color=color("cot"))
    np.testing.assert_allclose(points[:, 1], 1e-4)
    figure.draw_without_rendering()
    assert panels(figure)[0].get_yticklabels()[0].get_text().startswith("≤")


def test_training_lengths_are_shaded_up_to_the_longest(tables):
    for axes in panels(FIGURES["kl_by_length"](tables)):
        (shade,) = axes.patches
        assert shade.get_x() + shade.get_width() == TRAINED
    assert longest_trained(tables.metrics, "mess3") == TRAINED


def test_interval_is_students_t_over_seeds():
    values = [0.1, 0.4, 0.7, 0.2]
    rows = pd.DataFrame({"n_steps": 8, "seed": range(4), "value": values})
    low, high = stats.t.interval(0.95, 3, loc=np.mean(values), scale=stats.sem(values))
    np.testing.assert_allclose(over_seeds(rows, "n_steps").loc[8], [np.mean(values), low, high])


def test_interval_is_missing_with_one_seed_and_the_mean_where_a_seed_is_infinite():
    one = over_seeds(pd.DataFrame({"n_steps": [8], "seed": [0], "value": [0.5]}), "n_steps")
    assert one["mean"].loc[8] == 0.5
    assert one[["low", "high"]].isna().all(axis=None)
    assert over_seeds(pd.DataFrame({"n_steps": 8, "seed": [0, 1], "value": [0.5, np.inf]}), "n_steps").empty


def test_light_cone_draws_movements_left_and_reliance_right(tables):
    figure = FIGURES["light_cone"](tables)
    for (left, right), task in zip(np.reshape(panels(figure), (2, 2)), TASKS, strict=True):
        where = {"task": task, "condition": "cot"}
        for axes, metric, style in (
            (left, "edit_tv", {"color": color("cot")}),
            (left, "counterfactual_tv", {"color": "#000000"}),
            (right, "causal_reliance", {"color": color("cot"), "linestyle": "-"}),
        ):
            (points,) = lines_like(axes, **style)
            np.testing.assert_allclose(points, expected_curve(tables, "step", metric=metric, **where))
        levels = {float(points[0, 1]) for points in lines_like(right, color="#999999")}
        assert levels == {0.0, 1.0}
        wrong = expected_curve(
            tables, "step", metric="causal_reliance", task=task, condition="cot/wrong_counterfactual"
        )
        frozen = expected_curve(tables, "step", metric="causal_reliance_frozen", **where)
        drawn = [points for points in lines_like(right, color=color("cot")) if len(points) == 3]
        assert all(any(np.allclose(points, expected) for points in drawn) for expected in (wrong, frozen))


def test_light_cone_leaves_out_reliance_on_too_few_problems(tables):
    metrics = tables.metrics.copy()
    metrics.loc[(metrics["metric"] == "causal_reliance") & (metrics["step"] == 8).fillna(False), "count"] = 3
    right = panels(FIGURES["light_cone"](Tables(metrics, tables.examples)))[1]
    (points,) = lines_like(right, color=color("cot"), linestyle="-")
    assert points[:, 0].tolist() == [0, 4]


def test_triangle_draws_each_pair_at_each_step(tables):
    axes = panels(FIGURES["triangle_along_trace"](tables))[1]
    assert axes.get_title(loc="left") == "noisy_permutation, n = 32"
    where = {"task": "noisy_permutation", "n_steps": 32}
    (amortized,) = lines_like(axes, color=color("amortized"))
    expected = expected_curve(tables, "step", metric="probed_kl", condition="amortized", **where)
    np.testing.assert_allclose(amortized, expected)
    (stated,) = lines_like(axes, color=color("cot"), linestyle="-")
    np.testing.assert_allclose(stated, expected_curve(tables, "step", metric="stated_kl", condition="cot", **where))
    assert len(lines_like(axes, color=color("cot"))) == 3


def test_probes_are_pooled_over_steps_and_stand_beside_their_controls(tables):
    axes = panels(FIGURES["probe_r2_by_layer"](tables))[0]
    for name in ("cot", "cot/untrained", "cot/shuffled_belief"):
        rows = {"task": "noisy_permutation", "metric": "probe_r2", "condition": name, "step": None}
        expected = [expected_curve(tables, "layer", layer=layer, **rows)[0, 1] for layer in "012"]
        drawn = [points[:, 1] for points in lines_like(axes, color=color(name)) if len(points) == 3]
        assert any(np.allclose(points, expected) for points in drawn), name
    rows = tables.metrics[(tables.metrics["task"] == "noisy_permutation") & (tables.metrics["metric"] == "probe_r2")]
    joined = rows[(rows["condition"] == "cot") & (rows["layer"] == "all") & rows["step"].isna()]["value"].mean()
    window = rows[rows["condition"] == "cot/window_10"]["value"].mean()
    heights = [points[0, 1] for points in lines_like(axes, color=color("cot"))]
    assert np.isclose(heights, joined).any()
    assert np.isclose(heights, window).any()


def test_simplex_shows_the_same_points_colored_by_the_exact_belief(tables):
    figure = FIGURES["belief_simplex"](tables)
    examples = tables.examples[(tables.examples["task"] == "mess3") & (tables.examples["step"] > 0)]
    shown = panels(figure)
    colors = [axes.collections[0].get_facecolor()[:, :3] for axes in shown if axes.collections]
    assert len(colors) == 5  # amortized states nothing
    assert all(np.array_equal(own, colors[0]) for own in colors)
    cot = examples[examples["condition"] == "cot"]
    for axes, source in zip(shown[3:], ("exact", "stated", "probed"), strict=True):
        rows = cot[cot["source"] == source]
        beliefs = rows.pivot_table(index=["problem", "step"], columns="state", values="value", fill_value=0.0)
        np.testing.assert_allclose(axes.collections[0].get_offsets(), to_triangle(beliefs.to_numpy()))
        if source == "exact":
            np.testing.assert_allclose(colors[0], beliefs.to_numpy())


def test_triangle_is_equilateral_and_its_middle_is_the_uniform_belief():
    corners = to_triangle(np.eye(3))
    sides = [np.linalg.norm(corners[i] - corners[j]) for i, j in ((0, 1), (1, 2), (2, 0))]
    np.testing.assert_allclose(sides, 1)
    np.testing.assert_allclose(to_triangle(np.full((1, 3), 1 / 3))[0], corners.mean(axis=0))


def test_story_shows_beliefs_latents_and_answers_of_the_first_problem(tables):
    figure = FIGURES["one_problem"](tables)
    rows = tables.examples[(tables.examples["task"] == "noisy_permutation") & (tables.examples["problem"] == 0)]
    by_title = {axes.get_title(loc="left"): axes for axes in panels(figure)}
    exact = rows[(rows["condition"] == "cot") & (rows["source"] == "exact")]
    heat = by_title["exact belief"].collections[0].get_array()
    expected = exact.pivot_table(index="state", columns="step", values="value", fill_value=0.0)
    np.testing.assert_allclose(np.ma.filled(heat, np.nan), expected.to_numpy())
    stated = by_title["cot: belief stated in the trace"]
    assert stated.collections[0].get_array()[:, 0].mask.all()  # nothing is stated before the first step
    assert stated.lines[0].get_ydata().tolist() == [step % 5 for step in range(7)]
    for condition in ("amortized", "cot"):
        own = rows[(rows["condition"] == condition) & (rows["source"] == "answer")]
        bars = [bar.get_width() for bar in by_title[f"{condition}: answer"].patches]
        np.testing.assert_allclose(bars, own.sort_values("state")["value"])


def test_story_takes_another_task_of_few_states_if_it_has_to(tables):
    examples = tables.examples[tables.examples["task"] == "mess3"]
    assert "mess3" in FIGURES["one_problem"](Tables(tables.metrics, examples)).get_suptitle()
    many = examples.assign(state=examples["state"] * 30)
    assert FIGURES["one_problem"](Tables(tables.metrics, many)) is None


@pytest.mark.parametrize("name", FIGURES)
def test_nothing_is_drawn_from_empty_tables(name):
    empty = Tables(pd.DataFrame(columns=list(COLUMNS)), pd.DataFrame(columns=list(EXAMPLE_COLUMNS)))
    assert FIGURES[name](empty) is None
    assert FIGURES[name](Tables(pd.DataFrame(), pd.DataFrame())) is None


@pytest.mark.parametrize("name", ["kl_by_length", "light_cone", "triangle_along_trace", "probe_r2_by_layer"])
def test_one_seed_has_lines_but_no_band(tables, tmp_path, name):
    figure = FIGURES[name](Tables(synthetic_metrics(seeds=1), tables.examples))
    save(figure, tmp_path, name)
    assert not any(axes.collections for axes in panels(figure))
    assert any(axes.collections for axes in panels(FIGURES[name](tables)))


@pytest.mark.parametrize("name", COMPARE.figures)
def test_saved_files_are_byte_identical_and_name_no_software_or_date(tables, tmp_path, name):
    for folder in ("first", "second"):
        save(FIGURES[name](tables), tmp_path / folder, name)
    files = sorted(file.name for file in (tmp_path / "first").iterdir())
    assert files == [f"{name}.png", f"{name}.svg"]  # and nothing unfinished
    for file in files:
        content = (tmp_path / "first" / file).read_bytes()
        assert content == (tmp_path / "second" / file).read_bytes()
        assert not any(word in content for word in (b"Software", b"<dc:date>", b"<dc:creator>"))


def test_saved_files_do_not_depend_on_the_process(tables, tmp_path):
    tables.metrics.to_pickle(tmp_path / "metrics")
    tables.examples.to_pickle(tmp_path / "examples")
    script = (
        "import sys, pandas; from pathlib import Path; from unamortized.studies.figures import FIGURES, Tables, save;"
        "here = Path(sys.argv[1]); tables = Tables(*(pandas.read_pickle(here / f) for f in ('metrics', 'examples')));"
        "[save(FIGURES[name](tables), here / sys.argv[2], name) for name in sys.argv[3:]]"
    )
    names = ("belief_simplex", "kl_by_length", "one_problem")
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2] / "src")}
    for seed in ("1", "2"):
        command = [sys.executable, "-c", script, str(tmp_path), seed, *names]
        subprocess.run(command, check=True, env=environment | {"PYTHONHASHSEED": seed})
    files = sorted(file.name for file in (tmp_path / "1").iterdir())
    assert len(files) == 2 * len(names)
    for file in files:
        assert (tmp_path / "1" / file).read_bytes() == (tmp_path / "2" / file).read_bytes()


def test_a_failed_save_leaves_the_old_file(tables, tmp_path, monkeypatch):
    figure = FIGURES["belief_simplex"](tables)
    save(figure, tmp_path, "figure")
    before = (tmp_path / "figure.png").read_bytes()
    monkeypatch.setattr(figure, "savefig", lambda file, **_: (file.write_bytes(b"half"), 1 / 0))
    with pytest.raises(ZeroDivisionError):
        save(figure, tmp_path, "figure")
    assert (tmp_path / "figure.png").read_bytes() == before


def test_each_condition_has_a_look_of_its_own_and_its_controls_share_the_color():
    looks = [(look(name)["color"], look(name)["marker"]) for name in CONDITIONS]
    assert len(set(looks)) == len(CONDITIONS)
    assert color("cot/untrained") == color("cot")
    assert look("cot/untrained")["alpha"] < 1


def test_a_trained_baseline_has_color_and_a_band_but_stands_back():
    red, green, blue = (int(color("gru")[place : place + 2], 16) for place in (1, 3, 5))
    assert max(red, green, blue) - min(red, green, blue) > 60  # no gray
    assert not is_baseline("gru")
    assert look("gru")["linestyle"] != look("cot").get("linestyle", "-")
    assert look("prior")["zorder"] < look("gru")["zorder"] < look("cot")["zorder"]
    assert look("gru/untrained")["linestyle"] == look("cot/untrained")["linestyle"]
    assert compared(["gru", "cot", "amortized"]) == ["amortized", "cot"]  # where there is room for two


def test_legends_list_conditions_before_baselines():
    names = ["window_8", "cot_every_8", "cot", "prior", "amortized", "cot"]
    assert in_order(names) == ["amortized", "cot", "cot_every_8", "prior", "window_8"]


def test_two_conditions_are_compared_or_all_where_neither_is_there():
    assert compared(["cot", "amortized_equal_flops", "cot_state", "cot/untrained"]) == ["amortized_equal_flops", "cot"]
    assert compared(["cot_state", "cot_every_4"]) == ["cot_state", "cot_every_4"]
