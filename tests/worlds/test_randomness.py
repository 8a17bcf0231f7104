"""Streams are the same on every machine, and independent if their keys differ."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.small_tasks import small_task
from unamortized.worlds.randomness import digest, stream, stream_seed
from unamortized.worlds.splits import content_hash, draw

keys = st.lists(st.text("ab1:", max_size=3) | st.integers(0, 12), max_size=4)


def numbers(*names: str | int) -> list[int]:
    return stream(*names).integers(2**62, size=4).tolist()


def test_a_stream_is_the_same_on_every_machine():
    assert stream("task", "train", 3, 0).integers(10**9, size=3).tolist() == [745258500, 124691155, 42055237]
    assert stream_seed("weights", 0) == 5461086711266018287
    assert digest(1, {"b": [0.5], "a": None}) == "471020976d6c7186"


@given(keys, keys)
def test_streams_are_equal_if_and_only_if_their_keys_are(first, second):
    same = [(type(key), key) for key in first] == [(type(key), key) for key in second]
    assert (numbers(*first) == numbers(*second)) == same
    assert (stream_seed(*first) == stream_seed(*second)) == same


@pytest.mark.parametrize(
    ("one", "other"),
    [(("a", "b"), ("b", "a")), ((1,), ("1",)), (("ab",), ("a", "b")), ((1, 23), (12, 3)), ((), ("",))],
)
def test_order_type_and_boundaries_of_keys_matter(one, other):
    assert numbers(*one) != numbers(*other)


def test_neighboring_seeds_share_no_problems_beyond_chance():
    task = small_task()
    drawn = [set(content_hash(draw(task, "train", 20, 1000, seed)).tolist()) for seed in range(4)]
    for seed, questions in enumerate(drawn):
        assert len(questions) == 1000  # of 5^20 possible questions, so even one seed never repeats one
        assert not questions & set().union(*drawn[:seed])


def test_neighboring_streams_are_uncorrelated():
    draws = np.array([stream("weights", seed).standard_normal(2000) for seed in range(20)])
    correlations = np.corrcoef(draws)[~np.eye(20, dtype=bool)]
    assert np.abs(correlations).max() < 5 / np.sqrt(2000)


def test_a_stream_seed_fits_every_library():
    seeds = [stream_seed("weights", number) for number in range(200)]
    assert len(set(seeds)) == 200
    assert all(0 <= seed < 2**63 for seed in seeds)
    assert max(seeds) > 2**62  # all 63 bits are used


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda children: st.lists(children, max_size=3) | st.dictionaries(st.text(), children, max_size=3),
    max_leaves=6,
)


@given(json_values, json_values)
def test_a_digest_depends_on_the_value_and_not_on_the_order_of_fields(one, other):
    assert digest(one) == digest(json.loads(json.dumps(one, sort_keys=True)))
    same = json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)
    assert (digest(one) == digest(other)) == same
    assert digest(one, other) != digest([one, other])


def test_a_digest_is_a_valid_folder_name_and_rejects_nan():
    assert len(digest("a")) == 16
    assert set(digest("a")) <= set("0123456789abcdef")
    with pytest.raises(ValueError, match="not JSON compliant"):
        digest(float("nan"))
