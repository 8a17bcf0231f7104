"""A language: how a condition writes problems as tokens, and all that evaluation may ask about what is written."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from unamortized.language.edits import corrupt, draw_answers
from unamortized.language.layout import Examples, lay_out
from unamortized.language.traces import Trace, TraceKind, resolve_trace
from unamortized.language.vocabulary import Vocabulary
from unamortized.language.windows import NetVocabulary, lay_out_windows
from unamortized.worlds.problems import Problems
from unamortized.worlds.tasks import Task
from unamortized.worlds.windows import Windows

CORRUPTED = 0.9  # share of corrupted traces in conditions with a reliance
INDEX_REACH = 8  # index tokens for each step of the longest training question: the limit of longer tests
DIRECT = ("none", "dense")  # traces without a token


@dataclass(frozen=True)
class Language:
    """Vocabulary, trace and layout of problems with a process."""

    task: Task
    trace: str = "none"
    coupled: bool = True  # position ids
    spread_over: int | None = None  # number of position ids to draw from, if they are randomized
    reliance: float | None = None  # rho: share of the corrupted traces that the answer follows; None: all are exact
    predicts_question: bool = False  # whether each observation of the question is learned, too

    @property
    def kind(self) -> TraceKind:
        return resolve_trace(self.trace)

    @property
    def is_direct(self) -> bool:
        """Whether nothing is written before the answer."""
        return self.trace in DIRECT

    @cached_property
    def vocabulary(self) -> Vocabulary:
        """The task's vocabulary with the tokens of the trace.

        The number of index tokens follows from the training lengths alone, so that tests do not change the model.
        """
        return self.kind.vocabulary(self.task, INDEX_REACH * self.task.steps.train[1])

    def lay_out(self, problems: Problems, trace: Trace) -> Examples:
        """Lay out problems and any trace of theirs in columns."""
        return lay_out(problems, trace, self.vocabulary, self.coupled, self.spread_over)

    def render(self, problems: Problems) -> Examples:
        """Render problems as the columns that a model trains on."""
        trace = self.kind(problems, self.vocabulary)
        if self.reliance is not None:
            corrupted = corrupt(self.task, problems, self.vocabulary, CORRUPTED, self.reliance)
            problems, trace = draw_answers(problems, corrupted), corrupted.trace._replace(hint=trace.hint)
        examples = self.lay_out(problems, trace)
        if self.trace == "dense":
            answered = np.append(False, examples.observes[:-1])  # each observation predicts the answer so far
            examples = examples._replace(weights=answered.astype(np.float32))
        if self.predicts_question:
            weights = np.where(examples.observes, 1, examples.weights).astype(np.float32)
            examples = examples._replace(weights=weights)
        return examples


@dataclass(frozen=True)
class NetLanguage:
    """Vocabulary and layout of windows of a net."""

    vocabulary: NetVocabulary

    def render(self, windows: Windows) -> Examples:
        """Render windows of one size as the columns that a model trains on."""
        return lay_out_windows(windows, self.vocabulary)


AnyLanguage = Language | NetLanguage
