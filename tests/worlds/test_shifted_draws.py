"""Draws under shifts: training never sees withheld questions, tests draw them, and answers stay exact."""

from collections.abc import Callable
from itertools import chain, combinations, product

import numpy as np
import pytest
from scipy.stats import chi2

from tests.small_tasks import GENERALIZED, IN_CONTEXT, small_task
from tests.worlds.brute_force import enumerated_answer, predicted_by_words, word_probability
from tests.worlds.questions import beginnings, questions, with_hidden_parts_changed
from unamortized.worlds.problems import Problems, concatenate, sample_problems
from unamortized.worlds.processes import Process
from unamortized.worlds.splits import draw, has_property, in_split, is_rare, prefix_length, shifted_process
from unamortized.worlds.tasks import Task

MESS3 = {"process": {"family": "mess3", "x": 0.1, "a": 0.6}}
ALL = {"start": [1], "rare": 0.2, "composition": [[0, 1], [2, 2]], "parameters": {"a": 0.8}}
SHIFTED = {
    "fixed": MESS3 | {"shifts": {axis: ALL[axis] for axis in ("rare", "composition", "parameters")}},
    "known": MESS3 | {"start": "known", "shifts": ALL},
    "belief": MESS3 | {"start": "belief", "query": "smooth 1", "shifts": ALL},
    "predict": MESS3 | {"start": "belief", "query": "predict 2", "shifts": ALL},
    "table": IN_CONTEXT | {"shifts": {"rare": 0.2, "composition": [[0, 0]], "parameters": "tables"}},
    "table_and_belief": IN_CONTEXT | {"start": "belief", "shifts": {"start": [0], "parameters": "tables"}},
    "generalized": GENERALIZED | {"shifts": {"rare": 0.2, "composition": [[0, 2]], "parameters": {"beta": 2.0}}},
}


def subsets(task: Task) -> list[tuple[str, ...]]:
    declared = task.shifts.declared
    return list(chain.from_iterable(combinations(declared, size) for size in range(len(declared) + 1)))


def is_shifted(task: Task, problems: Problems, axis: str, process: Process) -> np.ndarray:
    return is_rare(task, problems, process) if axis == "rare" else has_property(task, problems, axis)


def judges(task: Task) -> dict[str, Callable[[Problems], np.ndarray]]:
    """Return an independent check for each withheld axis except `rare`."""

    def starts(problems: Problems) -> np.ndarray:
        first = problems.beliefs[:, 0]
        return np.array([any(row[state] == max(row) for state in task.shifts.start) for row in first.tolist()])

    def composed(problems: Problems) -> np.ndarray:
        spelled = ["".join(map(str, row)) for row in problems.observations.tolist()]
        pairs = [f"{first}{second}" for first, second in task.shifts.composition]
        return np.array([any(pair in word for pair in pairs) for word in spelled])

    known = {"start": starts, "composition": composed}
    return {axis: judge for axis, judge in known.items() if axis in task.shifts.withheld}


@pytest.mark.parametrize("kind", SHIFTED)
def test_a_draw_has_all_properties_that_its_shift_names_and_none_of_the_others(kind):
    task = small_task(**SHIFTED[kind])
    for n_steps, shift in product((5, 8), subsets(task)):
        drawn = draw(task, "test", n_steps, 60, 0, shift=shift)
        assert len(drawn) == 60
        for axis, judge in judges(task).items():
            np.testing.assert_array_equal(judge(drawn), axis in shift)
        for axis in task.shifts.withheld:
            found = is_shifted(task, drawn, axis, shifted_process(task, shift))
            np.testing.assert_array_equal(found, axis in shift)
        if n_steps >= (prefix_length(task) or 99):
            assert in_split(task, drawn, "test").all()


@pytest.mark.parametrize("kind", SHIFTED)
def test_training_never_sees_withheld_questions_at_any_length(kind):
    task = small_task(**SHIFTED[kind])
    for n_steps in range(1, 10):
        drawn = draw(task, "train", n_steps, 100, 3)
        assert not any(judge(drawn).any() for judge in judges(task).values())
        assert not any(is_shifted(task, drawn, axis, task.build()).any() for axis in task.shifts.withheld)


