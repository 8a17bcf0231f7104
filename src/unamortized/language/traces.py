"""Traces: the tokens written between question and answer, each a rendering of the same problem.

A trace is a function from problems to tokens, with the block and the step of each token. To add one, write that
function here and give it a line in ``TRACES``.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Literal, NamedTuple

import numpy as np
from jaxtyping import Float, Int

from unamortized.labels import numbered, numbers
from unamortized.language.vocabulary import HINT_STRENGTHS, Vocabulary, task_vocabulary
from unamortized.worlds.problems import Problems
from unamortized.worlds.splits import content_hash, named_by_questions
from unamortized.worlds.tasks import Task

STATING = ("code", "state")  # blocks whose tokens state a belief or a latent state

Order = Literal["question, trace, answer", "question, answer, trace", "question with trace, answer"]


class Trace(NamedTuple):
    """Tokens written in addition to the answer, equally many for all problems of a batch."""

    tokens: Int[np.ndarray, "batch written"]
    steps: Int[np.ndarray, " written"]  # the step t that each token is about
    blocks: tuple[str, ...]  # the vocabulary block of each token
    indices: Int[np.ndarray, "batch step"] | None = None  # tokens that the question shows before each observation
    hint: Int[np.ndarray, " batch"] | None = None  # the token that ends the question, a hint or a code
    order: Order = "question, trace, answer"
    marked: bool = True  # whether <answer> precedes the answer
    weights: Float[np.ndarray, "batch written"] | None = None  # of the loss; None: 1 for each token

    @property
    def stating(self) -> Int[np.ndarray, " stated"]:
        """Indices of the tokens that state a belief or a latent state."""
        return np.flatnonzero([block in STATING for block in self.blocks])

    def take(self, rows: slice) -> "Trace":
        """Select the traces of some problems of the batch."""
        parts = {name: getattr(self, name) for name in ("tokens", "indices", "hint", "weights")}
        return self._replace(**{name: None if part is None else part[rows] for name, part in parts.items()})

    def first(self, n_tokens: int | None) -> "Trace":
        """Keep the first ``n_tokens`` tokens."""
        return self._replace(
            tokens=self.tokens[:, :n_tokens],
            steps=self.steps[:n_tokens],
            blocks=self.blocks[:n_tokens],
            weights=None if self.weights is None else self.weights[:, :n_tokens],
        )


@dataclass(frozen=True)
class TraceKind:
    """A way of rendering problems as traces, with the tokens that it needs."""

    render: Callable[[Problems, Vocabulary], Trace]
    sampled: bool = False  # whether a model samples its trace, rather than writing the likeliest token
    indexed: bool = False  # whether it needs the vocabulary's index tokens
    n_filler: int = 0  # number of filler tokens
    n_synonyms: int = 1  # number of tokens for each code
    hinted: bool = False  # whether the question ends with a hint at the answer

    def vocabulary(self, task: Task, n_indices: int) -> Vocabulary:
        """Build the task's vocabulary with the tokens of this trace; ``n_indices`` counts only if it is indexed."""
        return task_vocabulary(task, n_indices if self.indexed else 0, self.n_filler, self.n_synonyms, self.hinted)

    def __call__(self, problems: Problems, vocabulary: Vocabulary) -> Trace:
        """Write the traces of problems; a ValueError if a step is stated twice, for an edit would change one alone."""
        trace = self.render(problems, vocabulary)
        stated, counts = np.unique(trace.steps[trace.stating], return_counts=True)
        if (counts > 1).any():
            raise ValueError(f"a trace states each step at most once; step {stated[counts > 1][0]} is stated twice")
        return trace


# ── exact inference: beliefs at some steps, or a sampled latent path ─────────────────────────────


def every_k(problems: Problems, vocabulary: Vocabulary, stride: int | None = 1) -> Trace:
    """Write the codes of the exact beliefs after steps k, 2k, ...; a ``stride`` of None gives an empty trace."""
    steps = np.arange(stride, problems.n_steps + 1, stride) if stride else np.zeros(0, dtype=np.int64)
    codes = vocabulary.encode(problems.beliefs[:, steps])
    return Trace(vocabulary.code(codes), steps, ("code",) * len(steps))


def dense(problems: Problems, vocabulary: Vocabulary) -> Trace:
    """Write nothing, not even the mark: the last observation asks for the answer, as every observation does."""
    return every_k(problems, vocabulary, stride=None)._replace(marked=False)


