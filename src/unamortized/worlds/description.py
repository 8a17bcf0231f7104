"""What a process is like, in numbers: how random, how fast it mixes, how fast its filter forgets."""

import math
from fractions import Fraction
from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from scipy.sparse.csgraph import connected_components
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
from unamortized.worlds.processes.process import stationary_distribution, stationary_vector

FEW = 1000  # mixed states; up to here their chain is solved, beyond the tree bounds what is asked
ON_THE_CIRCLE = 1e-10  # an eigenvalue's modulus this near to 1 is 1
COLLAPSED = 1e-12  # a direction that shrinks so much at once is gone, but for rounding
WORDS, WORD_LENGTH, BURN_IN = 64, 2000, 200  # sampled, where a large process does not ask for fewer
WORK = 10**9  # multiplications that sampling may take


class EntropyRate(NamedTuple):
    """Nats that a symbol costs when all before it are known."""

    bounds: Bounds  # proven; equal where the mixed states are few
    estimate: float  # the exact value, or the mean over sampled words
    error: float  # standard error of the estimate; 0 where it is exact
    n_mixed_states: int | None  # where they are few


class Mixing(NamedTuple):
    """How fast the state forgets where it started, when nobody looks."""

    steps: float  # for a factor e, within a phase if periodic; 0 if it takes one step
    period: int
    components: int  # sets of states that are never left; with several, the start is never forgotten


class Forgetting(NamedTuple):
    """How fast the belief forgets where it started, given the observations."""

    steps: float  # for a factor e; infinite if it never does, 0 if some word makes it forget everything at once
    error: float  # standard error


class Description(NamedTuple):
    """A process in numbers. Entry n of a curve is about the symbol after n others, from a stationary start."""

    myopic: list[Bounds]  # H[X_{n+1} | X_1..n], never below the entropy rate
    given_start: list[Bounds] | None  # H[X_{n+1} | X_1..n, S_0], never above it; not of predictive vectors
    entropy_rate: EntropyRate
    mixing: Mixing
    forgetting: Forgetting


def describe_process(
    process: Process, depth: int, generator: np.random.Generator, smallest: float = 0.0
) -> Description:
    r"""All of it.

    $H[X_{n+1} | X_{1..n}, S_0] \le h \le H[X_{n+1} | X_{1..n}]$, and both converge to the entropy rate h (Cover &
    Thomas 2006, theorem 4.5.1).

    Args:
        process: the process, one for all problems.
        depth: symbols up to which mixed states are followed.
        generator: of the words that are sampled.
        smallest: probability below which mixed states are not followed.
    """
    start = stationary_start(process)
    myopic = myopic_entropy(process, unknown_start(start), depth, smallest)
    informed = None if process.is_generalized else myopic_entropy(process, known_start(start), depth, smallest)
    return Description(
        myopic,
        informed,
        entropy_rate(process, start, myopic, informed, generator),
        mixing_time(process.state_transitions),
        forgetting_time(process, start, generator),
    )


def myopic_entropy(process: Process, start: Level, depth: int, smallest: float = 0.0) -> list[Bounds]:
    """H[X_{n+1} | X_1..n] for n = 0 .. `depth`, nats: what the symbol at position n + 1 costs."""
    return [next_symbol_entropy(process, level) for level in mixed_states(process, start, depth, smallest)]


def mean_process(process: Process) -> Process:
    """The process that problems with transitions of their own are like on average; else the process itself."""
    if not process.per_problem:
        return process
    initial = process.initial.mean(axis=0) if process.initial.ndim == 2 else process.initial
    return Process(process.transitions.mean(axis=0), initial, process.symbol_names, process.state_names)


def stationary_start(process: Process) -> Float[np.ndarray, " state"]:
    """The start from which the process is stationary: its own, or what it comes to on average over time."""
    move = process.state_transitions
    if np.allclose(process.initial @ move, process.initial, rtol=0, atol=1e-10):
        return process.initial
    if process.readout is not None:
        return stationary_vector(move, process.readout)
    return long_run(move, process.initial)


def long_run(chain: Float[np.ndarray, "node node"], start: Float[np.ndarray, " node"]) -> Float[np.ndarray, " node"]:
    """The share of time that a Markov chain spends in each node, also if periodic or if it falls into parts."""
    n_classes, label = connected_components(chain > 0, directed=True, connection="strong")
    leaving = (chain > 0) & (label[:, None] != label[None, :])
    closed = [part for part in range(n_classes) if not leaving[label == part].any()]
    passing = ~np.isin(label, closed)
    visits = np.linalg.solve(np.eye(passing.sum()) - chain[np.ix_(passing, passing)].T, start[passing])
    share = np.zeros(len(start))
    for part in closed:
        within = label == part
        entering = start[within].sum() + (visits @ chain[np.ix_(passing, within)]).sum()
        share[within] = entering * stationary_distribution(chain[np.ix_(within, within)])
    return share


