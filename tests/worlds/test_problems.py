"""Problems against the enumeration of all latent paths, the propagator, and splits that never meet."""

import itertools

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy.stats import chi2

from tests.small_tasks import small_task
from tests.worlds.brute_force import enumerate_paths, marginal, random_distributions, random_transitions
from unamortized.worlds import splits as splits_module
from unamortized.worlds.inference import ImpossibleObservation
from unamortized.worlds.problems import Problems, concatenate, exact_answer, sample_problems
from unamortized.worlds.processes import Process, build_process
from unamortized.worlds.splits import (
    N_BUCKETS,
    SPLITS,
    content_hash,
    deciding_length,
    draw,
    in_split,
    possible_questions,
    shares_questions,
)
from unamortized.worlds.tasks import Query

QUERIES = ("filter", "predict 1", "predict 3", "smooth 0", "smooth 2")
ASKED = st.sampled_from(QUERIES)
STARTS = st.sampled_from(["fixed", "known"])


def query(text: str) -> Query:
    return Query.model_validate(text)


@st.composite
def matrices(draw, zeros=(0.0, 0.5)) -> tuple[np.ndarray, np.ndarray]:
    """Arguments of a process, which is made in the test: checked types use `random`, strategies may not."""
    generator = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    states, symbols, share = draw(st.integers(1, 3)), draw(st.integers(1, 3)), draw(st.sampled_from(zeros))
    transitions = random_transitions(generator, (), symbols, states, share)
    return transitions, random_distributions(generator, (states,), share)


def answer_by_enumeration(process: Process, start: np.ndarray, observed: np.ndarray, asked: Query) -> np.ndarray:
    """The answer's distribution with every latent path written out, and for `predict` every future too."""

    def joint(symbols):
        table = np.broadcast_to(process.transitions, (len(symbols), *process.transitions.shape))
        return enumerate_paths(table, start, symbols)

    if asked.kind != "predict":
        position = len(observed) if asked.kind == "filter" else asked.argument
        return marginal(joint(observed), position, process.n_states)
    weights = np.zeros(process.n_symbols)
    for future in np.ndindex((process.n_symbols,) * asked.argument):
        weights[future[-1]] += sum(joint([*observed, *future]).values())
    return weights / weights.sum()


def starts_of(process: Process, problems: Problems) -> np.ndarray:
    """The belief before the first observation, of each problem."""
    known = np.eye(process.n_states)[problems.latents[:, 0]]
    return known if (problems.start == "known") else np.tile(process.initial, (len(problems), 1))


# ── what a problem is ────────────────────────────────────────────────────────────────────────────


@settings(max_examples=60)
@given(matrices(), st.integers(2, 4), ASKED, STARTS, st.integers(0, 99))
def test_beliefs_answers_and_evidence_are_those_of_the_enumerated_joint(drawn, n_steps, asked, start, seed):
    process = Process(*drawn)
    problems = sample_problems(process, n_steps, 4, seed, asked, start)
    assert len(problems) == 4
    assert problems.n_steps == n_steps
    assert problems.start == start
    for b, first in enumerate(starts_of(process, problems)):
        observed = problems.observations[b]
        for t in range(n_steps + 1):
            table = np.broadcast_to(process.transitions, (t, *process.transitions.shape))
            joint = enumerate_paths(table, first, observed[:t])
            np.testing.assert_allclose(problems.beliefs[b, t], marginal(joint, -1, process.n_states), atol=1e-12)
        np.testing.assert_allclose(np.exp(problems.log_probability[b]), sum(joint.values()), rtol=1e-9)
        assert joint[tuple(problems.latents[b])] > 0
        expected = answer_by_enumeration(process, first, observed, query(asked))
        np.testing.assert_allclose(problems.answer_distribution[b], expected, atol=1e-12)
        assert expected[problems.answers[b]] > 0