def state(problems: Problems, vocabulary: Vocabulary) -> Trace:
    """Write the true latent path s_1 .. s_n, which is a draw from the exact joint posterior of the question.

    Where the query asks for the last state, the answer is s_n of that same draw.
    """
    if problems.process.is_generalized:
        raise ValueError("a state trace needs latent states, and a generalized process has none; use a belief trace")
    steps = np.arange(1, problems.n_steps + 1)
    return Trace(vocabulary.state(problems.latents[:, 1:]), steps, ("state",) * problems.n_steps)


# ── controls for the mere number of tokens written ───────────────────────────────────────────────


def filler(problems: Problems, vocabulary: Vocabulary) -> Trace:
    """Write one empty token a step, without loss: room for parallel computation, no content (Pfau et al. 2024)."""
    steps = np.arange(1, problems.n_steps + 1)
    shape = (len(problems), problems.n_steps)
    tokens = np.full(shape, vocabulary.blocks["filler"].start)
    return Trace(tokens, steps, ("filler",) * len(steps), weights=np.zeros(shape, dtype=np.float32))


def shuffled(problems: Problems, vocabulary: Vocabulary) -> Trace:
    """Write the belief trace of the next problem of the batch: equally long and likely, but about another question."""
    trace = every_k(problems, vocabulary)
    return trace._replace(tokens=np.roll(trace.tokens, -1, axis=0))


# ── another order ────────────────────────────────────────────────────────────────────────────────


def posthoc(problems: Problems, vocabulary: Vocabulary) -> Trace:
    """Write ``<answer> a <think> c_1 .. c_n``: a rationalization, which cannot have caused the answer."""
    return every_k(problems, vocabulary)._replace(order="question, answer, trace")


def reversed_belief(problems: Problems, vocabulary: Vocabulary) -> Trace:
    """Write ``c_n .. c_1``: the conclusion first, then backwards."""
    trace = every_k(problems, vocabulary)
    return trace._replace(tokens=np.ascontiguousarray(trace.tokens[:, ::-1]), steps=trace.steps[::-1].copy())


def streaming(problems: Problems, vocabulary: Vocabulary) -> Trace:
    """Write ``<think> x_1 c_1 .. x_n c_n``: each belief before the next observation is read."""
    return every_k(problems, vocabulary)._replace(order="question with trace, answer")


# ── varying tokens, keyed by the questions of the batch ──────────────────────────────────────────


def dithered(problems: Problems, vocabulary: Vocabulary) -> Trace:
    """Write codes drawn near the exact beliefs, with these as their mean, so that rounding is unbiased."""
    steps = np.arange(1, problems.n_steps + 1)
    uniforms = named_by_questions("dither", problems).random((len(problems), len(steps)))
    codes = vocabulary.encode(problems.beliefs[:, steps], uniforms)
    return Trace(vocabulary.code(codes), steps, ("code",) * len(steps))


def synonyms(problems: Problems, vocabulary: Vocabulary) -> Trace:
    """Write, for the code of each exact belief, one of its synonyms at random; the choice carries no information."""
    trace = every_k(problems, vocabulary)
    which = named_by_questions("synonyms", problems).integers(vocabulary.n_synonyms, size=trace.tokens.shape)
    return trace._replace(tokens=vocabulary.code(trace.tokens - vocabulary.blocks["code"].start, which))


# ── a token before each code names the observation of its update ─────────────────────────────────
# It exposes the pointer: it separates a model that lost count, which fetches the wrong observation, from one that
# updates wrongly.


def copied(problems: Problems, vocabulary: Vocabulary) -> Trace:
    """Write ``x_1 c_1 x_2 c_2 ..``: a copy of each observation, then the code of the exact belief after it."""
    return _alternating(vocabulary.observation(problems.observations), "observation", problems, vocabulary)


def indexed(problems: Problems, vocabulary: Vocabulary) -> Trace:
    """Write ``i_1 c_1 i_2 c_2 ..`` after a question ``i_1 x_1 i_2 x_2 ..``: each observation's index, then the code.

    Indices are consecutive and may begin at any number, so that short questions train the indices of long ones. The
    content of the question alone decides where they begin.
    """
    beginnings = vocabulary.n_indices - problems.n_steps + 1
    if beginnings < 1:
        raise ValueError(
            f"{problems.n_steps} observations need as many index tokens (got {vocabulary.n_indices}); test shorter "
            "questions, or raise steps.train, which sets the number of index tokens"
        )
    # the lower half of the hash decides the split of a short question, so the upper half decides its indices
    begins = (content_hash(problems) >> np.uint64(32)) % np.uint64(beginnings)
    indices = vocabulary.index(begins.astype(np.int64)[:, None] + np.arange(problems.n_steps))
    return _alternating(indices, "index", problems, vocabulary)._replace(indices=indices)