@pytest.mark.parametrize("kind", SHIFTED)
def test_a_shift_depends_only_on_the_prompt(kind):
    task = small_task(**SHIFTED[kind])
    problems = sample_problems(task.build(), 5, 3000, 0, task.query, task.start, task.codebook.resolution)
    for axis in task.shifts.withheld:
        found = is_shifted(task, problems, axis, task.build())
        assert 0.01 < found.mean() < 0.99
        np.testing.assert_array_equal(found, is_shifted(task, with_hidden_parts_changed(problems), axis, task.build()))
        judged: dict[tuple, bool] = {}
        for question, one in zip(questions(problems), found.tolist(), strict=True):
            assert judged.setdefault(question, one) == one  # equal prompts are shifted alike
        assert len(judged) < len(problems)


@pytest.mark.parametrize("kind", SHIFTED)
def test_answers_to_shifted_questions_are_exact_under_their_process(kind):
    task = small_task(**SHIFTED[kind])
    other = task.shifted_process() if isinstance(task.shifts.parameters, dict) else task.build()
    for shift in subsets(task):
        drawn = draw(task, "test", 4, 3, 0, shift=shift)
        process = other if "parameters" in shift else task.build()
        assert drawn.process is process or drawn.process.per_problem
        for b, observed in enumerate(drawn.observations):
            if process.is_generalized:
                expected = predicted_by_words(process, process.initial, observed, task.query.argument)
                evidence = word_probability(process, process.initial, observed)
            else:
                own = drawn.process.transitions[b] if drawn.process.per_problem else process.transitions
                expected = enumerated_answer(own, drawn.beliefs[b, 0], observed, task.query)
                evidence = float(np.linalg.multi_dot([drawn.beliefs[b, 0], *own[observed], np.ones(len(own[0]))]))
            np.testing.assert_allclose(drawn.answer_distribution[b], expected, atol=1e-10)
            np.testing.assert_allclose(drawn.log_probability[b], np.log(evidence), atol=1e-10)


@pytest.mark.parametrize("kind", SHIFTED)
def test_answers_to_shifted_questions_are_draws_from_their_posterior(kind):
    task = small_task(**SHIFTED[kind])
    for shift in ((), *[(axis,) for axis in task.shifts.declared], task.shifts.declared):
        drawn = draw(task, "test", 6, 1000, 0, shift=shift)
        exact = drawn.answer_distribution
        error = np.eye(exact.shape[1])[drawn.answers] - exact
        variance = exact * (1 - exact)
        for weight in (np.ones_like(exact), exact):  # right on average, and weighted by confidence
            z = (weight * error).sum(axis=0) / np.sqrt((weight**2 * variance).sum(axis=0))
            assert np.abs(z).max() < 4.5, shift


def test_questions_are_drawn_with_the_changed_parameters():
    task = small_task(**SHIFTED["fixed"] | {"shifts": {"parameters": {"a": 0.9, "x": 0.02}}})
    for shift, process in (((), task.build()), (("parameters",), task.shifted_process())):
        drawn = draw(task, "test", 2, 20_000, 0, shift=shift)  # short enough that splits share all questions
        words, counts = np.unique(drawn.observations, axis=0, return_counts=True)
        expected = [20_000 * word_probability(process, process.initial, word) for word in words]
        assert ((counts - expected) ** 2 / expected).sum() < chi2.isf(1e-4, 8)
    np.testing.assert_array_equal(
        draw(task, "train", 4, 9, 0).latents, draw(small_task(**MESS3), "train", 4, 9, 0).latents
    )


