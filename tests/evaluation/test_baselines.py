"""Baselines against enumeration: each is the exact answer from less knowledge, or with less computation."""

import itertools

import numpy as np
import pytest
from hypothesis import example, given, settings

from tests.small_tasks import IN_CONTEXT, small_task, task_fields
from tests.worlds.brute_force import enumerated_answer, predicted_by_words, word_probability
from unamortized.evaluation.baselines import (
    baselines,
    blinded,
    codebook,
    codebook_recursive,
    particle,
    trained_bayes,
    window,
)
from unamortized.evaluation.distances import kl, total_variation
from unamortized.language.meanings import code_meanings
from unamortized.language.vocabulary import task_vocabulary
from unamortized.worlds.inference import filter_beliefs
from unamortized.worlds.problems import Problems, exact_answer
from unamortized.worlds.processes import Process
from unamortized.worlds.splits import draw


def all_problems(task, n_steps, start):
    """Every sequence of observations from a start belief, as problems, and its probability."""
    process = task.build()
    observations = np.array(list(itertools.product(range(process.n_symbols), repeat=n_steps)))
    filtered = filter_beliefs(process.transitions, start, observations)
    answers = exact_answer(process, start, observations, task.query)
    latents = np.zeros((len(observations), n_steps + 1), dtype=int)
    problems = Problems(
        *(observations, latents, filtered.beliefs, latents[:, 0], answers, filtered.log_probability), process=process
    )
    return problems, np.exp(filtered.log_probability)


@settings(max_examples=20)
@given(fields=task_fields())
@example(fields={"query": "smooth 1", "start": "known"})
@example(fields={"query": "predict 1", "start": "known"})
def test_a_window_is_the_mean_exact_answer_over_all_possible_earlier_observations(fields):
    task = small_task(**fields)
    process = task.build()
    problems, weights = all_problems(task, 4, np.eye(process.n_states)[1] if task.start == "known" else process.initial)
    for size in range(5):
        answers = window(task, problems, size)
        seen = problems.observations[:, 4 - size :]
        for rest in np.unique(seen, axis=0):
            alike = (seen == rest).all(axis=1)
            expected = weights[alike] @ problems.answer_distribution[alike] / weights[alike].sum()
            np.testing.assert_allclose(answers[alike], np.tile(expected, (alike.sum(), 1)), atol=1e-10)


@pytest.mark.parametrize("query", ["filter", "predict 2", "smooth 1"])
@pytest.mark.parametrize("start", ["fixed", "known"])
def test_a_window_that_sees_everything_is_exact(query, start):
    task = small_task(query=query, start=start)
    problems = draw(task, "test", 6, 64, 0)
    for size in (6, 7, 50):
        np.testing.assert_allclose(window(task, problems, size), problems.answer_distribution, atol=1e-12)


def test_unseen_observations_are_summed_over():
    task = small_task(process=small_task().process.model_dump() | {"informativeness": 0.5, "slip": 0.05})
    problems, process = draw(task, "test", 4, 6, 0), task.build()
    start = np.random.default_rng(0).dirichlet(np.ones(3), size=6)
    whole = blinded(task, problems, np.array([False, True, False, True]))
    later = blinded(task, problems, np.array([False, False, False, True]), start, after=2)
    every = range(process.n_symbols)
    for number, observed in enumerate(problems.observations):
        for answer, belief, words in (
            (whole[number], process.initial, [(observed[0], a, observed[2], b) for a in every for b in every]),
            (later[number], start[number], [(observed[2], b) for b in every]),
        ):
            joint = sum(np.linalg.multi_dot([belief, *process.transitions[list(word)]]) for word in words)
            np.testing.assert_allclose(answer, joint / joint.sum(), atol=1e-12)


@pytest.mark.parametrize("query", ["filter", "predict 2", "smooth 0", "smooth 6"])
@pytest.mark.parametrize("start", ["fixed", "known"])
def test_many_particles_are_exact(query, start):
    task = small_task(query=query, start=start, steps={"train": [7, 8], "test": [8]})
    problems = draw(task, "test", 8, 32, 0)
    exact = problems.answer_distribution
    few, more = (total_variation(particle(task, problems, n, seed=0), exact).mean() for n in (16, 256))
    if (query, start) == ("smooth 0", "known"):
        assert few < 0.1  # a known start is known to any number of particles, but for the one of the prior
    else:
        assert 0.1 < more / few < 0.4  # sixteen times as many: a quarter of the error
    many = np.mean([particle(task, problems, 128, seed) for seed in range(12)], axis=0)
    np.testing.assert_array_less(total_variation(many, exact).mean(), 0.05)


