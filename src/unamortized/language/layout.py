"""Layout: from a problem and its trace to columns of tokens, position ids, loss weights and steps.

``[table] [start] x_1 .. x_n [hint] <think> c_1 .. c_n <answer> a``. Position ids are coupled: the token whose job it is
to produce step t carries the same id as the observation x_t, so that fetching an observation is a look-up of an equal
id at every length. The rules of a table stand nowhere: no step is nearer to them than another. Plain ids simply count.

A trace that fetches takes two tokens a step, both produced under the step's id: the code of step t - 1 (or <think>)
carries id t and is followed by what is fetched for step t, a copy of x_t or its index; that carries id t too and
is followed by the code of step t. Where the question shows indices, each carries the id of its observation.

Under the same rule a trace may follow the answer, ``x_1 .. x_n <answer> a <think> c_1 .. c_n``, or the question as
it unfolds, ``<think> x_1 c_1 .. x_n c_n <answer> a``.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from unamortized.language.traces import Order, Trace
from unamortized.language.vocabulary import ANSWER, THINK, Vocabulary
from unamortized.worlds.problems import Problems
from unamortized.worlds.splits import named_by_questions

NO_STEP = -1
NOWHERE = -1  # the position id of what every token is equally near to


class Examples(NamedTuple):
    """A batch as columns; every column but ``tokens`` and ``weights`` is shared by the problems of one length."""

    tokens: Int[np.ndarray, "batch column"]
    positions: Int[np.ndarray, " column"]
    weights: Float[np.ndarray, "*#batch column"]  # of the loss on predicting the token *in* this column
    steps: Int[np.ndarray, " column"]  # the step t that the token observes, copies or states; -1 for none
    produces: Int[np.ndarray, " column"]  # the step t that the *next* token states; -1 for none
    written: Bool[np.ndarray, " column"]  # whether the model writes this token when it runs freely
    answer: int  # the column of the answer

    @property
    def observes(self) -> Bool[np.ndarray, " column"]:
        """The columns that hold the question's observations."""
        return (self.steps > 0) & ~self.written


def lay_out(
    problems: Problems, trace: Trace, vocabulary: Vocabulary, coupled: bool = True, spread_over: int | None = None
) -> Examples:
    """Columns of a batch of problems rendered with a trace.

    The loss falls on trace and answer only, each token alike unless the trace weighs its own; never on the question
    or on a mark.

    Args:
        problems: what is asked.
        trace: what is written.
        vocabulary: gives each token its id.
        coupled: whether position ids are coupled, or plain.
        spread_over: randomize the ids among so many (``randomized_ids``); none: leave them as they are.

    Raises:
        ValueError: if there are more ids than they are to be spread over.
    """
    batch, n_steps, n_asked = len(problems), problems.n_steps, 1 if trace.indices is None else 2
    parts = {
        "table": _table(problems, vocabulary),
        "start": _start(problems, vocabulary),
        "question": _question(problems, trace, vocabulary),
        "hint": np.zeros((batch, 0), dtype=np.int64) if trace.hint is None else trace.hint[:, None],
        "think": np.full((batch, 1 if len(trace.steps) else 0), THINK),
        "trace": trace.tokens,
        "mark": np.full((batch, 1), ANSWER),
        "answer": vocabulary.answer(problems.answers)[:, None],
    }
    tokens, stops = np.concatenate([*parts.values()], axis=1), np.cumsum([part.shape[1] for part in parts.values()])
    columns = tokens.shape[1]
    at = {name: slice(stop - part.shape[1], stop) for (name, part), stop in zip(parts.items(), stops, strict=True)}
    observed = np.arange(1, n_steps + 1)

    ids = np.full(columns, n_steps + 1)  # of the step that a token is about; what regards the answer is beyond
    ids[at["table"]], ids[at["start"]] = NOWHERE, 0
    ids[at["question"]], ids[at["trace"]] = np.repeat(observed, n_asked), trace.steps
    steps, states, written = np.full(columns, NO_STEP), np.full(columns, NO_STEP), np.zeros(columns, dtype=bool)
    steps[at["start"]], steps[at["question"]][n_asked - 1 :: n_asked] = 0, observed
    steps[at["trace"]] = np.where([block == "index" for block in trace.blocks], NO_STEP, trace.steps)
    states[at["trace"].start + trace.stating] = trace.steps[trace.stating]
    written[at["trace"]] = written[at["answer"]] = True
    weights = written.astype(np.float32)
    if trace.weights is not None:
        weights = np.tile(weights, (batch, 1))
        weights[:, at["trace"]] = trace.weights

    given = np.arange(columns) < at["hint"].stop
    order = np.argsort(_turns(trace.order, ids, given, at["think"]), kind="stable")
    # what is given carries its own id, all else that of the token which it produces
    produced = np.append(ids[order][1:], n_steps + 1)
    positions = np.where(given[order], ids[order], produced) if coupled else np.arange(columns)
    return Examples(
        tokens=tokens[:, order],
        positions=positions if spread_over is None else randomized_ids(positions, problems, spread_over),
        weights=weights[..., order],
        steps=steps[order],
        produces=np.append(states[order][1:], NO_STEP),
        written=written[order],
        answer=int(np.flatnonzero(order == at["answer"].start)[0]),
    )


def _turns(
    order: Order, ids: Int[np.ndarray, " column"], given: Bool[np.ndarray, " column"], think: slice
) -> Int[np.ndarray, " column"]:
    """When each column has its turn; those of one turn stay as they are."""
    turns = np.zeros_like(ids)
    if order == "question, answer, trace":
        turns[~given] = 2
        turns[-2:] = 1
    if order == "question with trace, answer":  # what is told first, <think>, then each observation and its statement
        turns = 2 * ids + ~given
        turns[think] = 1
    return turns


def randomized_ids(
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
    subset = np.sort(named_by_questions("positions", problems).choice(spread_over, size=n_ids, replace=False))
    return np.where(positions == NOWHERE, NOWHERE, subset[positions])


def _question(problems: Problems, trace: Trace, vocabulary: Vocabulary) -> Int[np.ndarray, "batch asked"]:
    """The observations, each after its index where the trace has indices."""
    observed = vocabulary.observation(problems.observations)
    if trace.indices is None:
        return observed
    return np.stack([trace.indices, observed], axis=2).reshape(len(problems), -1)


def _table(problems: Problems, vocabulary: Vocabulary) -> Int[np.ndarray, "batch rule"]:
    """What each problem tells of its own transitions."""
    told = problems.process.rules
    return np.zeros((len(problems), 0), dtype=np.int64) if told is None else vocabulary.rule(told)


def _start(problems: Problems, vocabulary: Vocabulary) -> Int[np.ndarray, "batch start"]:
    """The start state or the code of the start belief, where it is told."""
    if problems.start == "known":
        return vocabulary.state(problems.latents[:, :1])
    if problems.start == "belief":
        return vocabulary.code(vocabulary.encode(problems.beliefs[:, :1]))
    return np.zeros((len(problems), 0), dtype=np.int64)
