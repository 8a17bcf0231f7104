"""Problems and the propagator match the enumeration of all latent paths, or of all words."""

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy.stats import chi2

from tests.worlds.brute_force import (
    enumerate_paths,
    enumerated_answer,
    in_other_coordinates,
    marginal,
    predicted_by_words,
    random_distributions,
    random_transitions,
    word_probability,
)
from unamortized.worlds.inference import NO_LATENT, ImpossibleObservation
from unamortized.worlds.problems import ARRAYS, Problems, concatenate, exact_answer, sample_problems
from unamortized.worlds.processes import Process, build_process
from unamortized.worlds.tasks import Query

QUERIES = ("filter", "predict 1", "predict 3", "smooth 0", "smooth 2")
ANY_QUERY = st.sampled_from(QUERIES)
ANY_START = st.sampled_from(["fixed", "known", "belief"])


def parsed(text: str) -> Query:
    return Query.model_validate(text)


@st.composite
def matrices(draw, zeros=(0.0, 0.5)) -> tuple[np.ndarray, np.ndarray]:
    """Draw the arguments of a process; the test builds it, since type checks use `random` and strategies must not."""
    generator = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    states, symbols, share = draw(st.integers(1, 3)), draw(st.integers(1, 3)), draw(st.sampled_from(zeros))
    transitions = random_transitions(generator, (), symbols, states, share)
    return transitions, random_distributions(generator, (states,), share)


def starts_of(process: Process, problems: Problems) -> np.ndarray:
    """Return the belief before the first observation of each problem."""
    if problems.start == "belief":
        return problems.beliefs[:, 0]
    known = np.eye(process.n_states)[problems.latents[:, 0]]
    return known if problems.start == "known" else np.tile(process.initial, (len(problems), 1))


def assert_enumerated(problems: Problems, transitions: np.ndarray, query: str) -> None:
    """Check all exact values of problems under their own transitions (batch, symbol, state, state)."""
    n_states = transitions.shape[-1]
    for b, first in enumerate(starts_of(problems.process, problems)):
        observed = problems.observations[b]
        for t in range(problems.n_steps + 1):
            table = np.broadcast_to(transitions[b], (t, *transitions[b].shape))
            joint = enumerate_paths(table, first, observed[:t])
            np.testing.assert_allclose(problems.beliefs[b, t], marginal(joint, -1, n_states), atol=1e-12)
        np.testing.assert_allclose(problems.log_probability[b], np.log(sum(joint.values())), atol=1e-10)
        assert joint[tuple(problems.latents[b])] > 0
        expected = enumerated_answer(transitions[b], first, observed, parsed(query))
        np.testing.assert_allclose(problems.answer_distribution[b], expected, atol=1e-12)
        assert expected[problems.answers[b]] > 0


def own_tables(states: int, symbols: int) -> Process:
    """Return a process whose problems have random transitions and random rules."""

    def drawn(generator: np.random.Generator, batch: int) -> Process:
        transitions = random_transitions(generator, (batch,), symbols, states, zeros=0.2)
        initial = random_distributions(generator, (states,), zeros=0.0)
        return Process(transitions, initial, rules=generator.integers(99, size=(batch, 2)))

    return Process(np.full((symbols, states, states), 1 / (symbols * states)), sampler=drawn)


# ── problems ─────────────────────────────────────────────────────────────────────────────────────


@settings(max_examples=60)
@given(matrices(), st.integers(2, 4), ANY_QUERY, ANY_START, st.integers(0, 99))
def test_beliefs_answers_and_evidence_follow_from_the_enumerated_joint(drawn, n_steps, query, start, seed):
    process = Process(*drawn)
    problems = sample_problems(process, n_steps, 4, seed, query, start, resolution=3)
    assert len(problems) == 4
    assert problems.n_steps == n_steps
    assert problems.start == start
    assert problems.process is process
    assert_enumerated(problems, np.stack([process.transitions] * 4), query)


@settings(max_examples=40)
@given(st.integers(1, 3), st.integers(1, 3), st.integers(2, 4), ANY_QUERY, ANY_START, st.integers(0, 99))
def test_problems_with_their_own_transitions_are_exact_under_them(states, symbols, n_steps, query, start, seed):
    problems = sample_problems(own_tables(states, symbols), n_steps, 4, seed, query, start, resolution=3)
    assert problems.process.transitions.shape == (4, symbols, states, states)
    assert_enumerated(problems, problems.process.transitions, query)


