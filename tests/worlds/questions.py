"""The prompts of problems, independent of how they are hashed or laid out."""

from dataclasses import replace

import numpy as np

from unamortized.worlds.problems import Problems


def questions(problems: Problems) -> list[tuple]:
    """Return everything that the prompt of each problem shows."""
    shown: list[np.ndarray] = [problems.observations]
    shown += {"fixed": [], "known": [problems.latents[:, :1]], "belief": [problems.beliefs[:, 0]]}[problems.start]
    shown += [] if problems.process.rules is None else [problems.process.rules]
    return list(zip(*[map(tuple, each.tolist()) for each in shown], strict=True))


def beginnings(problems: Problems, n_steps: int) -> set[tuple]:
    """Return the prompts cut after ``n_steps`` observations."""
    return {(observed[:n_steps], *rest) for observed, *rest in questions(problems)}


def with_hidden_parts_changed(problems: Problems, seed: int = 0) -> Problems:
    """Keep the prompts; change the latents, beliefs and answers that they do not show."""
    generator = np.random.default_rng(seed)
    latents, beliefs = problems.latents.copy(), problems.beliefs.copy()
    latents[:, 1:], beliefs[:, 1:] = generator.permuted(latents[:, 1:]), generator.random(beliefs[:, 1:].shape)
    if problems.start != "known":
        latents[:, 0] = generator.permuted(latents[:, 0])
    others = generator.permutation(len(problems))
    answers, distributions = problems.answers[others], problems.answer_distribution[others]
    return replace(problems, latents=latents, beliefs=beliefs, answers=answers, answer_distribution=distributions)