def _alternating(
    fetched: Int[np.ndarray, "batch step"], block: str, problems: Problems, vocabulary: Vocabulary
) -> Trace:
    """Alternate the fetched token of each step and the code of the exact belief after it."""
    codes = every_k(problems, vocabulary)
    tokens = np.stack([fetched, codes.tokens], axis=2).reshape(len(problems), -1)
    return Trace(tokens, np.repeat(codes.steps, 2), (block, "code") * problems.n_steps)


# ── the question ends with a hint at the answer, of known strength, or with the exact last belief ─


class Hints(NamedTuple):
    """The hinted answer and the strength of each hint."""

    answers: Int[np.ndarray, " batch"]
    levels: Int[np.ndarray, " batch"]  # indices into ``HINT_STRENGTHS``


def draw_hints(problems: Problems) -> Hints:
    r"""Draw hints: at the true answer with probability $v = e^L / (e^L + A - 1)$, else at one of the others.

    L is the log-likelihood ratio, in nats, of the hinted answer against any other of the A answers.
    """
    generator, n_answers = named_by_questions("hints", problems), problems.answer_distribution.shape[1]
    levels = generator.integers(len(HINT_STRENGTHS), size=len(problems))
    odds = np.exp(np.array(HINT_STRENGTHS)[levels])
    true = generator.random(len(problems)) < odds / (odds + n_answers - 1)
    other = (problems.answers + generator.integers(1, n_answers, size=len(problems))) % n_answers
    return Hints(np.where(true, problems.answers, other), levels)


def informed(distribution: Float[np.ndarray, "batch answer"], hints: Hints) -> Float[np.ndarray, "batch answer"]:
    """Update a distribution on hints by Bayes' rule."""
    hinted = np.arange(distribution.shape[1]) == hints.answers[:, None]
    joint = distribution * np.exp(np.array(HINT_STRENGTHS)[hints.levels, None] * hinted)
    return joint / joint.sum(axis=1, keepdims=True)


def hint_untold(problems: Problems, vocabulary: Vocabulary) -> Trace:
    """Write the belief trace without the hint, whose effect on the answer the trace therefore hides."""
    return every_k(problems, vocabulary)._replace(hint=vocabulary.hint(*draw_hints(problems)))


def hint_told(problems: Problems, vocabulary: Vocabulary) -> Trace:
    """Write the belief trace whose last code states the belief updated on the hint; needs query: filter."""
    if not np.array_equal(problems.answer_distribution, problems.beliefs[:, -1]):
        raise ValueError("trace hint_told needs an answer that is the last state; use query: filter")
    trace = hint_untold(problems, vocabulary)
    tokens = trace.tokens.copy()
    tokens[:, -1] = vocabulary.code(vocabulary.encode(informed(problems.beliefs[:, -1], draw_hints(problems))))
    return trace._replace(tokens=tokens)


def told_end(problems: Problems, vocabulary: Vocabulary) -> Trace:
    """Write the belief trace; the question ends with the code of the exact last belief, so nothing is left to infer."""
    return every_k(problems, vocabulary)._replace(hint=vocabulary.code(vocabulary.encode(problems.beliefs[:, -1])))


TRACES: dict[str, TraceKind] = {
    "none": TraceKind(partial(every_k, stride=None)),
    "dense": TraceKind(dense),
    "belief": TraceKind(every_k),
    "state": TraceKind(state, sampled=True),
    "copied": TraceKind(copied),
    "indexed": TraceKind(indexed, indexed=True),
    "filler": TraceKind(filler, n_filler=1),
    "shuffled": TraceKind(shuffled, sampled=True),
    "posthoc": TraceKind(posthoc),
    "reversed": TraceKind(reversed_belief),
    "streaming": TraceKind(streaming),
    "dithered": TraceKind(dithered, sampled=True),
    "synonyms": TraceKind(synonyms, n_synonyms=2),
    "hint_untold": TraceKind(hint_untold, hinted=True),
    "hint_told": TraceKind(hint_told, hinted=True),
    "told_end": TraceKind(told_end),
}


def resolve_trace(name: str) -> TraceKind:
    """Find a trace by name, or raise a ValueError; ``every_4`` writes the belief at every fourth step."""
    if name in TRACES:
        return TRACES[name]
    stride = numbers(name).get("every", 0)
    if stride >= 1 and stride % 1 == 0 and name == numbered("every", stride):
        return TraceKind(partial(every_k, stride=int(stride)))
    raise ValueError(f"no trace named '{name}'; there are {', '.join(TRACES)} and every_<k>, as in every_4")
