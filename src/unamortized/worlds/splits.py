"""Splits: assign questions to training, validation and tests, and withhold shifted questions from training.

The beginning of a question decides its split: a hash of its first observations and of the start and table that its
prompt shows. Splits are therefore disjoint by construction, however many problems are drawn, and no training question
begins with a test question, whose answer its trace would give away.
"""

from collections import Counter
from collections.abc import Iterator
from functools import lru_cache
from itertools import islice

import numpy as np
from jaxtyping import Bool, Int

from unamortized.worlds.predictive_vectors import SMALLEST_EVIDENCE
from unamortized.worlds.problems import Problems, Questions, concatenate, sample_problems, sample_questions, solve
from unamortized.worlds.processes import Process
from unamortized.worlds.randomness import stream
from unamortized.worlds.tasks import Query, Task

LONGEST_PREFIX = 256  # observations; if even this many allow few questions, splits share questions
N_BUCKETS = 16  # buckets of the content hash, distributed over the splits
SPLITS = {"test": range(0, 2), "validation": range(2, 4), "train": range(4, N_BUCKETS)}
FEW_QUESTIONS = 4096  # if a length has fewer possible questions, splits share them
MOST_BATCHES = 100  # drawn in search of a split's questions
LARGEST_BATCH = 65_536  # questions
LARGEST_TRANSITIONS = 10**7  # numbers in the transitions of one batch, if each question has its own
TABLE_BUCKETS = 8  # of the content hash of tables; training never sees one of them
RARE_SAMPLE = 8192  # questions that set the threshold of rare log-probabilities

Shift = tuple[str, ...]  # axes of a task's ``shifts``


def draw(task: Task, split: str, n_steps: int, batch_size: int, *keys: str | int, shift: Shift = ()) -> Problems:
    """Draw problems of a task that belong to a split; ``keys`` (seed, batch number, ...) name the random stream.

    The questions have every withheld property that ``shift`` names and no other. If ``shift`` names changed
    parameters, exact inference uses the changed process.

    Raises:
        ValueError: if the split or shift does not exist, or hardly any question of the process belongs to it.
    """
    if split not in SPLITS:
        raise ValueError(f"split must be one of {', '.join(SPLITS)} (got '{split}')")
    if unknown := [axis for axis in shift if axis not in task.shifts.declared]:
        declared = ", ".join(task.shifts.declared) or "none"
        raise ValueError(f"{task.name} declares no shift of {', '.join(unknown)}; it declares {declared}")
    generator = stream("problems", task.fingerprint(), split, n_steps, *keys, *shift)
    process = shifted_process(task, shift)
    if "rare" in shift and np.isneginf(_rare_threshold(task.model_dump_json(), n_steps, process)):
        raise ValueError(
            f"{task.name}: too many questions of {n_steps} steps have the same probability to call any rare; "
            "remove shifts.rare"
        )
    shared = shares_questions(task, n_steps)
    oversampling = 1.0 if shared else N_BUCKETS / len(SPLITS[split])
    kept: list[Problems] = []
    missing = batch_size
    for _ in range(MOST_BATCHES):
        size = int(missing * oversampling * 1.1) + 8 if oversampling > 1 else missing
        size = min(size, _largest_batch(process))
        batch = sample_questions(process, n_steps, size, generator, task.query, task.start, task.codebook.resolution)
        wanted = np.ones(size, dtype=bool) if shared else in_split(task, batch, split)
        for axis in task.shifts.withheld:
            if axis != "rare":  # known only after solving
                wanted &= has_property(task, batch, axis) == (axis in shift)
        rows = np.flatnonzero(wanted)
        solved = solve(batch if len(rows) == size else batch.take(rows), task.query)
        if task.shifts.rare is not None:
            solved = solved.take(is_rare(task, solved, process) == ("rare" in shift))
        if task.shifts.withheld:  # estimate from this batch how many questions the next one needs
            oversampling = max(oversampling, min(1000.0, size / max(1, len(solved))))
        kept.append(solved if len(solved) <= missing else solved.take(slice(missing)))
        missing -= len(kept[-1])
        if missing == 0:
            return concatenate(kept) if len(kept) != 1 else kept[0]
    if task.shifts.composition and "composition" not in shift:
        reason = " avoids the pairs of shifts.composition; withhold rarer pairs"
    elif shift:
        reason = f" is shifted in {' and '.join(shift)}; declare a less rare shift, or ask for fewer problems"
    else:
        reason = " exists: the process hardly varies, and its few questions belong to other splits"
    raise ValueError(f"hardly any {split} question of {n_steps} steps in {MOST_BATCHES} batches{reason}")


