"""Each family matches an independent construction of its definition; invalid matrices and parameters are errors."""

import json

import numpy as np
import pydantic
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from tests.worlds.brute_force import random_distributions
from unamortized.worlds.inference import filter_beliefs, random_paths
from unamortized.worlds.processes import FAMILIES, Process, build_process, parameter_model
from unamortized.worlds.processes.process import stationary_distribution

probability = st.floats(0, 1)


def entropy_rate(process, n_steps, draws=20_000):
    """Estimate the entropy of the last of n symbols given all others, in nats."""
    observations = random_paths(process.transitions, process.initial, n_steps, draws, seed=0).observations
    longer, shorter = (
        filter_beliefs(process.transitions, process.initial, observations[:, :n]).log_probability
        for n in (n_steps, n_steps - 1)
    )
    return (shorter - longer).mean()


# ── computational mechanics ──────────────────────────────────────────────────────────────────────


@given(x=st.floats(0, 0.5), a=probability)
def test_mess3_has_the_published_matrices(x, a):
    b, y = (1 - a) / 2, 1 - 2 * x
    published = [
        [[a * y, b * x, b * x], [a * x, b * y, b * x], [a * x, b * x, b * y]],
        [[b * y, a * x, b * x], [b * x, a * y, b * x], [b * x, a * x, b * y]],
        [[b * y, b * x, a * x], [b * x, b * y, a * x], [b * x, b * x, a * y]],
    ]
    process = build_process("mess3", x=x, a=a)
    np.testing.assert_allclose(process.transitions, published, atol=1e-15)
    np.testing.assert_allclose(process.initial @ process.state_transitions, process.initial, atol=1e-15)


def test_zero_one_random_repeats_its_pattern():
    process = build_process("zero_one_random", p=0.8)
    observations, latents = random_paths(process.transitions, process.initial, 300, 200, seed=0)
    assert (observations[latents[:, :-1] == 0] == 0).all()
    assert (observations[latents[:, :-1] == 1] == 1).all()
    np.testing.assert_array_equal(latents[:, 1:], (latents[:, :-1] + 1) % 3)
    assert abs(1 - observations[latents[:, :-1] == 2].mean() - 0.8) < 0.02


def test_rrxor_emits_two_random_bits_and_their_xor():
    process = build_process("rrxor", p1=0.7, p2=0.4)
    start = np.eye(5)[process.state_names.index("S")]
    bits = random_paths(process.transitions, start, 300, 200, seed=0).observations.reshape(200, 100, 3)
    np.testing.assert_array_equal(bits[..., 2], bits[..., 0] ^ bits[..., 1])
    np.testing.assert_allclose(1 - bits[..., :2].mean(axis=(0, 1)), [0.7, 0.4], atol=0.02)
    np.testing.assert_allclose(build_process("rrxor").initial, np.array([2, 1, 1, 1, 1]) / 6, atol=1e-15)


@pytest.mark.parametrize(
    ("family", "parameters", "n_steps", "nats", "tolerance"),
    [
        ("mess3", {"x": 0.05, "a": 0.85}, 10, 0.793, 0.01),
        ("rrxor", {"p1": 0.5, "p2": 0.5}, 40, 0.4621, 0.01),  # two bits in three, .4621
        ("zero_one_random", {"p": 0.5}, 40, np.log(2) / 3, 0.006),
    ],
)
def test_words_cost_the_published_entropy_rate(family, parameters, n_steps, nats, tolerance):
    assert abs(entropy_rate(build_process(family, **parameters), n_steps) - nats) < tolerance


# ── noisy permutations ───────────────────────────────────────────────────────────────────────────


