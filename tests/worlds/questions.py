"""What a reader of a question is told, apart from how it is hashed or laid out."""

from dataclasses import replace

import numpy as np

from unamortized.worlds.problems import Problems


def questions(problems: Problems) -> list[tuple]:
    """All that a reader of each question is told, and nothing else."""
    told: list[np.ndarray] = [problems.observations]
    told += {"fixed": [], "known": [problems.latents[:, :1]], "belief": [problems.beliefs[:, 0]]}[problems.start]
    told += [] if problems.process.rules is None else [problems.process.rules]
    return list(zip(*[map(tuple, each.tolist()) for each in told], strict=True))


def beginnings(problems: Problems, n_steps: int) -> set[tuple]:
    """The questions with only so many observations."""
    return {(observed[:n_steps], *told) for observed, *told in questions(problems)}


def untold(problems: Problems, seed: int = 0) -> Problems:
    """The same questions with other latents, beliefs and answers than theirs."""
    generator = np.random.default_rng(seed)
    latents, beliefs = problems.latents.copy(), problems.beliefs.copy()
    latents[:, 1:], beliefs[:, 1:] = generator.permuted(latents[:, 1:]), generator.random(beliefs[:, 1:].shape)
    if problems.start != "known":
        latents[:, 0] = generator.permuted(latents[:, 0])
    others = generator.permutation(len(problems))
    answers, distributions = problems.answers[others], problems.answer_distribution[others]
    return replace(problems, latents=latents, beliefs=beliefs, answers=answers, answer_distribution=distributions)
