"""Exact inference in hidden Markov processes: beliefs, evidence, posterior samples, predictions.

Pure functions on batches. `transitions[..., x, i, j]` is P(emit x, go to j | in i), and may be shared (V, S,
S), each problem's own (B, V, S, S), or also change in time (B, n, V, S, S): entry t there governs the step
from s_t to s_{t+1}, which emits the observation at index t. `initial` is P(s_0), shared (S,) or per problem
(B, S); a belief reached before is as good, so filtering also carries beliefs on. `lengths` makes a batch
ragged: what a problem's row of observations holds from its length on is ignored, and its last belief or
latent is repeated, so that index -1 is the final one for every problem.

With `readout`, the right eigenvector w of a generalized process (GHMM), beliefs are predictive vectors:
everything else about them is alike, but there are no latents to smooth, sample or decode.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from unamortized.worlds.kernels import backward, filters, paths
from unamortized.worlds.predictive_vectors import filter_vectors, walk_vectors

SUM_TOLERANCE = 1e-6  # lets through what was float32 before
NO_LATENT = -1  # where a process has predictive vectors, but no latent states

Transitions = (
    Float[np.ndarray, "symbol state state"]
    | Float[np.ndarray, "batch symbol state state"]
    | Float[np.ndarray, "batch steps symbol state state"]
)
Initial = Float[np.ndarray, " state"] | Float[np.ndarray, "batch state"]


class ImpossibleObservation(ValueError):
    """A sequence has probability zero, at `problem` (from 0), `step` (from 1), because of `symbol`."""

    def __init__(self, problem: int, step: int, symbol: int):
        self.problem, self.step, self.symbol = problem, step, symbol
        super().__init__(problem, step, symbol)

    def __str__(self) -> str:
        return (
            f"problem {self.problem}, step {self.step}: symbol {self.symbol} has probability zero; check "
            "that these transitions generated the observations, and that `initial` gives some probability to "
            "the state in which they started"
        )


class Filtered(NamedTuple):
    """Exact beliefs and evidence of a batch of observation sequences."""

    beliefs: Float[np.ndarray, "batch steps+1 state"]  # before the first and after each observation
    log_probability: Float[np.ndarray, " batch"]  # log P(x_1..n), nats


class Smoothed(NamedTuple):
    """Exact marginals of every latent given all observations."""

    beliefs: Float[np.ndarray, "batch steps+1 state"]
    log_probability: Float[np.ndarray, " batch"]  # log P(x_1..n), nats


class SampledLatents(NamedTuple):
    """Draws from the joint posterior over latent paths."""

    latents: Int[np.ndarray, "batch steps+1"] | Int[np.ndarray, "samples batch steps+1"]
    log_probability: Float[np.ndarray, " batch"]  # log P(x_1..n), nats


class MostLikely(NamedTuple):
    """The most probable latent path of each problem."""

    latents: Int[np.ndarray, "batch steps+1"]
    log_joint: Float[np.ndarray, " batch"]  # log P(s_0..n, x_1..n), nats


class Predicted(NamedTuple):
    """The distribution of an observation to come."""

    distribution: Float[np.ndarray, "batch symbol"]
    log_probability: Float[np.ndarray, " batch"]  # log P(x_1..n), nats


class Paths(NamedTuple):
    """Sequences drawn from a process."""

    observations: Int[np.ndarray, "batch steps"]
    latents: Int[np.ndarray, "batch steps+1"]  # before the first and after each observation


def filter_beliefs(
    transitions: Transitions,
    initial: Initial,
    observations: Int[np.ndarray, "batch steps"],
    lengths: Int[np.ndarray, " batch"] | None = None,
    readout: Float[np.ndarray, " state"] | None = None,
) -> Filtered:
    r"""Belief over the latent state after each observation, p(s_t | x_1..t), by forward filtering.

    $\eta_t = \eta_{t-1} T^{(x_t)} / (\eta_{t-1} T^{(x_t)} \mathbf{1})$, and
    $\log P(x_{1:n}) = \sum_t \log(\eta_{t-1} T^{(x_t)} \mathbf{1})$ (Rabiner 1989, scaled forward pass). With
    `readout`, predictive vectors: w in the place of the ones (Upper 1997).

    Raises:
        ImpossibleObservation: if a sequence has probability zero; names the first such problem and its step.
        ValueError: if shapes do not fit, a symbol is out of range or `initial` is no distribution.
    """
    batch = _batch(transitions, initial, observations, lengths, readout)
    if readout is not None:
        beliefs, log_probability, impossible = filter_vectors(
            batch.stack, batch.choice, batch.lengths, batch.initial, readout
        )
        _raise_if_impossible(impossible, observations)
        return Filtered(beliefs, log_probability)
    forward = _forward(batch)
    return Filtered(forward.beliefs, forward.log_probability)


def smooth_beliefs(
    transitions: Transitions,
    initial: Initial,
    observations: Int[np.ndarray, "batch steps"],
    lengths: Int[np.ndarray, " batch"] | None = None,
) -> Smoothed:
    r"""Belief over each latent given the whole sequence, p(s_t | x_1..n) for t = 0..n.

    $p(s_t = i | x_{1:n}) = \sum_j p(s_{t+1} = j | x_{1:n}) \, \eta_t(i) T^{(x_{t+1})}_{ij} / \sum_k \eta_t(k)
    T^{(x_{t+1})}_{kj}$, backwards from $\eta_n$ (Rauch, Tung & Striebel 1965; Kitagawa 1987 for finite
    states). Only probabilities are mixed, so nothing has to be rescaled.

    Raises:
        ImpossibleObservation, ValueError: as `filter_beliefs`.
    """
    batch = _batch(transitions, initial, observations, lengths)
    forward = _forward(batch)
    smoothed = np.empty_like(forward.beliefs)
    backward.smooth(batch.stack, batch.choice, batch.lengths, *forward.beliefs_in_both_forms, smoothed)
    return Smoothed(smoothed, forward.log_probability)


def sample_latents(
    transitions: Transitions,
    initial: Initial,
    observations: Int[np.ndarray, "batch steps"],
    seed: int | np.random.Generator,
    lengths: Int[np.ndarray, " batch"] | None = None,
    samples: int | None = None,
) -> SampledLatents:
    r"""Independent draws of whole latent paths s_0..s_n from p(s_0..n | x_1..n).

    Forward filtering, backward sampling: $s_n \sim \eta_n$, then $p(s_t = i | s_{t+1} = j, x_{1:n}) \propto
    \eta_t(i) T^{(x_{t+1})}_{ij}$ (Carter & Kohn 1994; Frühwirth-Schnatter 1994). With `samples`, the latents
    have a leading axis of that length; without, there is one draw a problem.

    Raises:
        ImpossibleObservation, ValueError: as `filter_beliefs`.
    """
    batch = _batch(transitions, initial, observations, lengths)
    forward = _forward(batch)
    n_problems, positions, _ = forward.beliefs.shape
    uniforms = np.random.default_rng(seed).random((1 if samples is None else samples, n_problems, positions))
    latents = np.empty(uniforms.shape, dtype=np.int64)
    backward.sample_backward(
        batch.stack, batch.choice, batch.lengths, *forward.beliefs_in_both_forms, uniforms, latents
    )
    return SampledLatents(latents[0] if samples is None else latents, forward.log_probability)


def most_likely_latents(
    transitions: Transitions,
    initial: Initial,
    observations: Int[np.ndarray, "batch steps"],
    lengths: Int[np.ndarray, " batch"] | None = None,
) -> MostLikely:
    r"""The latent path s_0..s_n of highest posterior probability, by the Viterbi algorithm.

    $\delta_t(j) = \max_i \delta_{t-1}(i) + \log T^{(x_t)}_{ij}$ from $\delta_0 = \log p(s_0)$ (Viterbi 1967).
    Of equally likely paths, the one with the lower states, compared from the end, is returned.

    Raises:
        ImpossibleObservation, ValueError: as `filter_beliefs`.
    """
    batch = _batch(transitions, initial, observations, lengths)
    latents = np.empty((batch.choice.shape[0], batch.choice.shape[1] + 1), dtype=np.int64)
    log_joint = np.empty(len(latents))
    initial = np.ascontiguousarray(batch.initial)
    backward.viterbi(batch.stack, batch.choice, batch.lengths, initial, latents, log_joint)
    if np.isneginf(log_joint).any():
        _forward(batch)  # raises, naming the step
    return MostLikely(latents, log_joint)


def predict(
    transitions: Transitions,
    initial: Initial,
    observations: Int[np.ndarray, "batch steps"],
    steps_ahead: int = 1,
    lengths: Int[np.ndarray, " batch"] | None = None,
    readout: Float[np.ndarray, " state"] | None = None,
) -> Predicted:
    r"""Distribution of the observation that is k = `steps_ahead` steps ahead, p(x_{n+k} | x_1..n).

    $p(x_{n+k} = v | x_{1:n}) = \eta_n M^{k-1} T^{(v)} \mathbf{1}$ with $M = \sum_v T^{(v)}$
    (Chapman–Kolmogorov).

    Raises:
        ValueError: if transitions change in time, as those of the future are then unknown, or k < 1.
        ImpossibleObservation, ValueError: as `filter_beliefs`.
    """
    if transitions.ndim == 5:
        raise ValueError(
            "predict needs transitions that stay the same, (V, S, S) or (B, V, S, S): those given change in "
            "time, so what holds after the last observation is unknown"
        )
    if steps_ahead < 1:
        raise ValueError(f"steps_ahead must be at least 1 (got {steps_ahead})")
    filtered = filter_beliefs(transitions, initial, observations, lengths, readout)
    matrices = np.asarray(transitions, dtype=np.float64)
    move = matrices.sum(axis=-3)
    read_out = matrices.sum(axis=-1) if readout is None else matrices @ readout
    emit = read_out.swapaxes(-1, -2)  # P(next symbol | state)
    belief = filtered.beliefs[:, -1, None, :]
    for _ in range(steps_ahead - 1):
        belief = belief @ move
    distribution = (belief @ emit)[:, 0, :]
    if readout is not None:  # where a symbol is impossible, rounding may leave it a little below zero
        distribution = np.maximum(distribution, 0.0)
    return Predicted(distribution, filtered.log_probability)


def random_paths(
    transitions: Transitions,
    initial: Initial,
    n_steps: int,
    batch_size: int,
    seed: int | np.random.Generator,
    readout: Float[np.ndarray, " state"] | None = None,
) -> Paths:
    r"""Draws from the process itself: $s_0 \sim$ `initial`, then $(x_t, s_t) \sim T^{(x)}_{s_{t-1}, s}$.

    With `readout`, symbol by symbol from what the predictive vector says, $x_t \sim \eta_{t-1} T^{(x)} w$; its
    latents are all ``NO_LATENT``.

    Raises:
        ValueError: if shapes do not fit, transitions change in time, or something is no distribution.
    """
    nothing = np.zeros((batch_size, 0), dtype=np.int64)
    if transitions.ndim not in (3, 4):
        raise ValueError(f"transitions must have shape (V, S, S) or (B, V, S, S) (got {transitions.shape})")
    starts = _batch(transitions, initial, nothing, None, readout).initial
    if readout is not None:
        uniforms = np.random.default_rng(seed).random((batch_size, n_steps))
        observations = walk_vectors(np.asarray(transitions, dtype=np.float64), starts, readout, uniforms)
        return Paths(observations, np.full((batch_size, n_steps + 1), NO_LATENT))
    matrices = np.ascontiguousarray(transitions, dtype=np.float64).reshape(-1, *transitions.shape[-3:]).view()
    matrices.setflags(write=False)  # as in `_batch`
    emitted, reached, sums = paths.possible_moves(matrices)
    wrong = ~(np.abs(sums[..., -1] - 1) <= SUM_TOLERANCE)
    if wrong.any():
        problem, state = np.argwhere(wrong)[0].tolist()
        where = f"from state {state}" if transitions.ndim == 3 else f"problem {problem}, from state {state}"
        raise ValueError(f"{where}: transitions must sum to 1 (got {sums[problem, state, -1]:.9g})")
    first = np.asarray(initial, dtype=np.float64).reshape(-1, transitions.shape[-1]).cumsum(axis=-1)
    shared, own = np.zeros(batch_size, dtype=np.int64), np.arange(batch_size)
    which = (shared if transitions.ndim == 3 else own, shared if initial.ndim == 1 else own)
    observations = np.empty((batch_size, n_steps), dtype=np.int64)
    latents = np.empty((batch_size, n_steps + 1), dtype=np.int64)
    sums, first = sums / sums[..., -1:], first / first[..., -1:]
    paths.walk(emitted, reached, sums, first, *which, np.random.default_rng(seed), observations, latents)
    return Paths(observations, latents)


# ── what the kernels read ────────────────────────────────────────────────────────────────────────


class _Batch(NamedTuple):
    stack: np.ndarray  # (M, S, S), every matrix there is
    choice: np.ndarray  # (B, n), which of them moves each step
    lengths: np.ndarray  # (B,)
    initial: np.ndarray  # (B, S)
    observations: np.ndarray  # (B, n)


class _Forward(NamedTuple):
    beliefs: np.ndarray
    log_probability: np.ndarray
    log_beliefs: np.ndarray  # (R, n+1, S), of the problems that leave float64's range
    log_row: np.ndarray  # (B,), their row there, -1 for all others

    @property
    def beliefs_in_both_forms(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        return self.beliefs, self.log_beliefs, self.log_row


def _batch(
    transitions: np.ndarray,
    initial: np.ndarray,
    observations: np.ndarray,
    lengths: np.ndarray | None,
    readout: np.ndarray | None = None,
) -> _Batch:
    transitions = np.asarray(transitions, dtype=np.float64)
    n_problems, steps = observations.shape
    symbols, states = transitions.shape[-3:-1] if transitions.ndim >= 3 else (0, 0)
    leading = ((), (n_problems,), (n_problems, steps))
    if not symbols or transitions.shape not in [(*sizes, symbols, states, states) for sizes in leading]:
        raise ValueError(
            f"transitions must have shape (V, S, S), ({n_problems}, V, S, S) or "
            f"({n_problems}, {steps}, V, S, S) beside {n_problems} observation sequences of {steps} "
            f"(got {transitions.shape})"
        )
    lengths = np.full(n_problems, steps) if lengths is None else np.asarray(lengths, dtype=np.int64)
    if lengths.shape != (n_problems,) or (lengths < 0).any() or (lengths > steps).any():
        raise ValueError(f"lengths must be {n_problems} integers from 0 to {steps} (got {lengths})")

    index = np.ascontiguousarray(observations, dtype=np.int64)
    if index.size and index.view(np.uint64).max() >= symbols:  # as unsigned numbers, negative ones are large
        within = np.arange(steps) < lengths[:, None]
        unknown = np.argwhere(within & ((index < 0) | (index >= symbols)))
        if unknown.size:
            problem, step = unknown[0].tolist()
            raise ValueError(
                f"problem {problem}, step {step + 1}: a symbol must be from 0 to {symbols - 1} "
                f"(got {observations[problem, step]})"
            )  # what lies beyond a length is never looked up
    if transitions.ndim == 4:
        index = index + symbols * np.arange(n_problems)[:, None]
    elif transitions.ndim == 5:
        index = index + symbols * np.arange(n_problems * steps).reshape(n_problems, steps)

    initial = np.asarray(initial, dtype=np.float64)
    if initial.shape not in ((states,), (n_problems, states)):
        raise ValueError(f"initial must have shape ({states},) or ({n_problems}, {states}) (got {initial.shape})")
    rows = np.atleast_2d(initial)
    one = rows.sum(axis=1) if readout is None else rows @ readout
    wrong = ~(np.abs(one - 1) <= SUM_TOLERANCE)
    if readout is None:
        wrong |= ~(rows >= 0).all(axis=1)
    if wrong.any() and n_problems:
        problem = int(np.argmax(wrong))
        what = "be a distribution" if readout is None else "read out as 1"
        raise ValueError(f"initial of problem {problem} must {what} (got {rows[problem]})")
    initial = np.broadcast_to(initial, (n_problems, states))

    stack = np.ascontiguousarray(transitions.reshape(-1, states, states)).view()
    stack.setflags(write=False)  # numba compiles for each kind of array: this way there is only one
    return _Batch(stack, index, lengths, initial, observations)


def _forward(batch: _Batch) -> _Forward:
    """Filters with plain numbers, and once more with logarithms those problems that need it."""
    (n_problems, steps), states = batch.choice.shape, batch.initial.shape[1]
    beliefs = np.empty((n_problems, steps + 1, states))
    log_probability = np.zeros(n_problems)
    impossible = np.zeros(n_problems, dtype=np.int64)
    underflow = np.zeros(n_problems, dtype=np.bool_)
    filters.filter_plainly(
        batch.stack,
        batch.choice,
        batch.lengths,
        np.ascontiguousarray(batch.initial),
        beliefs,
        log_probability,
        impossible,
        underflow,
    )
    again = np.flatnonzero(underflow)
    log_row = np.full(n_problems, -1)
    log_row[again] = np.arange(again.size)
    log_beliefs = np.empty((again.size, steps + 1, states))
    if again.size:
        with np.errstate(divide="ignore"):
            log_initial = np.log(batch.initial[again])
        log_probability_again, impossible_again = np.zeros(again.size), np.zeros(again.size, dtype=np.int64)
        filters.filter_in_logs(
            batch.stack,
            batch.choice[again],
            batch.lengths[again],
            log_initial,
            log_beliefs,
            log_probability_again,
            impossible_again,
        )
        log_probability[again], impossible[again] = log_probability_again, impossible_again
    _raise_if_impossible(impossible, batch.observations)
    beliefs[again, 1:] = np.exp(log_beliefs[:, 1:])  # what was given stays as it is, to the last bit
    return _Forward(beliefs, log_probability, log_beliefs, log_row)


def _raise_if_impossible(impossible: np.ndarray, observations: np.ndarray) -> None:
    if impossible.any():
        problem = int(np.argmax(impossible > 0))
        step = int(impossible[problem])
        raise ImpossibleObservation(problem, step, int(observations[problem, step - 1]))