@given(
    states=st.integers(3, 7),
    symbols=st.integers(2, 6),
    slip=probability,
    informativeness=st.floats(0, 3),
    seed=st.integers(0, 2**32 - 1),
)
def test_noisy_permutation_factors_into_emission_and_slipping_permutation(states, symbols, slip, informativeness, seed):
    parameters = {"states": states, "symbols": symbols, "seed": seed}
    exact = build_process("noisy_permutation", **parameters, slip=0.0, informativeness=0.0)
    moves = exact.transitions * symbols
    np.testing.assert_allclose(moves.sum(axis=1), 1)
    np.testing.assert_allclose(moves.sum(axis=2), 1)
    assert ((moves == 0) | (np.abs(moves - 1) < 1e-12)).all()
    assert len({move.tobytes() for move in exact.transitions}) == symbols
    assert (np.linalg.matrix_power(np.eye(states) + exact.state_transitions, states) > 0).all()  # connected

    noisy = build_process("noisy_permutation", **parameters, slip=slip, informativeness=informativeness)
    emissions = noisy.emissions
    for x, i, j in np.ndindex(symbols, states, states):
        expected = emissions[i, x] * ((1 - slip) * moves[x, i, j] + slip / states)
        assert abs(noisy.transitions[x, i, j] - expected) < 1e-12
    if informativeness == 0:
        np.testing.assert_allclose(emissions, 1 / symbols)


def test_informativeness_scales_standard_normal_scores():
    one, two = (
        np.log(build_process("noisy_permutation", states=50, symbols=50, informativeness=kappa).emissions)
        for kappa in (1.0, 2.0)
    )
    centered = one - one.mean(axis=1, keepdims=True)
    np.testing.assert_allclose(two - two.mean(axis=1, keepdims=True), 2 * centered, atol=1e-9)
    assert abs(centered.std() - 1) < 0.05


def test_permutations_differ_by_seed_and_repeat_with_it():
    first, again, other = (build_process("noisy_permutation", seed=seed).transitions for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


# ── groups ───────────────────────────────────────────────────────────────────────────────────────

ORDERS = {"Z2": 2, "Z7": 7, "S2": 2, "S3": 6, "S4": 24, "S5": 120, "A3": 3, "A4": 12, "A5": 60}


def permutation_matrix(name):
    """Row vector e_k goes to e_name[k]; multiplying such matrices composes from left to right."""
    return np.eye(len(name))[[int(digit) - 1 for digit in name]]


@pytest.mark.parametrize("group", ORDERS)
@pytest.mark.parametrize("generators", [None, 2])
def test_group_words_multiply_as_matrices_do(group, generators):
    process = build_process("group_word", group=group, generators=generators, seed=3)
    order = ORDERS[group]
    assert process.n_states == order
    assert process.n_symbols == (generators or order)
    assert len(set(process.symbol_names)) == process.n_symbols
    assert len(set(process.state_names)) == order
    np.testing.assert_array_equal(process.initial, np.eye(order)[0])
    np.testing.assert_allclose(process.transitions[process.transitions > 0], 1 / process.n_symbols)

    words, latents = random_paths(process.transitions, process.initial, 12, 20, seed=0)
    assert (latents[:, 0] == 0).all()
    for word, path in zip(words, latents, strict=True):
        letters = [process.symbol_names[x] for x in word]
        if group.startswith("Z"):
            assert int(process.state_names[path[-1]]) == sum(map(int, letters)) % order
        else:
            product = np.linalg.multi_dot([permutation_matrix(letter) for letter in letters])
            np.testing.assert_array_equal(product, permutation_matrix(process.state_names[path[-1]]))
    beliefs = filter_beliefs(process.transitions, process.initial, words).beliefs
    np.testing.assert_array_equal(beliefs.argmax(axis=2), latents)


def test_state_names_are_readable_and_the_identity_comes_first():
    assert build_process("group_word", group="S3").state_names == ("123", "132", "213", "231", "312", "321")
    assert build_process("group_word", group="A3").state_names == ("123", "231", "312")
    assert build_process("group_word", group="Z4").state_names == ("0", "1", "2", "3")
    assert build_process("group_word", group="S5").state_names[0] == "12345"


def test_named_elements_are_the_symbols_in_their_order():
    process = build_process("group_word", group="S5", elements=["21345", "23451", "51234"])
    assert process.symbol_names == ("21345", "23451", "51234")
    for symbol, name in enumerate(process.symbol_names):  # one step from the identity is the element itself
        assert process.state_names[int(process.transitions[symbol, 0].argmax())] == name


@pytest.mark.parametrize(("group", "generators"), [("Z6", 1), ("S3", 2), ("A5", 3), ("S2", 1)])
@pytest.mark.parametrize("seed", range(5))
def test_generators_reach_the_whole_group(group, generators, seed):
    process = build_process("group_word", group=group, generators=generators, seed=seed)
    reach = np.linalg.matrix_power(np.eye(process.n_states) + process.state_transitions, process.n_states)
    assert (reach > 0).all()


def test_even_permutations_have_determinant_one():
    for name in build_process("group_word", group="A4").state_names:
        assert round(np.linalg.det(permutation_matrix(name))) == 1


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"group": "S6"}, "group must be Z2 to Z120, D3 to D60, S2 to S5 or A3 to A5 (got 'S6')"),
        ({"group": "Z1"}, "group must be"),
        ({"group": "D2"}, "group must be"),
        ({"group": "S3", "generators": 1}, "generators must be at least 2: no single element generates S3"),
        ({"group": "S3", "generators": 7}, "generators must be at most 6"),
        ({"group": "S3", "elements": ["213", "312", "4"]}, "elements must be distinct elements of S3, such as '123'"),
        ({"group": "S3", "elements": ["231", "312"]}, "elements must generate S3 (got 3 of its 6 elements)"),
        ({"group": "S3", "elements": ["213"], "generators": 1}, "elements and generators exclude each other"),
        ({"group": "S3", "generators": 0}, "group_word.generators: must be between 1 and 120 (got 0)"),
    ],
)
def test_an_invalid_group_is_an_error(parameters, message):
    with pytest.raises(ValueError) as raised:
        build_process("group_word", **parameters)
    assert message in str(raised.value)


