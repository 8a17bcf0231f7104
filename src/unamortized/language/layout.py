"""Layout: from a problem and its trace to columns of tokens, position ids, loss weights and steps.

``[table] [start] x_1 .. x_n <think> c_1 .. c_n <answer> a``. Position ids are coupled: the token whose job it is to
produce step t carries the same id as the observation x_t, so that fetching an observation is a look-up of
an equal id at every length. The rules of a table stand nowhere: no step is nearer to them than another. Plain
ids simply count.

A trace that fetches takes two tokens a step, both produced under the step's id: the code of step t - 1 (or <think>)
carries id t and is followed by what is fetched for step t, a copy of x_t or its index; that carries id t too and
is followed by the code of step t. Where the question shows indices, each carries the id of its observation.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from unamortized.language.traces import Trace
from unamortized.language.vocabulary import ANSWER, THINK, Vocabulary
from unamortized.worlds.problems import Problems
from unamortized.worlds.randomness import stream
from unamortized.worlds.splits import content_hash

NO_STEP = -1
NOWHERE = -1  # the position id of what every token is equally near to


class Examples(NamedTuple):
    """A batch as columns; every column but ``tokens`` is shared by the problems of one length."""

    tokens: Int[np.ndarray, "batch column"]
    positions: Int[np.ndarray, " column"]
    weights: Float[np.ndarray, " column"]  # of the loss on predicting the token *in* this column
    steps: Int[np.ndarray, " column"]  # the step t that the token observes, copies or states; -1 for none
    produces: Int[np.ndarray, " column"]  # the step t that the *next* token states; -1 for none
    written: Bool[np.ndarray, " column"]  # whether the model writes this token when it runs freely


def lay_out(
    problems: Problems, trace: Trace, vocabulary: Vocabulary, coupled: bool = True, spread_over: int | None = None
) -> Examples:
    """Columns of a batch of problems rendered with a trace.

    The loss falls on trace and answer only, each token alike; never on the question or on a mark.

    Args:
        problems: what is asked.
        trace: what is written.
        vocabulary: gives each token its id.
        coupled: whether position ids are coupled, or plain.
        spread_over: randomise the ids among so many (``randomised_ids``); none: leave them as they are.

    Raises:
        ValueError: if there are more ids than they are to be spread over.
    """
    batch, n_steps, n_written = len(problems), problems.n_steps, trace.tokens.shape[1]
    table, start = _table(problems, vocabulary), _start(problems, vocabulary)
    think = np.full((batch, 1 if n_written else 0), THINK)
    tokens = [
        table,
        start,
        _question(problems, trace, vocabulary),
        think,
        trace.tokens,
        np.full((batch, 1), ANSWER),
        vocabulary.answer(problems.answers)[:, None],
    ]
    n_table, n_start, n_think = table.shape[1], start.shape[1], think.shape[1]
    observed = np.arange(1, n_steps + 1)
    none, end = np.full(1, NO_STEP), np.full(1, n_steps + 1)
    asked_ids, asked_steps = observed, observed
    if trace.indices is not None:
        asked_ids = np.repeat(observed, 2)
        asked_steps = np.stack([np.full(n_steps, NO_STEP), observed], axis=1).reshape(-1)
    asked = n_table + n_start + len(asked_ids)  # columns of the question
    columns = asked + n_think + n_written + 2
    nowhere = np.full(n_table, NOWHERE)

    steps = np.concatenate(
        [
            np.full(n_table, NO_STEP),
            np.zeros(n_start, dtype=np.int64),
            asked_steps,
            none[:n_think],
            np.where([block == "index" for block in trace.blocks], NO_STEP, trace.steps),
            none,
            none,
        ]
    )
    # <think> produces the first token of the trace, each of these the one after it, the last one <answer>
    next_steps = np.concatenate([trace.steps, end]) if n_written else end[:0]
    produces = np.full(columns, NO_STEP)
    produces[asked + trace.stating] = trace.steps[trace.stating]
    positions = np.concatenate([nowhere, np.zeros(n_start, dtype=np.int64), asked_ids, next_steps, end, end])
    positions = positions if coupled else np.arange(columns)
    written = np.zeros(columns, dtype=bool)
    written[columns - n_written - 2 : columns - 2] = True
    written[-1] = True
    return Examples(
        tokens=np.concatenate(tokens, axis=1),
        positions=positions if spread_over is None else randomised_ids(positions, problems, spread_over),
        weights=written.astype(np.float32),
        steps=steps,
        produces=produces,
        written=written,
    )


def randomised_ids(
    positions: Int[np.ndarray, " column"], problems: Problems, spread_over: int
) -> Int[np.ndarray, " column"]:
    """Ids 0, 1, 2, .. in the order of a random subset of 0..``spread_over`` - 1 (Ruoss et al. 2023).

    So that the large ids of long questions are met in short ones. Equal ids stay equal, and what stands nowhere
    stays there. The subset is the batch's, and is named by its questions: in whatever condition and however
    often they are asked, it is the same.

    Raises:
        ValueError: if there are more ids than that.
    """
    n_ids = int(positions.max()) + 1
    if n_ids > spread_over:
        raise ValueError(
            f"{n_ids} position ids cannot be spread over {spread_over}: raise model.max_positions, or choose other "
            "model.positions"
        )
    questions = content_hash(problems).astype("<u8").tobytes().hex()
    subset = np.sort(stream("positions", questions).choice(spread_over, size=n_ids, replace=False))
    return np.where(positions == NOWHERE, NOWHERE, subset[positions])


def _question(problems: Problems, trace: Trace, vocabulary: Vocabulary) -> Int[np.ndarray, "batch asked"]:
    """The observations, each after its index where the trace has indices."""
    observed = vocabulary.observation(problems.observations)
    if trace.indices is None:
        return observed
    return np.stack([trace.indices, observed], axis=2).reshape(len(problems), -1)


def _table(problems: Problems, vocabulary: Vocabulary) -> Int[np.ndarray, "batch rule"]:
    """What each problem tells of its own transitions."""
    told = problems.process.told
    return np.zeros((len(problems), 0), dtype=np.int64) if told is None else vocabulary.rule(told)


def _start(problems: Problems, vocabulary: Vocabulary) -> Int[np.ndarray, "batch start"]:
    """The start state or the code of the start belief, where it is told."""
    if problems.start == "known":
        return vocabulary.state(problems.latents[:, :1])
    if problems.start == "belief":
        return vocabulary.code(vocabulary.encode(problems.beliefs[:, :1]))
    return np.zeros((len(problems), 0), dtype=np.int64)
