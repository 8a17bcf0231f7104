"""The study of worlds plans every shipped world, and its claims read gaps that are known."""

from pathlib import Path

import numpy as np
import pytest

from unamortized.evaluation.protocol import shifted_tests
from unamortized.evaluation.rows import row, to_table
from unamortized.labels import numbers
from unamortized.learning.runs import run_digest
from unamortized.studies.claims import Claim, Control, World, judge_all
from unamortized.studies.quantities import Quantity
from unamortized.studies.study import plan
from unamortized.studies.worlds import CLAIMS, COT, EQUAL_FLOPS, GRU, PRIOR, SLIPS, WORLDS, gap, relative_gap

pytestmark = pytest.mark.usefixtures("at_the_top")

LENGTHS = (1, 2, 4, 8, 16, 32)


def slow_gap(slip: float, n_steps: int) -> float:
    """Return a gap that grows with length, less so the more the world slips."""
    return max(0.0, 1 - 2 * slip) * (n_steps - 1) / 31


def table(gap=slow_gap, seeds: int = 3, recurrent: float = 0.02):
    """Return the phase diagram and two whole worlds, with gaps that are known up to a little noise of seeds."""
    draw = np.random.default_rng(3)
    rows = []

    def add(task, seed, split, n_steps, world="", **kls):
        for condition, value in kls.items():
            where = {"n_steps": n_steps, "world": world}
            rows.append(row(task, condition, seed, split, "answer_kl", value, 1, **where))

    for seed in range(seeds):
        for slip in SLIPS:
            for n_steps in LENGTHS:
                split, world = "length" if n_steps > 16 else "in_distribution", f"slip_{slip:g}"
                without, noise = 0.01 + gap(slip, n_steps), draw.normal(0, 1e-4)
                kls = {"window_8": n_steps / 100 - slip / 10, COT: 0.01, PRIOR: 2.0 - slip}
                kls |= {GRU: 0.01 + recurrent + noise, EQUAL_FLOPS: without + noise}
                add("noisy_permutation", seed, split, n_steps, world, **kls)
        for task, split, n_steps, better in (
            ("mess3", "in_distribution", 8, 9.0),  # not the longest, so not shown
            ("mess3", "in_distribution", 16, 0.0),
            ("mess3", "length+rare", 64, 0.75),
            ("sns", "rare", 16, -0.25),
        ):
            kls = {COT: 1.0, EQUAL_FLOPS: 1.0 + better + draw.normal(0, 1e-3), PRIOR: 2.0}
            add(task, seed, split, n_steps, **kls)
    return to_table(rows)


@pytest.mark.parametrize("preset", ["smoke", "quick", "full"])
def test_every_preset_can_be_planned_and_names_each_of_its_worlds(preset):
    specs = plan(WORLDS.preset(preset))
    titles = [spec.title for spec in specs]
    assert len(set(titles)) == len(titles)
    phases = [spec for spec in specs if spec.world]
    assert phases
    assert len({run_digest(spec) for spec in phases}) == len(phases)
    for spec in phases:
        assert numbers(spec.world) == {"slip": spec.task.process.parameters["slip"]}
        assert numbers(spec.world)["slip"] in SLIPS


def test_the_full_preset_has_every_shipped_world_but_nets_and_shifts_on_every_axis():
    tasks = {spec.task.name: spec.task for spec in plan(WORLDS.preset("full"))}
    shipped = {file.stem for file in Path("tasks").glob("*.yaml") if "\nprocess:" in file.read_text()}
    assert set(tasks) == shipped
    splits = {test.split for task in tasks.values() for test in shifted_tests(task)}
    assert {"parameters", "start", "rare", "composition"} <= splits
    assert any("+" in split for split in splits)


@pytest.mark.parametrize(
    ("quantity", "value"),
    [
        (gap(0.02, 16), slow_gap(0.02, 16)),
        (gap(0.02, 16) - gap(0.02, 2), slow_gap(0.02, 16) - slow_gap(0.02, 2)),
        (relative_gap(0.1, 16), slow_gap(0.1, 16) / 1.9),
        (gap(0.02, 16, GRU), 0.02),
    ],
)
def test_gaps_their_growth_and_their_shares_are_those_of_the_table(quantity, value):
    found = quantity.estimate(table())
    assert found.seeds == 3
    assert found.value == pytest.approx(value, abs=1e-3)


def test_a_slip_that_was_not_run_has_no_gap():
    assert gap(0.3, 16).estimate(table()) is None


@pytest.mark.parametrize(("made", "sign"), [(slow_gap, -1.0), (lambda slip, n_steps: slip, 1.0)])
def test_the_correlation_with_slip_is_that_of_ranks(made, sign):
    (claim,) = (claim for claim in CLAIMS if claim.name == "the_gap_falls_with_mixing")
    assert claim.holds.quantity.values(table(made)).tolist() == pytest.approx([sign] * 3)


def test_the_control_of_that_correlation_is_the_largest_gap_at_any_slip():
    (claim,) = (claim for claim in CLAIMS if claim.name == "the_gap_falls_with_mixing")
    largest = claim.control.holds.quantity.estimate(
        table(lambda slip, n_steps: slip + (slip == 0.05) - 2 * (slip == 1))
    )
    assert largest.value == pytest.approx(1.05, abs=1e-3)


def test_claims_are_supported_where_they_hold_and_refuted_where_they_do_not():
    assert [claim["verdict"] for claim in judge_all(CLAIMS, table(seeds=6))] == ["supported"] * 4
    turned = judge_all(CLAIMS, table(lambda slip, n_steps: slip * n_steps / 16, recurrent=0.2, seeds=6))
    assert [claim["verdict"] for claim in turned] == ["refuted", "refuted", "refuted", "void"]  # no gap to compare with
    assert {claim["task"] for claim in turned} == {"noisy_permutation"}


def test_claims_are_left_out_where_a_slip_that_they_compare_was_not_run():
    rows = table()
    judged = judge_all(CLAIMS, rows[rows["world"].isin(["slip_0.02", "slip_0.1", "slip_1"])])
    assert [claim["name"] for claim in judged] == ["the_gap_grows_with_composition", "a_recurrent_net_has_no_such_gap"]


def test_a_claim_across_worlds_is_judged_once_on_the_whole_table():
    both = Quantity("answer_kl")(COT, task="sns", n_steps=16) >= 0.5
    (judged,) = judge_all((Claim("one", "…", both, Control("…", both), across=World("sns", "by nothing")),), table())
    assert (judged["task"], judged["estimate"], judged["seeds"]) == ("sns", 1.0, 3)
