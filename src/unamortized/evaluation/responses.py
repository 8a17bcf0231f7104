"""How a run's model answers: its own trace, written freely or edited, and the answer distribution after it.

The trace and the answer are chosen within their block of the vocabulary, as their columns are fixed by the
layout; nothing is teacher-forced unless an edit says so.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Float, Int

from unamortized.language.layout import NO_STEP, lay_out
from unamortized.language.traces import resolve_trace
from unamortized.learning.runs import Run
from unamortized.models.decoding import Patch, generate
from unamortized.worlds.problems import Problems
from unamortized.worlds.randomness import stream_seed

CHUNK = 512  # problems generated at a time; bounds the cache


@dataclass(frozen=True)
class Response:
    """What a model wrote and answered."""

    answers: Float[np.ndarray, "batch answer"]
    written: Int[np.ndarray, "batch written"]  # the trace, as numbers within its block
    trace_steps: Int[np.ndarray, " written"]  # the step that each written token states
    columns: dict[str, Int[np.ndarray, " step"]]  # by site, the column of each step (see ``sites``)
    taps: dict[str, Float[np.ndarray, "batch column width"]]


def respond(
    run: Run,
    problems: Problems,
    *,
    forced: Int[np.ndarray, "batch written"] | None = None,
    n_forced: int | None = None,
    truncate: int | None = None,
    draw: int = 0,
    taps: Iterable[str] = (),
    patches: Iterable[Patch] = (),
) -> Response:
    """Let a run's model think and answer.

    Args:
        run: the run.
        problems: what is asked.
        forced: a trace (numbers within its block) whose first ``n_forced`` tokens the model has to take as
            its own; it writes the rest.
        n_forced: how many; all where it is not given.
        truncate: answer after this many tokens of the trace; after all of it where it is not given.
        draw: number of the draw, for traces that are sampled.
        taps: names of activations to return.
        patches: activations to put in place of the model's own.
    """
    taps, patches = tuple(taps), tuple(patches)
    parts = []
    for first in range(0, len(problems), CHUNK):
        rows = slice(first, first + CHUNK)
        own = None if forced is None else forced[rows]
        local = [patch._replace(value=patch.value[rows]) for patch in patches]
        parts.append(_respond(run, problems.take(rows), own, n_forced, truncate, (draw, first), taps, local))
    return replace(
        parts[0],
        answers=np.concatenate([part.answers for part in parts]),
        written=np.concatenate([part.written for part in parts]),
        taps={tap: np.concatenate([part.taps[tap] for part in parts]) for tap in taps},
    )


def _respond(
    run: Run,
    problems: Problems,
    forced: Int[np.ndarray, "batch written"] | None,
    n_forced: int | None,
    truncate: int | None,
    draw: tuple[int, int],
    taps: tuple[str, ...],
    patches: list[Patch],
) -> Response:
    vocabulary = run.vocabulary
    trace = resolve_trace(run.condition.trace)(problems, vocabulary)
    trace = trace._replace(tokens=trace.tokens[:, :truncate], steps=trace.steps[:truncate])
    examples = lay_out(problems, trace, vocabulary, run.spec.model.coupled)
    tokens, block = examples.tokens.copy(), vocabulary.blocks[trace.block]
    trace_columns = np.flatnonzero(examples.written)[:-1]
    free = examples.written.copy()
    if forced is not None:
        held = trace_columns[: forced.shape[1] if n_forced is None else n_forced]
        tokens[:, held] = block.start + forced[:, : len(held)]
        free[held] = False
    sampler = None
    if trace.sampled:
        sampler = torch.Generator().manual_seed(stream_seed("trace", run.spec.seed, problems.n_steps, *draw))
    generated = generate(
        run.model,
        torch.from_numpy(tokens),
        torch.from_numpy(examples.positions)[None],
        torch.from_numpy(free),
        block=block,
        sample=sampler,
        taps=taps,
        patches=patches,
    )
    answers = generated.logits[:, vocabulary.blocks["answer"]].double().softmax(dim=-1).numpy()
    return Response(
        answers=answers,
        written=generated.tokens[:, trace_columns].numpy() - block.start,
        trace_steps=trace.steps,
        columns=sites(examples.steps, examples.produces, problems.n_steps),
        taps={tap: activation.numpy() for tap, activation in generated.taps.items()},
    )


def sites(
    steps: Int[np.ndarray, " column"], produces: Int[np.ndarray, " column"], n_steps: int
) -> dict[str, Int[np.ndarray, " step"]]:
    """The columns at which the belief after a step may be looked for.

    ``question``: where observation x_t was just read, t = 1..n. ``about_to_state``: where the next token
    states step t, for the steps that the trace states; without a trace, the answer mark, for step n.
    """
    question = np.flatnonzero((steps > 0) & (np.arange(len(steps)) < np.flatnonzero(steps == n_steps)[0] + 1))
    stating = np.flatnonzero(produces != NO_STEP)
    return {"question": question, "about_to_state": stating if len(stating) else np.array([len(steps) - 2])}
