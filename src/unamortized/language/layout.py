"""Layout: from a problem and its trace to columns of tokens, position ids, loss weights and steps.

``<bos> [table] [start] x_1 .. x_n [hint] <think> c_1 .. c_n <answer> a``. Attention over equal tokens is the same for
any number of them, so that without ``<bos>`` a model could not count a repeated symbol. Position ids are coupled: the
token that produces step t has the id of the observation x_t, so that fetching an observation is a look-up of an equal
id at every length. The rules of a table have no position, so that none is nearer to a step than another. Plain ids
count the columns.

A trace that fetches writes two tokens for each step: first what it fetches (a copy of x_t, or its index), then the code
of step t. The token that produces each of them has id t: for the first, the code of step t - 1 (or <think>); for the
second, the fetched token. Where the question shows indices, each has the id of its observation.

The same rule covers a trace after the answer, ``x_1 .. x_n <answer> a <think> c_1 .. c_n``, and a trace during the
question, ``<think> x_1 c_1 .. x_n c_n <answer> a``. Without the mark, ``x_1 .. x_n a``, the answer follows x_n.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from unamortized.language.traces import Order, Trace
from unamortized.language.vocabulary import ANSWER, BOS, THINK, Vocabulary
from unamortized.worlds.problems import Problems
from unamortized.worlds.splits import named_by_questions

NO_STEP = -1
NOWHERE = -1  # position id of tokens that are equally near to all others


class Examples(NamedTuple):
    """A batch of one length as columns; all but ``tokens`` and ``weights`` are shared by its problems."""

    tokens: Int[np.ndarray, "batch column"]
    positions: Int[np.ndarray, " column"]
    weights: Float[np.ndarray, "*#batch column"]  # of the loss on predicting the token in this column
    steps: Int[np.ndarray, " column"]  # the step t that the token observes, copies or states; -1 for none
    produces: Int[np.ndarray, " column"]  # the step t that the next token states; -1 for none
    written: Bool[np.ndarray, " column"]  # whether a freely running model writes this token
    answer: int  # the column of the answer

    @property
    def observes(self) -> Bool[np.ndarray, " column"]:
        """Columns that hold the question's observations."""
        return (self.steps > 0) & ~self.written


Render = Callable[[Problems], Examples]


def lay_out(
    problems: Problems, trace: Trace, vocabulary: Vocabulary, coupled: bool = True, spread_over: int | None = None
) -> Examples:
    """Lay out problems and their trace in columns.

    The loss falls on trace and answer, not on the question or the marks; all tokens weigh the same unless the trace
    has weights. ``randomized_ids`` spreads position ids over ``spread_over``; None leaves them as they are.
    """
    batch, n_steps, per_observation = len(problems), problems.n_steps, 1 if trace.indices is None else 2
    rules, none = problems.process.rules, np.zeros((batch, 0), dtype=np.int64)
    parts = {
        "bos": np.full((batch, 1), BOS),
        "table": none if rules is None else vocabulary.rule(rules),
        "start": none,
        "question": vocabulary.observation(problems.observations),
        "hint": none if trace.hint is None else trace.hint[:, None],
        "think": np.full((batch, 1 if len(trace.steps) else 0), THINK),
        "trace": trace.tokens,
        "mark": np.full((batch, 1 if trace.marked else 0), ANSWER),
        "answer": vocabulary.answer(problems.answers)[:, None],
    }
    if problems.start == "known":
        parts["start"] = vocabulary.state(problems.latents[:, :1])
    if problems.start == "belief":
        parts["start"] = vocabulary.code(vocabulary.encode(problems.beliefs[:, :1]))
    if trace.indices is not None:
        parts["question"] = np.stack([trace.indices, parts["question"]], axis=2).reshape(batch, -1)
    tokens, stops = np.concatenate([*parts.values()], axis=1), np.cumsum([part.shape[1] for part in parts.values()])
    columns = tokens.shape[1]
    at = {name: slice(stop - part.shape[1], stop) for (name, part), stop in zip(parts.items(), stops, strict=True)}
    observed = np.arange(1, n_steps + 1)

    ids = np.full(columns, n_steps + 1)  # the step that a token is about; hint, marks and answer lie beyond the last
    ids[at["bos"]], ids[at["table"]], ids[at["start"]] = 0, NOWHERE, 0
    ids[at["question"]], ids[at["trace"]] = np.repeat(observed, per_observation), trace.steps
    steps, states, written = np.full(columns, NO_STEP), np.full(columns, NO_STEP), np.zeros(columns, dtype=bool)
    steps[at["start"]], steps[at["question"]][per_observation - 1 :: per_observation] = 0, observed
    steps[at["trace"]] = np.where([block == "index" for block in trace.blocks], NO_STEP, trace.steps)
    states[at["trace"].start + trace.stating] = trace.steps[trace.stating]
    written[at["trace"]] = written[at["answer"]] = True
    weights = written.astype(np.float32)
    if trace.weights is not None:
        weights = np.tile(weights, (batch, 1))
        weights[:, at["trace"]] = trace.weights

    given = np.arange(columns) < at["hint"].stop
    order = np.argsort(_turns(trace.order, ids, given, at), kind="stable")
    # a given token has its own id; every other token has the id of the token that it produces
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
    order: Order, ids: Int[np.ndarray, " column"], given: Bool[np.ndarray, " column"], at: dict[str, slice]
) -> Int[np.ndarray, " column"]:
    """Sort key of each column; columns with equal keys keep their order."""
    turns = np.zeros_like(ids)
    if order == "question, answer, trace":
        turns[~given] = 2
        turns[-2:] = 1
    if order == "question with trace, answer":  # <think> after table and start, then each observation and its code
        turns = 2 * ids + ~given
        turns[at["bos"]], turns[at["think"]] = 2 * NOWHERE, 1
    return turns


def randomized_ids(
    positions: Int[np.ndarray, " column"], problems: Problems, spread_over: int
) -> Int[np.ndarray, " column"]:
    """Replace ids 0, 1, 2, ... by a random subset of 0..``spread_over`` - 1, in order (Ruoss et al. 2023).

    Short questions then train the large ids of long ones. Equal ids stay equal, and ``NOWHERE`` stays. The questions of
    the batch key the subset, so that every condition and every evaluation gives them the same ids.

    Raises:
        ValueError: if there are more ids than ``spread_over``.
    """
    n_ids = int(positions.max()) + 1
    if n_ids > spread_over:
        raise ValueError(
            f"model.max_positions must be at least {n_ids}, the number of position ids (got {spread_over}); raise it, "
            "or choose other model.positions"
        )
    subset = np.sort(named_by_questions("positions", problems).choice(spread_over, size=n_ids, replace=False))
    return np.where(positions == NOWHERE, NOWHERE, subset[positions])
