"""Baselines against enumeration: each is the exact answer of someone who knows less, or computes less."""

import itertools

import numpy as np
import pytest
from hypothesis import example, given, settings

from tests.small_tasks import small_task, task_fields
from unamortized.evaluation.baselines import baselines, codebook, codebook_recursive, particle, window
from unamortized.evaluation.metrics import kl, total_variation
from unamortized.evaluation.stated import code_meanings
from unamortized.language.vocabulary import task_vocabulary
from unamortized.worlds.inference import filter_beliefs
from unamortized.worlds.problems import Problems, exact_answer
from unamortized.worlds.splits import draw


def all_problems(task, n_steps, start):
    """Every sequence of observations from a start belief, as problems, and its probability."""
    process = task.build()
    observations = np.array(list(itertools.product(range(process.n_symbols), repeat=n_steps)))
    filtered = filter_beliefs(process.transitions, start, observations)
    answers = exact_answer(process, start, observations, task.query)
    latents = np.zeros((len(observations), n_steps + 1), dtype=int)
    problems = Problems(observations, latents, filtered.beliefs, latents[:, 0], answers, filtered.log_probability)
    return problems, np.exp(filtered.log_probability)


@settings(max_examples=20)
@given(fields=task_fields())
@example(fields={"query": "smooth 1", "start": "known"})
@example(fields={"query": "predict 1", "start": "known"})
def test_a_window_is_the_mean_exact_answer_over_all_that_may_have_come_before_it(fields):
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


def test_the_floor_of_a_prediction_is_that_of_what_is_predicted():
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


def test_baselines_are_called_what_they_are():
    task = small_task()
    problems = draw(task, "test", 12, 32, 0)
    known = baselines(task, 3)
    np.testing.assert_array_equal(known["prior"](task, problems), window(task, problems, 0))
    np.testing.assert_array_equal(known["window_8"](task, problems), window(task, problems, 8))
    np.testing.assert_array_equal(known["particle_64"](task, problems), particle(task, problems, 64, seed=3))


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
