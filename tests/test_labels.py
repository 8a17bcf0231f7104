"""Labels: what composes a name and what takes it apart agree."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from unamortized import labels

WORD = st.from_regex(r"[a-z]{2,6}", fullmatch=True)
NUMBER = st.integers(0, 999) | st.integers(1, 999).map(lambda n: n / 1000) | st.sampled_from([0.00001, 2_000_000])


@given(st.lists(st.tuples(WORD, NUMBER), min_size=1, max_size=4, unique_by=lambda pair: pair[0]))
def test_numbers_come_back_by_their_words(pairs):
    name = labels.joined(*(labels.numbered(word, number) for word, number in pairs))
    assert labels.numbers(name) == dict(pairs)
    assert labels.stem(name) == "_".join(word for word, _ in pairs)
    assert labels.words(name) == [*(word for word, _ in pairs)] * 2


@pytest.mark.parametrize(
    "name, stem, numbers",
    [
        ("cot_every_4", "cot_every", {"every": 4}),
        ("dial_0.5_told", "dial_told", {"dial": 0.5}),
        ("s3_slip0.1_n8", "s_slip_n", {"s": 3, "slip": 0.1, "n": 8}),
        ("l2_after_128", "l_after", {"l": 2, "after": 128}),
        ("belief_4_back", "belief_back", {"belief": 4}),
        ("noisy_permutation", "noisy_permutation", {}),
        ("group_word_s5", "group_word_s", {"s": 5}),
        ("my2task_3", "my2task_3", {}),
    ],
)
def test_a_name_has_a_stem_and_numbers(name, stem, numbers):
    assert (labels.stem(name), labels.numbers(name)) == (stem, numbers)


@given(st.lists(WORD, max_size=3))
def test_controls_come_back(names):
    assert labels.parts(labels.controls("", *names)) == names


def test_names_are_joined_without_empty_parts():
    assert labels.joined("", "wide", "", "l2") == "wide_l2"
    assert labels.full("cot") == "cot"
    assert labels.full("cot", "wide", "own") == "cot@wide/own"


@pytest.mark.parametrize(
    "name, variant, shown",
    [
        ("amortized_equal_flops", "", "no trace, equal FLOPs"),
        ("dial_0.5_told", "", "ρ = 0.5, end told"),
        ("cot_every_4", "", "CoT, every 4 steps"),
        ("cot", "mean_3", "CoT, mean of 3"),
        ("cot", "l2_mean_3", "CoT (l2 mean 3)"),
        ("cot", "no_weights", "CoT (no weights)"),
        ("amortized", "steps_1200", "no trace (1,200 steps)"),
        ("amortized", "muon_layers_4_steps_1200", "no trace (muon, 4 layers, 1,200 steps)"),
        ("a_new_one", "", "a new one"),
    ],
)
def test_conditions_are_shown_as_people_read_them(name, variant, shown):
    assert labels.display(name, variant) == shown


def test_places_are_shown_as_people_read_them():
    assert labels.place("group_word_s5") == "S5"
    assert labels.place("noisy_permutation", "slip_0.02") == "noisy permutation (slip 0.02)"


def test_layers_and_components():
    assert [labels.layer_number(layer) for layer in ("0", "12", "all", "L0")] == [0, 12, None, None]
    assert labels.last_layer(["all", "2", "10", "L11"]) == "10"
    assert labels.last_layer(["all"]) == "none"
    assert labels.component("L0") == (0, None, False)
    assert labels.component("L1H2") == (1, 2, False)
    assert labels.component("L1MLP") == (1, None, True)
    assert labels.component("3") is None


def test_a_reference_to_a_number_names_its_column():
    assert labels.column_and_word("variant.n") == ("variant", "n")
    assert labels.column_and_word("n_steps") == ("n_steps", "")
