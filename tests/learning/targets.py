"""What the targets of a batch say, read back from its tensors, and whether draws have their distributions."""

from typing import NamedTuple

import numpy as np

from unamortized.language.batches import Batch
from unamortized.language.rendering import Language


class Told(NamedTuple):
    """Soft targets of the columns that are trained, in their order."""

    distributions: np.ndarray  # (batch, step, answer)
    columns: np.ndarray  # that the model reads when it predicts them


def told(batch: Batch) -> Told:
    """Return the soft targets of a batch; all other columns must have none."""
    targets, columns = batch.targets.numpy(), np.flatnonzero(batch.weights.numpy())
    assert targets.ndim == 3
    assert not np.delete(targets, columns, axis=1).any()
    np.testing.assert_allclose(targets[:, columns].sum(axis=2), 1, atol=1e-6)
    return Told(targets[:, columns], columns - 1)


def drawn(batch: Batch, language: Language) -> np.ndarray:
    """Return the answers (batch, step) that a batch has as targets."""
    columns = np.flatnonzero(batch.weights.numpy())
    answers = batch.targets.numpy()[:, columns] - language.vocabulary.blocks["answer"].start
    assert batch.block is None
    assert answers.min() >= 0
    assert answers.max() < language.vocabulary.n_answers
    return answers


def assert_drawn_from(answers: np.ndarray, distributions: np.ndarray) -> None:
    """Check that answers (batch, step) are independent draws from distributions (batch, step, answer).

    Frequencies and their products at two steps lie within four and a half standard errors of what they must be.
    """
    options = distributions.shape[2]
    assert (np.take_along_axis(distributions, answers[:, :, None], axis=2) > 0).all()
    surprise = np.eye(options)[answers] - distributions  # has mean zero for each question, step and answer
    variance = distributions * (1 - distributions)
    error = surprise.sum(axis=0) / np.sqrt(variance.sum(axis=0) + 1e-9)
    assert np.abs(error).max() < 4.5, f"frequencies are off by {np.abs(error).max():.1f} standard errors"
    for earlier in range(answers.shape[1] - 1):
        both = surprise[:, earlier, 0] * surprise[:, earlier + 1, 0]
        spread = np.sqrt((variance[:, earlier, 0] * variance[:, earlier + 1, 0]).sum() + 1e-9)
        assert abs(both.sum()) / spread < 4.5, f"draws after steps {earlier + 1} and {earlier + 2} are not independent"
