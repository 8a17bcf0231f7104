r"""What a probe may be asked for: the belief, and what is to be told from it.

Each is a function from problems and steps to arrays (batch, step, option), exact for these problems.
"""

import re
from collections.abc import Callable
from functools import partial

import numpy as np
from jaxtyping import Float, Int

from unamortized.language.edits import donors
from unamortized.worlds.inference import filter_beliefs
from unamortized.worlds.problems import Problems
from unamortized.worlds.processes import Process
from unamortized.worlds.randomness import stream
from unamortized.worlds.splits import named_by_questions

Steps = Int[np.ndarray, " step"]
Target = Callable[[Problems, Steps], Float[np.ndarray, "batch step option"]]

FORGOTTEN = 0.5  # share of a wrong process's moves that go anywhere
WORDS = 64  # at least so many kinds of words decide what the control task asks for
POOL = 4096  # beliefs that it deals out
LONG = 2**16  # steps after which nothing of the start is left


def belief(problems: Problems, steps: Steps) -> Float[np.ndarray, "batch step state"]:
    r"""The exact belief $\eta_t$."""
    return problems.beliefs[:, steps]


def next_symbol(problems: Problems, steps: Steps) -> Float[np.ndarray, "batch step symbol"]:
    r"""The exact distribution of the next symbol, $\eta_t E$: all that predicting one symbol needs."""
    return problems.beliefs[:, steps] @ problems.process.emissions


def earlier(problems: Problems, steps: Steps, back: int) -> Float[np.ndarray, "batch step state"]:
    r"""The belief ``back`` steps ago, $\eta_{t - back}$, or at the start: does a model carry the path, or its end?"""
    return problems.beliefs[:, np.maximum(steps - back, 0)]


def constrained_belief(problems: Problems, steps: Steps) -> Float[np.ndarray, "batch step state"]:
    r"""What one parallel look can add up: each observation's own evidence, as faded as it is old.

    $\tilde\eta_t = \pi + (\eta_0 - \pi) M^t + \sum_{s \le t} (\pi^{(x_s)} - \pi) M^{t-s}$ with
    $\pi^{(x)} = \pi T^{(x)} / (\pi T^{(x)} 1)$ and $M = \sum_x T^{(x)}$, from what is believed in the long run,
    $\pi$: no observation changes what another one means (Piotrowski et al. 2025, for attention alone; their
    eigenvalue's powers are the matrix's here).
    """
    process, around = problems.process, in_the_long_run(problems.process)
    moved = np.einsum("...i,...vij->...vj", around, process.transitions)
    readout = np.ones(process.n_states) if process.readout is None else process.readout
    evidence = moved @ readout
    says = moved / np.where(evidence > 0, evidence, 1)[..., None] - np.expand_dims(around, -2)
    batch = np.arange(len(problems))
    faded, levels = problems.start_beliefs - around, []
    for symbols in problems.observations.T:
        told = says[symbols] if says.ndim == 2 else says[batch, symbols]
        faded = np.einsum("bi,...ij->bj" if says.ndim == 2 else "bi,bij->bj", faded, process.state_transitions) + told
        levels.append(around + faded)
    return np.stack([problems.start_beliefs, *levels], axis=1)[:, steps]


def wrong_belief(problems: Problems, steps: Steps) -> Float[np.ndarray, "batch step state"]:
    """The belief of somebody who takes the observations for those of ``wrong_process``."""
    wrong = wrong_process(problems.process)
    filtered = filter_beliefs(wrong.transitions, problems.start_beliefs, problems.observations, readout=wrong.readout)
    return filtered.beliefs[:, steps]


