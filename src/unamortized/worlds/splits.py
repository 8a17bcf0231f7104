"""Splits: which questions training, validation and tests may draw, and which properties training never sees.

Which split a question may appear in is decided by how it begins (a hash of its first observations, and of what
it tells of its start and its table), so that splits are disjoint by construction, however many problems are
drawn; and no training question begins with a test question, whose answer its trace would otherwise give away.
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

LONGEST_DECIDING = 256  # observations; a process that has few questions even then has splits that share them
N_BUCKETS = 16  # content-hash buckets shared out among the splits
SPLITS = {"test": range(0, 2), "validation": range(2, 4), "train": range(4, N_BUCKETS)}
FEW_QUESTIONS = 4096  # with fewer possible questions of a length than this, all splits share them
ROUNDS = 100  # batches drawn in search of a split's questions
MOST_AT_ONCE = 65_536  # questions drawn in one of them
MOST_NUMBERS = 10**7  # in transitions that are drawn at once, where each question has its own
TABLE_BUCKETS = 8  # of tables that problems bring, one of so many is never seen in training
RARE_SAMPLE = 8192  # questions that tell which log-probability is rare

Shift = tuple[str, ...]  # axes of a task's ``shifts``


def draw(task: Task, split: str, n_steps: int, batch_size: int, *keys: str | int, shift: Shift = ()) -> Problems:
    """Problems of a task that belong to a split; ``keys`` (seed, batch number, ...) name the draw.

    Without ``shift``, none of the questions has a property that training is kept away from; with it, all have those
    that it names, and none of the others. Where it names changed parameters, the exact side is of that process.

    Raises:
        ValueError: if there is no such split or shift, or no question of the process falls into it.
    """
    if split not in SPLITS:
        raise ValueError(f"no split named '{split}'; there are {', '.join(SPLITS)}")
    if unknown := [axis for axis in shift if axis not in task.shifts.declared]:
        known = ", ".join(task.shifts.declared) or "none"
        raise ValueError(f"{task.name} declares no shift of {', '.join(unknown)}; it declares {known}")
    generator = stream("problems", task.fingerprint(), split, n_steps, *keys, *shift)
    process = shifted_process(task, shift)
    if "rare" in shift and np.isneginf(_rare_threshold(task.model_dump_json(), n_steps, process)):
        raise ValueError(
            f"{task.name}: of {n_steps} steps, no question is rarer than others, or too many are alike; "
            "leave out shifts.rare"
        )
    shared = shares_questions(task, n_steps)
    oversampling = 1.0 if shared else N_BUCKETS / len(SPLITS[split])
    kept: list[Problems] = []
    missing = batch_size
    for _ in range(ROUNDS):
        size = int(missing * oversampling * 1.1) + 8 if oversampling > 1 else missing
        size = _at_once(process, size)
        batch = sample_questions(process, n_steps, size, generator, task.query, task.start, task.codebook.resolution)
        wanted = np.ones(size, dtype=bool) if shared else in_split(task, batch, split)
        for axis in task.shifts.withheld:
            if axis != "rare":  # which only the solution tells
                wanted &= has_property(task, batch, axis) == (axis in shift)
        rows = np.flatnonzero(wanted)
        solved = solve(batch if len(rows) == size else batch.take(rows), task.query)
        if task.shifts.rare is not None:
            solved = solved.take(is_rare(task, solved, process) == ("rare" in shift))
        if task.shifts.withheld:  # how rare the wanted are is learned from what was drawn
            oversampling = max(oversampling, min(1000.0, size / max(1, len(solved))))
        kept.append(solved if len(solved) <= missing else solved.take(slice(missing)))
        missing -= len(kept[-1])
        if missing == 0:
            return concatenate(kept) if len(kept) != 1 else kept[0]
    if task.shifts.composition and "composition" not in shift:
        why = " that has no symbols of shifts.composition next to each other; withhold rarer pairs"
    elif shift:
        why = f" shifted in {' and '.join(shift)}; declare a shift that is less rare, or ask for fewer problems"
    else:
        why = ": the process hardly varies, so that few questions are possible, and they fall into other splits"
    raise ValueError(f"hardly any {split} question of {n_steps} steps in {ROUNDS} batches{why}")


def _at_once(process: Process, wanted: int) -> int:
    """How many questions are drawn in one batch."""
    most = MOST_AT_ONCE if process.drawn is None else max(1, MOST_NUMBERS // process.transitions.size)
    return min(wanted, MOST_AT_ONCE, most)


def shifted_process(task: Task, shift: Shift) -> Process:
    """The process under which questions with this shift are drawn and answered."""
    changed = "parameters" in shift and task.shifts.parameters != "tables"
    return task.shifted_process() if changed else task.build()


def has_property(task: Task, questions: Questions | Problems, axis: str) -> Bool[np.ndarray, " batch"]:
    """Whether each question has what an axis of shifts is about, other than being rare."""
    shifts, told = task.shifts, questions.process.told
    if axis == "start" and shifts.start is not None:
        highest = questions.start_beliefs == questions.start_beliefs.max(axis=1, keepdims=True)
        return np.asarray(highest[:, list(shifts.start)].any(axis=1))  # also where other states share the maximum
    if axis == "composition" and shifts.composition is not None:
        n_symbols = questions.process.n_symbols
        pairs = questions.observations[:, :-1] * n_symbols + questions.observations[:, 1:]
        withheld = [a * n_symbols + b for a, b in shifts.composition]
        return np.asarray(np.isin(pairs, withheld).any(axis=1))
    if axis == "parameters" and shifts.parameters == "tables" and told is not None:
        return np.asarray(_hash_columns(told.T) % np.uint64(TABLE_BUCKETS) == 0)
    raise ValueError(f"{task.name} declares no shift of {axis} that is a property of questions")


def is_rare(task: Task, problems: Problems, process: Process) -> Bool[np.ndarray, " batch"]:
    """Whether each question is among the least likely of its length, under the process that all were drawn from."""
    return problems.log_probability < _rare_threshold(task.model_dump_json(), problems.n_steps, process)


@lru_cache(maxsize=256)
def _rare_threshold(task_json: str, n_steps: int, process: Process) -> float:
    """Log-probability below which a question of this length is rare; minus infinity where none is rarer than many."""
    task = Task.model_validate_json(task_json)
    generator = stream("rare", task.fingerprint(), n_steps)
    anything = Query(kind="predict", argument=1)  # any that every process can be asked
    drawn = sample_problems(process, n_steps, RARE_SAMPLE, generator, anything, task.start, task.codebook.resolution)
    threshold = float(np.quantile(drawn.log_probability, task.shifts.rare or 0.0)) - 1e-9
    return threshold if (drawn.log_probability < threshold).any() else -np.inf


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
    process = task.build()
    tables = 1
    if process.drawn is not None:
        told = process.drawn(stream("tables"), _at_once(process, FEW_QUESTIONS)).told
        tables = 1 if told is None else len(np.unique(told, axis=0))  # at least so many there are
    counts = possible_questions(process, known_start=task.start != "fixed")
    enough = (n for n, count in enumerate(islice(counts, LONGEST_DECIDING)) if tables * count >= FEW_QUESTIONS)
    return next(enough, None)


def possible_questions(process: Process, known_start: bool) -> Iterator[int]:
    """Number of questions with n = 0, 1, 2, ... observations that have a positive probability.

    Words are counted by the set of states that they may have led to, so that each word counts once; those of a
    generalized process one by one, as which are possible shows in no single entry of its matrices.
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