def test_particles_depend_on_their_seed_alone():
    task = small_task()
    problems = draw(task, "test", 6, 16, 0)
    first = particle(task, problems, 16, seed=0)
    np.testing.assert_array_equal(first, particle(task, problems, 16, seed=0))
    assert (first != particle(task, problems, 16, seed=1)).any()


def test_particles_that_cannot_explain_an_observation_still_answer():
    task = small_task(process={"family": "rrxor"})
    problems = draw(task, "test", 12, 64, 0)
    answers = particle(task, problems, 1, seed=0)  # one particle soon contradicts what is observed
    np.testing.assert_allclose(answers.sum(axis=1), 1)
    assert np.isfinite(kl(problems.answer_distribution, answers)).all()


def test_finer_codes_cost_less():
    floors = []
    for resolution in (1, 2, 4, 8, 16):
        task = small_task(codebook={"resolution": resolution})
        problems = draw(task, "test", 6, 512, 0)
        floors.append(kl(problems.answer_distribution, codebook(task, problems)).mean())
    assert sorted(floors, reverse=True) == floors
    assert floors[0] > 0.05 > 0.01 > floors[-1] > 0


def test_codes_of_known_states_cost_next_to_nothing():
    task = small_task(process={"family": "group_word", "group": "S3"}, codebook={"resolution": 1})
    problems = draw(task, "test", 6, 512, 0)
    assert kl(problems.answer_distribution, codebook(task, problems)).max() < 2e-3


def test_the_floor_of_a_prediction_is_that_of_the_predicted_symbol():
    coarse = {"codebook": {"resolution": 2}}
    states, symbols = small_task(**coarse), small_task(query="predict 3", **coarse)
    for task, n_answers in ((states, 3), (symbols, 5)):
        assert codebook(task, draw(task, "test", 6, 16, 0)).shape == (16, n_answers)
    floors = [
        kl(problems.answer_distribution, codebook(task, problems)).mean()
        for task in (states, symbols)
        for problems in [draw(task, "test", 6, 512, 0)]
    ]
    assert floors[1] < floors[0] / 10  # three steps ahead, most of the belief is forgotten


def test_a_smoothed_state_has_no_floor():
    names = ["prior", "window_8", "particle_64"]
    assert list(baselines(small_task(query="smooth 1"), 0)) == names
    assert list(baselines(small_task(), 0)) == [*names, "codebook_floor", "codebook_recursive"]


def test_the_names_of_baselines_carry_their_sizes():
    task = small_task()
    problems = draw(task, "test", 12, 32, 0)
    named = baselines(task, 3)
    np.testing.assert_array_equal(named["prior"](task, problems), window(task, problems, 0))
    np.testing.assert_array_equal(named["window_8"](task, problems), window(task, problems, 8))
    np.testing.assert_array_equal(named["particle_64"](task, problems), particle(task, problems, 64, seed=3))


def test_the_recursive_codebook_rounds_at_every_step():
    task = small_task(codebook={"resolution": 3})
    process, book, meanings = task.build(), task_vocabulary(task).codebook, code_meanings(task)
    problems = draw(task, "test", 5, 8, 0)
    for number, answer in enumerate(codebook_recursive(task, problems)):
        belief = process.initial
        for symbol in problems.observations[number]:
            joint = belief @ process.transitions[symbol]
            belief = meanings[book.encode(joint / joint.sum())]
        np.testing.assert_allclose(answer, belief)


def test_rounding_at_every_step_costs_more_than_rounding_once():
    task = small_task(codebook={"resolution": 3})
    problems = draw(task, "test", 12, 512, 0)
    exact = problems.answer_distribution
    assert kl(exact, codebook_recursive(task, problems)).mean() > kl(exact, codebook(task, problems)).mean()


# ── problems that bring their own table, start from a belief, or have no states ───────────────────

OWN_TABLES = {
    f"{query}, {start}": IN_CONTEXT | {"query": query, "start": start}
    for query in ("filter", "predict 2", "smooth 1")
    for start in ("fixed", "belief")
}
NO_STATES = {
    f"{family}, {query}": {"process": {"family": family}, "query": query}
    for family in ("tom_quantum", "fanizza", "post_quantum")
    for query in ("predict 1", "predict 2")
}
OTHER_WORLDS = OWN_TABLES | NO_STATES


def answer_by_hand(process: Process, belief: np.ndarray, observed: np.ndarray, query) -> np.ndarray:
    """The exact answer, from latent paths or from whole words."""
    if process.is_generalized:
        return predicted_by_words(process, belief, observed, query.argument)
    return enumerated_answer(process.transitions, belief, observed, query)


