"""Targets of probes are exact, and controls and baselines are what they are called."""

import itertools
from dataclasses import replace
from functools import partial

import numpy as np
import pytest

from tests.evaluation.oracle import oracle_run, slow_task
from unamortized.evaluation.probes.activations import respond_with_activations
from unamortized.evaluation.probes.probe_baselines import PROBE_BASELINES, RANDOM_FEATURES, BaselineInput, exact_window
from unamortized.evaluation.probes.targets import TARGETS, resolve_target, stationary_belief, wrong_process
from unamortized.language.meanings import code_meanings
from unamortized.worlds.problems import sample_problems
from unamortized.worlds.processes import Process, build_process
from unamortized.worlds.splits import draw

STEPS = np.array([1, 3, 6])
WORLDS = {
    "mess3": build_process("mess3", x=0.05, a=0.85),
    "rrxor": build_process("rrxor", p1=0.5, p2=0.5),
    "noisy_permutation": build_process("noisy_permutation", states=3, symbols=4, slip=0.1, informativeness=1.0, seed=1),
    "S3": build_process("group_word", group="S3", elements=["213", "231"]),
    "fanizza": build_process("fanizza"),
}


def problems_of(name: str, count: int = 40):
    process = WORLDS[name]
    return sample_problems(process, 6, count, 0, query="predict 1" if process.is_generalized else "filter")


def word_probability(process: Process, start: np.ndarray, word) -> float:
    """P(word), symbol by symbol, of any process."""
    vector = start
    for symbol in word:
        vector = vector @ process.transitions[symbol]
    return float(vector @ (np.ones(process.n_states) if process.readout is None else process.readout))


@pytest.mark.parametrize("name", WORLDS)
def test_the_next_symbols_distribution_is_that_of_the_words(name):
    problems, process = problems_of(name, 8), WORLDS[name]
    target = resolve_target("next_symbol")(problems, STEPS)
    for row, (place, step) in itertools.product(range(8), enumerate(STEPS)):
        word = problems.observations[row, :step].tolist()
        so_far = word_probability(process, process.initial, word)
        for symbol in range(process.n_symbols):
            expected = word_probability(process, process.initial, [*word, symbol]) / so_far
            assert target[row, place, symbol] == pytest.approx(expected, abs=1e-9)


def test_earlier_beliefs_are_those_of_earlier_steps_or_of_the_start():
    problems = problems_of("mess3")
    target = resolve_target("belief_2_back")(problems, STEPS)
    np.testing.assert_array_equal(target, problems.beliefs[:, [0, 1, 4]])


@pytest.mark.parametrize("name", WORLDS)
def test_the_constrained_belief_is_the_sum_of_each_observations_own_evidence(name):
    problems, process = problems_of(name), WORLDS[name]
    target = resolve_target("constrained_belief")(problems, STEPS)
    usual = stationary_belief(process)
    move = process.transitions.sum(axis=0)
    readout = np.ones(process.n_states) if process.readout is None else process.readout
    for row, (place, step) in itertools.product(range(5), enumerate(STEPS)):
        expected = usual + (process.initial - usual) @ np.linalg.matrix_power(move, int(step))
        for when in range(1, step + 1):
            says = usual @ process.transitions[problems.observations[row, when - 1]]
            expected = expected + (says / (says @ readout) - usual) @ np.linalg.matrix_power(move, int(step) - when)
        np.testing.assert_allclose(target[row, place], expected, atol=1e-9)


def test_after_one_observation_of_a_stationary_start_the_constrained_belief_is_the_belief():
    problems = problems_of("mess3")
    target = resolve_target("constrained_belief")(problems, np.array([1, 2]))
    np.testing.assert_allclose(target[:, 0], problems.beliefs[:, 1], atol=1e-12)
    assert (
        np.abs(target[:, 1] - problems.beliefs[:, 2]).max() > 0.01
    )  # earlier observations change what later ones mean