def wrong_process(process: Process) -> Process:
    r"""Another process whose symbols are as frequent, but whose beliefs are others.

    Where symbols tell how states move, their moves are exchanged in a circle: it remembers for as long, but something
    else. Where that would change how frequent symbols are, half of all moves go anywhere,
    $T'^{(x)} = (T^{(x)} + E_x \pi^\top) / 2$ with the stationary distribution $\pi$: it forgets sooner.
    """
    transitions, emissions, usual = process.transitions, process.emissions, in_the_long_run(process)
    by_symbol = np.moveaxis(emissions, -1, -2)[..., None]  # (..., V, S, 1)
    with np.errstate(divide="ignore", invalid="ignore"):
        moves = transitions / by_symbol
    alike = process.readout is None and not process.per_problem  # or what is exchanged would depend on who asks
    if alike and np.isfinite(moves).all() and not np.allclose(moves, moves[..., :1, :, :]):
        exchanged = Process(np.roll(moves, 1, axis=-3) * by_symbol, process.initial)
        if np.allclose(frequencies(in_the_long_run(exchanged), emissions), frequencies(usual, emissions)):
            return exchanged
    anywhere = by_symbol * usual[..., None, None, :]
    return Process((1 - FORGOTTEN) * transitions + FORGOTTEN * anywhere, process.initial, readout=process.readout)


def frequencies(
    states: Float[np.ndarray, "*problem state"], emissions: Float[np.ndarray, "*problem state symbol"]
) -> Float[np.ndarray, "*problem symbol"]:
    """How frequent symbols are where states are so frequent."""
    return (states[..., None, :] @ emissions)[..., 0, :]


def in_the_long_run(process: Process) -> Float[np.ndarray, "*problem state"]:
    """The stationary distribution that is reached from the process's initial one, if nobody looks."""
    lazy = (process.state_transitions + np.eye(process.n_states)) / 2  # which no period keeps from getting there
    reached = (process.initial[..., None, :] @ np.linalg.matrix_power(lazy, LONG))[..., 0, :]
    readout = np.ones(process.n_states) if process.readout is None else process.readout
    return reached / (reached @ readout)[..., None]  # as rounding adds up


def shuffled_belief(problems: Problems, steps: Steps) -> Float[np.ndarray, "batch step state"]:
    """At each step the belief of another problem: what a probe reads by chance."""
    generator = named_by_questions("shuffled_belief", problems)
    return np.stack([problems.beliefs[donors(len(problems), generator), step] for step in steps], axis=1)


def control_task(problems: Problems, steps: Steps) -> Float[np.ndarray, "batch step state"]:
    """A belief dealt out at random to each word of the last few observations (Hewitt & Liang 2019).

    A probe that learns it has learned words by heart: what it reads above that is there to be read. Words are so long
    that there are 64 kinds of them or more.
    """
    n_symbols, n_states = problems.process.n_symbols, problems.process.n_states
    length = int(np.ceil(np.log(WORDS) / np.log(max(2, n_symbols)) - 1e-9))
    padded = np.pad(problems.observations + 1, ((0, 0), (length, 0)))
    words = np.zeros((len(problems), len(steps)), dtype=np.int64)
    for back in range(length):
        words = words * (n_symbols + 1) + padded[:, steps + back]
    dealt = stream("control_task", n_symbols, n_states).dirichlet(np.full(n_states, 0.5), size=POOL)
    return dealt[words % POOL]


TARGETS: dict[str, Target] = {  # by what is appended to a condition's name, beside the belief itself
    "constrained_belief": constrained_belief,
    "next_symbol": next_symbol,
    "wrong_process": wrong_belief,
    "shuffled_belief": shuffled_belief,
    "control_task": control_task,
}


def resolve_target(name: str) -> Target:
    """The target of that name; ``belief_4_back`` is the belief four steps ago.

    Raises:
        ValueError: if there is none.
    """
    if back := re.fullmatch(r"belief_([1-9]\d*)_back", name):
        return partial(earlier, back=int(back[1]))
    if name not in TARGETS:
        raise ValueError(f"no target named '{name}'; there are {', '.join(TARGETS)} and belief_<k>_back")
    return TARGETS[name]
