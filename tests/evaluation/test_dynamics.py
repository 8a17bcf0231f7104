"""The numbers of a process stand beside its answers, one row each."""

import math

import pytest

from tests.small_tasks import small_task
from unamortized.evaluation.dynamics import Dynamics, dynamics


def numbers(**process):
    rows = dynamics(small_task(process=process, codebook={"resolution": 1}), 3, Dynamics())
    assert {row["condition"] for row in rows} == {"process"}
    assert {row["seed"] for row in rows} == {3}
    return {row["metric"]: row["value"] for row in rows}


def test_a_process_is_told_by_its_entropy_rate_and_by_how_fast_it_forgets():
    told = numbers(family="noisy_permutation", states=3, symbols=4, slip=0.1)
    assert set(told) == {"entropy_rate", "mixing_time", "forgetting_time"}
    assert told["entropy_rate"] == pytest.approx(math.log(4))  # symbols that say nothing of the state
    # nothing is observed of a state that slips, so beliefs forget as fast as slips come
    assert told["forgetting_time"] == pytest.approx(-1 / math.log(0.9), rel=1e-6)


def test_a_group_never_forgets():
    assert numbers(family="group_word", group="S3", elements=["213", "231"])["forgetting_time"] == math.inf


def test_of_problems_that_bring_their_own_transitions_one_is_described():
    told = numbers(family="in_context", states=3, symbols=2, slip=0.2, informativeness=0.0)
    assert told["forgetting_time"] == pytest.approx(-1 / math.log(0.8), rel=1e-6)
    assert told == numbers(family="in_context", states=3, symbols=2, slip=0.2, informativeness=0.0)