@pytest.mark.parametrize("name", WORLDS)
def test_the_stationary_belief_does_not_move(name):
    process = WORLDS[name]
    usual = stationary_belief(process)
    np.testing.assert_allclose(usual @ process.transitions.sum(axis=0), usual, atol=1e-9)
    assert word_probability(process, usual, []) == pytest.approx(1)
    if name == "S3":
        np.testing.assert_allclose(usual, 1 / 6, atol=1e-9)  # however the word began


@pytest.mark.parametrize("name", WORLDS)
def test_a_wrong_process_has_the_same_symbols_as_often_but_other_beliefs(name):
    process = WORLDS[name]
    wrong, usual = wrong_process(process), stationary_belief(process)
    for symbol in range(process.n_symbols):
        right = word_probability(process, usual, [symbol])
        assert word_probability(wrong, stationary_belief(wrong), [symbol]) == pytest.approx(right, abs=1e-9)
    problems = problems_of(name)
    target = resolve_target("wrong_process")(problems, STEPS)
    assert np.isfinite(target).all()
    assert np.abs(target - problems.beliefs[:, STEPS]).max() > 0.05


@pytest.mark.parametrize("name", ["S3", "mess3"])
def test_a_wrong_process_exchanges_moves_where_symbols_stay_as_frequent(name):
    moves, right = (
        each.transitions / each.transitions.sum(axis=2, keepdims=True)
        for each in (wrong_process(WORLDS[name]), WORLDS[name])
    )
    np.testing.assert_allclose(moves, np.roll(right, 1, axis=0), atol=1e-9)


@pytest.mark.parametrize("name", ["rrxor", "noisy_permutation"])
def test_a_wrong_process_forgets_sooner_where_frequencies_would_change(name):
    forgets = wrong_process(WORLDS[name])
    np.testing.assert_allclose(forgets.emissions, WORLDS[name].emissions, atol=1e-9)
    second = [np.sort(np.abs(np.linalg.eigvals(each.state_transitions)))[-2] for each in (forgets, WORLDS[name])]
    assert second[0] == pytest.approx(second[1] / 2, abs=1e-6)


def test_shuffled_beliefs_are_those_of_other_problems_at_the_same_step():
    problems = problems_of("mess3")
    target = resolve_target("shuffled_belief")(problems, STEPS)
    for place, step in enumerate(STEPS):
        own = problems.beliefs[:, step]
        np.testing.assert_allclose(np.sort(target[:, place], axis=0), np.sort(own, axis=0))
    unlike = [(target[row, 2] != problems.beliefs[row, 6]).any() for row in range(len(problems))]
    assert np.mean(unlike) > 0.9  # some have the same belief


@pytest.mark.parametrize(("name", "length", "most"), [("mess3", 4, 81), ("noisy_permutation", 3, 64)])
def test_the_control_task_deals_out_a_belief_to_each_word(name, length, most):
    problems = problems_of(name, 2000)
    target = resolve_target("control_task")(problems, np.array([4, 5]))
    np.testing.assert_allclose(target.sum(axis=2), 1)
    dealt: dict[tuple, set] = {}
    for row, (place, step) in itertools.product(range(2000), enumerate((4, 5))):
        word = tuple(problems.observations[row, step - length : step].tolist())
        dealt.setdefault(word, set()).add(target[row, place].tobytes())
    assert all(len(each) == 1 for each in dealt.values())
    assert len(set.union(*dealt.values())) == len(dealt)
    assert most / 2 < len(dealt) <= most


def test_an_unknown_target_is_an_error_that_names_those_there_are():
    with pytest.raises(ValueError, match="no target named 'beleif'; choose from constrained_belief, .*belief_<k>_back"):
        resolve_target("beleif")
    assert set(TARGETS) >= {"wrong_process", "control_task"}