# ── matrices from a file ─────────────────────────────────────────────────────────────────────────


def write(path, transitions, initial=None):
    content = {"transitions": transitions} | ({} if initial is None else {"initial": initial})
    plain = {key: value.tolist() for key, value in content.items()}
    if path.suffix == ".npy":
        np.save(path, transitions)
    elif path.suffix == ".npz":
        np.savez(path, **content)
    else:
        path.write_text(json.dumps(plain) if path.suffix == ".json" else yaml.safe_dump(plain))


@pytest.mark.parametrize("suffix", [".npy", ".npz", ".yaml", ".json"])
@pytest.mark.parametrize("with_initial", [False, True])
def test_matrices_survive_a_round_trip_through_a_file(tmp_path, suffix, with_initial):
    process = build_process("rrxor", p1=0.3, p2=0.6)
    initial = np.eye(5)[2] if with_initial and suffix != ".npy" else None
    path = tmp_path / f"rrxor{suffix}"
    write(path, process.transitions, initial)
    read = build_process("matrices", path=str(path))
    np.testing.assert_array_equal(read.transitions, process.transitions)
    np.testing.assert_array_equal(read.initial, process.initial if initial is None else initial)
    np.testing.assert_array_equal(FAMILIES["matrices"](path).transitions, process.transitions)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("missing.yaml", None, "cannot be read (No such file or directory)"),
        ("table.csv", "1,0", "the name must end in .npy, .npz, .yaml, .json"),
        ("broken.json", "{", "is not a valid .json file"),
        ("broken.yaml", "a: [", "is not a valid .yaml file"),
        ("broken.npy", "text", "is not a valid .npy file"),
        ("broken.npz", "text", "is not a valid .npz file"),
        ("list.yaml", "[[1]]", "must hold the key `transitions`"),
        ("empty.yaml", "initial: [1]", "transitions: is required"),
        ("typo.yaml", "transition: [[[1]]]", "transition: unknown key; did you mean 'transitions'?"),
        ("ragged.yaml", "transitions: [[[1, 0], [1]]]", "the nested lists must have equal lengths"),
        ("words.yaml", "transitions: [[[one]]]", "transitions: must hold numbers only"),
        ("shape.yaml", "transitions: [[1]]", "transitions must have shape"),
        ("sum.yaml", "transitions: [[[0.5]]]", "transitions from state 0 must sum to 1"),
    ],
)
def test_an_error_in_a_file_names_the_file(tmp_path, name, content, message):
    path = tmp_path / name
    if content is not None:
        path.write_text(content)
    with pytest.raises(ValueError) as raised:
        build_process("matrices", path=str(path))
    assert str(raised.value).startswith(f"{path}: ")
    assert message in str(raised.value)


