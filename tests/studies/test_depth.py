"""The study of depth reads steps by layer, tells doubling from adding, and judges every claim in its world."""

import pytest

from unamortized.evaluation.rows import row, to_table
from unamortized.learning.runs import run_digest
from unamortized.studies.claims import judge_all
from unamortized.studies.depth import (
    AMORTIZED,
    COT,
    DEPTH,
    LAYERS,
    LENGTHS,
    STEPS,
    TRAINED,
    WORLD,
    SlowestDoubling,
    longest_path,
    steps_by_layer,
)
from unamortized.studies.study import plan

pytestmark = pytest.mark.usefixtures("at_the_top")

SEEDS = 3
TASKS = tuple(STEPS)


def windows_held(layers, layer):
    """Return 2^l for models of three layers and 1 + l for all others."""
    return min(2**layer, TRAINED) if layers == 3 else min(1 + layer, TRAINED)


def right(task, layers, n_steps):
    return 1.0 if n_steps <= (2**layers if "s5" in task else TRAINED) else 0.1


def synthetic():
    """Return a table of all that the study measures; six layers forget after the second."""
    rows = []

    def add(task, condition, variant, seed, metric, value, n_steps=TRAINED, **more):
        split = "in_distribution" if n_steps <= TRAINED else "length"
        where = {"world": WORLD, "variant": variant, "n_steps": n_steps} | more
        rows.append(row(task, condition, seed, split, metric, value, 100, **where))

    for task in TASKS:
        for seed in range(SEEDS):
            for n_steps in LENGTHS:
                shares = {(AMORTIZED, f"l{layers}"): right(task, layers, n_steps) for layers in LAYERS}
                shares |= {(COT, "l1"): 0.99, ("window_8", ""): 1.0 if n_steps <= 8 else 0.2, ("prior", ""): 0.2}
                for (condition, variant), share in shares.items():
                    add(task, condition, variant, seed, "map_agreement", share + 0.001 * seed, n_steps)
                    add(task, condition, variant, seed, "answer_kl", 2 * (1 - share) + 0.02 + 0.001 * seed, n_steps)
            for layers in LAYERS:
                for layer in range(layers + 1):
                    held, walked = windows_held(layers, layer), min(layer + 1, 5)
                    model, composed = (task, AMORTIZED, f"l{layers}", seed), held if layer < 3 or layers == 3 else 1
                    add(*model, "composed_steps", composed, layer=str(layer))
                    add(*model, "path_steps", walked, layer=str(layer), site="question")
                    for metric in ("composed_steps", "path_steps"):
                        site = "question" if metric == "path_steps" else ""
                        add(*model, metric, 7, layer=str(layer), site=site, control="untrained")
                    for step in range(1, TRAINED + 1):
                        for metric, site, here in (
                            ("window_r2", "about_to_state", held),
                            ("window_r2", "question", 1),
                            ("path_r2", "question", walked),
                            ("path_r2", "about_to_state", 1),
                        ):
                            where = {"layer": str(layer), "step": step, "site": site}
                            add(*model, metric, 0.95 if step <= here else 0.1 - 0.02 * seed, **where)
                            add(*model, metric, 0.9 if step < 3 else -0.01, control="untrained", **where)
    return to_table(rows)


@pytest.fixture(scope="module")
def metrics():
    return synthetic()


@pytest.fixture(scope="module")
def one_task(metrics):
    return metrics[metrics["task"] == TASKS[0]]


def test_steps_are_the_most_of_a_layer_and_those_before_it(one_task):
    assert steps_by_layer(one_task, 6).to_numpy(dtype=float).tolist() == [[1, 2, 3, 4, 5, 5, 5]] * SEEDS
    windows = one_task[one_task["metric"] == "composed_steps"]
    assert steps_by_layer(windows, 6).to_numpy(dtype=float).tolist() == [[1, 2, 3, 3, 3, 3, 3]] * SEEDS
    assert longest_path.values(one_task).tolist() == [4] * SEEDS


def test_doubling_is_told_from_adding_one_step_a_layer(one_task):
    assert SlowestDoubling(3).values(one_task).tolist() == [1.0] * SEEDS
    assert SlowestDoubling(6).values(one_task).tolist() == [4 / 8] * SEEDS
    assert SlowestDoubling(4).values(one_task).empty


def test_the_runs_behind_a_doubling_are_those_of_its_models(one_task):
    named = one_task.assign(run=one_task["variant"] + "_" + one_task["seed"].astype("string"))
    assert SlowestDoubling(3).runs(named) == {f"l3_{seed}" for seed in range(SEEDS)}


def test_every_claim_is_judged_in_each_of_its_worlds(metrics):
    judged = judge_all(DEPTH.claims, metrics)
    expected = [
        (claim.name, task)
        for claim in DEPTH.claims
        for task in ([world.task for world in claim.worlds] if claim.worlds else TASKS)
    ]
    assert [(claim["name"], claim["task"]) for claim in judged] == expected
    assert {claim["world"] for claim in judged} == {WORLD}
    for claim in judged:
        assert (claim["seeds"], claim["control"]["seeds"]) == (SEEDS, SEEDS), claim["name"]


def test_verdicts_follow_a_world_that_is_known(metrics):
    found = {(claim["name"], claim["task"]): claim["verdict"] for claim in judge_all(DEPTH.claims, metrics)}
    s5, s3, noisy = TASKS
    assert found["s5_needs_depth", s5] == "supported"
    assert found["slow_beliefs_need_depth", noisy] == "refuted"  # here one layer is right at every training length
    assert found["log_depth_suffices_for_s5", s5] == "supported"
    assert found["two_layers_suffice_for_s3", s3] == "supported"
    assert found["s5_steps_double_with_layers", s5] == "supported"
    assert found["s5_shortcut_breaks_out_of_length", s5] == "refuted"  # here six layers compose 64 steps
    assert found["s3_shortcut_breaks_out_of_length", s3] == "supported"
    assert found["slow_beliefs_break_out_of_length", noisy] == "supported"
    assert found["one_layer_walks_s5_at_any_length", s5] == "supported"
    assert found["one_layer_walks_slow_beliefs_at_any_length", noisy] == "supported"
    assert [found["the_path_is_walked_inside", task] for task in TASKS] == ["supported"] * 3
    assert [found["the_path_is_forgotten_at_the_answer", task] for task in TASKS] == ["void"] * 3


def test_every_run_has_a_name_of_its_own_and_claims_name_trained_worlds():
    for preset in DEPTH.presets.values():
        specs = plan(preset)
        assert len({run_digest(spec) for spec in specs}) == len(specs)
        named = {(spec.task.name, spec.world, spec.variant, spec.condition, spec.seed) for spec in specs}
        assert len(named) == len(specs)
    full = plan(DEPTH.preset("full"))
    assert {(spec.task.name, spec.world) for spec in full} == {(task, WORLD) for task in TASKS}
    assert {(spec.model.layers, spec.variant) for spec in full if spec.condition == AMORTIZED} == {
        (layers, f"l{layers}") for layers in LAYERS
    }
    assert {spec.model.layers for spec in full if spec.condition == COT} == {1}
    assert {world for claim in DEPTH.claims for world in claim.worlds or ()} == {(task, WORLD) for task in TASKS}
