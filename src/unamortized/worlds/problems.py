"""Batches of problems with their exact answers, and the splits that keep training and test apart.

A problem is a sequence of observations with its latent path, the exact belief after every step, and the
exact distribution of the answer, of which ``answers`` is one draw. Which split a question may appear in is
a property of how it begins (a hash of its first observations and of a known start), so that splits are
disjoint by construction, however many problems are drawn; and no training question begins with a test
question, whose answer its trace would otherwise give away.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, fields
from functools import lru_cache
from itertools import islice
from typing import Literal

import numpy as np
from jaxtyping import Bool, Float, Int

from unamortized.worlds.inference import filter_beliefs, predict, random_paths, smooth_beliefs
from unamortized.worlds.processes import Process
from unamortized.worlds.randomness import stream
from unamortized.worlds.tasks import Query, Task

LONGEST_DECIDING = 256  # observations; a process that has few questions even then has splits that share them
N_BUCKETS = 16  # content-hash buckets shared out among the splits
SPLITS = {"test": range(0, 2), "validation": range(2, 4), "train": range(4, N_BUCKETS)}
FEW_QUESTIONS = 4096  # with fewer possible questions of a length than this, all splits share them
ROUNDS = 100  # batches drawn in search of a split's first question


@dataclass(frozen=True)
class Problems:
    """A batch of problems of one length n over S states; answers are states or, for ``predict``, symbols."""

    observations: Int[np.ndarray, "batch step"]
    latents: Int[np.ndarray, "batch step+1"]
    beliefs: Float[np.ndarray, "batch step+1 state"]
    answers: Int[np.ndarray, " batch"]
    answer_distribution: Float[np.ndarray, "batch answer"]
    log_probability: Float[np.ndarray, " batch"]  # nats, of the observations (given the start, where known)
    start_known: bool = False

    def __len__(self) -> int:
        return len(self.answers)

    @property
    def n_steps(self) -> int:
        """Number of observations of each problem."""
        return self.observations.shape[1]

    def take(self, rows: Int[np.ndarray, " rows"] | Bool[np.ndarray, " batch"] | slice) -> "Problems":
        """The problems in these rows."""
        return Problems(**{name: getattr(self, name)[rows] for name in ARRAYS}, start_known=self.start_known)


ARRAYS = tuple(field.name for field in fields(Problems) if field.name != "start_known")


def concatenate(batches: list[Problems]) -> Problems:
    """Problems of one length, one batch after the other."""
    arrays = {name: np.concatenate([getattr(batch, name) for batch in batches]) for name in ARRAYS}
    return Problems(**arrays, start_known=batches[0].start_known)


def sample_problems(
    process: Process,
    n_steps: int,
    batch_size: int,
    seed: int | np.random.Generator,
    query: str | Query = "filter",
    start: Literal["fixed", "known"] = "fixed",
) -> Problems:
    """Draw problems from a process and solve them exactly.

    Args:
        process: the latent process.
        n_steps: number of observations n of each problem.
        batch_size: number of problems.
        seed: of the draw.
        query: ``filter`` asks for s_n, ``predict k`` for x_{n+k}, ``smooth j`` for s_j.
        start: ``fixed`` begins every problem in ``process.initial``; ``known`` draws the start state from
            it and takes it as given.

    Raises:
        ValueError: if the query asks for a step that the problem does not have.
    """
    query = Query.model_validate(query) if isinstance(query, str) else query
    argument = query.argument or 0  # 0 for filter, which has none
    generator = np.random.default_rng(seed)
    ahead = argument if query.kind == "predict" else 0
    initial = process.initial
    if start == "known":
        first = generator.choice(process.n_states, size=batch_size, p=process.initial)
        initial = np.eye(process.n_states)[first]
    paths = random_paths(process.transitions, initial, n_steps + ahead, batch_size, generator)
    observations, latents = paths.observations[:, :n_steps], paths.latents[:, : n_steps + 1]
    filtered = filter_beliefs(process.transitions, initial, observations)
    answer_distribution = exact_answer(process, initial, observations, query)
    if query.kind == "predict":
        answers = paths.observations[:, -1]
    else:
        answers = latents[:, n_steps if query.kind == "filter" else argument]
    return Problems(
        observations=observations,
        latents=latents,
        beliefs=filtered.beliefs,
        answers=answers,
        answer_distribution=answer_distribution,
        log_probability=filtered.log_probability,
        start_known=start == "known",
    )


def exact_answer(
    process: Process,
    beliefs: Float[np.ndarray, " state"] | Float[np.ndarray, "batch state"],
    observations: Int[np.ndarray, "batch step"],
    query: Query,
    after: int = 0,
) -> Float[np.ndarray, "batch answer"]:
    r"""The propagator $\Phi_{k \to n}(b)$: the exact answer, had the belief after step k been b.

    Args:
        process: the latent process.
        beliefs: the belief b after step ``after``, shared or per problem.
        observations: what is observed from then on, x_{k+1} .. x_n.
        query: what is asked.
        after: the step k at which ``beliefs`` stand.

    Raises:
        ImpossibleObservation: if b gives the observations probability zero.
        ValueError: if a ``smooth`` query asks for a step before k, which b does not determine.
    """
    argument = query.argument or 0
    if query.kind == "predict":
        return predict(process.transitions, beliefs, observations, argument).distribution
    if query.kind == "filter":
        return filter_beliefs(process.transitions, beliefs, observations).beliefs[:, -1]
    if not after <= argument <= after + observations.shape[1]:
        raise ValueError(
            f"'{query}' asks for step {argument}, but only steps {after} to "
            f"{after + observations.shape[1]} are determined here"
        )
    smoothed = smooth_beliefs(process.transitions, beliefs, observations)
    return smoothed.beliefs[:, argument - after]


def draw(task: Task, split: str, n_steps: int, batch_size: int, *keys: str | int) -> Problems:
    """Problems of a task that belong to a split; ``keys`` (seed, batch number, ...) name the draw.

    Raises:
        ValueError: if there is no such split, or no question of the process falls into it.
    """
    if split not in SPLITS:
        raise ValueError(f"no split named '{split}'; there are {', '.join(SPLITS)}")
    generator = stream("problems", task.fingerprint(), split, n_steps, *keys)
    process = task.build()
    kept: list[Problems] = []
    missing = batch_size
    oversampling = 1.0 if shares_questions(task, n_steps) else N_BUCKETS / len(SPLITS[split])
    while missing > 0:
        size = int(missing * oversampling * 1.1) + 8 if oversampling > 1 else missing
        batch = sample_problems(process, n_steps, size, generator, task.query, task.start)
        if oversampling > 1:
            batch = batch.take(np.flatnonzero(in_split(task, batch, split))[:missing])
        kept.append(batch)
        missing -= len(batch)
        if missing == batch_size and len(kept) == ROUNDS:
            raise ValueError(
                f"no {split} question of {n_steps} steps in {ROUNDS} batches: the process hardly varies, "
                f"so that few questions are possible, and all of them fall into other splits"
            )
    return concatenate(kept) if len(kept) != 1 else kept[0]


def shares_questions(task: Task, n_steps: int) -> bool:
    """Whether a task has so few possible questions of this length that its splits share them all."""
    length = deciding_length(task)
    return length is None or n_steps < length


def deciding_length(task: Task) -> int | None:
    """How many first observations decide a question's split: the fewest that begin enough questions.

    None where even ``LONGEST_DECIDING`` observations begin too few.
    """
    return _deciding_length(task.model_dump_json())


@lru_cache(maxsize=64)
def _deciding_length(task_json: str) -> int | None:
    task = Task.model_validate_json(task_json)
    counts = possible_questions(task.build(), known_start=task.start == "known")
    enough = (n for n, count in enumerate(islice(counts, LONGEST_DECIDING)) if count >= FEW_QUESTIONS)
    return next(enough, None)


def possible_questions(process: Process, known_start: bool) -> Iterator[int]:
    """Number of questions with n = 0, 1, 2, ... observations that have a positive probability.

    Words are counted by the set of states that they may have led to, so that each word counts once.
    """
    possible = process.transitions > 0
    started = np.flatnonzero(process.initial > 0)
    sets = [frozenset({state}) for state in started.tolist()] if known_start else [frozenset(started.tolist())]
    words = Counter(sets)
    while True:
        yield sum(words.values())
        longer: Counter[frozenset[int]] = Counter()
        for states, count in words.items():
            for reached in np.asarray(possible[:, sorted(states)].any(axis=1)):
                if reached.any():
                    longer[frozenset(np.flatnonzero(reached).tolist())] += count
        words = longer


def in_split(task: Task, problems: Problems, split: str) -> Bool[np.ndarray, " batch"]:
    """Whether the beginning of each question puts it into a split."""
    bucket = content_hash(problems, deciding_length(task)) % np.uint64(N_BUCKETS)
    return np.isin(bucket, np.array(SPLITS[split], dtype=np.uint64))


def content_hash(problems: Problems, n_first: int | None = None) -> np.ndarray:
    """A 64-bit hash of what is asked: the (first) observations and, where it is known, the start (batch,)."""
    columns = problems.observations[:, :n_first].T
    if problems.start_known:
        columns = np.concatenate([problems.latents[:, :1].T, columns])
    with np.errstate(over="ignore"):
        digest = np.full(len(problems), 0x9E3779B97F4A7C15, dtype=np.uint64)
        for column in columns:  # the SplitMix64 finaliser (Steele et al. 2014), once a token
            digest = (digest ^ (column.astype(np.uint64) + np.uint64(1))) * np.uint64(0xBF58476D1CE4E5B9)
            digest = (digest ^ (digest >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
            digest = digest ^ (digest >> np.uint64(31))
    return digest