def test_pickled_arrays_are_not_loaded(tmp_path):
    np.save(tmp_path / "objects.npy", np.array([{}], dtype=object), allow_pickle=True)
    with pytest.raises(ValueError, match=r"is not a valid \.npy file"):
        build_process("matrices", path=str(tmp_path / "objects.npy"))


# ── a process ────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("family", sorted(set(FAMILIES) - {"matrices", "mixture"}))
def test_every_family_has_valid_defaults_and_a_docstring(family):
    process = build_process(family)
    if not process.is_generalized:
        np.testing.assert_allclose(process.transitions.sum(axis=(0, 2)), 1, atol=1e-12)
        np.testing.assert_allclose(process.emissions.sum(axis=1), 1, atol=1e-12)
        np.testing.assert_allclose(process.state_transitions.sum(axis=1), 1, atol=1e-12)
    assert process.emissions.shape == (process.n_states, process.n_symbols)
    assert len(process.state_names) == process.n_states
    assert len(process.symbol_names) == process.n_symbols
    assert FAMILIES[family].__doc__


def test_emissions_and_state_transitions_are_sums_of_transitions():
    process = build_process("rrxor", p1=0.7, p2=0.4)
    np.testing.assert_allclose(process.emissions, [[0.7, 0.3], [0.4, 0.6], [0.4, 0.6], [0, 1], [1, 0]])
    np.testing.assert_allclose(process.state_transitions[0], [0, 0.7, 0.3, 0, 0])


def test_a_process_is_copied_and_read_only():
    given_matrices = np.full((2, 2, 2), 0.25)
    process = Process(given_matrices)
    given_matrices[:] = 7
    np.testing.assert_array_equal(process.transitions, np.full((2, 2, 2), 0.25))
    for array in (process.transitions, process.initial):
        assert array.dtype == np.float64
        with pytest.raises(ValueError, match="read-only"):
            array[...] = 0


@given(states=st.integers(1, 6), zeros=st.sampled_from([0.0, 0.5]), seed=st.integers(0, 2**32 - 1))
def test_the_stationary_distribution_is_invariant_or_not_unique(states, zeros, seed):
    matrix = random_distributions(np.random.default_rng(seed), (states, states), zeros)
    unique = np.sum(np.abs(np.linalg.eigvals(matrix) - 1) < 1e-9) == 1
    if not unique:
        with pytest.raises(ValueError, match="give `initial`"):
            stationary_distribution(matrix)
    else:
        stationary = stationary_distribution(matrix)
        np.testing.assert_allclose(stationary @ matrix, stationary, atol=1e-14)
        assert (stationary >= 0).all()
        assert abs(stationary.sum() - 1) < 1e-14


def test_the_stationary_distribution_of_a_nearly_reducible_chain_is_exact():
    matrix = np.array([[1 - 1e-15, 1e-15], [3e-15, 1 - 3e-15]])
    np.testing.assert_allclose(stationary_distribution(matrix), [0.75, 0.25], rtol=1e-12)


def test_transient_states_have_no_stationary_probability():
    np.testing.assert_array_equal(
        stationary_distribution(np.array([[0.5, 0.5, 0], [0, 0, 1], [0, 1, 0]])), [0, 0.5, 0.5]
    )


