"""Layout: from a problem and its trace to columns of tokens, position ids, loss weights and steps.

``[table] [start] x_1 .. x_n <think> c_1 .. c_n <answer> a``. Position ids are coupled: the token whose job it is to
produce step t carries the same id as the observation x_t, so that fetching an observation is a look-up of
an equal id at every length. The rules of a table stand nowhere: no step is nearer to them than another. Plain
ids simply count.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from unamortized.language.traces import Trace
from unamortized.language.vocabulary import ANSWER, THINK, Vocabulary
from unamortized.worlds.problems import Problems

NO_STEP = -1
NOWHERE = -1  # the position id of what every token is equally near to


class Examples(NamedTuple):
    """A batch as columns; every column but ``tokens`` is shared by the problems of one length."""

    tokens: Int[np.ndarray, "batch column"]
    positions: Int[np.ndarray, " column"]
    weights: Float[np.ndarray, " column"]  # of the loss on predicting the token *in* this column
    steps: Int[np.ndarray, " column"]  # the step t that the token observes or states; -1 for none
    produces: Int[np.ndarray, " column"]  # the step t that the *next* token states; -1 for none
    written: Bool[np.ndarray, " column"]  # whether the model writes this token when it runs freely


def lay_out(problems: Problems, trace: Trace, vocabulary: Vocabulary, coupled: bool = True) -> Examples:
    """Columns of a batch of problems rendered with a trace.

    The loss falls on trace and answer only, each token alike; never on the question or on a mark.
    """
    batch, n_steps, n_written = len(problems), problems.n_steps, trace.tokens.shape[1]
    table, start = _table(problems, vocabulary), _start(problems, vocabulary)
    think = np.full((batch, 1 if n_written else 0), THINK)
    tokens = [
        table,
        start,
        vocabulary.observation(problems.observations),
        think,
        trace.tokens,
        np.full((batch, 1), ANSWER),
        vocabulary.answer(problems.answers)[:, None],
    ]
    n_table, n_start, n_think = table.shape[1], start.shape[1], think.shape[1]
    observed = np.arange(1, n_steps + 1)
    none, end = np.full(1, NO_STEP), np.full(1, n_steps + 1)
    asked = n_table + n_start + n_steps  # columns of the question
    columns = asked + n_think + n_written + 2
    nowhere = np.full(n_table, NOWHERE)

    steps = np.concatenate(
        [
            np.full(n_table, NO_STEP),
            np.zeros(n_start, dtype=np.int64),
            observed,
            none[:n_think],
            trace.steps,
            none,
            none,
        ]
    )
    # <think> produces the first stated step, each trace token the one after it, the last one <answer>
    next_steps = np.concatenate([trace.steps, end]) if n_written else end[:0]
    produces = np.full(columns, NO_STEP)
    produces[asked : asked + n_written] = trace.steps
    positions = np.concatenate([nowhere, np.zeros(n_start, dtype=np.int64), observed, next_steps, end, end])
    written = np.zeros(columns, dtype=bool)
    written[columns - n_written - 2 : columns - 2] = True
    written[-1] = True
    return Examples(
        tokens=np.concatenate(tokens, axis=1),
        positions=positions if coupled else np.arange(columns),
        weights=written.astype(np.float32),
        steps=steps,
        produces=produces,
        written=written,
    )


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
