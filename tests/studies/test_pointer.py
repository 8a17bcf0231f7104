"""The pointer study asks for nothing that is not measured, and its choices favor whom they are said to."""

from dataclasses import replace
from pathlib import Path

import pytest

from unamortized.evaluation.baselines import baselines
from unamortized.evaluation.rows import row, to_table
from unamortized.learning.runs import marked
from unamortized.studies.figures import FIGURES
from unamortized.studies.figures.captions import CAPTIONS
from unamortized.studies.output import write_output
from unamortized.studies.pointer import MODELS, NOT_COUPLED, POINTER, lowest_kl
from unamortized.studies.study import plan
from unamortized.worlds.task_files import load_task


@pytest.fixture(autouse=True)
def _at_the_top(monkeypatch):
    monkeypatch.chdir(Path(__file__).parents[2])  # where tasks/ is


def everything_measured(preset):
    """A made-up row, over two seeds, for all that a preset measures."""
    task, rows = load_task("noisy_permutation"), []

    def add(condition, *metrics):
        for metric in metrics:
            for n_steps in task.steps.test:
                for seed in (0, 1):
                    value = 0.5 + seed / 10
                    rows.append(row(task.name, condition, seed, "length", metric, value, 1, n_steps=n_steps))

    for name in baselines(task, 0):
        add(name, "answer_kl")
    for cell in preset.cells:
        for condition in cell.conditions:
            add(marked(condition, cell.variant), "answer_kl")
            if condition != "amortized":
                for control in ("", "/exchanged_codes"):
                    name = marked(condition + control, cell.variant)
                    add(name, "step_right", "pointer_error", "update_error", "pointer_share")
    return to_table(rows)


def test_every_claim_refers_to_what_the_full_preset_measures():
    table = everything_measured(POINTER.preset("full"))
    for claim in POINTER.claims:
        for measure in (claim.measure, claim.control.measure):
            estimate = measure.estimate(table)
            assert estimate is not None, f"{claim.name} refers to nothing"
            assert estimate.seeds == 2
        assert claim.tasks == ("noisy_permutation",)


@pytest.mark.parametrize("name", ["smoke", "quick"])
def test_of_the_smaller_presets_claims_are_judged_as_far_as_they_are_measured(name):
    table = everything_measured(POINTER.preset(name))
    judged = {claim.name: claim.judge("noisy_permutation", table) for claim in POINTER.claims}
    assert judged["the_layout_gives_the_reach"]["seeds"] == 2
    assert judged["cot_beats_the_best_amortized_scheme"]["seeds"] == 2


@pytest.mark.parametrize("name", ["smoke", "quick", "full"])
def test_every_preset_can_be_planned_and_no_run_stands_under_two_names(name):
    preset = POINTER.preset(name)
    specs = plan(preset)
    assert len(specs) == sum(len(cell.conditions) * cell.seeds for cell in preset.cells)
    assert len({spec.digest() for spec in specs}) == len(specs)


def test_the_full_preset_crosses_schemes_and_ids():
    specs = plan(POINTER.preset("full"))
    for condition in ("amortized", "cot"):
        assert {spec.variant for spec in specs if spec.condition == condition} == set(MODELS)
    for condition in ("cot_copied", "cot_indexed"):
        assert {spec.variant for spec in specs if spec.condition == condition} == {"alibi_coupled", "alibi_plain"}
    assert {spec.variant for spec in specs if spec.condition == "gru"} == {"alibi_coupled"}
    for variant, model in MODELS.items():
        scheme, _, ids = variant.partition("_")
        assert (model.positions, model.coupled) == (scheme, ids != "plain")


def test_the_longest_question_has_an_id_for_every_token():
    for spec in plan(POINTER.preset("full")):
        columns = 2 * 64 + 3  # of a plain trace
        assert spec.model.spread_over is None or spec.model.spread_over >= columns


def test_the_best_layout_is_chosen_seed_by_seed_among_those_there_are():
    values = {("alibi_plain", 0): 0.4, ("alibi_plain", 1): 0.2, ("none", 0): 0.3, ("none", 1): 0.6}
    values |= {("alibi_coupled", 0): 0.1, ("alibi_coupled", 1): 0.1}
    table = to_table(
        row("noisy_permutation", f"amortized@{variant}", seed, "length", "answer_kl", value, 1, n_steps=64)
        for (variant, seed), value in values.items()
    )
    assert lowest_kl("amortized", tuple(MODELS), 64)(table).to_dict() == {0: 0.1, 1: 0.1}
    assert lowest_kl("amortized", NOT_COUPLED, 64)(table).to_dict() == {0: 0.3, 1: 0.2}
    assert set(NOT_COUPLED) == {"alibi_plain", "rotary_plain", "none", "learned_plain", "randomized_plain"}


def test_every_figure_exists_and_has_a_caption():
    assert set(POINTER.figures) <= set(FIGURES)
    assert all(CAPTIONS[name].endswith(".") for name in POINTER.figures)


def test_a_study_that_tells_no_examples_has_an_empty_table_of_them(tmp_path):
    record = write_output(replace(POINTER, claims=()), {}, [], tmp_path)
    assert record["figures"] == []
    header, *rows = (tmp_path / "examples.csv").read_text().splitlines()
    assert header.startswith("task,condition,seed,")
    assert rows == []