def entropy_rate(
    process: Process,
    start: Float[np.ndarray, " state"],
    above: list[Bounds],
    below: list[Bounds] | None,
    generator: np.random.Generator,
) -> EntropyRate:
    r"""Exactly from the chain of mixed states, if there are few; else bounded by the tree, estimated from words.

    $h = \int H[X | \eta] \, d\mu(\eta)$ over the stationary distribution of beliefs (Blackwell 1957): a sum where they
    are few, else the mean along sampled words, which varies less than $-\frac{1}{n} \log P(x_{1..n})$ (Birch 1962).
    The words are independent, which gives the standard error. It may be a start unknown or known that leads to few
    beliefs; in the long run both cost the same (Cover & Thomas 2006, theorem 4.5.1).
    """
    chain = mixed_state_chain(process, unknown_start(start), FEW)
    if chain is None and not process.is_generalized:  # unifilar processes have no others than certain ones then
        chain = mixed_state_chain(process, known_start(start), FEW)
    if chain is not None:
        costs = entr(chain.emissions).sum(axis=1)
        exact = float(long_run(chain.transitions, chain.share) @ costs)
        return EntropyRate(Bounds(exact, exact), exact, 0.0, len(costs))
    n_words = _affordable(process)
    observations = random_paths(
        process.transitions, start, BURN_IN + WORD_LENGTH, n_words, generator, process.readout
    ).observations
    beliefs = filter_beliefs(process.transitions, start, observations, readout=process.readout).beliefs[:, BURN_IN:]
    cost = entr((beliefs @ process.emissions).clip(min=0.0)).sum(axis=2).mean(axis=1)
    low = max((bounds.low for bounds in below or []), default=0.0)
    high = min(bounds.high for bounds in above)
    return EntropyRate(Bounds(low, high), float(cost.mean()), float(cost.std(ddof=1) / np.sqrt(n_words)), None)


def mixing_time(move: Float[np.ndarray, "state state"]) -> Mixing:
    r"""Relaxation time $-1 / \ln |\lambda|$ of the eigenvalue $\lambda$ with the largest modulus below 1.

    Eigenvalues on the unit circle are those of the sets of states that are never left (1 itself) and of their
    periods (its other roots; Levin & Peres 2017, chapter 12).
    """
    eigenvalues = np.linalg.eigvals(move)
    modulus = np.abs(eigenvalues)
    lasting = eigenvalues[modulus > 1 - ON_THE_CIRCLE]
    largest = modulus[modulus <= 1 - ON_THE_CIRCLE].max(initial=0.0)
    turns = (Fraction(float(angle) / (2 * np.pi)).limit_denominator(len(move)) for angle in np.angle(lasting))
    period = math.lcm(*(turn.denominator for turn in turns))
    components = int((np.abs(lasting - 1) < 1e-6).sum())
    return Mixing(float(-1 / np.log(largest)) if largest > 0 else 0.0, period, components)


def forgetting_time(process: Process, start: Float[np.ndarray, " state"], generator: np.random.Generator) -> Forgetting:
    r"""Steps in which two filters with different starts approach by a factor e: $1 / (\lambda_1 - \lambda_2)$.

    $\lambda_1 \ge \lambda_2$ are the Lyapunov exponents of the random product $T^{(x_1)} T^{(x_2)} \cdots$ along a
    word of the process (Atar & Zeitouni 1997), by QR decomposition of a plane that it moves (Benettin et al. 1980).
    """
    if process.n_states == 1:
        return Forgetting(0.0, 0.0)
    n_words = _affordable(process)
    steps = WORD_LENGTH // 4  # each moves whole matrices
    observations = random_paths(
        process.transitions, start, BURN_IN + steps, n_words, generator, process.readout
    ).observations
    first = np.repeat(start[None], n_words, axis=0)
    second = generator.standard_normal(first.shape)
    gap = np.zeros(n_words)
    for step, symbols in enumerate(observations.T):
        moved = np.stack([first, second], axis=1) @ process.transitions[symbols]
        first, second = moved[:, 0], moved[:, 1]
        grown = np.linalg.norm(first, axis=1)
        first = first / grown[:, None]
        before = np.linalg.norm(second, axis=1)
        for _ in range(2):  # twice is enough (Kahan): once leaves what cancels unorthogonal
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


def _affordable(process: Process) -> int:
    """How many words may be sampled."""
    return int(np.clip(WORK // (WORD_LENGTH * process.n_states**2), 4, WORDS))
