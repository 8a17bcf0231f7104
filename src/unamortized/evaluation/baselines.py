"""What stands beside the models on every plot: answers that need no training, from exact to none.

Each baseline is a function from a task and its problems to an answer distribution; a line in ``baselines``
adds one.
"""

from collections.abc import Callable
from functools import partial

import numpy as np
from jaxtyping import Bool, Float

from unamortized.language.meanings import code_meanings
from unamortized.language.vocabulary import task_vocabulary
from unamortized.worlds.inference import filter_beliefs
from unamortized.worlds.problems import Problems, exact_answer
from unamortized.worlds.processes import Process
from unamortized.worlds.randomness import stream
from unamortized.worlds.splits import Shift
from unamortized.worlds.tasks import Task

Answers = Float[np.ndarray, "batch answer"]
NOTHING = np.zeros((1, 0), dtype=np.int64)  # no observations


def blinded(task: Task, problems: Problems, unseen: Bool[np.ndarray, " step"]) -> Answers:
    """Exact inference from the start and the observations, but for those at the steps that are unseen.

    An unseen observation is replaced by one more symbol, which may be emitted with any move and so tells nothing.
    All symbols are halved, to make room for it.
    """
    process = problems.process
    anything = np.expand_dims(process.state_transitions, -3)
    with_anything = np.concatenate([process.transitions, anything], axis=-3) / 2
    observations = np.where(unseen, process.n_symbols, problems.observations)
    blind = Process(with_anything, process.initial, readout=process.readout)
    answer = exact_answer(blind, problems.beliefs[:, 0], observations, task.query)
    return 2 * answer[:, :-1] if task.query.kind == "predict" else answer


def window(task: Task, problems: Problems, size: int) -> Answers:
    """Exact inference from the start and the last ``size`` observations; size 0 is the prior."""
    return blinded(task, problems, np.arange(problems.n_steps) < problems.n_steps - size)


def particle(task: Task, problems: Problems, n_particles: int, seed: int) -> Answers:
    """Bootstrap particle filter (Gordon et al. 1993), resampled at every step.

    One more particle, spread as the prior, keeps every answer possible and its KL finite. Where no particle
    can explain an observation, all are kept, equally weighted.
    """
    process, batch = problems.process, len(problems)
    generator = stream("particle", task.fingerprint(), n_particles, problems.n_steps, seed)
    states = _choose(np.repeat(problems.beliefs[:, :1], n_particles, axis=1), generator)
    asked = task.query.argument if task.query.kind == "smooth" else None
    remembered = states
    for step, symbol in enumerate(problems.observations.T, start=1):
        whose = (np.arange(batch)[:, None],) if process.per_problem else ()
        joint = process.transitions[(*whose, symbol[:, None], states)]  # (batch, particle, next state)
        weights = joint.sum(axis=2)
        weights[weights.sum(axis=1) == 0] = 1.0
        chosen = _choose(np.repeat(weights[:, None] / weights.sum(axis=1)[:, None, None], n_particles, 1), generator)
        joint = np.take_along_axis(joint, chosen[:, :, None], axis=1)
        remembered = np.take_along_axis(remembered, chosen, axis=1)
        dead = joint.sum(axis=2) == 0
        joint[dead] = 1.0 / process.n_states
        states = _choose(joint / joint.sum(axis=2, keepdims=True), generator)
        if asked == step:
            remembered = states
    counted = states if asked is None else remembered
    counts = np.stack([(counted == state).sum(axis=1) for state in range(process.n_states)], axis=1)
    if task.query.kind == "predict":
        nothing = np.broadcast_to(NOTHING, (batch, 0))
        counts = n_particles * exact_answer(process, counts / n_particles, nothing, task.query)
    return (counts + window(task, problems, 0)) / (n_particles + 1)


def trained_bayes(task: Task, problems: Problems) -> Answers:
    """Exact inference under the parameters of training, whichever the problems were drawn with.

    The best that can be expected of a model that has learned its world and is not told that it has changed.
    """
    process = problems.process if problems.process.per_problem else task.build()
    # a start that is not told is taken to be that of training, too
    start = process.initial if problems.start == "fixed" else problems.start_beliefs
    return exact_answer(process, start, problems.observations, task.query)


def codebook(task: Task, problems: Problems) -> Answers:
    """The answer that the code of the exact last belief implies: the floor of every belief trace."""
    codes = task_vocabulary(task).encode(problems.beliefs[:, -1])
    nothing = np.broadcast_to(NOTHING, (len(problems), 0))
    return exact_answer(problems.process, code_meanings(task)[codes], nothing, task.query, after=problems.n_steps)


def codebook_recursive(task: Task, problems: Problems) -> Answers:
    """What exact inference makes of its own codes: each belief is rounded before the next observation is read.

    A belief trace that looks at nothing but its last code and the next observation can do no better, so a
    model that does has corrected its codes from the question.
    """
    process, vocabulary, meanings = problems.process, task_vocabulary(task), code_meanings(task)
    belief = problems.beliefs[:, 0]
    for step in range(problems.n_steps):
        seen = problems.observations[:, step : step + 1]
        belief = filter_beliefs(process.transitions, belief, seen, readout=process.readout).beliefs[:, -1]
        belief = meanings[vocabulary.encode(belief)]
    nothing = np.broadcast_to(NOTHING, (len(problems), 0))
    return exact_answer(process, belief, nothing, task.query, after=problems.n_steps)


def _choose(probabilities: Float[np.ndarray, "batch particle option"], generator: np.random.Generator) -> np.ndarray:
    """An option for each (batch, particle)."""
    edges = probabilities.cumsum(axis=2)
    draws = generator.random(probabilities.shape[:2])[:, :, None] * edges[:, :, -1:]
    return (draws >= edges).sum(axis=2).clip(max=probabilities.shape[2] - 1)


def baselines(task: Task, seed: int, shift: Shift = ()) -> dict[str, Callable[[Task, Problems], Answers]]:
    """The baselines of a task by name; a belief trace bounds no smoothing, and predictive vectors have no particles.

    What a code means where it stands for a predictive vector, it means only of the process of training.
    """
    known: dict[str, Callable[[Task, Problems], Answers]] = {
        "prior": partial(window, size=0),
        "window_8": partial(window, size=8),
    }
    if isinstance(task.shifts.parameters, dict):
        known["trained_bayes"] = trained_bayes
    generalized = task.build().is_generalized
    if not generalized:
        known["particle_64"] = partial(particle, n_particles=64, seed=seed)
    if task.query.kind == "smooth" or (generalized and "parameters" in shift):
        return known
    return known | {"codebook_floor": codebook, "codebook_recursive": codebook_recursive}
