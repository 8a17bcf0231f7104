"""Inference on every family matches the enumeration of all latent paths, or of all words."""

from collections import defaultdict

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.worlds.brute_force import random_transitions
from tests.worlds.words import all_words, paths_and_words
from unamortized.worlds.inference import filter_beliefs, predict, smooth_beliefs
from unamortized.worlds.processes import FAMILIES, build_process

share = st.integers(0, 20).map(lambda n: n / 20)  # both ends included
positive = st.integers(1, 20).map(lambda n: n / 20)
seed = st.integers(0, 2**32 - 1)
GENERALIZED = {
    "tom_quantum": {"alpha": st.floats(0.1, 10), "beta": st.floats(-10, 10)},
    "fanizza": {"alpha": st.floats(-3000, 3000), "lam": st.floats(0, 0.5)},
    "post_quantum": {"log_alpha": st.floats(0.05, 2), "beta": st.floats(0.1, 0.9)},
}
PARAMETERS = {
    "coin": {"p": share},
    "mess3": {"x": share.map(lambda x: x / 2), "a": share},
    "zero_one_random": {"p": share},
    "rrxor": {"p1": share, "p2": share},
    "leaky_rrxor": {"p1": share, "p2": share, "epsilon": share},
    "even_ones": {"p": share},
    "no_consecutive_ones": {"p": share},
    "sns": {"p": share, "q": positive},
    "mr_name": {"p": share.map(lambda p: p / 2), "q": positive.map(lambda q: q / 2)},
    "days_of_week": {},
    "mixture": {
        "components": st.lists(
            st.sampled_from(
                [{"family": "mess3"}, {"family": "sns", "p": 0.25}, {"family": "coin"}, {"family": "zero_one_random"}]
            ),
            min_size=1,
            max_size=3,
        )
    },
    "random_hmm": {
        "states": st.integers(1, 4),
        "symbols": st.integers(1, 4),
        "concentration": st.floats(0.1, 10),
        "stickiness": st.floats(0, 0.999),
        "seed": seed,
    },
    "noisy_permutation": {
        "states": st.integers(3, 4),
        "symbols": st.integers(2, 4),
        "slip": share,
        "informativeness": st.floats(0, 3),
        "seed": seed,
    },
    "in_context": {
        "states": st.integers(2, 4),
        "symbols": st.integers(2, 3),
        "slip": share,
        "informativeness": st.floats(0, 3),
        "moves": st.sampled_from(["permutations", "functions"]),
        "seed": seed,
    },
    "group_word": {"group": st.sampled_from(["Z2", "Z7", "S3", "A4", "D3", "D6"])},
}
NEEDED = {"mixture": {"components": [{"family": "mess3"}, {"family": "coin", "p": 0.2}]}}  # parameters without defaults


def test_no_family_is_left_out():
    assert set(PARAMETERS) | set(GENERALIZED) | {"matrices"} == set(FAMILIES)
    assert all(FAMILIES[family].__doc__ for family in FAMILIES)


def assert_inference_matches_enumeration(process):
    """Check beliefs, evidence, smoothing and predictions for all words of up to three symbols."""
    for n_steps in range(4):
        joint = paths_and_words(process.transitions, process.initial, n_steps)
        if len(joint) > 5000:
            break
        words = sorted({word for _, word in joint})
        observations = np.array(words, dtype=np.int64).reshape(len(words), n_steps)
        filtered = filter_beliefs(process.transitions, process.initial, observations)
        smoothed = smooth_beliefs(process.transitions, process.initial, observations)
        row = {word: index for index, word in enumerate(words)}
        beginning = [defaultdict(float) for _ in range(n_steps + 1)]  # {(x_1..t, s_t): probability}
        weights = np.zeros((len(words), n_steps + 1, process.n_states))
        for (path, word), probability in joint.items():
            for t, state in enumerate(path):
                beginning[t][word[:t], state] += probability
                weights[row[word], t, state] += probability
        evidence = weights[:, 0].sum(axis=1)
        np.testing.assert_allclose(np.exp(filtered.log_probability), evidence, atol=1e-10)
        np.testing.assert_allclose(smoothed.beliefs, weights / evidence[:, None, None], atol=1e-10)
        for word in words:
            for t in range(n_steps + 1):
                expected = np.array([beginning[t][word[:t], state] for state in range(process.n_states)])
                np.testing.assert_allclose(filtered.beliefs[row[word], t], expected / expected.sum(), atol=1e-10)
        for ahead in range(1, n_steps + 1):
            assert_predictions(process, words, evidence, n_steps, ahead)


