"""The headline study's charts draw the rows that their captions speak of."""

import numpy as np
import pytest

from tests.studies.figure_tables import drawn, legend, lines, panels, rows, tables, texts, ticks
from unamortized.evaluation.protocol import FEWEST_PROBLEMS
from unamortized.labels import ABOUT_TO_STATE, QUESTION
from unamortized.studies.figures.charts import Chart
from unamortized.studies.figures.compare import COMPARED, FIGURES
from unamortized.studies.figures.drawing import draw
from unamortized.studies.figures.style import Tables, color
from unamortized.studies.flops_multiple import FlopsMultiple
from unamortized.studies.names import AMORTIZED, COT, DENSE, DRAWN, PRIOR, after, deep

CHARTS = {figure.name: figure for figure in FIGURES if isinstance(figure, Chart)}
TASKS = {"noisy_permutation": "noisy permutation", "mess3": "mess3"}
TRAINED = (
    *((condition, after(steps)) for condition in (AMORTIZED, DENSE) for steps in (300, 1200)),
    (DRAWN, after(1200)),
    *((condition, deep(4)) for condition in (AMORTIZED, DENSE, COT)),
)
LENGTHS, LAGS, LAYERS = (4, 16, 64), (0, 4, 8), ("0", "1", "2", "all")


def synthetic(seeds: int = 3) -> Tables:
    """Random values, so that any mix-up of rows shows."""
    draw_from, groups = np.random.default_rng(7), []

    def add(metric, condition=COT, **where):
        for task in TASKS:
            split = "length" if where.get("n_steps", 0) > 16 else "in_distribution"
            values = draw_from.uniform(0.05, 0.95, seeds)
            groups.append(rows(metric, values, condition, task=task, split=split, **where))

    for n in LENGTHS:
        for condition in COMPARED:
            add("map_agreement", condition, n_steps=n)
            add("answer_kl", condition, n_steps=n, run=condition)
        for condition, variant in TRAINED:
            add("answer_kl", condition, variant=variant, n_steps=n, run=f"{condition} {variant}")
    for place, (condition, variant) in enumerate([(name, "") for name in COMPARED[:4]] + list(TRAINED)):
        for task in TASKS:
            values = [(place + 1) * 1e12] * seeds
            run = f"{condition} {variant}".strip()
            groups.append(rows("training_flops", values, condition, task=task, split="train", variant=variant, run=run))
    for lag in LAGS:
        for metric in ("edit_tv", "counterfactual_tv", "causal_reliance", "causal_reliance_frozen"):
            add(metric, n_steps=16, step=lag)
        add("causal_reliance", control="wrong_counterfactual", n_steps=16, step=lag)
    for n in (16, 64):
        for step in range(1, n + 1):
            for metric in ("stated_kl", "probed_kl", "stated_probed_kl"):
                add(metric, n_steps=n, step=step)
    for site in (ABOUT_TO_STATE, QUESTION):
        for layer in LAYERS:
            for control in ("", "untrained", "shuffled_belief"):
                add("probe_r2", control=control, site=site, layer=layer, n_steps=16)
            add("probe_r2", site=site, layer=layer, n_steps=16, step=3)  # one step alone, which no figure pools
        for control in ("window_4_exact", "last_statement"):
            add("probe_r2", control=control, site=site, n_steps=16)
    return tables(*groups)


@pytest.fixture(scope="module")
def found() -> Tables:
    return synthetic()


def mean(found: Tables, **where) -> float:
    """The mean over seeds of the rows with these values; None is a missing number."""
    kept = found.metrics
    for column, value in ({"control": "", "variant": ""} | where).items():
        kept = kept[kept[column].isna() if value is None else (kept[column] == value).fillna(False)]
    assert len(kept) == 3, where
    return float(kept["value"].mean())


def share(found: Tables, **where) -> float:
    """The mean over seeds of a KL over the prior's."""
    own, priors = (
        found.metrics.query(f"metric == 'answer_kl' and task == '{where['task']}' and n_steps == {where['n_steps']}")
        .query(f"condition == '{condition}' and variant == '{variant}'")
        .set_index("seed")["value"]
        for condition, variant in ((where["condition"], where.get("variant", "")), (PRIOR, ""))
    )
    assert len(own) == len(priors) == 3
    return float((own / priors).mean())


