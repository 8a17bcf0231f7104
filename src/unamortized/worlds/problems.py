"""Batches of problems with their exact answers.

A problem is a sequence of observations with its latent path, the exact belief after every step, and the exact
distribution of the answer; ``answers`` holds one draw from that distribution.
"""

from dataclasses import dataclass, fields, replace

import numpy as np
from jaxtyping import Bool, Float, Int

from unamortized.worlds.inference import filter_beliefs, predict, random_paths, smooth_beliefs
from unamortized.worlds.processes.process import Process, concatenate_processes
from unamortized.worlds.tasks import Query, Start


@dataclass(frozen=True)
class Questions:
    """A batch of problems without exact beliefs: draws of observations, latents and answers."""

    observations: Int[np.ndarray, "batch step"]
    latents: Int[np.ndarray, "batch step+1"]
    start_beliefs: Float[np.ndarray, "batch state"]
    answers: Int[np.ndarray, " batch"]
    process: Process
    start: Start

    def take(self, rows: Int[np.ndarray, " rows"]) -> "Questions":
        names = ("observations", "latents", "start_beliefs", "answers")
        return replace(self, **{name: getattr(self, name)[rows] for name in names}, process=self.process.take(rows))


@dataclass(frozen=True)
class Problems:
    """A batch of problems of one length n over S states; answers are states or, for ``predict``, symbols."""

    observations: Int[np.ndarray, "batch step"]
    latents: Int[np.ndarray, "batch step+1"]
    beliefs: Float[np.ndarray, "batch step+1 state"]
    answers: Int[np.ndarray, " batch"]
    answer_distribution: Float[np.ndarray, "batch answer"]
    log_probability: Float[np.ndarray, " batch"]  # nats, of the observations, given a start that the prompt shows
    process: Process  # the process of exact inference; holds one per problem if their transitions differ
    start: Start = "fixed"

    def __len__(self) -> int:
        return len(self.answers)

    @property
    def n_steps(self) -> int:
        return self.observations.shape[1]

    @property
    def start_beliefs(self) -> Float[np.ndarray, "batch state"]:
        """The exact belief before the first observation."""
        return self.beliefs[:, 0]

    def take(self, rows: Int[np.ndarray, " rows"] | Bool[np.ndarray, " batch"] | slice) -> "Problems":
        arrays = {name: getattr(self, name)[rows] for name in ARRAYS}
        return Problems(**arrays, process=self.process.take(rows), start=self.start)


ARRAYS = tuple(field.name for field in fields(Problems) if field.name not in ("process", "start"))


def concatenate(batches: list[Problems]) -> Problems:
    """Concatenate batches of problems of the same length."""
    arrays = {name: np.concatenate([getattr(batch, name) for batch in batches]) for name in ARRAYS}
    process = concatenate_processes([batch.process for batch in batches])
    return Problems(**arrays, process=process, start=batches[0].start)


def sample_problems(
    process: Process,
    n_steps: int,
    batch_size: int,
    seed: int | np.random.Generator,
    query: str | Query = "filter",
    start: Start = "fixed",
    resolution: int = 1,
) -> Problems:
    """Draw problems from a process and solve them exactly.

    Args:
        process: the latent process, or the sampler of one process per problem.
        n_steps: number of observations n of each problem.
        batch_size: number of problems.
        seed: seed or generator of the draws.
        query: ``filter`` asks for s_n, ``predict k`` for x_{n+k}, ``smooth j`` for s_j.
        start: ``fixed`` starts every problem in ``process.initial``; ``known`` draws the start state from it and
            conditions on it; ``belief`` draws a belief uniformly from the points of a lattice, and the start state
            from that belief.
        resolution: denominator of the lattice.

    Raises:
        ValueError: if the query asks for a step beyond the problem, or for latent states that the process lacks.
    """
    query = Query.model_validate(query) if isinstance(query, str) else query
    generator = np.random.default_rng(seed)
    return solve(sample_questions(process, n_steps, batch_size, generator, query, start, resolution), query)


