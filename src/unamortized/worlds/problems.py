"""Batches of problems with their exact answers.

A problem is a sequence of observations with its latent path, the exact belief after every step, and the
exact distribution of the answer, of which ``answers`` is one draw.
"""

from dataclasses import dataclass, fields, replace
from typing import Literal

import numpy as np
from jaxtyping import Bool, Float, Int

from unamortized.worlds.inference import filter_beliefs, predict, random_paths, smooth_beliefs
from unamortized.worlds.processes import Process, together
from unamortized.worlds.tasks import Query

Start = Literal["fixed", "known", "belief"]


@dataclass(frozen=True)
class Questions:
    """A batch of problems before they are solved: what is asked, and a draw of what happened."""

    observations: Int[np.ndarray, "batch step"]
    latents: Int[np.ndarray, "batch step+1"]
    start_beliefs: Float[np.ndarray, "batch state"]
    answers: Int[np.ndarray, " batch"]
    process: Process
    start: Start

    def take(self, rows: Int[np.ndarray, " rows"]) -> "Questions":
        """The questions in these rows."""
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
    log_probability: Float[np.ndarray, " batch"]  # nats, of the observations (given the start, where it is told)
    process: Process  # under which all of this is exact; one a problem where each brings its own
    start: Start = "fixed"

    def __len__(self) -> int:
        return len(self.answers)

    @property
    def n_steps(self) -> int:
        """Number of observations of each problem."""
        return self.observations.shape[1]

    @property
    def start_beliefs(self) -> Float[np.ndarray, "batch state"]:
        """The exact belief before anything is observed."""
        return self.beliefs[:, 0]

    def take(self, rows: Int[np.ndarray, " rows"] | Bool[np.ndarray, " batch"] | slice) -> "Problems":
        """The problems in these rows."""
        arrays = {name: getattr(self, name)[rows] for name in ARRAYS}
        return Problems(**arrays, process=self.process.take(rows), start=self.start)


ARRAYS = tuple(field.name for field in fields(Problems) if field.name not in ("process", "start"))


def concatenate(batches: list[Problems]) -> Problems:
    """Problems of one length, one batch after the other."""
    arrays = {name: np.concatenate([getattr(batch, name) for batch in batches]) for name in ARRAYS}
    return Problems(**arrays, process=together([batch.process for batch in batches]), start=batches[0].start)


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
        process: the latent process; where each problem brings its own, these are drawn from it.
        n_steps: number of observations n of each problem.
        batch_size: number of problems.
        seed: of the draw.
        query: ``filter`` asks for s_n, ``predict k`` for x_{n+k}, ``smooth j`` for s_j.
        start: ``fixed`` begins every problem in ``process.initial``; ``known`` draws the start state from
            it and takes it as given; ``belief`` draws a belief, each point of a lattice alike, and the
            start state from that.
        resolution: denominator of that lattice.

    Raises:
        ValueError: if the query asks for a step that the problem does not have, or for states where there are none.
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
    """Draw what problems ask, as ``sample_problems`` does, without solving them."""
    if process.is_generalized and (query.kind != "predict" or start != "fixed"):
        raise ValueError(
            f"a generalized process has no states: query must be 'predict', start 'fixed' (got {query}, {start})"
        )
    argument = query.argument or 0  # 0 for filter, which has none
    if query.kind == "smooth" and argument > n_steps:
        raise ValueError(f"'{query}' asks for step {argument}, but problems of {n_steps} steps end there")
    ahead = argument if query.kind == "predict" else 0
    if process.drawn is not None:
        process = process.drawn(generator, batch_size)
    initial = process.initial
    if start == "known":
        first = generator.choice(process.n_states, size=batch_size, p=process.initial)
        initial = np.eye(process.n_states)[first]
    elif start == "belief":
        initial = _lattice_points(process.n_states, resolution, batch_size, generator)
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
    """The same problems with their exact beliefs and answers."""
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


def _lattice_points(
    n_states: int, resolution: int, size: int, generator: np.random.Generator
) -> Float[np.ndarray, "batch state"]:
    """Uniform draws from the points of the simplex lattice, as choices of bars among stars."""
    places = resolution + n_states - 1
    bars = np.sort(generator.random((size, places)).argsort(axis=1)[:, : n_states - 1], axis=1)
    edges = np.concatenate([np.full((size, 1), -1), bars, np.full((size, 1), places)], axis=1)
    return (np.diff(edges, axis=1) - 1) / resolution


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
        return predict(process.transitions, beliefs, observations, argument, readout=process.readout).distribution
    if query.kind == "filter":
        return filter_beliefs(process.transitions, beliefs, observations).beliefs[:, -1]
    if not after <= argument <= after + observations.shape[1]:
        raise ValueError(
            f"'{query}' asks for step {argument}, but only steps {after} to "
            f"{after + observations.shape[1]} are determined here"
        )
    smoothed = smooth_beliefs(process.transitions, beliefs, observations)
    return smoothed.beliefs[:, argument - after]
