"""Meanings of codes: a code stands for the mean of the exact beliefs that are rounded to it."""

from functools import lru_cache

import numpy as np
from jaxtyping import Float

from unamortized.language.vocabulary import task_vocabulary
from unamortized.worlds.splits import draw
from unamortized.worlds.tasks import Task

PROBLEMS_PER_LENGTH = 1024


def code_meanings(task: Task, softening: float = 0.01) -> Float[np.ndarray, "code state"]:
    """Return E[eta | code], estimated on validation problems of the training lengths.

    A code's lattice point gives no probability to states that it rounds to zero; the mean belief does, so that it can
    be propagated and compared by KL. Rare codes are pulled towards their lattice point, softened by a quarter unit,
    which counts for ``softening`` problems. A tiny number leaves a state impossible if no belief with that code allows
    it; the default keeps every KL finite.
    """
    sums, counts, softened = _beliefs_by_code(task.model_dump_json())
    return (sums + softening * softened) / (counts[:, None] + softening)


@lru_cache(maxsize=16)
def _beliefs_by_code(task_json: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return, for each code, the sum and the number of beliefs with it, and its lattice point without zeros."""
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
    return sums, counts, softened