def test_right_answers_by_length_are_those_of_the_compared_conditions(found):
    figure = drawn(CHARTS["accuracy_by_length"], found)
    assert list(panels(figure)) == list(TASKS.values())
    for axes, task in zip(panels(figure).values(), TASKS, strict=True):
        assert len(axes.lines) == len(COMPARED)
        for condition in COMPARED:
            (line,) = lines(axes, color=color(condition))
            wanted = [mean(found, metric="map_agreement", task=task, condition=condition, n_steps=n) for n in LENGTHS]
            np.testing.assert_allclose(line, list(zip(LENGTHS, wanted, strict=True)))


def test_kls_by_length_are_shares_of_the_priors(found):
    figure = drawn(CHARTS["kl_by_length"], found)
    assert list(panels(figure)) == list(TASKS.values())
    for axes, task in zip(panels(figure).values(), TASKS, strict=True):
        for condition in set(COMPARED) - {PRIOR}:
            (line,) = lines(axes, color=color(condition))
            wanted = [share(found, task=task, condition=condition, n_steps=n) for n in LENGTHS]
            np.testing.assert_allclose(line, list(zip(LENGTHS, wanted, strict=True)))
        assert not lines(axes, color=color(PRIOR))  # the dashed line at 1 is the prior


def test_answers_are_drawn_at_what_their_training_cost(found):
    figure = drawn(CHARTS["kl_by_flops"], found)
    assert list(panels(figure)) == ["n = 4", "n = 16", "n = 64"]
    for n, axes in zip(LENGTHS, panels(figure).values(), strict=True):
        for condition, longest in ((AMORTIZED, 1), (DENSE, 2)):
            (line,) = lines(axes, color=color(condition))
            variants = {place + 5: variant for place, (name, variant) in enumerate(TRAINED) if name == condition}
            shown = {longest: ""} | {place: variant for place, variant in variants.items() if "steps" in variant}
            where = {"task": "noisy_permutation", "condition": condition, "n_steps": n}
            wanted = [
                (place * 1e12, share(found, variant=variant, **where)) for place, variant in sorted(shown.items())
            ]
            np.testing.assert_allclose(line, wanted)


def test_the_multiple_is_drawn_for_each_length(found):
    (axes,) = panels(drawn(CHARTS["flops_multiple"], found)).values()
    own = found.metrics[found.metrics["task"] == "noisy_permutation"]
    for condition in (AMORTIZED, DENSE):
        (line,) = lines(axes, color=color(condition))
        wanted = [np.log10(FlopsMultiple(condition, n).values(own)).mean() for n in LENGTHS]
        np.testing.assert_allclose(line[:, 1], wanted)


def test_equal_steps_stand_from_the_fewest_labels_to_writing(found):
    (axes,) = panels(drawn(CHARTS["labels_and_writing"], found)).values()
    assert ticks(axes) == [
        *("no trace (1,200 steps)", "no trace, dense, drawn (1,200 steps)", "no trace, dense (1,200 steps)"),
        *("no trace (4 layers)", "no trace, dense (4 layers)", "CoT", "CoT (4 layers)"),
    ]
    cells = [(AMORTIZED, after(1200)), (DRAWN, after(1200)), (DENSE, after(1200))]
    cells += [(AMORTIZED, deep(4)), (DENSE, deep(4)), (COT, ""), (COT, deep(4))]
    where = {"task": "noisy_permutation", "n_steps": 16}
    wanted = [share(found, condition=condition, variant=variant, **where) for condition, variant in cells]
    shown = sorted(float(np.asarray(line.get_xdata())[0]) for line in axes.lines)
    np.testing.assert_allclose(shown, sorted(wanted))


