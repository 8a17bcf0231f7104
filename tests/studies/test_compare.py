"""The headline study asks for nothing that is not measured, trained or drawn."""

from pathlib import Path

import pytest

from unamortized.evaluation.baselines import baselines
from unamortized.evaluation.metrics import METRICS
from unamortized.evaluation.probes.probe_baselines import WINDOW
from unamortized.evaluation.rows import row, to_table
from unamortized.learning.conditions import resolve_condition
from unamortized.studies.compare import COMPARE
from unamortized.studies.figures import FIGURES
from unamortized.studies.figures.captions import CAPTIONS
from unamortized.studies.study import plan
from unamortized.worlds.tasks import load_task

OF_TRACES = ("causal_reliance", "causal_reliance_frozen", "reliance_r2", "edit_tv", "counterfactual_tv", "edits_kept")
PROBED = ("probe_r2", "question_probe_r2")
ANSWERED = ("answer_kl", "answer_tv", "map_agreement", "calibration_error")


@pytest.fixture(autouse=True)
def _at_the_top(monkeypatch):
    monkeypatch.chdir(Path(__file__).parents[2])  # where tasks/ is


def everything_measured(preset):
    """A made-up row, over two seeds, for all that a preset measures of the tasks and conditions that it names."""
    settings = {evaluation.name: evaluation.settings for evaluation in preset.evaluations}
    rows = []
    for cell in preset.cells:
        task = load_task(cell.task)
        longest = task.steps.train[1]

        def add(condition, metric, n_steps, layer=None, step=None, name=cell.task):
            where = {"n_steps": n_steps, "layer": layer, "step": step}
            for seed in (0, 1):
                rows.append(row(name, condition, seed, "length", metric, 0.5 + seed / 10, 1, **where))

        for condition in (*cell.conditions, *baselines(task, 0)):
            for metric in ANSWERED:
                for n_steps in task.steps.test:
                    add(condition, metric, n_steps)
        for condition in cell.conditions:
            probe_controls = ("", "/untrained", "/shuffled_belief", f"/window_{WINDOW}")
            for metric in PROBED:
                for control in probe_controls:
                    layers = [None] if "window" in control else [*map(str, range(cell.model.layers + 1)), "all"]
                    for layer in layers:
                        for step in (None, *settings["probes"].steps):
                            add(condition + control, metric, longest, layer, step)
            if resolve_condition(condition).trace != "none":
                for lag in settings["light_cone"].lags:
                    for metric in OF_TRACES:
                        add(condition, metric, longest, step=lag)
                    add(f"{condition}/wrong_counterfactual", "causal_reliance", longest, step=lag)
    return to_table(rows)


@pytest.mark.parametrize("name", ["smoke", "quick", "full"])
def test_every_claim_refers_to_what_the_preset_measures(name):
    preset = COMPARE.preset(name)
    metrics = everything_measured(preset)
    assert set(metrics["metric"]) <= set(METRICS)
    for cell in preset.cells:
        table = metrics[metrics["task"] == cell.task]
        for claim in COMPARE.claims:
            if claim.tasks is None and "amortized_equal_flops" not in cell.conditions:
                continue  # a preset may leave a condition out on one task; the claim then says so
            if claim.tasks is None or cell.task in claim.tasks:
                for measure in (claim.measure, claim.control.measure):
                    estimate = measure.estimate(table)
                    assert estimate is not None, f"{claim.name} on {cell.task} refers to nothing"
                    assert estimate.seeds == 2


def test_every_claim_is_about_something_that_the_full_preset_trains():
    trained = {cell.task for cell in COMPARE.preset("full").cells}
    for claim in COMPARE.claims:
        assert claim.tasks is None or set(claim.tasks) <= trained, claim.name


def test_claims_have_names_of_their_own_and_ranges_that_can_fail():
    names = [claim.name for claim in COMPARE.claims]
    assert len(set(names)) == len(names)
    for claim in COMPARE.claims:
        for wanted in (claim.holds, claim.control.holds):
            assert wanted.low is not None or wanted.high is not None


def test_every_figure_exists_and_has_a_caption():
    assert set(COMPARE.figures) <= set(FIGURES)
    assert set(FIGURES) == set(CAPTIONS)
    assert all(caption.endswith(".") for caption in CAPTIONS.values())


@pytest.mark.parametrize("name", ["smoke", "quick", "full"])
def test_every_preset_can_be_planned(name):
    preset = COMPARE.preset(name)
    specs = plan(preset)
    assert len(specs) == sum(len(cell.conditions) * cell.seeds for cell in preset.cells)
    assert len({spec.digest() for spec in specs}) == len(specs)
    assert {spec.task.name for spec in specs} == {cell.task for cell in preset.cells}


def test_every_lag_and_step_lies_within_the_trace():
    for preset in COMPARE.presets.values():
        longest = min(load_task(cell.task).steps.train[1] for cell in preset.cells)
        for evaluation in preset.evaluations:
            assert max(getattr(evaluation.settings, "lags", (0,))) < longest
            assert max(getattr(evaluation.settings, "steps", (1,))) <= longest


def test_where_a_test_is_claimed_there_are_six_seeds():
    assert all(cell.seeds >= 6 for cell in COMPARE.preset("full").cells)