def _largest_batch(process: Process) -> int:
    if process.sampler is None:
        return LARGEST_BATCH
    return min(LARGEST_BATCH, max(1, LARGEST_TRANSITIONS // process.transitions.size))


def shifted_process(task: Task, shift: Shift) -> Process:
    """Return the process that questions with this shift come from."""
    changed = "parameters" in shift and task.shifts.parameters != "tables"
    return task.shifted_process() if changed else task.build()


def has_property(task: Task, questions: Questions | Problems, axis: str) -> Bool[np.ndarray, " batch"]:
    """Return whether each question has the property of a shift other than ``rare``."""
    shifts, rules = task.shifts, questions.process.rules
    if axis == "start" and shifts.start is not None:
        highest = questions.start_beliefs == questions.start_beliefs.max(axis=1, keepdims=True)
        return np.asarray(highest[:, list(shifts.start)].any(axis=1))  # ties for the maximum count
    if axis == "composition" and shifts.composition is not None:
        n_symbols = questions.process.n_symbols
        pairs = questions.observations[:, :-1] * n_symbols + questions.observations[:, 1:]
        withheld = [a * n_symbols + b for a, b in shifts.composition]
        return np.asarray(np.isin(pairs, withheld).any(axis=1))
    if axis == "parameters" and shifts.parameters == "tables" and rules is not None:
        return np.asarray(_hash_columns(rules.T) % np.uint64(TABLE_BUCKETS) == 0)
    raise ValueError(f"{task.name} declares no shift of {axis} that single questions have")


def is_rare(task: Task, problems: Problems, process: Process) -> Bool[np.ndarray, " batch"]:
    """Return whether each question is among the least likely of its length under the process it was drawn from."""
    return problems.log_probability < _rare_threshold(task.model_dump_json(), problems.n_steps, process)


@lru_cache(maxsize=256)
def _rare_threshold(task_json: str, n_steps: int, process: Process) -> float:
    """Return the log-probability below which a question is rare; minus infinity if no sampled question is below it."""
    task = Task.model_validate_json(task_json)
    generator = stream("rare", task.fingerprint(), n_steps)
    query = Query(kind="predict", argument=1)  # every process can answer it, and it does not affect the probability
    sample = sample_problems(process, n_steps, RARE_SAMPLE, generator, query, task.start, task.codebook.resolution)
    threshold = float(np.quantile(sample.log_probability, task.shifts.rare or 0.0)) - 1e-9
    return threshold if (sample.log_probability < threshold).any() else -np.inf


def shares_questions(task: Task, n_steps: int) -> bool:
    """Return whether splits share all questions of this length, because so few are possible."""
    length = prefix_length(task)
    return length is None or n_steps < length


def prefix_length(task: Task) -> int | None:
    """Return how many first observations decide a question's split: the fewest with enough possible questions.

    None if even ``LONGEST_PREFIX`` observations allow too few.
    """
    return _prefix_length(task.model_dump_json())


@lru_cache(maxsize=64)
def _prefix_length(task_json: str) -> int | None:
    task = Task.model_validate_json(task_json)
    process = task.build()
    tables = 1
    if process.sampler is not None:
        rules = process.sampler(stream("tables"), min(FEW_QUESTIONS, _largest_batch(process))).rules
        tables = 1 if rules is None else len(np.unique(rules, axis=0))  # a lower bound
    counts = possible_questions(process, known_start=task.start != "fixed")
    enough = (n for n, count in enumerate(islice(counts, LONGEST_PREFIX)) if tables * count >= FEW_QUESTIONS)
    return next(enough, None)


def possible_questions(process: Process, known_start: bool) -> Iterator[int]:
    """Count the questions of positive probability with n = 0, 1, 2, ... observations.

    Counts words by the set of states that they can lead to, so each word counts once. Counts words of a generalized
    process one by one, since single entries of its matrices do not show which words are possible.
    """
    if process.readout is not None:
        vectors = process.initial[None]
        while True:
            yield len(vectors)
            moved = np.einsum("bi,vij->bvj", vectors, process.transitions).reshape(-1, process.n_states)
            evidence = moved @ process.readout
            possible = evidence > SMALLEST_EVIDENCE
            vectors = moved[possible] / evidence[possible, None]
    possible = process.transitions > 0
    starts = np.flatnonzero(process.initial > 0).tolist()
    words = Counter([frozenset({state}) for state in starts] if known_start else [frozenset(starts)])
    while True:
        yield sum(words.values())
        longer: Counter[frozenset[int]] = Counter()
        for states, count in words.items():
            for reached in np.asarray(possible[:, sorted(states)].any(axis=1)):
                if reached.any():
                    longer[frozenset(np.flatnonzero(reached).tolist())] += count
        words = longer


def in_split(task: Task, problems: Questions | Problems, split: str) -> Bool[np.ndarray, " batch"]:
    """Return whether each question belongs to a split."""
    bucket = content_hash(problems, prefix_length(task)) % np.uint64(N_BUCKETS)
    return np.asarray(np.isin(bucket, np.array(SPLITS[split], dtype=np.uint64)))


def apart(task: Task, problems: Problems, split: str) -> Problems:
    """Separate problems whose questions the splits share: keep one half for tests and the other for all other splits.

    Without this, a probe would be scored on the questions that it was fitted on.
    """
    if not shares_questions(task, problems.n_steps):
        return problems
    return problems.take(content_hash(problems) % np.uint64(2) == np.uint64(split == "test"))


def content_hash(problems: Questions | Problems, n_first: int | None = None) -> np.ndarray:
    """Return a 64-bit hash (batch,) of the first observations (default all), and of the start and table if shown."""
    columns = [problems.observations[:, :n_first].T]
    if problems.start == "known":
        columns.insert(0, problems.latents[:, :1].T)
    if problems.start == "belief":  # lattice points are equal to the last bit in every draw
        columns.insert(0, np.ascontiguousarray(problems.start_beliefs.T).view(np.int64))
    if problems.process.rules is not None:
        columns.insert(0, problems.process.rules.T)
    return _hash_columns(np.concatenate(columns))


def named_by_questions(name: str, problems: Questions | Problems) -> np.random.Generator:
    """Return a random stream keyed by the questions of a batch: the same questions get the same numbers."""
    return stream(name, content_hash(problems).astype("<u8").tobytes().hex())


def _hash_columns(columns: Int[np.ndarray, "column batch"]) -> np.ndarray:
    with np.errstate(over="ignore"):
        digest = np.full(columns.shape[1], 0x9E3779B97F4A7C15, dtype=np.uint64)
        for column in columns:  # the SplitMix64 finalizer (Steele et al. 2014), once per token
            digest = (digest ^ (column.astype(np.uint64) + np.uint64(1))) * np.uint64(0xBF58476D1CE4E5B9)
            digest = (digest ^ (digest >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
            digest = digest ^ (digest >> np.uint64(31))
    return digest
