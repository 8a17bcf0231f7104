r"""Targets of probes: the belief, quantities that follow from it, and controls.

Each is a function from problems and steps to an array (batch, step, option), exact for these problems.
"""

from collections.abc import Callable
from functools import partial

import numpy as np
from jaxtyping import Float, Int

from unamortized.labels import numbers, stem
from unamortized.language.edits import donors
from unamortized.worlds.inference import filter_beliefs
from unamortized.worlds.problems import Problems
from unamortized.worlds.processes import Process
from unamortized.worlds.randomness import stream
from unamortized.worlds.splits import named_by_questions

Steps = Int[np.ndarray, " step"]
Target = Callable[[Problems, Steps], Float[np.ndarray, "batch step option"]]

FORGOTTEN = 0.5  # share of a wrong process's moves that are redrawn from its stationary distribution
WORDS = 64  # the control task distinguishes at least this many words
POOL = 4096  # beliefs that it assigns to words
LONG = 2**16  # steps after which the start no longer matters


def belief(problems: Problems, steps: Steps) -> Float[np.ndarray, "batch step state"]:
    r"""Return the exact belief $\eta_t$."""
    return problems.beliefs[:, steps]


def next_symbol(problems: Problems, steps: Steps) -> Float[np.ndarray, "batch step symbol"]:
    r"""Return the exact distribution of the next symbol, $\eta_t E$: all that predicting one symbol needs."""
    return problems.beliefs[:, steps] @ problems.process.emissions


def earlier_belief(problems: Problems, steps: Steps, back: int) -> Float[np.ndarray, "batch step state"]:
    r"""Return $\eta_{t - back}$, or the start belief: does a model hold the path, or only its end?"""
    return problems.beliefs[:, np.maximum(steps - back, 0)]


def constrained_belief(problems: Problems, steps: Steps) -> Float[np.ndarray, "batch step state"]:
    r"""Return the belief that one layer of attention can compute: a sum of each observation's own faded evidence.

    $\tilde\eta_t = \pi + (\eta_0 - \pi) M^t + \sum_{s \le t} (\pi^{(x_s)} - \pi) M^{t-s}$ with
    $\pi^{(x)} = \pi T^{(x)} / (\pi T^{(x)} 1)$, $M = \sum_x T^{(x)}$ and the stationary distribution $\pi$ (Piotrowski
    et al. 2025, for attention alone; powers of the matrix stand for those of their eigenvalue).
    """
    process, usual = problems.process, stationary_belief(problems.process)
    moved = np.einsum("...i,...vij->...vj", usual, process.transitions)
    readout = np.ones(process.n_states) if process.readout is None else process.readout
    likelihood = moved @ readout
    evidence = moved / np.where(likelihood > 0, likelihood, 1)[..., None] - np.expand_dims(usual, -2)
    batch, shared = np.arange(len(problems)), evidence.ndim == 2
    faded, beliefs = problems.start_beliefs - usual, [problems.start_beliefs]
    for symbols in problems.observations.T:
        faded = np.einsum("bi,...ij->bj" if shared else "bi,bij->bj", faded, process.state_transitions)
        faded = faded + (evidence[symbols] if shared else evidence[batch, symbols])
        beliefs.append(usual + faded)
    return np.stack(beliefs, axis=1)[:, steps]


def wrong_belief(problems: Problems, steps: Steps) -> Float[np.ndarray, "batch step state"]:
    """Return the belief of exact inference that mistakes the process for ``wrong_process``."""
    wrong = wrong_process(problems.process)
    filtered = filter_beliefs(wrong.transitions, problems.start_beliefs, problems.observations, readout=wrong.readout)
    return filtered.beliefs[:, steps]


def wrong_process(process: Process) -> Process:
    r"""Build another process with the same symbol frequencies and different beliefs.

    Where symbols tell how states move, symbols exchange their moves in a cycle. Where that would change symbol
    frequencies, half of all moves are redrawn, $T'^{(x)} = (T^{(x)} + E_x \pi^\top) / 2$ with stationary $\pi$; such a
    process forgets sooner.
    """
    transitions, emissions, usual = process.transitions, process.emissions, stationary_belief(process)
    by_symbol = np.moveaxis(emissions, -1, -2)[..., None]  # (..., V, S, 1)
    with np.errstate(divide="ignore", invalid="ignore"):
        moves = transitions / by_symbol
    shared = process.readout is None and not process.per_problem  # the choice must not differ between problems
    if shared and np.isfinite(moves).all() and not np.allclose(moves, moves[..., :1, :, :]):
        exchanged = Process(np.roll(moves, 1, axis=-3) * by_symbol, process.initial)
        if np.allclose(symbol_frequencies(exchanged, emissions), symbol_frequencies(process, emissions)):
            return exchanged
    redrawn = by_symbol * usual[..., None, None, :]
    return Process((1 - FORGOTTEN) * transitions + FORGOTTEN * redrawn, process.initial, readout=process.readout)


def symbol_frequencies(
    process: Process, emissions: Float[np.ndarray, "*problem state symbol"]
) -> Float[np.ndarray, "*problem symbol"]:
    """Return the frequencies of symbols when the process's stationary states emit them."""
    return (stationary_belief(process)[..., None, :] @ emissions)[..., 0, :]


def stationary_belief(process: Process) -> Float[np.ndarray, "*problem state"]:
    """Return the stationary distribution that the initial one converges to without observations."""
    lazy = (process.state_transitions + np.eye(process.n_states)) / 2  # aperiodic, so that it converges
    reached = (process.initial[..., None, :] @ np.linalg.matrix_power(lazy, LONG))[..., 0, :]
    readout = np.ones(process.n_states) if process.readout is None else process.readout
    return reached / (reached @ readout)[..., None]  # rounding errors add up


def shuffled_belief(problems: Problems, steps: Steps) -> Float[np.ndarray, "batch step state"]:
    """Return another problem's belief at each step: what a probe reads by chance."""
    generator = named_by_questions("shuffled_belief", problems)
    return np.stack([problems.beliefs[donors(len(problems), generator), step] for step in steps], axis=1)


def control_task(problems: Problems, steps: Steps) -> Float[np.ndarray, "batch step state"]:
    """Return a random belief for each word of the last few observations (Hewitt & Liang 2019).

    A probe can only memorize it. Words are long enough for 64 kinds or more.
    """
    n_symbols, n_states = problems.process.n_symbols, problems.process.n_states
    length = int(np.ceil(np.log(WORDS) / np.log(max(2, n_symbols)) - 1e-9))
    padded = np.pad(problems.observations + 1, ((0, 0), (length, 0)))
    words = np.zeros((len(problems), len(steps)), dtype=np.int64)
    for back in range(length):
        words = words * (n_symbols + 1) + padded[:, steps + back]
    assigned = stream("control_task", n_symbols, n_states).dirichlet(np.full(n_states, 0.5), size=POOL)
    return assigned[words % POOL]


TARGETS: dict[str, Target] = {  # by the name that the column ``control`` gives them
    "constrained_belief": constrained_belief,
    "next_symbol": next_symbol,
    "wrong_process": wrong_belief,
    "shuffled_belief": shuffled_belief,
    "control_task": control_task,
}


def resolve_target(name: str) -> Target:
    """Return the target of that name; ``belief_4_back`` is the belief four steps ago."""
    if stem(name) == "belief_back" and (back := int(numbers(name)["belief"])):
        return partial(earlier_belief, back=back)
    if name not in TARGETS:
        raise ValueError(f"no target named '{name}'; choose from {', '.join(TARGETS)} and belief_<k>_back")
    return TARGETS[name]