@pytest.mark.parametrize("start", ["fixed", "known", "belief"])
@pytest.mark.parametrize("query", QUERIES)
def test_answers_are_drawn_from_the_answer_distribution(query, start):
    process = Process(random_transitions(np.random.default_rng(4), (), symbols=3, states=3, zeros=0.0))
    problems = sample_problems(process, 2, 30_000, 1, query, start, resolution=4)
    shown = {"fixed": np.zeros(30_000), "known": problems.latents[:, 0], "belief": problems.beliefs[:, 0] @ [0, 1, 7]}
    questions = np.concatenate([problems.observations, shown[start][:, None]], axis=1)
    distance, freedom = 0.0, 0
    for question in np.unique(questions, axis=0):
        rows = (questions == question).all(axis=1)
        expected = problems.answer_distribution[rows][0] * rows.sum()
        counts = np.bincount(problems.answers[rows], minlength=3)
        assert (counts[expected == 0] == 0).all()
        if expected.min() > 5:  # chi-square needs several draws per cell
            distance += ((counts - expected) ** 2 / expected).sum()
            freedom += 2
    if (query, start) != ("smooth 0", "known"):  # the prompt shows the answer
        assert freedom >= 10
        assert chi2.isf(1 - 1e-4, freedom) < distance < chi2.isf(1e-4, freedom)


def test_observations_and_known_starts_are_drawn_from_the_process():
    process = build_process("noisy_permutation", states=3, symbols=2, slip=0.3, informativeness=1.0)
    draws = 20_000
    problems = sample_problems(process, 2, draws, 3, start="known")
    exact = process.initial[:, None, None] * np.array(
        [
            [[(process.transitions[x][s] @ process.transitions[y]).sum() for y in (0, 1)] for x in (0, 1)]
            for s in range(3)
        ]
    )
    counts = np.zeros_like(exact)
    np.add.at(counts, (problems.latents[:, 0], problems.observations[:, 0], problems.observations[:, 1]), 1)
    assert ((counts - draws * exact) ** 2 / (draws * exact)).sum() < chi2.isf(1e-4, exact.size - 1)


@pytest.mark.parametrize(("states", "resolution", "size"), [(3, 4, 15), (2, 1, 2), (4, 2, 10), (1, 5, 1)])
def test_start_beliefs_are_uniform_on_the_lattice_and_start_states_follow_them(states, resolution, size):
    process = Process(random_transitions(np.random.default_rng(0), (), symbols=2, states=states, zeros=0.0))
    draws = 20_000
    problems = sample_problems(process, 1, draws, 0, start="belief", resolution=resolution)
    starts = problems.beliefs[:, 0]
    units = np.rint(starts * resolution).astype(int)
    np.testing.assert_array_equal(starts, units / resolution)  # to the last bit, since their bytes are hashed
    points, index, counts = np.unique(units, axis=0, return_inverse=True, return_counts=True)
    assert len(points) == size
    assert (points >= 0).all()
    assert (points.sum(axis=1) == resolution).all()
    expected = draws / size
    assert ((counts - expected) ** 2 / expected).sum() < chi2.isf(1e-5, max(1, size - 1))
    for point in range(size):
        rows = index.reshape(-1) == point
        states_drawn = np.bincount(problems.latents[rows, 0], minlength=states)
        likely = points[point] > 0
        assert (states_drawn[~likely] == 0).all()
        expected = counts[point] * points[point][likely] / resolution
        assert ((states_drawn[likely] - expected) ** 2 / expected).sum() < chi2.isf(1e-6, max(1, likely.sum() - 1))


@pytest.mark.parametrize("turn", [400, 3000])
def test_a_start_belief_stays_exact_in_problems_that_underflow(turn):
    coins = Process(np.array([[[0.9, 0.0], [0.0, 0.01]], [[0.1, 0.0], [0.0, 0.99]]]), initial=np.array([0.5, 0.5]))
    problems = sample_problems(coins, turn, 200, 0, start="belief", resolution=7)
    np.testing.assert_array_equal(problems.beliefs[:, 0], np.rint(problems.beliefs[:, 0] * 7) / 7)


def test_a_filter_answer_is_the_last_latent_and_a_smooth_answer_an_earlier_one():
    process = build_process("mess3", x=0.1, a=0.7)
    filtered = sample_problems(process, 5, 50, 0)
    np.testing.assert_array_equal(filtered.answers, filtered.latents[:, 5])
    smoothed = sample_problems(process, 5, 50, 0, "smooth 2")
    np.testing.assert_array_equal(smoothed.answers, smoothed.latents[:, 2])
    np.testing.assert_array_equal(smoothed.observations, filtered.observations)


def test_taking_and_concatenating_keep_every_column_with_its_row():
    problems = sample_problems(build_process("mess3"), 3, 6, 0, start="known")
    rows = np.array([4, 1])
    taken = concatenate([problems.take(rows), problems.take(slice(0, 1)), problems.take(np.arange(6) == 5)])
    order = [4, 1, 0, 5]
    assert taken.start == "known"
    for name in ARRAYS:
        np.testing.assert_array_equal(getattr(taken, name), getattr(problems, name)[order])
    assert taken.process is problems.process


