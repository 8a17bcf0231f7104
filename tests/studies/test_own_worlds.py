"""Own worlds: the seed of a run draws its process, too, so that seeds also vary the world."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.small_nets import small_net_task
from tests.small_tasks import IN_CONTEXT, small_task
from unamortized.learning.runs import parents_of, run_digest
from unamortized.learning.specification import TrainSpec
from unamortized.studies.study import Cell, Preset, plan, with_own_world
from unamortized.worlds.task_files import load_task

pytestmark = pytest.mark.usefixtures("at_the_top")

OWN = Cell("noisy_permutation", ("amortized", "cot", "distilled"), seeds=3, train=TrainSpec(steps=5), own_worlds=True)
COT = replace(OWN, conditions=("cot",))


def preset(*cells: Cell) -> Preset:
    return Preset(cells, evaluations=())


def world_seeds(specs) -> list[tuple[int, int]]:
    return [(spec.seed, spec.task.process.parameters["seed"]) for spec in specs]


def test_the_seed_of_a_run_is_that_of_its_process():
    specs = plan(preset(OWN))
    assert world_seeds(specs) == [(seed, seed) for _ in OWN.conditions for seed in (0, 1, 2)]
    assert world_seeds(plan(preset(OWN), seeds=[5, 9])) == [(5, 5), (9, 9)] * 3
    shared = plan(preset(replace(OWN, own_worlds=False)))
    assert world_seeds(shared) == [(seed, 0) for _ in OWN.conditions for seed in (0, 1, 2)]


def test_each_seed_has_a_world_that_all_conditions_and_teachers_share():
    specs = plan(preset(OWN))
    for seed in (0, 1, 2):
        tasks = [spec.task for spec in specs if spec.seed == seed]
        assert tasks.count(tasks[0]) == len(OWN.conditions)
    matrices = [spec.task.build().transitions for spec in specs[:3]]
    assert not np.array_equal(matrices[0], matrices[1])
    assert not np.array_equal(matrices[1], matrices[2])
    cots, students = specs[3:6], specs[6:]
    for cot, student in zip(cots, students, strict=True):
        (teacher,) = parents_of(student).values()
        assert run_digest(teacher) == run_digest(cot)


def test_only_the_seed_of_the_process_differs_from_the_task_file():
    file = load_task("noisy_permutation")
    zero, one, _ = (spec.task for spec in plan(preset(COT)))
    assert zero == file
    assert run_digest(plan(preset(OWN))[0]) == run_digest(plan(preset(replace(OWN, own_worlds=False)))[0])
    changed = one.canonical()
    assert changed["process"].pop("seed") == 1
    unchanged = file.canonical()
    del unchanged["process"]["seed"]
    assert changed == unchanged


def test_an_override_fixes_the_world():
    assert world_seeds(plan(preset(COT), overrides=["process.seed=7"])) == [(0, 7), (1, 7), (2, 7)]
    other = plan(preset(COT), overrides=["process.slip=0.3"])  # of something else
    assert world_seeds(other) == [(0, 0), (1, 1), (2, 2)]
    assert all(spec.task.process.parameters["slip"] == 0.3 for spec in other)


def test_a_cell_may_have_a_world_of_its_own_beside_one_that_is_shared():
    shared = replace(OWN, conditions=("cot",), own_worlds=False, world="shared")
    specs = plan(preset(COT, shared))
    assert world_seeds(specs) == [(0, 0), (1, 1), (2, 2), (0, 0), (1, 0), (2, 0)]


@pytest.mark.parametrize("name", sorted(file.stem for file in Path(__file__).parents[2].glob("tasks/*.yaml")))
def test_a_task_changes_exactly_if_its_seed_draws_its_process(name):
    task = load_task(name)
    assert with_own_world(task, 0) == task
    drawn = {"in_context_noisy", "noisy_permutation", "noisy_permutation_shifted", "random_hmm", "sticky_hmm"}
    own = with_own_world(task, 3)
    assert (own != task) == (name in drawn)
    if name in drawn:
        assert own.process.parameters["seed"] == 3
        assert own.fingerprint() != task.fingerprint()


def test_a_seed_that_draws_nothing_does_not_change_a_task():
    named = {"family": "group_word", "group": "S3", "elements": ["213", "231"]}
    for process in (named, {"family": "group_word", "group": "Z7"}, {"family": "mess3"}):
        task = small_task(process=process, codebook={"resolution": 1})
        assert with_own_world(task, 4) is task
    net = small_net_task()  # whose structure is drawn by the run's seed anyhow
    assert with_own_world(net, 4) is net


def test_a_seed_that_draws_generators_or_emissions_does():
    drawn = {"family": "group_word", "group": "S4", "generators": 3}
    for fields in ({"process": drawn, "codebook": {"resolution": 1}}, IN_CONTEXT):
        task = small_task(**fields)
        own = with_own_world(task, 4)
        assert own.process.parameters["seed"] == 4
        assert not np.array_equal(own.build().transitions, task.build().transitions)


def test_a_cell_may_fix_its_world():
    fixed = replace(COT, overrides=("process.seed=4",), world="fixed")
    assert world_seeds(plan(preset(fixed))) == [(0, 4), (1, 4), (2, 4)]


def test_a_condition_that_is_named_is_trained_on_the_world_of_the_file():
    assert world_seeds(plan(preset(OWN), conditions=["cot"])) == [(0, 0), (1, 0), (2, 0)]