@pytest.mark.parametrize("start", ["fixed", "known"])
@pytest.mark.parametrize("asked", QUERIES)
def test_answers_are_drawn_from_the_answer_distribution(asked, start):
    process = Process(random_transitions(np.random.default_rng(4), (), symbols=3, states=3, zeros=0.0))
    problems = sample_problems(process, 2, 30_000, 1, asked, start)
    questions = np.concatenate([problems.observations, problems.latents[:, :1] * (problems.start == "known")], axis=1)
    distance, freedom = 0.0, 0
    for question in np.unique(questions, axis=0):
        rows = (questions == question).all(axis=1)
        expected = problems.answer_distribution[rows][0] * rows.sum()
        counts = np.bincount(problems.answers[rows], minlength=3)
        assert (counts[expected == 0] == 0).all()
        if expected.min() > 5:  # chi-square needs more than a few draws each
            distance += ((counts - expected) ** 2 / expected).sum()
            freedom += 2
    if (asked, start) != ("smooth 0", "known"):  # where the question tells the answer
        assert freedom >= 10
        assert chi2.isf(1 - 1e-4, freedom) < distance < chi2.isf(1e-4, freedom)


def test_questions_and_known_starts_are_drawn_from_the_process():
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
    for name in ("observations", "latents", "beliefs", "answers", "answer_distribution", "log_probability"):
        np.testing.assert_array_equal(getattr(taken, name), getattr(problems, name)[order])


# ── the propagator ───────────────────────────────────────────────────────────────────────────────


@given(matrices(), st.integers(2, 6), ASKED, STARTS, st.integers(0, 99))
def test_carrying_on_from_any_belief_on_the_way_gives_the_exact_answer(drawn, n_steps, asked, start, seed):
    process = Process(*drawn)
    asked = query(asked)
    problems = sample_problems(process, n_steps, 3, seed, asked, start)
    last = asked.argument if asked.kind == "smooth" else n_steps  # later beliefs do not determine the answer
    for k in range(last + 1):
        rest = problems.observations[:, k:]
        answer = exact_answer(process, problems.beliefs[:, k], rest, asked, after=k)
        np.testing.assert_allclose(answer, problems.answer_distribution, atol=1e-12)


@given(matrices(zeros=(0.0,)), st.integers(0, 3), ASKED, st.integers(0, 3), st.integers(0, 2**32 - 1))
def test_the_propagator_of_any_belief_is_the_enumerated_conditional(drawn, left, asked, after, seed):
    process = Process(*drawn)
    asked = query(asked)
    assume(asked.kind != "smooth" or after <= asked.argument <= after + left)
    generator = np.random.default_rng(seed)
    beliefs = random_distributions(generator, (4, process.n_states), zeros=0.3)
    observations = generator.integers(process.n_symbols, size=(4, left))
    answers = exact_answer(process, beliefs, observations, asked, after)
    within = query(f"smooth {asked.argument - after}") if asked.kind == "smooth" else asked
    for b in range(4):
        expected = answer_by_enumeration(process, beliefs[b], observations[b], within)
        np.testing.assert_allclose(answers[b], expected, atol=1e-12)
        shared = exact_answer(process, beliefs[b], observations[b : b + 1], asked, after)
        np.testing.assert_allclose(shared[0], expected, atol=1e-12)


@given(matrices(zeros=(0.0,)), st.integers(0, 4), st.sampled_from(["filter", "predict 2"]), st.integers(0, 99))
def test_the_propagator_is_linear_fractional_in_the_belief(drawn, left, asked, seed):
    r"""$\Phi(b)$ is a mean of the answers from each state, weighted by $b_i$ and the evidence from there."""
    process = Process(*drawn)
    generator = np.random.default_rng(seed)
    belief = random_distributions(generator, (process.n_states,), zeros=0.0)
    observations = generator.integers(process.n_symbols, size=(1, left))
    corners = np.eye(process.n_states)
    repeated = np.repeat(observations, process.n_states, axis=0)
    from_corners = exact_answer(process, corners, repeated, query(asked))
    product = np.eye(process.n_states)
    for symbol in observations[0]:
        product = product @ process.transitions[symbol]
    weights = belief * product.sum(axis=1)
    expected = weights @ from_corners / weights.sum()
    np.testing.assert_allclose(exact_answer(process, belief, observations, query(asked))[0], expected, atol=1e-12)


@pytest.mark.parametrize("steps", [2, 7])
def test_a_smooth_query_outside_of_what_the_belief_determines_is_an_error(steps):
    process = build_process("mess3")
    belief, observations = process.initial, np.zeros((1, 3), dtype=np.int64)
    says = f"'smooth {steps}' asks for step {steps}, but only steps 3 to 6 are determined here"
    with pytest.raises(ValueError, match=says):
        exact_answer(process, belief, observations, query(f"smooth {steps}"), after=3)