# ── baselines ───────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture(scope="module")
def given():
    run = oracle_run(slow_task(), "cot")
    problems = sample_problems(run.task.build(), 8, 30, 0)
    return BaselineInput(run, problems, respond_with_activations(run, problems), "about_to_state", np.arange(1, 9))


def test_the_last_statement_times_the_observation_holds_the_next_belief_up_to_a_factor(given):
    features = PROBE_BASELINES["last_statement"](given)
    run, process = given.run, given.run.task.build()
    meanings = code_meanings(run.task)
    for row, place in itertools.product(range(5), (0, 3, 7)):
        before = process.initial if place == 0 else meanings[given.response.stated[row, place - 1]]
        observed = given.problems.observations[row, place]
        pairs = features[row, place].reshape(process.n_states, process.n_symbols)
        np.testing.assert_allclose(pairs[:, observed], before)
        assert np.delete(pairs, observed, axis=1).sum() == 0
        joint = np.einsum("iv,vij->j", pairs, process.transitions)
        np.testing.assert_allclose(joint, before @ process.transitions[observed])


def test_there_is_no_last_statement_in_the_question_or_where_not_all_is_stated(given):
    last_statement = PROBE_BASELINES["last_statement"]
    assert last_statement(replace(given, site="question")) is None
    run = oracle_run(slow_task(), "cot_every_4")
    response = respond_with_activations(run, given.problems)
    assert last_statement(replace(given, run=run, response=response, steps=response.trace_steps)) is None


def test_the_window_holds_the_last_ten_observations_of_each_step(given):
    problems = draw(given.run.task, "test", 14, 4, 0)
    features = PROBE_BASELINES["window_10"](replace(given, problems=problems, steps=np.array([1, 12])))
    seen = features.reshape(4, 2, 10, 6)
    assert (seen.sum(axis=3) == 1).all()
    symbols = seen.argmax(axis=3) - 1  # -1 stands for none yet
    np.testing.assert_array_equal(symbols[:, 0], [[-1] * 9 + [first] for first in problems.observations[:, 0]])
    np.testing.assert_array_equal(symbols[:, 1], problems.observations[:, 2:12])


@pytest.mark.parametrize("size", [1, 4])
def test_an_exact_window_is_bayes_on_the_last_observations_by_enumeration(given, size):
    features = PROBE_BASELINES.get(f"window_{size}_exact", partial(exact_window, size=size))(given)
    process, problems = given.run.task.build(), given.problems
    for row, step in itertools.product(range(3), (1, 3, 6)):
        unseen = max(0, step - size)
        total = np.zeros(process.n_states)
        for earlier in itertools.product(range(process.n_symbols), repeat=unseen):
            belief = process.initial
            for symbol in (*earlier, *problems.observations[row, unseen:step]):
                belief = belief @ process.transitions[symbol]
            total += belief
        np.testing.assert_allclose(features[row, step - 1], total / total.sum(), atol=1e-12)


def test_a_window_as_long_as_the_question_is_the_exact_belief_and_one_of_nothing_is_the_prior(given):
    np.testing.assert_allclose(PROBE_BASELINES["window_10_exact"](given), given.problems.beliefs[:, given.steps])
    nothing = exact_window(given, size=0)
    assert np.ptp(nothing, axis=0).max() < 1e-12  # alike for all questions


def test_random_features_are_of_the_last_ten_observations_and_alike_each_time(given):
    first, again = (PROBE_BASELINES["random_relu"](given) for _ in range(2))
    np.testing.assert_array_equal(first, again)
    assert first.shape == (30, 8, RANDOM_FEATURES)
    assert (first >= 0).all()
    assert 0.2 < (first > 0).mean() < 0.8
    windows = PROBE_BASELINES["window_10"](given)
    same = (windows[:, None] == windows[None]).all(axis=3)
    alike = np.isclose(first[:, None], first[None]).all(axis=3)
    np.testing.assert_array_equal(alike, same)