def test_the_answers_movement_stands_beside_the_exact_one(found):
    axes = panels(drawn(CHARTS["edit_effect"], found))["mess3"]
    for line, metric in zip(lines(axes), ("edit_tv", "counterfactual_tv"), strict=True):
        np.testing.assert_allclose(line[:, 1], [mean(found, metric=metric, task="mess3", step=lag) for lag in LAGS])


def test_reliance_stands_beside_both_of_its_controls(found):
    axes = panels(drawn(CHARTS["light_cone"], found))["mess3"]
    wanted = {
        "CoT": {"metric": "causal_reliance"},
        "later steps frozen": {"metric": "causal_reliance_frozen"},
        "wrong counterfactual": {"metric": "causal_reliance", "control": "wrong_counterfactual"},
    }
    assert set(wanted) <= set(texts(axes).values()) | set(legend(drawn(CHARTS["light_cone"], found)))
    curves = [line[:, 1] for line in lines(axes) if len(line) == len(LAGS)]
    for where in wanted.values():
        expected = [mean(found, task="mess3", step=lag, **where) for lag in LAGS]
        assert any(np.allclose(curve, expected) for curve in curves), where
    assert {line[0, 1] for line in lines(axes, color="#999999")} == {0.0, 1.0}


def test_reliance_on_too_few_problems_is_left_out(found):
    few = found.metrics.assign(
        count=found.metrics["count"].mask((found.metrics["step"] == 8).fillna(False), FEWEST_PROBLEMS - 1)
    )
    for axes in panels(drawn(CHARTS["light_cone"], Tables(few, found.examples))).values():
        assert {x for line in lines(axes, linestyle="-") for x in line[:, 0]} == {0, 4}


def test_the_triangle_has_three_sides_at_each_step_of_the_longest_questions(found):
    figure = drawn(CHARTS["triangle_along_trace"], found)
    (title,) = (title for title in panels(figure) if title.endswith("mess3"))
    sides = lines(panels(figure)[title])
    assert len(sides) == 3
    for side, metric in zip(sides, ("stated_kl", "probed_kl", "stated_probed_kl"), strict=True):
        expected = [mean(found, metric=metric, task="mess3", n_steps=64, step=step) for step in range(1, 65)]
        np.testing.assert_allclose(side[:, 1], expected)


def test_probes_are_pooled_over_steps_and_stand_beside_their_controls(found):
    figure = drawn(CHARTS["probe_r2_by_layer"], found)
    assert len(panels(figure)) == 4
    axes = next(axes for title, axes in panels(figure).items() if "about to state" in title and "mess3" in title)
    assert ticks(next(iter(panels(figure).values()))) == ["embedding", "layer 1", "layer 2", "all layers", "no network"]
    names = ["exact, last four observations", "last code and observation"]
    assert legend(figure) == ["trained network", "before training", *names, "shuffled beliefs"]
    drawn_means = sorted(float(np.asarray(line.get_xdata())[0]) for line in axes.lines)
    where = {"metric": "probe_r2", "task": "mess3", "site": ABOUT_TO_STATE, "step": None}
    cells = [(control, layer) for control in ("", "untrained", "shuffled_belief") for layer in LAYERS]
    cells += [("window_4_exact", ""), ("last_statement", "")]
    expected = [mean(found, control=control, layer=layer, **where) for control, layer in cells]
    np.testing.assert_allclose(drawn_means, sorted(expected))


@pytest.mark.parametrize("name", CHARTS)
def test_one_seed_has_no_interval(found, name):
    one, many = (drawn(CHARTS[name], table) for table in (synthetic(seeds=1), found))
    counts = [sum(len(axes.collections) for axes in panels(figure).values()) for figure in (one, many)]
    assert counts[0] == 0
    assert counts[1] > 0


def test_figures_have_names_of_their_own_and_captions_that_end():
    assert len({figure.name for figure in FIGURES}) == len(FIGURES)
    assert all(figure.caption.endswith(".") for figure in FIGURES)


@pytest.mark.parametrize("figure", FIGURES, ids=lambda figure: figure.name)
def test_nothing_is_drawn_from_empty_tables(figure):
    assert draw(figure, tables()) is None