def test_a_smooth_query_beyond_the_problem_is_an_error():
    with pytest.raises(ValueError, match="'smooth 4' asks for step 4, but only steps 0 to 3"):
        sample_problems(build_process("mess3"), 3, 2, 0, "smooth 4")


def test_a_belief_that_forbids_the_observations_is_an_error():
    process = build_process("zero_one_random", p=0.5)  # from state 0 only a zero can be seen
    seen = sample_problems(process, 3, 50, 0, start="known")
    wrong = np.eye(3)[(seen.latents[:, 0] + 1) % 3]
    with pytest.raises(ImpossibleObservation):
        exact_answer(process, wrong, seen.observations, query("filter"))


# ── draws and splits ─────────────────────────────────────────────────────────────────────────────


def test_a_draw_is_named_by_all_of_its_keys():
    task = small_task()
    drawn = draw(task, "train", 8, 20, 1, "batch", 2)
    again = draw(task, "train", 8, 20, 1, "batch", 2)
    np.testing.assert_array_equal(drawn.observations, again.observations)
    np.testing.assert_array_equal(drawn.latents, again.latents)
    others = [
        draw(task, "train", 8, 20, 1, "batch", 3),
        draw(task, "train", 8, 20, 2, "batch", 2),
        draw(task, "test", 8, 20, 1, "batch", 2),
        draw(small_task(start="known"), "train", 8, 20, 1, "batch", 2),
    ]
    assert not any(np.array_equal(drawn.observations, other.observations) for other in others)
    renamed = draw(small_task(name="other"), "train", 8, 20, 1, "batch", 2)
    np.testing.assert_array_equal(drawn.observations, renamed.observations)  # a name changes no problem


@pytest.mark.parametrize("start", ["fixed", "known"])
def test_splits_share_no_question_however_many_are_drawn(start):
    task = small_task(start=start)  # 5^6 questions, and 20,000 draws a split: nearly all are met
    assert not shares_questions(task, 6)
    met: dict[str, set[tuple[int, ...]]] = {}
    for split in SPLITS:
        drawn = concatenate([draw(task, split, 6, 2000, seed) for seed in range(10)])
        assert len(drawn) == 20_000
        starts = drawn.latents[:, :1] if start == "known" else drawn.latents[:, :0]
        met[split] = set(map(tuple, np.concatenate([starts, drawn.observations], axis=1).tolist()))
        assert in_split(task, drawn, split).all()
    assert not met["train"] & met["test"]
    assert not met["train"] & met["validation"]
    assert not met["validation"] & met["test"]
    assert all(len(questions) > 800 for questions in met.values())


def test_a_split_draws_from_the_process_given_that_questions_are_its_own():
    task = small_task()
    everything = sample_problems(task.build(), 7, 200_000, 0)
    kept = everything.take(in_split(task, everything, "validation"))
    drawn = draw(task, "validation", 7, 25_000, 0)
    for column in range(7):
        expected = np.bincount(kept.observations[:, column], minlength=5) / len(kept) * len(drawn)
        counts = np.bincount(drawn.observations[:, column], minlength=5)
        assert ((counts - expected) ** 2 / expected).sum() < 2 * chi2.isf(1e-5, 4)  # both are draws


def test_buckets_are_even_and_shared_out_once():
    assert sorted(bucket for split in SPLITS.values() for bucket in split) == list(range(N_BUCKETS))
    problems = sample_problems(build_process("noisy_permutation", informativeness=0.0), 12, 64_000, 0)
    buckets = np.bincount((content_hash(problems) % np.uint64(N_BUCKETS)).astype(int), minlength=N_BUCKETS)
    assert ((buckets - 4000) ** 2 / 4000).sum() < chi2.isf(1e-4, N_BUCKETS - 1)
    task = small_task()
    problems = sample_problems(task.build(), 12, 64_000, 0)
    shares = {split: in_split(task, problems, split).mean() for split in SPLITS}
    assert shares == pytest.approx({"test": 2 / 16, "validation": 2 / 16, "train": 12 / 16}, abs=0.03)


