"""The study of the pointer judges only what it measures, and chooses the best layout for the model that it favors."""

import pytest

from unamortized.evaluation.baselines import baselines
from unamortized.evaluation.rows import row, to_table
from unamortized.learning.runs import run_digest
from unamortized.studies.claims import judge_all
from unamortized.studies.pointer import MODELS, NOT_COUPLED, POINTER, lowest_kl
from unamortized.studies.study import plan
from unamortized.worlds.task_files import load_task

pytestmark = pytest.mark.usefixtures("at_the_top")


def everything_measured(preset):
    """Return a table with a row, over two seeds, for all that a preset measures."""
    task, rows = load_task("noisy_permutation"), []

    def add(condition, *metrics, **where):
        for metric in metrics:
            for n_steps in task.steps.test:
                for seed in (0, 1):
                    value = 0.5 + seed / 10
                    rows.append(row(task.name, condition, seed, "length", metric, value, 1, n_steps=n_steps, **where))

    for name in baselines(task, 0):
        add(name, "answer_kl")
    for cell in preset.cells:
        for condition in cell.conditions:
            add(condition, "answer_kl", variant=cell.variant)
            for control in ("", "exchanged_codes") if condition.startswith("cot") else ():
                metrics = ("pointer_error", "update_error", "pointer_share")
                add(condition, *metrics, variant=cell.variant, control=control)
    return to_table(rows)


def test_every_claim_reads_what_the_full_preset_measures():
    judged = judge_all(POINTER.claims, everything_measured(POINTER.preset("full")))
    assert [claim["name"] for claim in judged] == [claim.name for claim in POINTER.claims]
    assert [(claim["name"], claim["seeds"], claim["control"]["seeds"]) for claim in judged] == [
        (claim.name, 2, 2) for claim in POINTER.claims
    ]
    assert {claim["task"] for claim in judged} == {"noisy_permutation"}


@pytest.mark.parametrize("name", ["smoke", "quick"])
def test_smaller_presets_judge_claims_as_far_as_they_measure_them(name):
    judged = {claim["name"]: claim for claim in judge_all(POINTER.claims, everything_measured(POINTER.preset(name)))}
    assert judged["the_layout_gives_the_reach"]["seeds"] == 2
    assert judged["cot_beats_the_best_amortized_scheme"]["seeds"] == 2
    unmeasured = {name for name, claim in judged.items() if claim["verdict"] == "not measured"}
    assert ("errors_are_pointer_errors_under_rotary_plain" in unmeasured) == (name == "smoke")
    assert ("numbered_observations_are_found_at_any_length" in unmeasured) == (name == "quick")


@pytest.mark.parametrize("name", ["smoke", "quick", "full"])
def test_every_preset_can_be_planned_and_no_run_has_two_names(name):
    preset = POINTER.preset(name)
    specs = plan(preset)
    assert len(specs) == sum(len(cell.conditions) * cell.seeds for cell in preset.cells)
    assert len({run_digest(spec) for spec in specs}) == len(specs)


def test_the_full_preset_crosses_position_schemes_and_ids():
    specs = plan(POINTER.preset("full"))
    for condition in ("amortized", "cot"):
        assert {spec.variant for spec in specs if spec.condition == condition} == set(MODELS)
    for condition in ("cot_copied", "cot_indexed"):
        assert {spec.variant for spec in specs if spec.condition == condition} == {"alibi_coupled", "alibi_plain"}
    assert {spec.variant for spec in specs if spec.condition == "gru"} == {"alibi_coupled"}
    names = {
        f"{model.positions}_{'coupled' if model.coupled else 'plain'}".replace("none_coupled", "none"): model
        for model in MODELS.values()
    }
    assert names == MODELS


def test_the_longest_question_has_an_id_for_every_token():
    randomized = [spec for spec in plan(POINTER.preset("full")) if spec.model.positions == "randomized"]
    assert {spec.model.coupled for spec in randomized} == {True, False}
    for spec in randomized:
        columns = 2 * max(spec.task.steps.test) + 3  # of a plain trace
        assert spec.model.spread_over >= columns


def test_the_best_layout_is_chosen_seed_by_seed_among_those_measured():
    values = {("alibi_plain", 0): 0.4, ("alibi_plain", 1): 0.2, ("none", 0): 0.3, ("none", 1): 0.6}
    values |= {("alibi_coupled", 0): 0.1, ("alibi_coupled", 1): 0.1}
    table = to_table(
        row("noisy_permutation", "amortized", seed, "length", "answer_kl", value, 1, n_steps=64, variant=variant)
        for (variant, seed), value in values.items()
    )
    assert lowest_kl("amortized", MODELS, 64).values(table).to_dict() == {0: 0.1, 1: 0.1}
    assert lowest_kl("amortized", NOT_COUPLED, 64).values(table).to_dict() == {0: 0.3, 1: 0.2}
    assert set(NOT_COUPLED) == {"alibi_plain", "rotary_plain", "none", "learned_plain", "randomized_plain"}
