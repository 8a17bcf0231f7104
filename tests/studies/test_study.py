"""A plan is the grid of runs that was asked for, or all that is wrong with the asking."""

from pathlib import Path

import pytest

from unamortized.configuration.document import SpecError
from unamortized.learning.runs import flops_per_question, run_digest, training_steps
from unamortized.learning.specification import TrainSpec
from unamortized.models.transformer import ModelSpec
from unamortized.studies import STUDIES, find_study
from unamortized.studies.study import Cell, Preset, plan, split_overrides

pytestmark = pytest.mark.usefixtures("at_the_top")

PRESET = Preset(
    cells=(
        Cell("mess3", ("amortized", "cot"), seeds=2, train=TrainSpec(steps=100)),
        Cell("rrxor", ("cot",), seeds=1, train=TrainSpec(steps=50), model=ModelSpec(layers=3)),
    ),
    evaluations=(),
)


def shape(specs):
    return [(spec.task.name, spec.condition, spec.seed, spec.train.steps, spec.model.layers) for spec in specs]


def test_a_preset_is_its_cells():
    assert shape(plan(PRESET)) == [
        ("mess3", "amortized", 0, 100, 2),
        ("mess3", "amortized", 1, 100, 2),
        ("mess3", "cot", 0, 100, 2),
        ("mess3", "cot", 1, 100, 2),
        ("rrxor", "cot", 0, 50, 3),
    ]


def test_parts_of_a_preset_are_chosen_by_name():
    specs = plan(PRESET, tasks=["rrxor"], conditions=["amortized", "cot_every_8"], seeds=[3, 5])
    assert shape(specs) == [
        ("rrxor", "amortized", 3, 50, 3),
        ("rrxor", "amortized", 5, 50, 3),
        ("rrxor", "cot_every_8", 3, 50, 3),
        ("rrxor", "cot_every_8", 5, 50, 3),
    ]


def test_a_task_that_the_study_does_not_know_is_done_like_the_first(tmp_path):
    file = tmp_path / "mine.yaml"
    file.write_text(Path("tasks/zero_one_random.yaml").read_text())
    assert shape(plan(PRESET, tasks=[str(file)])) == [
        ("mine", condition, seed, 100, 2) for condition in ("amortized", "cot") for seed in (0, 1)
    ]


def test_overrides_reach_task_model_and_training():
    (spec, *_) = plan(PRESET, ["mess3"], overrides=["process.x=0.1", "model.layers=4", "train.batch_size=32"])
    assert spec.task.process.parameters["x"] == 0.1
    assert spec.model == ModelSpec(layers=4)
    assert spec.train == TrainSpec(steps=100, batch_size=32)  # what is not overridden is the preset's


def test_overrides_of_learning_are_told_from_those_of_the_task():
    learning, task = split_overrides(["train.steps=5", "steps.train=[1, 8]", "model.width=32", "query=filter"])
    assert learning == ["train.steps=5", "model.width=32"]
    assert task == ["steps.train=[1, 8]", "query=filter"]


def test_everything_wrong_with_the_overrides_is_reported_at_once():
    with pytest.raises(SpecError) as error:
        plan(PRESET, overrides=["codebook.resolution=0", "train.stepz=5", "model.width=0", "steps.train=[4, 1]"])
    text = str(error.value)
    assert "override codebook.resolution=0: " in text
    assert "override train.stepz=5: unknown field; did you mean 'steps'?" in text
    assert "override model.width=0: must be" in text
    assert "override steps.train=[4, 1]: " in text
    assert text.endswith("4 problems in the overrides; nothing was run.")  # each once, though two tasks have it


def test_everything_wrong_with_several_task_files_is_reported_at_once(tmp_path):
    files = [tmp_path / "one.yaml", tmp_path / "two.yaml"]
    for file in files:
        file.write_text(Path("tasks/mess3.yaml").read_text().replace("x: 0.05", "x: 7"))
    with pytest.raises(SpecError) as error:
        plan(PRESET, [str(file) for file in files], overrides=["train.steps=0"])
    text = str(error.value)
    assert all(f"{file}:" in text for file in files)
    assert "override train.steps=0: " in text
    assert "3 problems in " in text


def test_what_only_one_cells_training_contradicts_is_reported_too():
    preset = Preset((PRESET.cells[0], Cell("rrxor", ("cot",), 1, TrainSpec(batch_size=32))), ())
    with pytest.raises(SpecError, match="batch_size 32 must be a multiple of lengths_per_batch 64"):
        plan(preset, overrides=["train.lengths_per_batch=64"])


def test_a_condition_that_there_is_not_is_named():
    with pytest.raises(ValueError, match="no condition named 'cott'; there are amortized, "):
        plan(PRESET, conditions=["cott"])