def assert_predictions(process, words, evidence, n_steps, ahead):
    """Check the prediction `ahead` steps ahead against the probabilities of all longer words."""
    following = defaultdict(lambda: np.zeros(process.n_symbols))
    for word, probability in zip(words, evidence, strict=True):
        following[word[: n_steps - ahead]][word[-1]] += probability
    known = np.array(sorted(following), dtype=np.int64).reshape(len(following), n_steps - ahead)
    predicted = predict(process.transitions, process.initial, known, ahead).distribution
    expected = np.stack([following[word] for word in sorted(following)])
    np.testing.assert_allclose(predicted, expected / expected.sum(axis=1, keepdims=True), atol=1e-10)


@pytest.mark.parametrize("family", PARAMETERS)
def test_inference_matches_enumeration_with_default_parameters(family):
    assert_inference_matches_enumeration(build_process(family, **NEEDED.get(family, {})))


@pytest.mark.parametrize("family", [family for family in PARAMETERS if PARAMETERS[family]])
@settings(max_examples=6)
@given(data=st.data())
def test_inference_matches_enumeration_with_any_parameters(family, data):
    assert_inference_matches_enumeration(build_process(family, **data.draw(st.fixed_dictionaries(PARAMETERS[family]))))


@pytest.mark.parametrize("number", range(3))
def test_inference_matches_enumeration_for_matrices_from_a_file(tmp_path, number):
    path = tmp_path / "any.npy"
    np.save(path, random_transitions(np.random.default_rng(number), (), symbols=3, states=3, zeros=0.3))
    assert_inference_matches_enumeration(build_process("matrices", path=str(path)))


# ── generalized processes ────────────────────────────────────────────────────────────────────────


def assert_inference_matches_products(process):
    """Check beliefs, evidence and predictions for all words of up to five symbols, by products of matrices."""
    product = {(): process.initial}  # eta_0 T[x_1] .. T[x_n]
    for n_steps in range(1, 6):
        words = all_words(process.n_symbols, n_steps)
        product |= {word: product[word[:-1]] @ process.transitions[word[-1]] for word in words}
        probability = {word: float(vector @ process.readout) for word, vector in product.items()}
        assert min(probability.values()) > -1e-10
        assert abs(sum(probability[word] for word in words) - 1) < 1e-10
        # dividing by a tiny probability loses digits
        likely = [w for w in words if all(probability[w[: t + 1]] > 1e-4 * probability[w[:t]] for t in range(n_steps))]
        filtered = filter_beliefs(process.transitions, process.initial, np.array(likely), readout=process.readout)
        np.testing.assert_allclose(np.exp(filtered.log_probability), [probability[w] for w in likely], atol=1e-10)
        expected = [[product[w[:t]] / probability[w[:t]] for t in range(n_steps + 1)] for w in likely]
        np.testing.assert_allclose(filtered.beliefs, expected, rtol=1e-10, atol=1e-10)
        for ahead in range(1, min(n_steps, 2) + 1):
            known = sorted({word[: n_steps - ahead] for word in likely})
            observations = np.array(known, dtype=np.int64).reshape(len(known), n_steps - ahead)
            arguments = process.transitions, process.initial, observations, ahead
            next_symbols = np.zeros((len(known), process.n_symbols))
            for row, word in enumerate(known):
                for future in all_words(process.n_symbols, ahead):
                    next_symbols[row, future[-1]] += probability[word + future] / probability[word]
            predicted = predict(*arguments, readout=process.readout).distribution
            np.testing.assert_allclose(predicted, next_symbols, atol=1e-10)


@pytest.mark.parametrize("family", GENERALIZED)
def test_words_of_a_generalized_process_have_probabilities_with_default_parameters(family):
    process = build_process(family)
    assert process.is_generalized
    assert process.transitions.min() < 0
    assert_inference_matches_products(process)


@pytest.mark.parametrize("family", GENERALIZED)
@settings(max_examples=6)
@given(data=st.data())
def test_words_of_a_generalized_process_have_probabilities_with_any_parameters(family, data):
    assert_inference_matches_products(build_process(family, **data.draw(st.fixed_dictionaries(GENERALIZED[family]))))