def alone(problems: Problems, number: int) -> Process:
    """The process of one problem."""
    process = problems.process
    return Process(process.transitions[number], problems.beliefs[number, 0]) if process.per_problem else process


@pytest.mark.parametrize("world", OTHER_WORLDS)
@pytest.mark.parametrize("size", [0, 1, 3, 4])
def test_a_window_of_any_world_is_the_mean_over_all_possible_earlier_observations(world, size):
    task = small_task(**OTHER_WORLDS[world])
    problems = draw(task, "test", 4, 5, 0)
    answers = window(task, problems, size)
    for number, answer in enumerate(answers):
        process, start = alone(problems, number), problems.beliefs[number, 0]
        expected = np.zeros_like(answer)
        for before in itertools.product(range(process.n_symbols), repeat=4 - size):
            word = np.array([*before, *problems.observations[number, 4 - size :]])
            probability = word_probability(process, start, word)
            if probability > 1e-12:
                expected += probability * answer_by_hand(process, start, word, task.query)
        np.testing.assert_allclose(answer, expected / expected.sum(), atol=1e-10)


@pytest.mark.parametrize("world", OTHER_WORLDS)
def test_the_prior_of_any_world_knows_start_and_table_but_no_observation(world):
    task = small_task(**OTHER_WORLDS[world])
    problems = draw(task, "test", 3, 6, 0)
    answers = baselines(task, 0)["prior"](task, problems)
    seen = problems.observations.copy()
    seen[:] = seen[:, ::-1]
    other = Problems(**vars(problems) | {"observations": seen})
    np.testing.assert_array_equal(answers, window(task, other, 0))


@pytest.mark.parametrize("world", OWN_TABLES)
def test_many_particles_are_exact_under_each_problems_own_table(world):
    task = small_task(**OWN_TABLES[world])
    problems = draw(task, "test", 8, 48, 0)
    exact = problems.answer_distribution
    few, more = (total_variation(particle(task, problems, n, seed=0), exact).mean() for n in (16, 256))
    assert 0.1 < more / few < 0.45  # sixteen times as many: a quarter of the error
    many = np.mean([particle(task, problems, 128, seed) for seed in range(10)], axis=0)
    assert total_variation(many, exact).mean() < 0.04


@pytest.mark.parametrize("world", [world for world in OTHER_WORLDS if "smooth" not in world])
def test_codes_in_any_world_are_worth_the_exact_answer_from_their_meanings(world):
    task = small_task(**OTHER_WORLDS[world])
    problems = draw(task, "test", 4, 20, 0)
    vocabulary, meanings = task_vocabulary(task), code_meanings(task)
    once, recursive = codebook(task, problems), codebook_recursive(task, problems)
    nothing = np.zeros(0, dtype=np.int64)
    for number in range(20):
        process, belief = alone(problems, number), problems.beliefs[number, 0]
        readout = np.ones(process.n_states) if process.readout is None else process.readout
        for symbol in problems.observations[number]:
            moved = belief @ process.transitions[symbol]
            belief = meanings[vocabulary.encode(moved / (moved @ readout))]
        exact = meanings[vocabulary.encode(problems.beliefs[number, 4])]
        for answer, vector in ((once[number], exact), (recursive[number], belief)):
            np.testing.assert_allclose(answer, answer_by_hand(process, vector, nothing, task.query), atol=1e-10)


@pytest.mark.parametrize("world", NO_STATES)
def test_predictive_vectors_have_no_particles(world):
    names = ["prior", "window_8", "codebook_floor", "codebook_recursive"]
    assert list(baselines(small_task(**NO_STATES[world]), 0)) == names
    assert list(baselines(small_task(**NO_STATES[world]), 0, ("rare",))) == names


@pytest.mark.parametrize("family", ["mess3", "tom_quantum"])
def test_bayes_as_it_was_trained_does_not_know_that_parameters_have_changed(family):
    changed = {"mess3": {"a": 0.6}, "tom_quantum": {"beta": 2.0}}[family]
    task = small_task(process={"family": family}, query="predict 1", shifts={"parameters": changed})
    assert "trained_bayes" in baselines(task, 0)
    usual, shifted = draw(task, "test", 4, 20, 0), draw(task, "test", 4, 20, 0, shift=("parameters",))
    np.testing.assert_allclose(trained_bayes(task, usual), usual.answer_distribution, atol=1e-12)
    for number, answer in enumerate(trained_bayes(task, shifted)):
        expected = predicted_by_words(task.build(), task.build().initial, shifted.observations[number], 1)
        np.testing.assert_allclose(answer, expected, atol=1e-10)
    assert total_variation(trained_bayes(task, shifted), shifted.answer_distribution).mean() > 0.01
