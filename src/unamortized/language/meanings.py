"""What a code states: the mean exact belief among the problems whose belief has that code."""

from functools import lru_cache
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from unamortized.language.vocabulary import task_vocabulary
from unamortized.worlds.splits import draw
from unamortized.worlds.tasks import Task

PROBLEMS_PER_LENGTH = 1024


def code_meanings(task: Task, softening: float = 0.01) -> Float[np.ndarray, "code state"]:
    """Return E[eta | code], estimated on validation problems of the training lengths.

    A code's lattice point gives no probability to states that it rounds to zero; the mean belief does, so that it can
    be propagated and compared by KL. Rare codes are pulled towards their lattice point, softened by a quarter unit.

    Args:
        task: the task.
        softening: number of problems that the softened point counts for. A tiny one leaves a state impossible where
            no belief with that code allows it; the default keeps every KL finite.
    """
    sums, counts, softened = _beliefs_by_code(task.model_dump_json())
    return (sums + softening * softened) / (counts[:, None] + softening)


class _ByCode(NamedTuple):
    sums: Float[np.ndarray, "code state"]  # of the beliefs with that code
    counts: Float[np.ndarray, " code"]
    softened: Float[np.ndarray, "code state"]  # lattice points, with some probability for every state


@lru_cache(maxsize=16)
def _beliefs_by_code(task_json: str) -> _ByCode:
    task = Task.model_validate_json(task_json)
    process, vocabulary = task.build(), task_vocabulary(task)
    codebook = vocabulary.codebook
    if process.is_generalized:  # lattice points are no predictive vectors; the stationary one stands in for them
        softened = np.tile(process.initial, (codebook.size, 1))
    else:
        softened = codebook.points * codebook.resolution + 0.25
        softened /= softened.sum(axis=1, keepdims=True)
    sums, counts = np.zeros_like(softened), np.zeros(codebook.size)
    first, last = task.steps.train
    for n_steps in range(first, last + 1):
        beliefs = draw(task, "validation", n_steps, PROBLEMS_PER_LENGTH, "code_meanings").beliefs[:, 1:]
        flat = beliefs.reshape(-1, process.n_states)
        codes = vocabulary.encode(flat)
        np.add.at(sums, codes, flat)
        counts += np.bincount(codes, minlength=codebook.size)
    return _ByCode(sums, counts, softened)