@pytest.mark.parametrize(
    ("transitions", "initial", "message"),
    [
        ([[[0.5, 0.5], [0.5, 0.4]]], None, "transitions from state 1 must sum to 1 .* (got 0.9; 1 of 2"),
        ([[[1.5, -0.5], [0.5, 0.5]]], None, "transitions[0, 0, 1] must be a probability (got -0.5)"),
        ([[[1.0, np.nan], [0.5, 0.5]]], None, "transitions[0, 0, 1] must be a probability (got nan)"),
        ([[0.5, 0.5], [0.5, 0.5]], None, "transitions must have shape (symbols, states, states) (got (2"),
        ([[[1.0, 0.0]]], None, "(got (1, 1, 2))"),
        ([[[1.0, 0.0], [0.0, 1.0]]], None, "such as [0] and [1], .* give `initial`"),
        ([[[0.5, 0.5], [0.5, 0.5]]], [0.5, 0.4], "initial must sum to 1 (got 0.9)"),
        ([[[0.5, 0.5], [0.5, 0.5]]], [1.5, -0.5], "initial[1] must be a probability (got -0.5)"),
        ([[[0.5, 0.5], [0.5, 0.5]]], [1.0], "initial must have shape (2,), one number per state (got (1,))"),
    ],
)
def test_matrices_that_do_not_define_a_process_are_errors(transitions, initial, message):
    with pytest.raises(ValueError) as raised:
        Process(np.array(transitions), initial if initial is None else np.array(initial))
    parts = message.split(" .* ")
    assert all(part in str(raised.value) for part in parts)


def test_there_must_be_a_name_for_each_state():
    with pytest.raises(ValueError, match="state_names must hold 2 names"):
        Process(np.full((2, 2, 2), 0.25), state_names=("only",))


# ── families by name ─────────────────────────────────────────────────────────────────────────────


def test_all_invalid_parameters_are_reported_at_once():
    with pytest.raises(ValueError) as raised:
        build_process("noisy_permutation", states=2.5, slips=0.1, slip=1.2, seed=-1, symbols="3")
    lines = str(raised.value).splitlines()
    assert {line.split(":")[0] for line in lines} == {
        f"noisy_permutation.{name}" for name in ("states", "slips", "slip", "seed", "symbols")
    }
    assert "noisy_permutation.slip: must be between 0 and 1 (got 1.2)" in lines
    assert "noisy_permutation.slips: unknown field; did you mean 'slip'?" in lines


@pytest.mark.parametrize(
    ("family", "parameters", "message"),
    [
        ("mess4", {}, "mess4: unknown family; did you mean 'mess3'?"),
        ("hmm", {}, "hmm: unknown family; the families are mess3, zero_one_random"),
        ("mess3", {"z": 1.0}, "mess3.z: unknown field"),
        ("matrices", {}, "matrices.path: missing"),
        ("mess3", {"x": float("nan")}, "mess3.x: must be a finite number (got nan)"),
        ("noisy_permutation", {"states": True}, "noisy_permutation.states: must be a whole number (got true)"),
        ("noisy_permutation", {"states": 3, "symbols": 7}, "symbols must be at most 6"),
    ],
)
def test_an_invalid_family_or_parameter_is_an_error(family, parameters, message):
    with pytest.raises(ValueError) as raised:
        build_process(family, **parameters)
    assert message in str(raised.value)


def test_numpy_numbers_and_integers_for_floats_are_accepted():
    first = build_process("noisy_permutation", states=np.int64(4), slip=np.float64(0.0))
    second = build_process("noisy_permutation", states=4, slip=0)
    np.testing.assert_array_equal(first.transitions, second.transitions)


@pytest.mark.parametrize("family", FAMILIES)
def test_each_family_has_one_parameter_model(family):
    model = parameter_model(family)
    assert parameter_model(family) is model
    assert "family" not in model.model_fields
    with pytest.raises(pydantic.ValidationError, match="Extra inputs"):
        model(**{"no_such_parameter": 1, "path": "x"} if family == "matrices" else {"no_such_parameter": 1})
