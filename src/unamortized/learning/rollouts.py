"""Rollouts: the trace that a run's model writes, freely or edited, and the answer distribution after it.

The layout fixes the block of the vocabulary that each column takes; the model chooses within it.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Float, Int

from unamortized.labels import ABOUT_TO_STATE, QUESTION
from unamortized.language.layout import NO_STEP, Examples
from unamortized.language.traces import Trace, draw_hints, informed
from unamortized.learning.specification import Run
from unamortized.models.decoding import Patch, generate
from unamortized.worlds.problems import Problems
from unamortized.worlds.randomness import stream_seed

CHUNK = 512  # problems generated at a time; bounds the cache


@dataclass(frozen=True)
class Response:
    """A model's traces and answers."""

    answers: Float[np.ndarray, "batch answer"]
    written: Int[np.ndarray, "batch written"]  # the trace, as numbers within each token's block
    places: Int[np.ndarray, " stated"]  # in the trace, of the tokens that state a belief or a latent
    trace_steps: Int[np.ndarray, " stated"]  # that they state
    columns: dict[str, Int[np.ndarray, " step"]]  # by site, the column of each step (see ``sites``)
    taps: dict[str, Float[np.ndarray, "batch column width"]]
    stated: Int[np.ndarray, "batch stated"]  # the codes or states alone, whatever their spelling
    log_probabilities: Float[np.ndarray, "batch written"]  # of each token the model wrote, nats; NaN where forced


def respond(
    run: Run,
    problems: Problems,
    *,
    forced: Int[np.ndarray, "batch written"] | None = None,
    n_forced: int | None = None,
    truncate: int | None = None,
    hint: Int[np.ndarray, " batch"] | None = None,
    sample: bool = False,
    draw: int = 0,
    taps: Iterable[str] = (),
    patches: Iterable[Patch] = (),
) -> Response:
    """Let a run's model write its traces and answer.

    Args:
        run, problems: the model and its questions.
        forced: a trace (numbers within their blocks); its first ``n_forced`` tokens (all) replace the model's own.
        n_forced: see ``forced``.
        truncate: answer after this many tokens of the trace; by default, after all.
        hint: tokens that end the questions, instead of the usual ones.
        sample: sample the trace, as traces that are draws always are; ``draw`` is the number of the sample.
        draw: see ``sample``.
        taps: names of activations to return.
        patches: activations that replace the model's own.
    """
    taps, patches, kind = tuple(taps), tuple(patches), run.language.kind
    trace = kind(problems, run.vocabulary).first(truncate)
    trace = trace if hint is None else trace._replace(hint=hint)
    parts = []
    for first in range(0, len(problems), CHUNK):
        rows = slice(first, first + CHUNK)
        own = None if forced is None else forced[rows]
        local = [patch._replace(value=patch.value[rows]) for patch in patches]
        numbers = (draw, first) if sample or kind.sampled else None
        parts.append(_respond(run, problems.take(rows), trace.take(rows), own, n_forced, numbers, taps, local))
    return replace(
        parts[0],
        answers=np.concatenate([part.answers for part in parts]),
        written=np.concatenate([part.written for part in parts]),
        stated=np.concatenate([part.stated for part in parts]),
        log_probabilities=np.concatenate([part.log_probabilities for part in parts]),
        taps={tap: np.concatenate([part.taps[tap] for part in parts]) for tap in taps},
    )


def exact_answers(run: Run, problems: Problems) -> Float[np.ndarray, "batch answer"]:
    """Return the exact answers, given the run's questions with their hints."""
    exact = problems.answer_distribution
    return informed(exact, draw_hints(problems)) if run.language.kind.hinted else exact


def _respond(
    run: Run,
    problems: Problems,
    trace: Trace,
    forced: Int[np.ndarray, "batch written"] | None,
    n_forced: int | None,
    draw: tuple[int, int] | None,
    taps: tuple[str, ...],
    patches: list[Patch],
) -> Response:
    vocabulary, examples = run.vocabulary, run.language.lay_out(problems, trace)
    tokens, trace_columns = examples.tokens.copy(), np.setdiff1d(np.flatnonzero(examples.written), examples.answer)
    blocks = [vocabulary.blocks["answer"]] * tokens.shape[1]  # by column
    for column, block in zip(trace_columns, trace.blocks, strict=True):
        blocks[column] = vocabulary.blocks[block]
    starts = np.array([blocks[column].start for column in trace_columns], dtype=np.int64)
    free = examples.written.copy()
    if forced is not None:
        held = trace_columns[: forced.shape[1] if n_forced is None else n_forced]
        tokens[:, held] = starts[: len(held)] + forced[:, : len(held)]
        free[held] = False
    sampler = None
    if draw is not None:
        sampler = torch.Generator().manual_seed(stream_seed("trace", run.spec.seed, problems.n_steps, *draw))
    generated = generate(
        run.model,
        torch.from_numpy(tokens),
        torch.from_numpy(examples.positions)[None],
        torch.from_numpy(free),
        block=blocks,
        answer=examples.answer,
        sample=sampler,
        taps=taps,
        patches=patches,
    )
    answers = generated.logits[:, vocabulary.blocks["answer"]].double().softmax(dim=-1).numpy()
    written = generated.tokens[:, trace_columns].numpy() - starts
    return Response(
        answers=answers,
        written=written,
        stated=written[:, trace.stating] % vocabulary.codebook.size,  # there are at most as many states as codes
        places=trace.stating,
        trace_steps=trace.steps[trace.stating],
        columns=sites(examples),
        log_probabilities=generated.log_probabilities[:, trace_columns].double().numpy(),
        taps={tap: activation.numpy() for tap, activation in generated.taps.items()},
    )


def sites(examples: Examples) -> dict[str, Int[np.ndarray, " step"]]:
    """Return the columns at which the belief after a step may be found, by site.

    ``question``: the column of observation x_t, t = 1..n. ``about_to_state``: the column before the token that states
    step t, for each stated step; the answer mark, for step n, if the trace states none.
    """
    question = np.flatnonzero(examples.observes)
    stating = np.flatnonzero(examples.produces != NO_STEP)
    return {QUESTION: question, ABOUT_TO_STATE: stating if len(stating) else np.array([examples.answer - 1])}
