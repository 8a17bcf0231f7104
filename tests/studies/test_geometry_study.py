"""The claims of the study of geometry read the rows that they name, and its presets train what they compare."""

from pathlib import Path

import pandas as pd
import pytest

from unamortized.evaluation.rows import row, to_table
from unamortized.studies.claims import Claim, judge_all
from unamortized.studies.geometry import (
    CLAIMS,
    GEOMETRY,
    LAYERED_BASELINES,
    MESS3,
    NOISY,
    OTHER_BASELINES,
    OTHER_MOVES,
    cost_of_erasing,
    reliance_on_question,
)
from unamortized.studies.output import read_metrics
from unamortized.studies.study import plan

REFERENCE = Path("results/reference")

pytestmark = pytest.mark.usefixtures("at_the_top")


def claim(name: str) -> Claim:
    (found,) = (claim for claim in CLAIMS if claim.name == name)
    return found


def values(name: str, rows: list[dict]) -> list[float]:
    """Return the quantity of a claim for each seed."""
    return claim(name).holds.quantity.values(to_table(rows)).to_list()


def measured(metric: str, condition: str, value: float, seed: int = 0, world=NOISY[0], **where):
    where = {"world": world.world, "site": "about_to_state", "n_steps": 16, "split": "in_distribution"} | where
    return row(world.task, condition, seed, where.pop("split"), metric, value, 9, **where)


def probed(control: str, value: float, seed: int = 0, **where):
    where = {"world": MESS3[0], "site": "question", "layer": "all", "control": control} | where
    return measured("probe_r2", "next_token", value, seed, **where)


def test_the_belief_is_set_against_the_best_of_all_baselines():
    name = "the_belief_is_read_better_than_from_any_baseline"
    decoys = [{"layer": "2"}, {"step": 4}, {"split": "length"}, {"site": "about_to_state"}, {"variant": "after_8"}]
    rows = [probed("", 0.9), *(probed("", 0.1, **where) for where in decoys)]
    baselines = {**dict.fromkeys(LAYERED_BASELINES, "all"), **dict.fromkeys(OTHER_BASELINES, "")}
    weak = [probed(control, 0.3, layer=layer) for control, layer in baselines.items()]
    assert values(name, rows + weak) == pytest.approx([0.6])
    for control, layer in baselines.items():
        others = [row for row in weak if row["control"] != control]
        assert values(name, [*rows, *others, probed(control, 0.95, layer=layer)]) == pytest.approx([-0.05]), control
        assert pd.isna(values(name, rows + others)).all()  # the best of some would not be the best of all


def test_training_is_credited_with_what_it_adds_to_the_belief_beyond_a_wrong_one():
    found = {"": 0.9, "untrained": 0.4, "wrong_process": 0.7, "untrained+wrong_process": 0.6}
    rows = [probed(control, value) for control, value in found.items()]
    assert values("training_brings_out_the_belief_not_a_wrong_one", rows) == pytest.approx([0.4])


def test_steering_is_set_against_the_best_other_move_at_the_chosen_layer():
    decoys = [{"layer": "2", "step": 0}, {"step": 0}, {"site": "question"}]
    rows = [measured("steered_kl", "cot", 9.0, **{"layer": "chosen"} | where) for where in decoys]
    for control, value in {"": 0.2, "unsteered": 0.1, **dict(zip(OTHER_MOVES, (0.8, 0.5, 0.7), strict=True))}.items():
        rows.append(measured("steered_kl", "cot", value, layer="chosen", control=control))
    assert values("cot_is_steered", rows) == pytest.approx([0.4])
    assert values("amortized_is_steered", rows) == []


def test_a_donors_part_is_a_share_of_what_the_whole_donor_closes():
    found = {"unsteered": 2.0, "donor_patch": 0.5, "donor_subspace": 1.1, "donor_random": 1.85}
    rows = [measured("steered_kl", "amortized", value, layer="chosen", control=name) for name, value in found.items()]
    name = "amortized_takes_a_donors_belief"
    assert values(name, rows) == pytest.approx([0.6])
    assert claim(name).control.holds.quantity.values(to_table(rows)).to_list() == pytest.approx([0.1])


def test_the_cost_of_erasing_is_a_share_of_what_exact_bayes_loses():
    found = {"": 0.8, "random_subspace": 0.3, "exact_loss": 1.1, "untouched": 0.1}
    rows = [measured("erased_kl", "cot", value, layer="1", step=0, control=name) for name, value in found.items()]
    for decoy in ({"layer": "2"}, {"step": 4}, {"site": "question"}):
        rows += [row | decoy | {"value": 7.0} for row in rows[:4]]
    assert cost_of_erasing().values(to_table(rows)).to_list() == pytest.approx([0.7])
    assert cost_of_erasing("random_subspace").values(to_table(rows)).to_list() == pytest.approx([0.2])


def test_reliance_on_the_question_is_that_of_the_layer_that_does_most():
    found = {("0", 0): 0.9, ("0", 2): 0.1, ("0", 4): 0.0, ("1", 2): 0.3, ("1", 4): 0.1}
    rows = [
        measured("steered_reliance", "amortized", value, site="question", layer=layer, step=step)
        for (layer, step), value in found.items()
    ]
    decoys = ({"control": "donor_patch"}, {"site": "about_to_state"})
    rows += [rows[3] | decoy | {"value": 0.9} for decoy in decoys]
    assert reliance_on_question.values(to_table(rows)).to_list() == pytest.approx([0.2])


def test_numbers_decide_a_claim():
    assert len({claim.name for claim in CLAIMS}) == len(CLAIMS)
    name, rows = "the_simplex_of_mess3_lies_in_the_last_layer", []
    for seed in range(3):
        for layer, (own, untrained) in {"3": (0.2, 0.5), "4": (0.95, 0.5), "all": (0.2, 0.5)}.items():
            rows.append(probed("", own + 0.001 * seed, seed, layer=layer))
            rows.append(probed("untrained", untrained, seed, layer=layer))
    assert claim(name).judge(MESS3[0], to_table(rows))["verdict"] == "supported"
    lower = [row | {"value": row["value"] - 0.2} for row in rows]
    assert claim(name).judge(MESS3[0], to_table(lower))["verdict"] == "refuted"
    learned_before = [row | {"value": 0.94} if row["control"] else row for row in rows]
    assert claim(name).judge(MESS3[0], to_table(learned_before))["verdict"] == "void"


def test_every_claim_is_measured_in_the_committed_table_on_six_seeds():
    judged = judge_all(CLAIMS, read_metrics(REFERENCE / "geometry" / "metrics.csv"))
    assert list(dict.fromkeys(entry["name"] for entry in judged)) == [claim.name for claim in CLAIMS]
    for entry in judged:
        assert min(entry["seeds"], entry["control"]["seeds"]) >= 6, entry["name"]


@pytest.mark.parametrize("preset", ["smoke", "quick", "full"])
def test_every_preset_trains_what_claims_compare(preset):
    specs = plan(GEOMETRY.preset(preset))
    assert {"next_token", "amortized", "cot"} == {spec.condition for spec in specs}
    nexts = [spec for spec in specs if spec.condition == "next_token"]
    assert {str(spec.task.query) for spec in nexts} == {"predict 1"}  # another query would teach it the belief
    assert all(spec.train.snapshots for spec in nexts)
    against = {(spec.task.fingerprint(), spec.seed, spec.train) for spec in specs if spec.condition == "amortized"}
    assert against == {(spec.task.fingerprint(), spec.seed, spec.train) for spec in specs if spec.condition == "cot"}