def test_taking_and_concatenating_keep_the_process_of_each_problem():
    problems = sample_problems(own_tables(2, 3), 3, 6, 0, start="belief", resolution=2)
    rows = np.array([4, 1])
    taken = concatenate([problems.take(rows), problems.take(slice(0, 1)), problems.take(np.arange(6) == 5)])
    order = [4, 1, 0, 5]
    for name in ARRAYS:
        np.testing.assert_array_equal(getattr(taken, name), getattr(problems, name)[order])
    np.testing.assert_array_equal(taken.process.transitions, problems.process.transitions[order])
    np.testing.assert_array_equal(taken.process.rules, problems.process.rules[order])
    assert_enumerated(taken, taken.process.transitions, "filter")


# ── the propagator ───────────────────────────────────────────────────────────────────────────────


@given(matrices(), st.integers(2, 6), ANY_QUERY, ANY_START, st.integers(0, 99))
def test_the_propagator_of_any_exact_belief_gives_the_exact_answer(drawn, n_steps, query, start, seed):
    process = Process(*drawn)
    query = parsed(query)
    problems = sample_problems(process, n_steps, 3, seed, query, start, resolution=3)
    last = query.argument if query.kind == "smooth" else n_steps  # later beliefs do not determine the answer
    for k in range(last + 1):
        rest = problems.observations[:, k:]
        answer = exact_answer(process, problems.beliefs[:, k], rest, query, after=k)
        np.testing.assert_allclose(answer, problems.answer_distribution, atol=1e-12)


@given(matrices(zeros=(0.0,)), st.integers(0, 3), ANY_QUERY, st.integers(0, 3), st.integers(0, 2**32 - 1))
def test_the_propagator_of_any_belief_is_the_enumerated_conditional(drawn, left, query, after, seed):
    process = Process(*drawn)
    query = parsed(query)
    assume(query.kind != "smooth" or after <= query.argument <= after + left)
    generator = np.random.default_rng(seed)
    beliefs = random_distributions(generator, (4, process.n_states), zeros=0.3)
    observations = generator.integers(process.n_symbols, size=(4, left))
    answers = exact_answer(process, beliefs, observations, query, after)
    within = parsed(f"smooth {query.argument - after}") if query.kind == "smooth" else query
    for b in range(4):
        expected = enumerated_answer(process.transitions, beliefs[b], observations[b], within)
        np.testing.assert_allclose(answers[b], expected, atol=1e-12)
        shared = exact_answer(process, beliefs[b], observations[b : b + 1], query, after)
        np.testing.assert_allclose(shared[0], expected, atol=1e-12)


@given(matrices(zeros=(0.0,)), st.integers(0, 4), st.sampled_from(["filter", "predict 2"]), st.integers(0, 99))
def test_the_propagator_is_linear_fractional_in_the_belief(drawn, left, query, seed):
    r"""$\Phi(b)$ is the mean of the answers from each state, weighted by $b_i$ and the evidence from that state."""
    process = Process(*drawn)
    generator = np.random.default_rng(seed)
    belief = random_distributions(generator, (process.n_states,), zeros=0.0)
    observations = generator.integers(process.n_symbols, size=(1, left))
    corners = np.eye(process.n_states)
    repeated = np.repeat(observations, process.n_states, axis=0)
    from_corners = exact_answer(process, corners, repeated, parsed(query))
    product = np.eye(process.n_states)
    for symbol in observations[0]:
        product = product @ process.transitions[symbol]
    weights = belief * product.sum(axis=1)
    expected = weights @ from_corners / weights.sum()
    np.testing.assert_allclose(exact_answer(process, belief, observations, parsed(query))[0], expected, atol=1e-12)


@pytest.mark.parametrize("steps", [2, 7])
def test_a_smooth_query_for_a_step_that_the_belief_does_not_determine_is_an_error(steps):
    process = build_process("mess3")
    belief, observations = process.initial, np.zeros((1, 3), dtype=np.int64)
    message = f"'smooth {steps}' must ask for a step from 3 to 6, which the belief determines"
    with pytest.raises(ValueError, match=message):
        exact_answer(process, belief, observations, parsed(f"smooth {steps}"), after=3)


def test_a_smooth_query_beyond_the_problem_is_an_error():
    with pytest.raises(ValueError, match="'smooth 4' needs problems of at least 4 steps .got 3"):
        sample_problems(build_process("mess3"), 3, 2, 0, "smooth 4")


def test_a_belief_that_forbids_the_observations_is_an_error():
    process = build_process("zero_one_random", p=0.5)  # state 0 only emits zeros
    seen = sample_problems(process, 3, 50, 0, start="known")
    impossible_starts = np.eye(3)[(seen.latents[:, 0] + 1) % 3]
    with pytest.raises(ImpossibleObservation):
        exact_answer(process, impossible_starts, seen.observations, parsed("filter"))