def in_split(task: Task, problems: Questions | Problems, split: str) -> Bool[np.ndarray, " batch"]:
    """Whether the beginning of each question puts it into a split."""
    bucket = content_hash(problems, deciding_length(task)) % np.uint64(N_BUCKETS)
    return np.asarray(np.isin(bucket, np.array(SPLITS[split], dtype=np.uint64)))


def apart(task: Task, problems: Problems, split: str) -> Problems:
    """Of problems so short that splits share their questions, those of one half for tests and of the other elsewhere.

    What is fitted and scored on such problems would be scored on what it was fitted on.
    """
    if not shares_questions(task, problems.n_steps):
        return problems
    return problems.take(content_hash(problems) % np.uint64(2) == np.uint64(split == "test"))


def content_hash(problems: Questions | Problems, n_first: int | None = None) -> np.ndarray:
    """A 64-bit hash of what is asked: the (first) observations, and the start and the table where told (batch,)."""
    columns = [problems.observations[:, :n_first].T]
    if problems.start == "known":
        columns.insert(0, problems.latents[:, :1].T)
    if problems.start == "belief":  # a point of a lattice, so alike to the last bit wherever it is drawn
        columns.insert(0, np.ascontiguousarray(problems.start_beliefs.T).view(np.int64))
    if problems.process.told is not None:
        columns.insert(0, problems.process.told.T)
    return _hash_columns(np.concatenate(columns))


def named_by_questions(name: str, problems: Questions | Problems) -> np.random.Generator:
    """A stream that the questions of a batch name: whoever asks them draws the same from it."""
    return stream(name, content_hash(problems).astype("<u8").tobytes().hex())


def _hash_columns(columns: Int[np.ndarray, "column batch"]) -> np.ndarray:
    with np.errstate(over="ignore"):
        digest = np.full(columns.shape[1], 0x9E3779B97F4A7C15, dtype=np.uint64)
        for column in columns:  # the SplitMix64 finaliser (Steele et al. 2014), once a token
            digest = (digest ^ (column.astype(np.uint64) + np.uint64(1))) * np.uint64(0xBF58476D1CE4E5B9)
            digest = (digest ^ (digest >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
            digest = digest ^ (digest >> np.uint64(31))
    return digest