@pytest.mark.parametrize("kind", ["table", "table_and_belief"])
def test_training_never_uses_a_table_of_the_shifted_tests(kind):
    task = small_task(**SHIFTED[kind] | {"shifts": {"parameters": "tables"}})
    assert task.shifts.withheld == ("parameters",)

    def tables(split: str, shift: tuple[str, ...] = ()) -> set[tuple]:
        drawn = concatenate([draw(task, split, 9, 500, seed, shift=shift) for seed in range(8)])
        return set(map(tuple, drawn.process.rules.tolist()))

    seen, unseen = tables("train"), tables("test", ("parameters",))
    assert not seen & unseen
    assert len(seen | unseen) == 36  # two permutations of three states
    assert 1 <= len(unseen) <= 12
    assert tables("test") == tables("validation") == seen


def test_rare_questions_are_the_least_likely_up_to_their_share():
    task = small_task(**SHIFTED["fixed"] | {"shifts": {"rare": 0.2}})
    process, n_steps = task.build(), 5
    probability = {w: word_probability(process, process.initial, w) for w in product(range(3), repeat=n_steps)}
    rare, usual = (
        set(map(tuple, draw(task, "test", n_steps, 3000, 0, shift=s).observations.tolist())) for s in (("rare",), ())
    )
    assert max(probability[word] for word in rare) < min(probability[word] for word in usual)
    share = sum(p for p in probability.values() if p <= max(probability[word] for word in rare))
    assert 0.15 < share < 0.22


def test_no_question_is_rare_if_all_are_equally_likely():
    task = small_task(process={"family": "group_word", "group": "S3"}, shifts={"rare": 0.2})
    assert len(draw(task, "train", 5, 50, 0)) == 50
    with pytest.raises(
        ValueError, match="too many questions of 5 steps have the same probability .* remove shifts.rare"
    ):
        draw(task, "test", 5, 50, 0, shift=("rare",))
    # also if their log-probabilities differ by rounding
    few = {"family": "noisy_permutation", "states": 3, "symbols": 3, "slip": 0.3, "informativeness": 0.0}
    task = small_task(process=few, shifts={"rare": 0.3})
    drawn = sample_problems(task.build(), 16, 2000, 0)
    assert np.ptp(drawn.log_probability) < 1e-9
    assert not is_rare(task, drawn, task.build()).any()


def test_training_never_starts_in_a_tie_that_includes_a_withheld_state():
    task = small_task(**MESS3, start="belief", codebook={"resolution": 3}, shifts={"start": [2]})
    starts = draw(task, "train", 6, 3000, 0).beliefs[:, 0]
    points = {tuple(np.rint(3 * row).astype(int).tolist()) for row in starts}
    assert points == {(3, 0, 0), (0, 3, 0), (2, 1, 0), (2, 0, 1), (1, 2, 0), (0, 2, 1)}  # not (1, 1, 1)


@pytest.mark.parametrize("kind", SHIFTED)
def test_no_training_question_begins_with_a_shifted_one(kind):
    task = small_task(**SHIFTED[kind])
    n_steps = prefix_length(task)
    assert n_steps is not None
    trained = beginnings(draw(task, "train", n_steps + 3, 4000, 0), n_steps)
    for shift in subsets(task):
        assert not trained & set(questions(draw(task, "test", n_steps, 100, 0, shift=shift)))


def test_a_draw_with_an_undeclared_or_impossible_shift_is_an_error():
    with pytest.raises(ValueError, match="small declares no shift of rare; it declares start"):
        draw(small_task(start="known", shifts={"start": [0]}), "test", 4, 8, 0, shift=("start", "rare"))
    with pytest.raises(ValueError, match="declares no shift of length; it declares none"):
        draw(small_task(), "test", 4, 8, 0, shift=("length",))
    with pytest.raises(ValueError, match="no shift of rare that single questions have"):
        has_property(small_task(), draw(small_task(), "test", 4, 8), "rare")
    every = [[a, b] for a in range(3) for b in range(3)]
    task = small_task(**MESS3, shifts={"composition": every})
    with pytest.raises(ValueError, match="in 100 batches avoids the pairs of shifts.composition; withhold rarer pairs"):
        draw(task, "train", 4, 4, 0)
    with pytest.raises(
        ValueError, match="of 1 steps in 100 batches is shifted in composition; declare a less rare shift"
    ):
        draw(task, "test", 1, 4, 0, shift=("composition",))