def test_no_training_question_begins_with_a_question_of_another_split():
    task = small_task()  # split by the first six observations
    for n_steps in (6, 7, 9):
        asked = draw(task, "test", n_steps, 500, 0)
        longer = draw(task, "train", 12, 5000, 0)
        assert not np.isin(content_hash(asked), content_hash(longer, n_steps)).any()
        fully = draw(task, "test", 12, 5000, 1)  # not because beginnings are never met
        assert np.isin(content_hash(asked, 6), content_hash(fully, 6)).mean() > 0.5


@pytest.mark.parametrize(
    ("family", "parameters"),
    [("zero_one_random", {"p": 0.5}), ("rrxor", {}), ("mess3", {}), ("group_word", {"group": "S3", "generators": 2})],
)
@pytest.mark.parametrize("known_start", [False, True])
def test_possible_questions_are_those_of_positive_probability(family, parameters, known_start):
    process = build_process(family, **parameters)
    counts = itertools.islice(possible_questions(process, known_start), 6)
    starts = np.eye(process.n_states)[process.initial > 0] if known_start else [process.initial]
    for n_steps, count in enumerate(counts):
        possible = 0
        for start in starts:
            for word in itertools.product(range(process.n_symbols), repeat=n_steps):
                possible += (
                    np.linalg.multi_dot([start, *process.transitions[list(word)], np.ones(process.n_states)]) > 0
                )
        assert count == possible


def test_lengths_of_few_questions_are_shared_by_all_splits():
    task = small_task()
    assert [shares_questions(task, n) for n in (4, 5, 6)] == [True, True, False]  # 5^5 < 4096 < 5^6
    assert [shares_questions(small_task(start="known"), n) for n in (4, 5)] == [True, False]  # 3 · 5^5
    for split in SPLITS:
        assert np.unique(draw(task, split, 1, 2000).observations).tolist() == [0, 1, 2, 3, 4]
    own = {draw(task, split, 4, 50).observations.tobytes() for split in SPLITS}
    assert len(own) == len(SPLITS)  # but each split draws on its own


def test_an_unknown_split_is_an_error_that_names_those_there_are():
    with pytest.raises(ValueError, match="no split named 'tests'; there are test, validation, train"):
        draw(small_task(), "tests", 4, 1)


def test_a_process_with_few_questions_shares_them_at_every_length():
    certain = {"family": "zero_one_random", "p": 0.0}  # 0 1 0 0 1 0: three questions of each length
    task = small_task(process=certain, steps={"train": [20, 20], "test": [20]})
    assert deciding_length(task) is None
    assert all(shares_questions(task, n) for n in (1, 20, 1000))
    assert len(draw(task, "test", 20, 50)) == 50


def test_a_split_that_no_question_falls_into_is_an_error_and_no_endless_search(monkeypatch):
    monkeypatch.setattr(splits_module, "in_split", lambda task, problems, split: np.zeros(len(problems), dtype=bool))
    with pytest.raises(ValueError, match="hardly any test question of 20 steps in 100 batches"):
        draw(small_task(), "test", 20, 50)


@given(st.integers(0, 999), st.integers(2, 8))
def test_a_content_hash_sees_order_symbols_and_a_known_start(seed, n_steps):
    generator = np.random.default_rng(seed)
    observations = generator.integers(4, size=(1, n_steps))
    first = generator.integers(4, size=(1, 1))

    def hashed(observations: np.ndarray, first: np.ndarray, known: bool) -> int:
        latents = np.concatenate([first, np.zeros_like(observations)], axis=1)
        beliefs = np.full((1, n_steps + 1, 4), 0.25)
        problem = Problems(
            *(observations, latents, beliefs, np.zeros(1, int), beliefs[:, 0], np.zeros(1)),
            process=small_task().build(),
            start="known" if known else "fixed",
        )
        return int(content_hash(problem)[0])

    other = observations.copy()
    other[0, seed % n_steps] += 1
    backwards = observations[:, ::-1]
    for known in (False, True):
        assert hashed(observations, first, known) != hashed(other, first, known)
        palindrome = np.array_equal(observations, backwards)
        assert (hashed(observations, first, known) == hashed(backwards, first, known)) == palindrome
    assert hashed(observations, first, False) == hashed(observations, first + 1, False)  # unseen, so no matter
    assert hashed(observations, first, True) != hashed(observations, first + 1, True)
    assert hashed(observations, first, True) != hashed(observations, first, False)