def sample_questions(
    process: Process,
    n_steps: int,
    batch_size: int,
    generator: np.random.Generator,
    query: Query,
    start: Start,
    resolution: int,
) -> Questions:
    """Draw problems as ``sample_problems`` does, without solving them."""
    if process.is_generalized and (query.kind != "predict" or start != "fixed"):
        raise ValueError(
            f"a generalized process has no states: query must be 'predict' and start 'fixed' (got {query}, {start})"
        )
    argument = query.argument or 0  # filter has none
    if query.kind == "smooth" and argument > n_steps:
        raise ValueError(f"'{query}' needs problems of at least {argument} steps (got {n_steps})")
    ahead = argument if query.kind == "predict" else 0
    if process.sampler is not None:
        process = process.sampler(generator, batch_size)
    initial = process.initial
    if start == "known":
        first = generator.choice(process.n_states, size=batch_size, p=process.initial)
        initial = np.eye(process.n_states)[first]
    elif start == "belief":
        initial = _draw_lattice_points(process.n_states, resolution, batch_size, generator)
    paths = random_paths(process.transitions, initial, n_steps + ahead, batch_size, generator, process.readout)
    if query.kind == "predict":
        answers = paths.observations[:, -1]
    else:
        answers = paths.latents[:, n_steps if query.kind == "filter" else argument]
    return Questions(
        observations=paths.observations[:, :n_steps],
        latents=paths.latents[:, : n_steps + 1],
        start_beliefs=np.broadcast_to(initial, (batch_size, process.n_states)),
        answers=answers,
        process=process,
        start=start,
    )


def solve(questions: Questions, query: Query) -> Problems:
    """Add exact beliefs and answer distributions."""
    process, initial, observations = questions.process, questions.start_beliefs, questions.observations
    filtered = filter_beliefs(process.transitions, initial, observations, readout=process.readout)
    if query.kind == "filter":
        answer_distribution = filtered.beliefs[:, -1].copy()
    elif query.kind == "predict":
        nothing = np.zeros((len(observations), 0), dtype=np.int64)
        answer_distribution = exact_answer(process, filtered.beliefs[:, -1], nothing, query)
    else:
        answer_distribution = exact_answer(process, initial, observations, query)
    return Problems(
        observations=observations,
        latents=questions.latents,
        beliefs=filtered.beliefs,
        answers=questions.answers,
        answer_distribution=answer_distribution,
        log_probability=filtered.log_probability,
        process=process,
        start=questions.start,
    )


def _draw_lattice_points(
    n_states: int, resolution: int, size: int, generator: np.random.Generator
) -> Float[np.ndarray, "batch state"]:
    """Draw uniformly from the points of the simplex lattice, by stars and bars."""
    places = resolution + n_states - 1
    bars = np.sort(generator.random((size, places)).argsort(axis=1)[:, : n_states - 1], axis=1)
    return (np.diff(bars, axis=1, prepend=-1, append=places) - 1) / resolution


def exact_answer(
    process: Process,
    beliefs: Float[np.ndarray, " state"] | Float[np.ndarray, "batch state"],
    observations: Int[np.ndarray, "batch step"],
    query: Query,
    after: int = 0,
) -> Float[np.ndarray, "batch answer"]:
    r"""Return $\Phi_{k \to n}(b)$ of the propagator: the exact answer if the belief after step k were b.

    ``after`` is the step k, and ``observations`` are those that follow, x_{k+1} .. x_n.

    Raises:
        ImpossibleObservation: if the observations have probability zero given b.
        ValueError: if a ``smooth`` query asks for a step before k, which b does not determine.
    """
    argument = query.argument or 0
    if query.kind == "predict":
        return predict(process.transitions, beliefs, observations, argument, readout=process.readout).distribution
    if query.kind == "filter":
        return filter_beliefs(process.transitions, beliefs, observations).beliefs[:, -1]
    if not after <= argument <= after + observations.shape[1]:
        last = after + observations.shape[1]
        raise ValueError(f"'{query}' must ask for a step from {after} to {last}, which the belief determines")
    smoothed = smooth_beliefs(process.transitions, beliefs, observations)
    return smoothed.beliefs[:, argument - after]
