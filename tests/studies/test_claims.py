"""A verdict is what the intervals of a claim and of its control allow."""

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from tests.studies.tables import metric_rows, metric_table
from unamortized.studies.claims import Claim, Control, World, judge_all, qualified, to_json, to_markdown
from unamortized.studies.quantities import Quantity

kl = Quantity("answer_kl")
CLAIM = Claim(
    "it_holds",
    "CoT's KL is at least one.",
    kl("cot") >= 1.0,
    Control("so is the GRU's", kl("gru") >= 1.0),
)
CLEAR = {"holds": (2.0, 2.1, 2.2), "fails": (0.1, 0.2, 0.3), "unsure": (0.5, 1.5, 1.0), "absent": ()}
MESS3 = World("mess3")


def metrics(cot, gru=(), world=MESS3, **columns):
    where = {"task": world.task, "world": world.world} | columns
    return metric_table(metric_rows("answer_kl", "cot", cot, **where), metric_rows("answer_kl", "gru", gru, **where))


@pytest.mark.parametrize(
    "measured, control, verdict",
    [
        ("holds", "holds", "supported"),
        ("holds", "unsure", "inconclusive"),
        ("holds", "fails", "void"),
        ("unsure", "holds", "inconclusive"),
        ("unsure", "unsure", "inconclusive"),
        ("unsure", "fails", "void"),
        ("fails", "holds", "refuted"),
        ("fails", "unsure", "inconclusive"),
        ("fails", "fails", "void"),
        ("holds", "absent", "not measured"),
        ("fails", "absent", "not measured"),
        ("absent", "holds", "not measured"),
        ("absent", "absent", "not measured"),
    ],
)
def test_the_verdict_needs_the_measurement_and_its_control(measured, control, verdict):
    assert CLAIM.judge(MESS3, metrics(CLEAR[measured], CLEAR[control]))["verdict"] == verdict


@pytest.mark.parametrize("value", [0.0, 100.0])
def test_one_seed_is_not_a_measurement_however_clear(value):
    judged = CLAIM.judge(MESS3, metrics([value], CLEAR["holds"]))
    assert judged["verdict"] == "not measured"
    assert (judged["estimate"], judged["interval"], judged["seeds"]) == (value, None, 1)


@pytest.mark.parametrize("measured", ["holds", "fails"])
def test_one_seed_of_the_control_decides_nothing(measured):
    assert CLAIM.judge(MESS3, metrics(CLEAR[measured], [5.0]))["verdict"] == "not measured"


def test_a_judged_claim_shows_its_numbers_its_control_and_its_runs():
    table = metric_table(
        metric_rows("answer_kl", "cot", [2.0, 3.0], world="slip_0.1", run="a"),
        metric_rows("answer_kl", "gru", {0: 2.0}, world="slip_0.1", run="b"),
        metric_rows("answer_tv", "cot", [0.1], world="slip_0.1", run="c"),  # what the claim does not read
    )
    judged = CLAIM.judge(World("noisy_permutation", "slip_0.1"), table)
    half = pytest.approx(12.7062 / 2, abs=1e-4)  # Student's t of one degree of freedom, with a standard error of 1/2
    assert judged == {
        "name": "it_holds",
        "statement": "CoT's KL is at least one.",
        "task": "noisy_permutation",
        "world": "slip_0.1",
        "estimate": 2.5,
        "interval": judged["interval"],
        "seeds": 2,
        "ceiling": None,
        "unit": "nats",
        "range": [1.0, None],
        "control": {
            "description": "so is the GRU's",
            "estimate": 2.0,
            "interval": None,
            "seeds": 1,
            "ceiling": None,
            "unit": "nats",
            "range": [1.0, None],
        },
        "verdict": "not measured",
        "seeds_seen": 0,
        "exploratory": False,
        "p": None,
        "runs": ["a", "b"],
    }
    assert [2.5 - judged["interval"][0], judged["interval"][1] - 2.5] == [half, half]


def test_a_control_that_was_not_measured_is_shown_as_such():
    control = CLAIM.judge(MESS3, metrics(CLEAR["holds"]))["control"]
    assert (control["estimate"], control["interval"], control["seeds"]) == (None, None, 0)


def test_claims_are_judged_in_their_worlds_that_were_measured_each_on_its_own_table():
    fast = World("mess3", "fast")
    table = pd.concat(
        [
            metrics(CLEAR["holds"], CLEAR["holds"]),
            metrics(CLEAR["fails"], CLEAR["holds"], fast),
            metrics(CLEAR["unsure"], CLEAR["holds"], World("rrxor")),
        ]
    )
    narrow = replace(CLAIM, name="narrow", worlds=(fast, World("rrxor", "fast")))
    judged = [
        (each["name"], each["task"], each["world"], each["verdict"]) for each in judge_all((CLAIM, narrow), table)
    ]
    assert judged == [
        ("it_holds", "mess3", "", "supported"),
        ("it_holds", "mess3", "fast", "refuted"),
        ("it_holds", "rrxor", "", "inconclusive"),
        ("narrow", "mess3", "fast", "refuted"),
    ]


