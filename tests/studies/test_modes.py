"""The study of modes plans runs that keep snapshots, and reads reliance along them."""

from itertools import product

import pytest

from tests.studies.tables import TASK, metric_rows, metric_table
from unamortized.learning.runs import run_digest
from unamortized.studies.claims import World, judge_all
from unamortized.studies.modes import COT, EMPTY, MODES, READABLE, TRACES, UnlearnedReliance, gain, snapshots
from unamortized.studies.study import plan

pytestmark = pytest.mark.usefixtures("at_the_top")

ALONG = {1: 0.0, 2: 0.1, 16: 0.9, 128: 0.6}
LAGS = (0, 1, 2, 4)
KL = {"amortized": 0.5, COT: 0.1, "cot_filler": 0.4}


@pytest.fixture(scope="module")
def metrics():
    rows = []

    def add(metric, condition, value, variant="l2", world="n8", run="end", **columns):
        values = [value, value + 0.01, value + 0.02]
        rows.extend(metric_rows(metric, condition, values, variant=variant, world=world, run=run, **columns))

    for name in ("amortized", *TRACES):
        add("answer_kl", name, KL.get(name, 0.45), n_steps=8)
        add("answer_kl", name, 9.0, n_steps=4)
        add("indirect_effect", name, 0.02 if name in EMPTY else 0.8)
    add("answer_kl", "prior", 1.0, variant="", n_steps=8)
    for after, lag in product(reversed(ALONG), LAGS):
        add("causal_reliance", COT, ALONG[after] if lag < 4 else 7.0, f"l2_after_{after}", run=f"{after}", step=lag)
        add("causal_reliance", COT, 7.0, f"l1_after_{after}", step=lag)
        add("causal_reliance", COT, 7.0, f"l2_mean_4_after_{after}", step=lag)
        add("causal_reliance", COT, 7.0, f"l2_after_{after}", step=lag, control="wrong_counterfactual")
        add("dial_distance", COT, 7.0, f"l2_after_{after}", step=lag)
    for lag in LAGS:
        for variant, world, value in (("l2", "n8", 0.9), ("l1", "n8", 0.95), ("l4", "n8", 0.7), ("l2", "n16", 0.99)):
            add("causal_reliance", COT, value if lag < 4 else 7.0, variant, world, step=lag)
        add("causal_reliance", COT, 0.6 if lag < 4 else 9.0, "l2", "n4", step=lag)
        add("causal_reliance", COT, 0.0 if lag < 4 else 7.0, step=lag, control="wrong_counterfactual")
        add("causal_reliance", "cot_reversed", 0.7 if lag == 0 else 0.01, step=lag)
    return metric_table(rows)


def test_reliance_along_training_is_in_order_and_of_lags_0_to_2(metrics):
    own = metrics[metrics["world"] == "n8"]
    along = snapshots(own, COT).pivot_table(index="seed", columns="after", values="value")
    assert list(along.columns) == list(ALONG)
    assert along.loc[0].tolist() == pytest.approx(list(ALONG.values()))
    assert along.loc[2].tolist() == pytest.approx([alpha + 0.02 for alpha in ALONG.values()])
    assert snapshots(own, "cot_state").empty


def test_unlearned_reliance_is_how_far_the_last_snapshot_is_below_the_highest(metrics):
    assert UnlearnedReliance(COT).values(metrics).tolist() == pytest.approx([0.3] * 3)
    assert UnlearnedReliance(COT).runs(metrics) == {str(after) for after in ALONG}
    assert UnlearnedReliance("cot_state").estimate(metrics) is None


def test_a_gain_is_over_no_trace_on_the_longest_questions(metrics):
    assert gain(COT).values(metrics).tolist() == pytest.approx([0.4] * 3)
    assert gain("cot_filler").values(metrics).tolist() == pytest.approx([0.1] * 3)


def test_claims_are_judged_by_trace_depth_and_length(metrics):
    judged = {claim["name"]: claim for claim in judge_all(MODES.claims, metrics)}
    assert {claim["verdict"] for claim in judged.values()} <= {"supported", "refuted", "inconclusive"}
    assert {name for name in judged if name.endswith("_is_used")} == {f"{name}_is_used" for name in READABLE}
    estimates = {
        "cot_state_is_used": (0.81, 0.03),
        "cot_filler_is_decoration": (0.25, 0.4),
        "what_comes_first_is_read": (0.71, 0.02),
        "reliance_is_the_first_choice": (0.91, 0.01),
        "reliance_is_not_unlearned": (0.3, 0.91),
        "deeper_models_rely_less": (0.25, (0.1 + 0.11 / 1.01 + 0.12 / 1.02) / 3),
        "longer_questions_are_relied_on_more": (0.39, (0.1 + 0.11 / 1.01 + 0.12 / 1.02) / 3),
    }
    for name, (estimate, control) in estimates.items():
        assert judged[name]["estimate"] == pytest.approx(estimate), name
        assert judged[name]["control"]["estimate"] == pytest.approx(control), name
    assert judged["deeper_models_rely_less"]["world"] == "by depth"


def test_claims_read_conditions_variants_and_worlds_that_the_full_preset_trains():
    cells = MODES.preset("full").cells
    trained = {(cell.world, name, cell.variant) for cell in cells for name in cell.conditions}
    for claim in MODES.claims:
        for quantity in (claim.holds.quantity, claim.control.holds.quantity):
            for reading in quantity.readings():
                world = dict(reading.where).get("world", "n8")
                known = (world, reading.condition, reading.variant) in trained
                assert known or (reading.condition, reading.variant) == ("prior", ""), claim.name
        assert claim.across or claim.worlds == (World(TASK, "n8"),)


@pytest.mark.parametrize("name", ["smoke", "quick", "full"])
def test_every_run_has_a_name_of_its_own_and_keeps_its_weights(name):
    specs = plan(MODES.preset(name))
    assert len({run_digest(spec) for spec in specs}) == len(specs)
    assert len({(spec.world, spec.variant, spec.condition, spec.seed) for spec in specs}) == len(specs)
    assert all(spec.train.snapshots for spec in specs)
    if name != "smoke":
        assert {spec.condition for spec in specs} == {*TRACES, "amortized"}
