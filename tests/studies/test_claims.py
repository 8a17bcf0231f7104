"""A verdict is what the intervals allow, for the claim and for its control."""

import json

import numpy as np
import pytest

from unamortized.evaluation.rows import row, to_table
from unamortized.studies.claims import Claim, Control, Range, judge_all, to_json
from unamortized.studies.statistics import Estimate, level

ABOVE = Range(low=1.0)
CLAIM = Claim(
    name="it_holds",
    description="The value is at least one.",
    measure=level("answer_kl", "cot", "nats"),
    holds=ABOVE,
    control=Control("so is the control's", level("answer_kl", "control", "nats"), ABOVE),
)
CLEAR = {"holds": (2.0, 2.1, 2.2), "fails": (0.1, 0.2, 0.3), "unsure": (0.5, 1.5, 1.0), "absent": ()}


def metrics(cot, control=(), task="mess3"):
    rows = [row(task, "cot", seed, "length", "answer_kl", value, 1) for seed, value in enumerate(cot)]
    rows += [row(task, "control", seed, "length", "answer_kl", value, 1) for seed, value in enumerate(control)]
    return to_table(rows)


@pytest.mark.parametrize(
    "measured, control, verdict",
    [
        ("holds", "holds", "supported"),
        ("holds", "unsure", "inconclusive"),
        ("holds", "fails", "inconclusive"),
        ("unsure", "holds", "inconclusive"),
        ("unsure", "unsure", "inconclusive"),
        ("unsure", "fails", "inconclusive"),
        ("fails", "holds", "refuted"),
        ("fails", "unsure", "refuted"),
        ("fails", "fails", "refuted"),
        ("holds", "absent", "inconclusive"),
        ("fails", "absent", "inconclusive"),
        ("absent", "holds", "inconclusive"),
        ("absent", "absent", "inconclusive"),
    ],
)
def test_the_verdict_needs_the_measurement_and_its_control(measured, control, verdict):
    assert CLAIM.judge("mess3", metrics(CLEAR[measured], CLEAR[control]))["verdict"] == verdict


@pytest.mark.parametrize("value", [0.0, 100.0])
def test_one_seed_is_inconclusive_however_clear(value):
    judged = CLAIM.judge("mess3", metrics([value], [value]))
    assert judged["verdict"] == "inconclusive"
    assert (judged["estimate"], judged["interval"], judged["seeds"]) == (value, None, 1)


def test_one_seed_of_the_control_supports_nothing():
    assert CLAIM.judge("mess3", metrics(CLEAR["holds"], [5.0]))["verdict"] == "inconclusive"


def test_what_was_not_measured_is_shown_as_such():
    judged = CLAIM.judge("mess3", metrics(CLEAR["holds"]))
    assert judged["control"] == {
        "says": "so is the control's",
        "estimate": None,
        "interval": None,
        "seeds": 0,
        "unit": "nats",
        "range": [1.0, None],
    }


def test_a_range_holds_or_excludes_whole_intervals_only():
    within, across, outside = (Estimate(0.5, low, high, 3) for low, high in ((0.3, 0.7), (0.7, 1.1), (1.2, 1.4)))
    both = Range(low=0.0, high=1.0)
    assert [both.holds(each) for each in (within, across, outside)] == [True, False, False]
    assert [both.excludes(each) for each in (within, across, outside)] == [False, False, True]
    assert Range(low=0.8).excludes(within)
    assert not Range(low=0.8).excludes(across)
    assert Range(high=1.1).holds(across)  # the bound belongs to the range
    nothing_known = Estimate(0.5, None, None, 1)
    assert not both.holds(nothing_known)
    assert not both.excludes(nothing_known)


def test_claims_are_judged_on_the_tasks_that_they_speak_of_and_that_were_measured():
    table = metrics(CLEAR["holds"], CLEAR["holds"])
    other = metrics(CLEAR["fails"], CLEAR["holds"], task="group_word_s5")
    table = to_table([*table.to_dict("records"), *other.to_dict("records")])
    narrow = Claim(**vars(CLAIM) | {"name": "narrow", "tasks": ("group_word_s5", "rrxor")})
    judged = [(each["name"], each["task"], each["verdict"]) for each in judge_all((CLAIM, narrow), table)]
    assert judged == [
        ("it_holds", "mess3", "supported"),
        ("it_holds", "group_word_s5", "refuted"),
        ("narrow", "group_word_s5", "refuted"),
    ]


def test_claims_are_written_with_nine_digits_and_no_number_that_json_lacks():
    judged = CLAIM.judge("mess3", metrics(np.array(CLEAR["holds"]) / 3, CLEAR["absent"]))
    text = to_json({"claims": [judged]})
    assert '"estimate": 0.7,' in text
    assert "NaN" not in text
    again = json.loads(text, parse_constant=pytest.fail)
    assert again["claims"][0]["interval"] == pytest.approx(judged["interval"], rel=1e-8)