def test_a_claim_across_worlds_is_judged_once_on_the_whole_table():
    slow, fast = World("mess3", "slow"), World("mess3", "fast")
    table = pd.concat([metrics([3.0, 3.1], [5.0, 5.1], slow), metrics([1.0, 1.1], [5.0, 5.1], fast)])
    difference = kl("cot", world="slow") - kl("cot", world="fast")
    across = Claim(
        "by_speed",
        "",
        difference >= 1.0,
        Control("", kl("gru", world="slow") >= 1.0),
        across=World("mess3", "by speed"),
    )
    (judged,) = judge_all((across,), table)
    assert (judged["task"], judged["world"], judged["verdict"]) == ("mess3", "by speed", "supported")
    assert judged["estimate"] == pytest.approx(2.0)
    assert judge_all((across,), metric_table()) == []
    assert judge_all((across,), table.assign(task="rrxor")) == []
    other = pd.concat([table, table.assign(task="rrxor", value=9.0)])
    assert judge_all((across,), other) == [judged]


def test_claims_on_lengths_that_a_world_lacks_are_left_out():
    table = metrics(CLEAR["holds"], CLEAR["holds"], n_steps=16)
    at = {n: replace(CLAIM, name=f"at_{n}", holds=kl("cot", n_steps=n) >= 1.0) for n in (16, 64)}
    control = {n: replace(CLAIM, name=f"control_at_{n}", control=Control("", kl("gru", n_steps=n) >= 1.0)) for n in at}
    judged = judge_all((*at.values(), *control.values()), table)
    assert [each["name"] for each in judged] == ["at_16", "control_at_16"]
    absent = judge_all((replace(CLAIM, holds=kl("next_token", n_steps=16) >= 1.0),), table)
    assert [each["verdict"] for each in absent] == ["not measured"]  # the length is there, but not the condition


def test_a_length_has_to_be_there_in_the_world_that_is_read():
    slow, fast = World("mess3", "slow"), World("mess3", "fast")
    table = pd.concat([metrics([3.0, 3.1], world=slow, n_steps=16), metrics([1.0, 1.1], world=fast, n_steps=64)])
    there, missing = (
        replace(CLAIM, name=name, holds=kl("cot", world=name, n_steps=16) >= 1.0, across=World("mess3", "by speed"))
        for name in ("slow", "fast")
    )
    assert [each["name"] for each in judge_all((there, missing), table)] == ["slow"]


def test_claims_are_written_with_seven_digits_and_no_number_that_json_lacks():
    judged = CLAIM.judge(MESS3, metrics(np.array(CLEAR["holds"]) / 3, CLEAR["absent"]))
    text = to_json({"claims": [judged]})
    assert '"estimate": 0.7,' in text
    again = json.loads(text, parse_constant=pytest.fail)
    assert again["claims"][0]["interval"] == pytest.approx(judged["interval"], rel=1e-6)
    assert to_json({"third": 1 / 3}) == '{\n "third": 0.3333333\n}\n'


def test_the_table_of_claims_names_world_statement_numbers_and_verdict():
    table = metrics([2.0, 2.0], [0.5], World("mess3", "slip_0.1"))
    (line,) = to_markdown(judge_all((CLAIM,), table)).splitlines()[2:]
    assert line == (
        "| mess3 (slip 0.1) | CoT's KL is at least one. | 2 nats (2 to 2; 2 seeds) | ≥ 1 | so is the GRU's: 0.5 nats "
        "(no interval; 1 seed), wanted ≥ 1 | **not measured** |  |"
    )


def test_a_claim_stated_after_seeds_were_seen_is_judged_on_fresh_ones():
    seen = replace(CLAIM, seeds_seen=3)
    holds, fails = CLEAR["holds"], CLEAR["fails"]
    fresh = seen.judge(MESS3, metrics([*holds, *fails], [*holds, *holds]))
    assert (fresh["verdict"], fresh["exploratory"], fresh["seeds"]) == ("refuted", False, 3)
    assert qualified(fresh) == "refuted, on fresh seeds"
    few = seen.judge(MESS3, metrics([*holds, 0.1], [*holds, 2.0]))  # one fresh seed is not enough
    assert (few["verdict"], few["exploratory"], few["seeds"]) == ("inconclusive", True, 4)
    (line,) = to_markdown(judge_all((seen,), metrics(holds, holds))).splitlines()[2:]
    assert "**supported, exploratory**" in line
    assert not CLAIM.judge(MESS3, metrics(holds, holds))["exploratory"]


def test_the_p_value_is_that_of_the_weaker_of_claim_and_control():
    claim, control = np.array(CLEAR["holds"]), np.array([1.5, 2.5, 3.5])
    judged = CLAIM.judge(MESS3, metrics(claim, control))
    weaker = 2 * stats.ttest_1samp(control, 1.0, alternative="greater").pvalue
    assert judged["p"] == pytest.approx(weaker)
    void = CLAIM.judge(MESS3, metrics(claim, CLEAR["fails"]))
    assert void["p"] == pytest.approx(2 * stats.ttest_1samp(CLEAR["fails"], 1.0, alternative="less").pvalue)
    refuted = CLAIM.judge(MESS3, metrics(CLEAR["fails"], (9.0, 9.1, 9.2)))
    assert refuted["p"] == pytest.approx(2 * stats.ttest_1samp(CLEAR["fails"], 1.0, alternative="less").pvalue)


def test_p_values_are_corrected_for_the_claims_that_were_measured():
    table = metrics(CLEAR["holds"], CLEAR["holds"])
    absent = replace(CLAIM, name="absent", holds=kl("dense") >= 1.0)
    judged = judge_all((CLAIM, replace(CLAIM, name="again"), absent), table)
    assert [each["p_holm"] for each in judged] == [pytest.approx(2 * judged[0]["p"])] * 2 + [None]
