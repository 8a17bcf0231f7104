"""The headline study judges only what it trains and measures."""

import itertools
from functools import partial

import pytest

from unamortized.evaluation.baselines import baselines
from unamortized.evaluation.rows import COLUMNS, row, to_table
from unamortized.labels import ABOUT_TO_STATE, QUESTION
from unamortized.learning.conditions import CONDITIONS as ALL_CONDITIONS
from unamortized.learning.conditions import resolve_condition
from unamortized.learning.runs import run_digest
from unamortized.studies.claims import World, judge_all
from unamortized.studies.compare import COMPARE
from unamortized.studies.study import plan
from unamortized.worlds.task_files import load_task

pytestmark = pytest.mark.usefixtures("at_the_top")

OF_TRACES = ("causal_reliance", "causal_reliance_frozen", "edit_tv", "counterfactual_tv")
ANSWERED = ("answer_kl", "answer_tv", "map_agreement", "calibration_error")


def everything_measured(preset):
    """Return a table with a row, over two seeds, for all that a preset measures of its tasks and conditions."""
    settings = {evaluation.name: evaluation.settings for evaluation in preset.evaluations}
    rows, different = [], itertools.count()
    for cell in preset.cells:
        task = load_task(cell.task)
        longest = task.steps.train[1]

        def add(condition, metric, n_steps, task=cell.task, **where):
            for seed in (0, 1):
                value = 0.5 + seed / 10 + next(different) * 1e-5
                rows.append(row(task, condition, seed, "length", metric, value, 1, n_steps=n_steps, **where))

        for metric, n_steps in itertools.product(ANSWERED, task.steps.test):
            for baseline in baselines(task, 0):
                add(baseline, metric, n_steps)
        for condition in cell.conditions:
            of_run = partial(add, condition, variant=cell.variant, run=f"{condition} {cell.variant}")
            of_run("training_flops", None)
            for metric, n_steps in itertools.product(ANSWERED, task.steps.test):
                of_run(metric, n_steps)
            for control in ("", "untrained", "shuffled_belief", "window_4_exact"):
                layers = [""] if "window" in control else [*map(str, range(cell.model.layers + 1)), "all"]
                for site, layer in itertools.product((QUESTION, ABOUT_TO_STATE), layers):
                    of_run("probe_r2", longest, site=site, layer=layer, control=control)
            if not resolve_condition(condition).language(task, cell.model).is_direct:
                for lag in settings["light_cone"].lags:
                    for metric in OF_TRACES:
                        of_run(metric, longest, step=lag)
                    of_run("causal_reliance", longest, step=lag, control="wrong_counterfactual")
    return to_table(rows).drop_duplicates([column for column in COLUMNS if column != "value"])


@pytest.mark.parametrize("name", ["smoke", "quick", "full"])
def test_every_claim_reads_what_the_preset_measures(name):
    preset = COMPARE.preset(name)
    trained = {(cell.task, condition, cell.variant) for cell in preset.cells for condition in cell.conditions}
    missing = {"smoke": 5, "quick": 5, "full": 0}[name]  # claims about budgets or depth that the preset does not train
    judged = judge_all(COMPARE.claims, everything_measured(preset))
    assert {entry["task"] for entry in judged} <= {task for task, _, _ in trained}
    unmeasured = {entry["name"] for entry in judged if min(entry["seeds"], entry["control"]["seeds"]) < 2}
    assert len(unmeasured) == missing, unmeasured
    claims = {claim.name: claim for claim in COMPARE.claims}
    for entry in judged:
        readings = [
            *claims[entry["name"]].holds.quantity.readings(),
            *claims[entry["name"]].control.holds.quantity.readings(),
        ]
        read = {(entry["task"], reading.condition, reading.variant) for reading in readings}
        models = {place for place in read if place[1] in ALL_CONDITIONS}
        if entry["name"] not in unmeasured:
            assert models <= trained, entry["name"]


def test_every_claim_is_about_a_task_that_the_full_preset_trains():
    trained = {World(cell.task) for cell in COMPARE.preset("full").cells}
    for claim in COMPARE.claims:
        assert claim.worlds is None or set(claim.worlds) <= trained, claim.name


def test_claims_have_names_of_their_own_and_comparisons_that_can_fail():
    names = [claim.name for claim in COMPARE.claims]
    assert len(set(names)) == len(names)
    for claim in COMPARE.claims:
        for comparison in (claim.holds, claim.control.holds):
            assert comparison.low is not None or comparison.high is not None


@pytest.mark.parametrize("name", ["smoke", "quick", "full"])
def test_every_preset_can_be_planned(name):
    preset = COMPARE.preset(name)
    specs = plan(preset)
    assert len(specs) == sum(len(cell.conditions) * cell.seeds for cell in preset.cells)
    assert len({run_digest(spec) for spec in specs}) == len(specs)
    assert {spec.task.name for spec in specs} == {cell.task for cell in preset.cells}


def test_every_lag_lies_within_the_trace():
    for preset in COMPARE.presets.values():
        longest = min(load_task(cell.task).steps.train[1] for cell in preset.cells)
        settings = [evaluation.settings for evaluation in preset.evaluations]
        assert max(lag for each in settings for lag in getattr(each, "lags", ())) < longest


def test_the_full_preset_has_six_seeds():
    assert all(cell.seeds >= 6 for cell in COMPARE.preset("full").cells)
