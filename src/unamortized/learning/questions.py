"""The questions of each training step: fresh ones or from a corpus, of lengths that a run chooses."""

from collections.abc import Callable

from unamortized.language.batches import corpus_problems, fresh_problems, lengths_of_step
from unamortized.language.corpus import build_corpus
from unamortized.learning.specification import RunSpec, Setup, Step
from unamortized.worlds.problems import Problems
from unamortized.worlds.tasks import with_process

MIXED, LONGEST = "mixed", "longest"


def training_lengths(spec: RunSpec, own: str = MIXED) -> list[int]:
    """Return the lengths that a run trains on; ``own`` is what its condition prefers."""
    first, last = with_process(spec.task).steps.train
    return [last] if _mode(spec, own) == LONGEST else list(range(first, last + 1))


def questions(setup: Setup, *keys: str | int, own: str = MIXED) -> Callable[[Step], list[Problems]]:
    """Return the function that draws the problems of a step, a group for each length.

    ``keys`` name another stream of fresh questions than the one that all conditions of a seed share; ``own`` is the
    choice of lengths that the condition prefers.
    """
    spec, task = setup.spec, with_process(setup.spec.task)
    train, mode = spec.train, _mode(spec, own)
    if train.questions is not None and keys:
        raise ValueError(f"condition {spec.condition} always draws fresh questions; leave out train.questions")
    corpus = None
    if train.questions is not None:
        corpus = build_corpus(task, "train", train.questions, spec.seed, setup.corpora)

    def of_step(step: Step) -> list[Problems]:
        lengths = lengths_of_step(task, train.lengths_per_batch, spec.seed, step.number, step.longest)
        if mode == LONGEST:
            lengths = [task.steps.train[1]]
        if corpus is not None:
            return corpus_problems(corpus, train.batch_size, lengths, spec.seed, step.number)
        return fresh_problems(task, train.batch_size, lengths, spec.seed, step.number, *keys)

    return of_step


def _mode(spec: RunSpec, own: str) -> str:
    return own if spec.train.lengths == "own" else spec.train.lengths
