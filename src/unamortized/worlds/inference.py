"""Exact inference in hidden Markov processes: beliefs, evidence, posterior samples, predictions.

All functions are pure and take batches. `transitions[..., x, i, j]` is P(emit x, go to j | in i). Transitions may be
shared (V, S, S), per problem (B, V, S, S), or also vary in time (B, n, V, S, S); entry t then governs the step from s_t
to s_{t+1}, which emits the observation at index t. `initial` is P(s_0), shared (S,) or per problem (B, S); pass a
filtered belief to continue from it. With `lengths`, a batch is ragged: observations beyond a problem's length are
ignored, and its last belief or latent is repeated, so index -1 is the final one for every problem.

With `readout`, the right eigenvector w of a generalized process (GHMM), beliefs are predictive vectors. They filter and
predict in the same way, but there are no latents to smooth, sample or decode.

Functions of observations raise ImpossibleObservation if a sequence has probability zero, with the first such problem
and its step, and ValueError if shapes do not match, a symbol is out of range, or `initial` is not a distribution.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from unamortized.worlds.kernels import backward, filters, paths
from unamortized.worlds.predictive_vectors import filter_vectors, sample_symbols

SUM_TOLERANCE = 1e-6  # accepts distributions converted from float32
NO_LATENT = -1  # the latent of processes with predictive vectors instead of states

Transitions = (
    Float[np.ndarray, "symbol state state"]
    | Float[np.ndarray, "batch symbol state state"]
    | Float[np.ndarray, "batch steps symbol state state"]
)
Initial = Float[np.ndarray, " state"] | Float[np.ndarray, "batch state"]


class ImpossibleObservation(ValueError):
    """A sequence has probability zero: `symbol` is impossible at `step` (from 1) of `problem` (from 0)."""

    def __init__(self, problem: int, step: int, symbol: int):
        self.problem, self.step, self.symbol = problem, step, symbol
        super().__init__(problem, step, symbol)

    def __str__(self) -> str:
        return (
            f"problem {self.problem}, step {self.step}: symbol {self.symbol} has probability zero; check that these "
            "transitions generated the observations, and that `initial` allows the state in which they started"
        )


class Beliefs(NamedTuple):
    """Exact marginals of each latent, and the evidence, of a batch of observation sequences."""

    beliefs: Float[np.ndarray, "batch steps+1 state"]  # before the first and after each observation
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
    """The distribution of a future observation."""

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
) -> Beliefs:
    r"""Compute the belief over the latent state after each observation, p(s_t | x_1..t), by forward filtering.

    $\eta_t = \eta_{t-1} T^{(x_t)} / (\eta_{t-1} T^{(x_t)} \mathbf{1})$, and
    $\log P(x_{1:n}) = \sum_t \log(\eta_{t-1} T^{(x_t)} \mathbf{1})$ (Rabiner 1989, scaled forward pass). With
    `readout`, w replaces the ones, and beliefs are predictive vectors (Upper 1997).
    """
    batch = _batch(transitions, initial, observations, lengths, readout)
    if readout is None:
        return _forward(batch)[0]
    beliefs, log_probability, impossible = filter_vectors(*batch.steps, batch.initial, readout)
    _raise_if_impossible(impossible, observations)
    return Beliefs(beliefs, log_probability)


def smooth_beliefs(
    transitions: Transitions,
    initial: Initial,
    observations: Int[np.ndarray, "batch steps"],
    lengths: Int[np.ndarray, " batch"] | None = None,
) -> Beliefs:
    r"""Compute the belief over each latent given the whole sequence, p(s_t | x_1..n) for t = 0..n.

    $p(s_t = i | x_{1:n}) = \sum_j p(s_{t+1} = j | x_{1:n}) \, \eta_t(i) T^{(x_{t+1})}_{ij} / \sum_k \eta_t(k)
    T^{(x_{t+1})}_{kj}$, backwards from $\eta_n$ (Rauch, Tung & Striebel 1965; Kitagawa 1987 for finite
    states). Each step averages probabilities, so no rescaling is needed.
    """
    batch = _batch(transitions, initial, observations, lengths)
    filtered, in_logs = _forward(batch)
    smoothed = np.empty_like(filtered.beliefs)
    backward.smooth(*batch.steps, filtered.beliefs, *in_logs, smoothed)
    return Beliefs(smoothed, filtered.log_probability)


def sample_latents(
    transitions: Transitions,
    initial: Initial,
    observations: Int[np.ndarray, "batch steps"],
    seed: int | np.random.Generator,
    lengths: Int[np.ndarray, " batch"] | None = None,
    samples: int | None = None,
) -> SampledLatents:
    r"""Draw whole latent paths s_0..s_n from p(s_0..n | x_1..n), independently.

    Forward filtering, backward sampling: $s_n \sim \eta_n$, then $p(s_t = i | s_{t+1} = j, x_{1:n}) \propto
    \eta_t(i) T^{(x_{t+1})}_{ij}$ (Carter & Kohn 1994; Frühwirth-Schnatter 1994). With `samples`, the latents have a
    leading axis of that length; without it, each problem gets one draw.
    """
    batch = _batch(transitions, initial, observations, lengths)
    filtered, in_logs = _forward(batch)
    uniforms = np.random.default_rng(seed).random((1 if samples is None else samples, *filtered.beliefs.shape[:2]))
    latents = np.empty(uniforms.shape, dtype=np.int64)
    backward.sample_backward(*batch.steps, filtered.beliefs, *in_logs, uniforms, latents)
    return SampledLatents(latents[0] if samples is None else latents, filtered.log_probability)


def most_likely_latents(
    transitions: Transitions,
    initial: Initial,
    observations: Int[np.ndarray, "batch steps"],
    lengths: Int[np.ndarray, " batch"] | None = None,
) -> MostLikely:
    r"""Find the latent path s_0..s_n of highest posterior probability, by the Viterbi algorithm.

    $\delta_t(j) = \max_i \delta_{t-1}(i) + \log T^{(x_t)}_{ij}$ from $\delta_0 = \log p(s_0)$ (Viterbi 1967). Ties go
    to the lower state, from the last step backwards.
    """
    batch = _batch(transitions, initial, observations, lengths)
    n_problems, n_steps = observations.shape
    latents, log_joint = np.empty((n_problems, n_steps + 1), dtype=np.int64), np.empty(n_problems)
    backward.viterbi(*batch.steps, np.ascontiguousarray(batch.initial), latents, log_joint)
    if np.isneginf(log_joint).any():
        _forward(batch)  # raises an error that names the step
    return MostLikely(latents, log_joint)


def predict(
    transitions: Transitions,
    initial: Initial,
    observations: Int[np.ndarray, "batch steps"],
    steps_ahead: int = 1,
    lengths: Int[np.ndarray, " batch"] | None = None,
    readout: Float[np.ndarray, " state"] | None = None,
) -> Predicted:
    r"""Compute the distribution of the observation k = `steps_ahead` steps ahead, p(x_{n+k} | x_1..n).

    $p(x_{n+k} = v | x_{1:n}) = \eta_n M^{k-1} T^{(v)} \mathbf{1}$ with $M = \sum_v T^{(v)}$ (Chapman–Kolmogorov).

    Raises:
        ValueError: if k < 1, or if transitions vary in time, so that the future ones are unknown.
    """
    if transitions.ndim == 5:
        raise ValueError(
            "transitions must have shape (V, S, S) or (B, V, S, S) to predict, since those that vary in time are "
            f"unknown after the last observation (got {transitions.shape})"
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
    if readout is not None:  # rounding may leave an impossible symbol slightly below zero
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
    r"""Sample from the process: $s_0 \sim$ `initial`, then $(x_t, s_t) \sim T^{(x)}_{s_{t-1}, s}$.

    With `readout`, sample symbols from predictive vectors, $x_t \sim \eta_{t-1} T^{(x)} w$; all latents are then
    ``NO_LATENT``.

    Raises:
        ValueError: if shapes do not match, transitions vary in time, or probabilities do not sum to 1.
    """
    no_observations = np.zeros((batch_size, 0), dtype=np.int64)
    if transitions.ndim not in (3, 4):
        raise ValueError(f"transitions must have shape (V, S, S) or (B, V, S, S) (got {transitions.shape})")
    starts = _batch(transitions, initial, no_observations, None, readout).initial
    if readout is not None:
        uniforms = np.random.default_rng(seed).random((batch_size, n_steps))
        observations = sample_symbols(np.asarray(transitions, dtype=np.float64), starts, readout, uniforms)
        return Paths(observations, np.full((batch_size, n_steps + 1), NO_LATENT))
    matrices = np.ascontiguousarray(transitions, dtype=np.float64).reshape(-1, *transitions.shape[-3:]).view()
    matrices.setflags(write=False)  # as in `_batch`
    emitted, reached, sums = paths.possible_moves(matrices)
    wrong = ~(np.abs(sums[..., -1] - 1) <= SUM_TOLERANCE)
    if wrong.any():
        problem, state = np.argwhere(wrong)[0].tolist()
        where = f"state {state}" if transitions.ndim == 3 else f"state {state} of problem {problem}"
        raise ValueError(f"transitions from {where} must sum to 1 (got {sums[problem, state, -1]:.9g})")
    initial_sums = np.asarray(initial, dtype=np.float64).reshape(-1, transitions.shape[-1]).cumsum(axis=-1)
    shared, own = np.zeros(batch_size, dtype=np.int64), np.arange(batch_size)
    rows = (shared if transitions.ndim == 3 else own, shared if initial.ndim == 1 else own)
    observations = np.empty((batch_size, n_steps), dtype=np.int64)
    latents = np.empty((batch_size, n_steps + 1), dtype=np.int64)
    sums, initial_sums = sums / sums[..., -1:], initial_sums / initial_sums[..., -1:]
    paths.walk(emitted, reached, sums, initial_sums, *rows, np.random.default_rng(seed), observations, latents)
    return Paths(observations, latents)


# ── inputs of the kernels ────────────────────────────────────────────────────────────────────────


class _Batch(NamedTuple):
    stack: np.ndarray  # (M, S, S), all matrices
    choice: np.ndarray  # (B, n), the matrix of each step
    lengths: np.ndarray  # (B,)
    initial: np.ndarray  # (B, S)
    observations: np.ndarray  # (B, n)

    @property
    def steps(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        return self.stack, self.choice, self.lengths


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
            f"transitions must have shape (V, S, S), ({n_problems}, V, S, S) or ({n_problems}, {steps}, V, S, S) to "
            f"match observations of shape ({n_problems}, {steps}) (got {transitions.shape})"
        )
    lengths = np.full(n_problems, steps) if lengths is None else np.asarray(lengths, dtype=np.int64)
    if lengths.shape != (n_problems,) or (lengths < 0).any() or (lengths > steps).any():
        raise ValueError(f"lengths must be {n_problems} integers from 0 to {steps} (got {lengths})")

    index = np.ascontiguousarray(observations, dtype=np.int64)
    if index.size and index.view(np.uint64).max() >= symbols:  # negative numbers are large as unsigned ones
        within = np.arange(steps) < lengths[:, None]
        unknown = np.argwhere(within & ((index < 0) | (index >= symbols)))
        if unknown.size:
            problem, step = unknown[0].tolist()
            raise ValueError(  # symbols beyond a problem's length are never looked up
                f"problem {problem}, step {step + 1}: a symbol must be from 0 to {symbols - 1} "
                f"(got {observations[problem, step]})"
            )
    if transitions.ndim == 4:
        index = index + symbols * np.arange(n_problems)[:, None]
    elif transitions.ndim == 5:
        index = index + symbols * np.arange(n_problems * steps).reshape(n_problems, steps)

    initial = np.asarray(initial, dtype=np.float64)
    if initial.shape not in ((states,), (n_problems, states)):
        raise ValueError(f"initial must have shape ({states},) or ({n_problems}, {states}) (got {initial.shape})")
    rows = np.atleast_2d(initial)
    total = rows.sum(axis=1) if readout is None else rows @ readout
    wrong = ~(np.abs(total - 1) <= SUM_TOLERANCE)
    if readout is None:
        wrong |= ~(rows >= 0).all(axis=1)
    if wrong.any() and n_problems:
        problem = int(np.argmax(wrong))
        requirement = "be a distribution" if readout is None else "have a readout of 1"
        raise ValueError(f"initial of problem {problem} must {requirement} (got {rows[problem]})")
    initial = np.broadcast_to(initial, (n_problems, states))

    stack = np.ascontiguousarray(transitions.reshape(-1, states, states)).view()
    stack.setflags(write=False)  # numba compiles a kernel for each type of array; this makes it only one
    return _Batch(stack, index, lengths, initial, observations)


def _forward(batch: _Batch) -> tuple[Beliefs, tuple[np.ndarray, np.ndarray]]:
    """Filter with plain numbers, then repeat with logarithms for problems that underflow.

    Also return the latters' log_beliefs (R, n+1, S), and log_row (B,), each problem's row in them, or -1.
    """
    (n_problems, steps), states = batch.choice.shape, batch.initial.shape[1]
    beliefs, log_probability = np.empty((n_problems, steps + 1, states)), np.zeros(n_problems)
    impossible, underflow = np.zeros(n_problems, dtype=np.int64), np.zeros(n_problems, dtype=np.bool_)
    initial = np.ascontiguousarray(batch.initial)
    filters.filter_plainly(*batch.steps, initial, beliefs, log_probability, impossible, underflow)
    rows = np.flatnonzero(underflow)
    log_row = np.full(n_problems, -1)
    log_row[rows] = np.arange(rows.size)
    log_beliefs = np.empty((rows.size, steps + 1, states))
    if rows.size:
        with np.errstate(divide="ignore"):
            log_initial = np.log(batch.initial[rows])
        repeated = np.zeros(rows.size), np.zeros(rows.size, dtype=np.int64)
        filters.filter_in_logs(
            batch.stack, batch.choice[rows], batch.lengths[rows], log_initial, log_beliefs, *repeated
        )
        log_probability[rows], impossible[rows] = repeated
    _raise_if_impossible(impossible, batch.observations)
    beliefs[rows, 1:] = np.exp(log_beliefs[:, 1:])  # leaves the initial belief exactly as given
    return Beliefs(beliefs, log_probability), (log_beliefs, log_row)


def _raise_if_impossible(impossible: np.ndarray, observations: np.ndarray) -> None:
    if impossible.any():
        problem = int(np.argmax(impossible > 0))
        step = int(impossible[problem])
        raise ImpossibleObservation(problem, step, int(observations[problem, step - 1]))
