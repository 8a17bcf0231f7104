"""Describe a process in numbers: its entropy rate, mixing time, and how fast its filter forgets."""

import math
from fractions import Fraction
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int
from scipy.special import entr

from unamortized.worlds.inference import filter_beliefs, random_paths
from unamortized.worlds.mixed_states import (
    Bounds,
    Level,
    known_start,
    mixed_state_chain,
    mixed_states,
    next_symbol_entropy,
    unknown_start,
)
from unamortized.worlds.processes import Process
from unamortized.worlds.processes.process import closed_classes, stationary_distribution, stationary_vector

LARGEST_CHAIN = 1000  # mixed states; solve their chain up to this size, otherwise bound the entropy rate by their tree
ON_THE_CIRCLE = 1e-10  # eigenvalues whose modulus is this close to 1 count as on the unit circle
COLLAPSED = 1e-12  # a direction that shrinks by more than this in one step consists of rounding errors
WORDS, WORD_LENGTH, BURN_IN = 64, 2000, 200  # of samples; a large process gets fewer words
WORK = 10**9  # multiplications that sampling may take


class EntropyRate(NamedTuple):
    """The entropy of a symbol given the whole past, in nats."""

    bounds: Bounds  # proven; both are exact if the chain of mixed states was solved
    estimate: float  # the exact value, or the mean over sampled words
    error: float  # standard error of the estimate; 0 if exact
    n_mixed_states: int | None  # size of the chain; None if it was not solved


class Mixing(NamedTuple):
    """How fast the distribution over states forgets the start, without observations."""

    steps: float  # per factor e, within a phase if periodic; 0 if one step is enough
    period: int
    components: int  # closed sets of states; with several, the start is never forgotten


class Forgetting(NamedTuple):
    """How fast the belief forgets the start, given the observations."""

    steps: float  # per factor e; infinite if the belief never forgets, 0 if some word erases the start at once
    error: float  # standard error


class Description(NamedTuple):
    """A process in numbers. Entry n of a curve is about symbol n + 1, from a stationary start."""

    myopic: list[Bounds]  # H[X_{n+1} | X_1..n], at least the entropy rate
    given_start: list[Bounds] | None  # H[X_{n+1} | X_1..n, S_0], at most the entropy rate; None without states
    entropy_rate: EntropyRate
    mixing: Mixing
    forgetting: Forgetting


def describe_process(
    process: Process, depth: int, generator: np.random.Generator, smallest: float = 0.0
) -> Description:
    r"""Compute all numbers about a process.

    $H[X_{n+1} | X_{1..n}, S_0] \le h \le H[X_{n+1} | X_{1..n}]$, and both converge to the entropy rate h (Cover &
    Thomas 2006, theorem 4.5.1). ``depth`` is the length of the longest words whose mixed states are computed; those
    less probable than ``smallest`` are not followed.
    """
    start = stationary_start(process)
    myopic = myopic_entropy(process, unknown_start(start), depth, smallest)
    given_start = None if process.is_generalized else myopic_entropy(process, known_start(start), depth, smallest)
    return Description(
        myopic,
        given_start,
        entropy_rate(process, start, myopic, given_start, generator),
        mixing_time(process.state_transitions),
        forgetting_time(process, start, generator),
    )


def myopic_entropy(process: Process, start: Level, depth: int, smallest: float = 0.0) -> list[Bounds]:
    """Return H[X_{n+1} | X_1..n] for n = 0 .. `depth`, in nats."""
    return [next_symbol_entropy(process, level) for level in mixed_states(process, start, depth, smallest)]


def mean_process(process: Process) -> Process:
    """Average the transitions of a process per problem; return a shared process as it is."""
    if not process.per_problem:
        return process
    initial = process.initial.mean(axis=0) if process.initial.ndim == 2 else process.initial
    return Process(process.transitions.mean(axis=0), initial, process.symbol_names, process.state_names)


def stationary_start(process: Process) -> Float[np.ndarray, " state"]:
    """Return a start that makes the process stationary: its own if it does, otherwise the average over time."""
    move = process.state_transitions
    if np.allclose(process.initial @ move, process.initial, rtol=0, atol=1e-10):
        return process.initial
    if process.readout is not None:
        return stationary_vector(move, process.readout)
    return long_run(move, process.initial)


def long_run(chain: Float[np.ndarray, "node node"], start: Float[np.ndarray, " node"]) -> Float[np.ndarray, " node"]:
    """Return the share of time that a Markov chain spends in each node; it may be periodic or reducible."""
    label, closed = closed_classes(chain)
    transient = ~np.isin(label, closed)
    visits = np.linalg.solve(np.eye(transient.sum()) - chain[np.ix_(transient, transient)].T, start[transient])
    share = np.zeros(len(start))
    for closed_class in closed:
        within = label == closed_class
        entering = start[within].sum() + (visits @ chain[np.ix_(transient, within)]).sum()
        share[within] = entering * stationary_distribution(chain[np.ix_(within, within)])
    return share


