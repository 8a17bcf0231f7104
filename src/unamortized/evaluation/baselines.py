"""Baselines: answers that need no training, from exact Bayes under a restriction to the bare prior.

Each baseline is a function from a task and its problems to answers; a line in ``baselines`` adds one.
"""

from collections.abc import Callable
from functools import partial

import numpy as np
from jaxtyping import Bool, Float

from unamortized.labels import numbered
from unamortized.language.edits import counterfactual_answers
from unamortized.language.meanings import code_meanings
from unamortized.language.vocabulary import task_vocabulary
from unamortized.worlds.inference import filter_beliefs
from unamortized.worlds.problems import Problems, exact_answer
from unamortized.worlds.processes import Process
from unamortized.worlds.randomness import stream
from unamortized.worlds.splits import Shift
from unamortized.worlds.tasks import Task

Answers = Float[np.ndarray, "batch answer"]
Beliefs = Float[np.ndarray, "batch state"]
Baseline = Callable[[Task, Problems], Answers]
WINDOW, PARTICLES = 8, 64


def updated(problems: Problems, beliefs: Beliefs, step: int, later: int) -> Beliefs:
    """Update the beliefs after ``step`` by the observations up to the step ``later``."""
    process, between = problems.process, problems.observations[:, step:later]
    return filter_beliefs(process.transitions, beliefs, between, readout=process.readout).beliefs[:, -1]


def blinded(
    task: Task, problems: Problems, unseen: Bool[np.ndarray, " step"], beliefs: Beliefs | None = None, after: int = 0
) -> Answers:
    """Answer exactly from the beliefs after a step (by default, exact ones) and the later observations that are seen.

    An additional symbol, which every move may emit, replaces unseen observations; all symbols are halved to make room.
    """
    process = problems.process
    anything = np.expand_dims(process.state_transitions, -3)
    with_anything = np.concatenate([process.transitions, anything], axis=-3) / 2
    observations = np.where(unseen, process.n_symbols, problems.observations)[:, after:]
    blind = Process(with_anything, process.initial, readout=process.readout)
    beliefs = problems.beliefs[:, after] if beliefs is None else beliefs
    answer = exact_answer(blind, beliefs, observations, task.query, after)
    return 2 * answer[:, :-1] if task.query.kind == "predict" else answer


def window(task: Task, problems: Problems, size: int) -> Answers:
    """Answer exactly from the start and the last ``size`` observations; size 0 is the prior."""
    return blinded(task, problems, np.arange(problems.n_steps) < problems.n_steps - size)


def particle(task: Task, problems: Problems, n_particles: int, seed: int) -> Answers:
    """Bootstrap particle filter (Gordon et al. 1993), resampled at every step.

    One more particle, spread as the prior, keeps every answer possible and its KL finite. If no particle can explain an
    observation, all are kept with equal weights.
    """
    process, batch = problems.process, len(problems)
    generator = stream("particle", task.fingerprint(), n_particles, problems.n_steps, seed)
    states = _choose(np.repeat(problems.beliefs[:, :1], n_particles, axis=1), generator)
    wanted = task.query.argument if task.query.kind == "smooth" else None
    remembered = states
    for step, symbol in enumerate(problems.observations.T, start=1):
        own = (np.arange(batch)[:, None],) if process.per_problem else ()
        joint = process.transitions[(*own, symbol[:, None], states)]  # (batch, particle, next state)
        weights = joint.sum(axis=2)
        weights[weights.sum(axis=1) == 0] = 1.0
        chosen = _choose(np.repeat(weights[:, None] / weights.sum(axis=1)[:, None, None], n_particles, 1), generator)
        joint = np.take_along_axis(joint, chosen[:, :, None], axis=1)
        remembered = np.take_along_axis(remembered, chosen, axis=1)
        dead = joint.sum(axis=2) == 0
        joint[dead] = 1.0 / process.n_states
        states = _choose(joint / joint.sum(axis=2, keepdims=True), generator)
        if wanted == step:
            remembered = states
    counted = states if wanted is None else remembered
    shares = np.stack([(counted == state).mean(axis=1) for state in range(process.n_states)], axis=1)
    if task.query.kind == "predict":
        shares = counterfactual_answers(task, problems, problems.n_steps, shares)
    return (n_particles * shares + window(task, problems, 0)) / (n_particles + 1)


def _choose(probabilities: Float[np.ndarray, "batch particle option"], generator: np.random.Generator) -> np.ndarray:
    """Draw an option for each (batch, particle)."""
    edges = probabilities.cumsum(axis=2)
    draws = generator.random(probabilities.shape[:2])[:, :, None] * edges[:, :, -1:]
    return (draws >= edges).sum(axis=2).clip(max=probabilities.shape[2] - 1)


def trained_bayes(task: Task, problems: Problems) -> Answers:
    """Answer exactly under the parameters of training: a model that has learned its world can do no better."""
    process = problems.process if problems.process.per_problem else task.build()
    start = process.initial if problems.start == "fixed" else problems.start_beliefs  # an untold start is training's
    return exact_answer(process, start, problems.observations, task.query)


def codebook(task: Task, problems: Problems) -> Answers:
    """Answer from the code of the exact last belief: the floor of every belief trace."""
    codes = task_vocabulary(task).encode(problems.beliefs[:, -1])
    return counterfactual_answers(task, problems, problems.n_steps, code_meanings(task)[codes])


def codebook_recursive(task: Task, problems: Problems) -> Answers:
    """Filter with codes instead of beliefs: round each belief before reading the next observation.

    A belief trace can do no better unless it corrects its codes from the question.
    """
    vocabulary, meanings, belief = task_vocabulary(task), code_meanings(task), problems.beliefs[:, 0]
    for step in range(problems.n_steps):
        belief = meanings[vocabulary.encode(updated(problems, belief, step, step + 1))]
    return counterfactual_answers(task, problems, problems.n_steps, belief)


def baselines(task: Task, seed: int, shift: Shift = ()) -> dict[str, Baseline]:
    """Return the baselines of a task by name.

    Belief traces bound no smoothing query, and predictive vectors have no particles. The meaning of a code that stands
    for a predictive vector holds only for the process of training.
    """
    found: dict[str, Baseline] = {
        "prior": partial(window, size=0),
        numbered("window", WINDOW): partial(window, size=WINDOW),
    }
    if isinstance(task.shifts.parameters, dict):
        found["trained_bayes"] = trained_bayes
    generalized = task.build().is_generalized
    if not generalized:
        found[numbered("particle", PARTICLES)] = partial(particle, n_particles=PARTICLES, seed=seed)
    if task.query.kind != "smooth" and not (generalized and "parameters" in shift):
        found |= {"codebook_floor": codebook, "codebook_recursive": codebook_recursive}
    return found