def test_equal_flops_spends_what_cot_spends():
    (equal,) = plan(PRESET, ["mess3"], ["amortized_equal_flops"], [0])
    (cot,) = plan(PRESET, ["mess3"], ["cot"], [0])
    spent = {
        spec.condition: training_steps(spec) * spec.train.batch_size * flops_per_question(spec) for spec in (equal, cot)
    }
    assert training_steps(equal) > training_steps(cot) == cot.train.steps == equal.train.steps
    assert spent["amortized_equal_flops"] == pytest.approx(spent["cot"], rel=0.5 / training_steps(equal))


def test_a_larger_equal_flops_budget_follows_an_override_of_the_steps():
    steps = [
        training_steps(plan(PRESET, ["mess3"], ["amortized_equal_flops"], [0], [f"train.steps={n}"])[0])
        for n in (200, 400)
    ]
    assert steps[1] == pytest.approx(2 * steps[0], abs=1)


def test_studies_and_presets_are_found_by_name_and_others_are_listed():
    assert find_study("compare") is STUDIES["compare"]
    assert find_study("compare").preset("smoke").cells
    with pytest.raises(ValueError, match="no study named 'compar'; there are compare"):
        find_study("compar")
    with pytest.raises(ValueError, match="study compare has no preset named 'quik'; there are smoke, quick, full"):
        find_study("compare").preset("quik")


SEVERAL = Preset(
    cells=(
        Cell("mess3", ("cot",), 1, overrides=("process.x=0.1",), world="fast"),
        Cell("mess3", ("cot",), 1, model=ModelSpec(positions="rotary"), variant="rotary"),
    ),
    evaluations=(),
)


def test_an_unknown_task_gets_the_first_cell_under_its_own_name():
    (cell,) = SEVERAL.cells_of("mine")
    assert (cell.task, cell.conditions, cell.overrides, cell.world) == ("mine", ("cot",), (), "")
    assert PRESET.cells_of("rrxor") == (PRESET.cells[1],)


def test_several_cells_of_a_task_are_worlds_and_variants_of_it():
    fast, rotary = plan(SEVERAL)
    assert fast.task.process.parameters["x"] == 0.1
    assert (fast.title, rotary.title) == ("mess3 (fast) cot seed 0", "mess3 cot@rotary seed 0")
    assert run_digest(fast) != run_digest(rotary)
    assert plan(SEVERAL, ["mess3"]) == [fast, rotary]
    overridden = plan(SEVERAL, overrides=["process.x=0.2"])
    assert [spec.task.process.parameters["x"] for spec in overridden] == [0.2, 0.2]  # a user's word is the last


def test_marks_change_neither_the_run_nor_its_record():
    fast, _ = plan(SEVERAL)
    plain = fast.model_copy(update={"world": "", "variant": ""})
    assert run_digest(fast) == run_digest(plain)
    assert fast.model_dump(mode="json") == plain.model_dump(mode="json")


def test_two_worlds_of_one_name_are_refused_and_one_named_twice_is_done_once(tmp_path):
    preset = find_study("compare").preset("smoke")
    twice = plan(preset, ["noisy_permutation", "tasks/noisy_permutation.yaml"])
    assert twice == plan(preset, ["noisy_permutation"])
    other = tmp_path / "noisy_permutation.yaml"
    other.write_text(Path("tasks/noisy_permutation.yaml").read_text().replace("slip: 0.02", "slip: 0.5"))
    with pytest.raises(ValueError, match="two different tasks are named 'noisy_permutation'"):
        plan(preset, ["noisy_permutation", str(other)])


def test_a_task_file_that_is_not_ours_keeps_its_world(tmp_path):
    file = tmp_path / "noisy_permutation.yaml"
    file.write_text(Path("tasks/noisy_permutation.yaml").read_text().replace("seed: 0 ", "seed: 7 "))
    preset = find_study("compare").preset("smoke")
    assert {spec.task.process.parameters["seed"] for spec in plan(preset, [str(file)])} == {7}
    ours = plan(preset, ["tasks/noisy_permutation.yaml"])
    assert {spec.task.process.parameters["seed"] for spec in ours} == {0, 1}


def test_of_an_unknown_task_what_cannot_be_learned_is_left_out(tmp_path):
    file = tmp_path / "mine.yaml"
    file.write_text(Path("tasks/mess3.yaml").read_text().replace("query: filter", "query: smooth 0"))
    preset = find_study("compare").preset("smoke")
    assert {spec.condition for spec in plan(preset, [str(file)])} == {"amortized", "cot", "gru"}
    with pytest.raises(ValueError, match="condition 'amortized_dense' cannot learn mine"):
        plan(preset, [str(file)], ["amortized_dense"])
    with pytest.raises(ValueError, match="condition 'amortized' cannot learn local_chain"):
        plan(preset, ["local_chain"])


def test_cells_that_name_what_an_override_changes_are_left_out():
    preset = find_study("compare").preset("full")
    variants = {spec.variant for spec in plan(preset, ["noisy_permutation"], overrides=["train.steps=5"])}
    assert variants == {"", "layers_4"}
    variants = {spec.variant for spec in plan(preset, ["noisy_permutation"], overrides=["model.layers = 1"])}
    assert variants == {"", "steps_300", "steps_1200", "longest_steps_1200"}