def entropy_rate(
    process: Process,
    start: Float[np.ndarray, " state"],
    above: list[Bounds],
    below: list[Bounds] | None,
    generator: np.random.Generator,
) -> EntropyRate:
    r"""Compute the entropy rate exactly from a finite chain of mixed states, or estimate it from sampled words.

    $h = \int H[X | \eta] \, d\mu(\eta)$ over the stationary distribution of beliefs (Blackwell 1957). With few beliefs
    this is a sum. Otherwise it is estimated by the mean along sampled words, which varies less than
    $-\frac{1}{n} \log P(x_{1..n})$ (Birch 1962); independent words give the standard error, and the curves give bounds.
    An unknown start and a known one have the same entropy rate (Cover & Thomas 2006, theorem 4.5.1), so either may
    give the finite chain.
    """
    chain = mixed_state_chain(process, unknown_start(start), LARGEST_CHAIN)
    if chain is None and not process.is_generalized:  # from a known start, a unifilar process has one belief per state
        chain = mixed_state_chain(process, known_start(start), LARGEST_CHAIN)
    if chain is not None:
        costs = entr(chain.emissions).sum(axis=1)
        exact = float(long_run(chain.transitions, chain.share) @ costs)
        return EntropyRate(Bounds(exact, exact), exact, 0.0, len(costs))
    observations = _sample_words(process, start, WORD_LENGTH, generator)
    beliefs = filter_beliefs(process.transitions, start, observations, readout=process.readout).beliefs[:, BURN_IN:]
    cost = entr((beliefs @ process.emissions).clip(min=0.0)).sum(axis=2).mean(axis=1)
    low = max((bounds.low for bounds in below or []), default=0.0)
    high = min(bounds.high for bounds in above)
    return EntropyRate(Bounds(low, high), float(cost.mean()), float(cost.std(ddof=1) / np.sqrt(len(cost))), None)


def mixing_time(move: Float[np.ndarray, "state state"]) -> Mixing:
    r"""Return the relaxation time $-1 / \ln |\lambda|$ of the eigenvalue $\lambda$ with the largest modulus below 1.

    Of the eigenvalues on the unit circle, each 1 belongs to a closed set of states, and the other roots of unity to
    its period (Levin & Peres 2017, chapter 12).
    """
    eigenvalues = np.linalg.eigvals(move)
    modulus = np.abs(eigenvalues)
    persistent = eigenvalues[modulus > 1 - ON_THE_CIRCLE]
    largest = modulus[modulus <= 1 - ON_THE_CIRCLE].max(initial=0.0)
    turns = (Fraction(float(angle) / (2 * np.pi)).limit_denominator(len(move)) for angle in np.angle(persistent))
    period = math.lcm(*(turn.denominator for turn in turns))
    components = int((np.abs(persistent - 1) < 1e-6).sum())
    return Mixing(float(-1 / np.log(largest)) if largest > 0 else 0.0, period, components)


def forgetting_time(process: Process, start: Float[np.ndarray, " state"], generator: np.random.Generator) -> Forgetting:
    r"""Return the steps in which filters with different starts approach by a factor e: $1 / (\lambda_1 - \lambda_2)$.

    $\lambda_1 \ge \lambda_2$ are the Lyapunov exponents of the random product $T^{(x_1)} T^{(x_2)} \cdots$ along a
    word of the process (Atar & Zeitouni 1997), computed by re-orthogonalizing two vectors (Benettin et al. 1980).
    """
    if process.n_states == 1:
        return Forgetting(0.0, 0.0)
    steps = WORD_LENGTH // 4  # fewer, since each step multiplies a matrix per word
    observations = _sample_words(process, start, steps, generator)
    n_words = len(observations)
    first = np.repeat(start[None], n_words, axis=0)
    second = generator.standard_normal(first.shape)
    gap = np.zeros(n_words)
    for step, symbols in enumerate(observations.T):
        moved = np.stack([first, second], axis=1) @ process.transitions[symbols]
        first, second = moved[:, 0], moved[:, 1]
        grown = np.linalg.norm(first, axis=1)
        first = first / grown[:, None]
        before = np.linalg.norm(second, axis=1)
        for _ in range(2):  # one projection loses orthogonality to cancellation, two do not (Kahan)
            second = second - (second * first).sum(axis=1)[:, None] * first
        shrunk = np.linalg.norm(second, axis=1)
        if (shrunk <= COLLAPSED * before).any():
            return Forgetting(0.0, 0.0)
        second = second / shrunk[:, None]
        if step >= BURN_IN:
            gap += np.log(grown / shrunk) / steps
    rate, error = gap.mean(), gap.std(ddof=1) / np.sqrt(n_words)
    if rate < 1e-9:
        return Forgetting(np.inf, 0.0)
    return Forgetting(float(1 / rate), float(error / rate**2))


def _sample_words(
    process: Process, start: Float[np.ndarray, " state"], steps: int, generator: np.random.Generator
) -> Int[np.ndarray, "word step"]:
    """Sample words with a burn-in, as many as the work allows."""
    n_words = int(np.clip(WORK // (WORD_LENGTH * process.n_states**2), 4, WORDS))
    return random_paths(process.transitions, start, BURN_IN + steps, n_words, generator, process.readout).observations