def test_the_propagator_uses_the_transitions_of_each_problem():
    problems = sample_problems(own_tables(3, 2), 5, 6, 0, "smooth 3")
    beliefs = random_distributions(np.random.default_rng(1), (6, 3), zeros=0.0) + 1e-3
    beliefs /= beliefs.sum(axis=1, keepdims=True)
    for query, within in (("filter", "filter"), ("predict 2", "predict 2"), ("smooth 3", "smooth 1")):
        answers = exact_answer(problems.process, beliefs, problems.observations[:, 2:], parsed(query), after=2)
        for b, transitions in enumerate(problems.process.transitions):
            expected = enumerated_answer(transitions, beliefs[b], problems.observations[b, 2:], parsed(within))
            np.testing.assert_allclose(answers[b], expected, atol=1e-12)


# ── generalized processes ────────────────────────────────────────────────────────────────────────

GENERALIZED = ["tom_quantum", "fanizza", "post_quantum"]


@given(matrices(zeros=(0.0,)), st.integers(1, 4), st.integers(1, 3), st.integers(0, 99))
def test_a_change_of_coordinates_changes_no_answer(drawn, n_steps, ahead, seed):
    process = Process(*drawn)
    other, s = in_other_coordinates(process, np.random.default_rng(seed))
    problems = sample_problems(other, n_steps, 4, seed, f"predict {ahead}")
    assert (problems.latents == NO_LATENT).all()
    assert problems.latents.shape == (4, n_steps + 1)
    for b, observed in enumerate(problems.observations):
        for t in range(n_steps + 1):
            table = np.broadcast_to(process.transitions, (t, *process.transitions.shape))
            joint = enumerate_paths(table, process.initial, observed[:t])
            belief = marginal(joint, -1, process.n_states)
            np.testing.assert_allclose(problems.beliefs[b, t], belief @ s, atol=1e-10)
        np.testing.assert_allclose(problems.log_probability[b], np.log(sum(joint.values())), atol=1e-10)
        expected = enumerated_answer(process.transitions, process.initial, observed, parsed(f"predict {ahead}"))
        np.testing.assert_allclose(problems.answer_distribution[b], expected, atol=1e-10)


@pytest.mark.parametrize("family", GENERALIZED)
@pytest.mark.parametrize("ahead", [1, 2])
def test_problems_without_states_match_products_of_matrices(family, ahead):
    process, query = build_process(family), parsed(f"predict {ahead}")
    problems = sample_problems(process, 5, 30, 0, query)
    vectors = np.random.default_rng(0).dirichlet(np.ones(3), size=30)
    for b, observed in enumerate(problems.observations):
        probability = word_probability(process, process.initial, observed)
        np.testing.assert_allclose(problems.log_probability[b], np.log(probability), atol=1e-10)
        expected = predicted_by_words(process, process.initial, observed, ahead)
        np.testing.assert_allclose(problems.answer_distribution[b], expected, atol=1e-10)
    for k in range(6):  # from any exact vector, and from any mixture of three
        rest = problems.observations[:, k:]
        answers = exact_answer(process, problems.beliefs[:, k], rest, query, after=k)
        np.testing.assert_allclose(answers, problems.answer_distribution, atol=1e-10)
        mixed = np.einsum("bm,mbi->bi", vectors, [np.roll(problems.beliefs[:, k], m, axis=0) for m in range(3)])
        answers = exact_answer(process, mixed, rest, query, after=k)
        for b in range(30):
            np.testing.assert_allclose(answers[b], predicted_by_words(process, mixed[b], rest[b], ahead), atol=1e-10)


@pytest.mark.parametrize("family", GENERALIZED)
def test_words_and_answers_follow_a_process_without_states(family):
    process, draws = build_process(family), 20_000
    problems = sample_problems(process, 2, draws, 5, "predict 1")
    words = np.concatenate([problems.observations, problems.answers[:, None]], axis=1)
    distance, freedom = 0.0, -1
    for word in np.ndindex((process.n_symbols,) * 3):
        expected = draws * word_probability(process, process.initial, word)
        count = (words == word).all(axis=1).sum()
        if expected > 5:
            distance, freedom = distance + (count - expected) ** 2 / expected, freedom + 1
        else:
            assert count < 25
    assert freedom > 3
    assert chi2.isf(1 - 1e-4, freedom) < distance < chi2.isf(1e-4, freedom)


@pytest.mark.parametrize(("query", "start"), [("filter", "fixed"), ("smooth 1", "fixed"), ("predict 1", "known")])
def test_a_query_about_states_is_an_error_without_states(query, start):
    with pytest.raises(ValueError, match=f"query must be 'predict' and start 'fixed' .got {query}, {start}"):
        sample_problems(build_process("tom_quantum"), 3, 2, 0, query, start)
