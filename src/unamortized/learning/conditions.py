"""Conditions: ways of learning the same questions, each with one name in code, tables, legends and README.

To add one that trains on a trace, give it a line in ``CONDITIONS``.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Protocol, runtime_checkable

import numpy as np

from unamortized.labels import joined, numbered, numbers
from unamortized.language.edits import corrupt, draw_answers
from unamortized.language.layout import Examples, Render, lay_out
from unamortized.language.traces import resolve_trace
from unamortized.language.vocabulary import Vocabulary
from unamortized.language.windows import NetVocabulary, lay_out_windows, net_vocabulary
from unamortized.models.flops import training_flops
from unamortized.models.transformer import Architecture, ModelSpec
from unamortized.worlds.net_tasks import NetTask
from unamortized.worlds.problems import Problems
from unamortized.worlds.splits import draw
from unamortized.worlds.tasks import Task
from unamortized.worlds.windows import Kind, draw_windows

CORRUPTED = 0.9  # share of corrupted traces in conditions with a reliance
INDEX_REACH = 8  # index tokens for each step of the longest training question: the limit of longer tests
COSTED = 4096  # windows averaged for the cost of one


@runtime_checkable
class Condition(Protocol):
    """A way of learning: what all have in common, whatever their tasks and examples."""

    @property
    def name(self) -> str: ...

    @property
    def description(self) -> str: ...

    @property
    def equal_flops(self) -> str | None: ...  # condition whose training FLOPs it spends; None: the requested steps

    @property
    def architecture(self) -> Architecture | None: ...  # the only one that it trains; None: the requested one

    def shape(self, model: ModelSpec) -> ModelSpec: ...  # of the model that it trains in place of the requested one

    def vocabulary(self, task: Any) -> Any: ...

    def training_flops_per_question(self, task: Any, model: ModelSpec) -> float: ...  # mean over training lengths


@dataclass(frozen=True)
class TraceCondition:
    """Supervised learning on a trace and the answer."""

    name: str
    trace: str
    description: str
    equal_flops: str | None = None
    architecture: Architecture | None = None
    reliance: float | None = None  # rho: share of the corrupted traces that the answer follows; None: all are exact
    predicts_question: bool = False  # whether it also learns to predict each observation of the question

    def shape(self, model: ModelSpec) -> ModelSpec:
        """Return the requested model, or one of the condition's own architecture with equal depth and width."""
        if self.architecture in (None, model.architecture):
            return model
        return ModelSpec(architecture=self.architecture, layers=model.layers, width=model.width)

    def vocabulary(self, task: Task) -> Vocabulary:
        """Return the task's vocabulary with the tokens of the trace.

        The number of index tokens follows from the training lengths alone, so that tests do not change the model.
        """
        return resolve_trace(self.trace).vocabulary(task, INDEX_REACH * task.steps.train[1])

    def renderer(self, task: Task, model: ModelSpec) -> Render:
        """Return a function that renders problems as the columns that a model of that shape trains on."""
        vocabulary, kind = self.vocabulary(task), resolve_trace(self.trace)

        def render(problems: Problems) -> Examples:
            trace = kind(problems, vocabulary)
            if self.reliance is not None:
                corrupted = corrupt(task, problems, vocabulary, CORRUPTED, self.reliance)
                problems, trace = draw_answers(problems, corrupted), corrupted.trace._replace(hint=trace.hint)
            examples = lay_out(problems, trace, vocabulary, model.coupled, model.spread_over)
            if self.predicts_question:
                weights = np.where(examples.observes, 1, examples.weights).astype(np.float32)
                examples = examples._replace(weights=weights)
            return examples

        return render

    def training_flops_per_question(self, task: Task, model: ModelSpec) -> float:
        return _flops_per_question(self, task.model_dump_json(), model.model_dump_json())


@lru_cache(maxsize=1024)  # planning and reporting request the same few repeatedly
def _flops_per_question(condition: TraceCondition, task_json: str, model_json: str) -> float:
    task, model = Task.model_validate_json(task_json), ModelSpec.model_validate_json(model_json)
    vocabulary, render = condition.vocabulary(task), condition.renderer(task, model)
    first, last = task.steps.train
    costs = []
    for n_steps in range(first, last + 1):
        examples = render(draw(task, "train", n_steps, 1, "cost"))
        columns = examples.tokens.shape[1] - 1  # the last token is predicted, not read
        predicted = examples.written | examples.observes if condition.predicts_question else examples.written
        costs.append(training_flops(model, vocabulary.size, columns, int(predicted[1:].sum())))
    return float(np.mean(costs))


@dataclass(frozen=True)
class WindowCondition:
    """Supervised learning on windows of a net."""

    name: str
    windows: Kind
    description: str
    equal_flops: None = None
    architecture: None = None

    def shape(self, model: ModelSpec) -> ModelSpec:
        return model

    def vocabulary(self, task: NetTask) -> NetVocabulary:
        return net_vocabulary(task)

    def examples(self, task: NetTask, seed: int, batch_size: int, step: int) -> list[Examples]:
        """Draw the windows of a training step, grouped by size so that nothing is padded."""
        groups, vocabulary = draw_windows(task, self.windows, batch_size, seed, step), self.vocabulary(task)
        return [lay_out_windows(group, vocabulary) for group in groups]

    def training_flops_per_question(self, task: NetTask, model: ModelSpec) -> float:
        size, costs = self.vocabulary(task).size, []
        for group in draw_windows(task, self.windows, COSTED, 0, "cost"):
            count, columns = group.values.shape  # the model reads the question and all assignments but the last
            costs.append(count * training_flops(model, size, columns, columns))
        return float(np.sum(costs) / COSTED)


CONDITIONS: dict[str, Condition] = {
    condition.name: condition
    for condition in (
        TraceCondition("amortized", "none", "question → answer, no trace; as many questions as CoT"),
        TraceCondition(
            "amortized_equal_flops", "none", "question → answer, trained for as many FLOPs as CoT", equal_flops="cot"
        ),
        TraceCondition(
            "next_token",
            "none",
            "every symbol of the question from those before it, then the answer, no trace",
            predicts_question=True,
        ),
        TraceCondition("cot", "belief", "a code for the exact belief after every step, then the answer"),
        TraceCondition("cot_copied", "copied", "each observation copied, then the code of the belief after it"),
        TraceCondition("cot_indexed", "indexed", "observations are numbered; each number, then the code"),
        TraceCondition("cot_state", "state", "a draw of the latent path from its posterior, then the answer"),
        TraceCondition("cot_every_4", "every_4", "a code for the exact belief after every fourth step"),
        TraceCondition("cot_filler", "filler", "as many empty tokens as cot writes codes, then the answer"),
        TraceCondition("cot_shuffled", "shuffled", "the codes of another problem's beliefs, then the answer"),
        TraceCondition("cot_posthoc", "posthoc", "the answer, and only then a code for each belief"),
        TraceCondition("cot_reversed", "reversed", "the codes of the beliefs from last to first, then the answer"),
        TraceCondition("cot_streaming", "streaming", "each code as soon as its observation is read, then the answer"),
        TraceCondition("cot_dithered", "dithered", "as cot, with random codes whose mean is the belief"),
        TraceCondition("cot_synonyms", "synonyms", "as cot, each code in one of two spellings at random"),
        TraceCondition("hint_untold", "hint_untold", "as cot, with a hint at the answer that the trace hides"),
        TraceCondition("hint_told", "hint_told", "as cot, with a hint at the answer that the last code includes"),
        TraceCondition(
            "gru",
            "none",
            "question → answer by a recurrent net, no trace; as many questions as CoT",
            architecture="gru",
        ),
        WindowCondition("local_windows", "local", "a net seen through windows of variables that lie close together"),
        WindowCondition("wrong_local_windows", "wrong", "windows as local, but in a relabeled net"),
        WindowCondition("full_windows", "full", "all of the net at once, except one of each held-out pair"),
    )
}


def resolve_condition(name: str) -> Condition:
    """Find a condition by name; ``cot_every_<k>``, ``dial_<rho>`` and ``dial_<rho>_told`` exist for every number.

    Raises:
        ValueError: if there is no such condition.
    """
    if name in CONDITIONS:
        return CONDITIONS[name]
    found = numbers(name)
    stride, reliance = found.get("every", 0), found.get("dial", 2)
    if stride >= 1 and stride % 1 == 0 and name == joined("cot", every := numbered("every", stride)):
        return TraceCondition(name, every, f"a code for the exact belief after every {stride:g} steps")
    dial = numbered("dial", reliance)
    if reliance <= 1 and name in (dial, joined(dial, "told")):
        described = f"as cot, but nine of ten traces have a wrong step, and {reliance:.0%} of the answers follow it"
        if name == dial:
            return TraceCondition(name, "belief", described, reliance=reliance)
        return TraceCondition(
            name, "told_end", f"{described}; the question gives the exact last belief", reliance=reliance
        )
    raise ValueError(
        f"no condition named '{name}'; there are {', '.join(CONDITIONS)}, cot_every_<k> "
        "(k a whole number from 1), and dial_<rho> (rho from 0 to 1)"
    )


def check_fits(condition: Condition, task: Task | NetTask) -> None:
    """Raise a ValueError, which lists the conditions that can, unless a condition can learn a task."""
    of_net = isinstance(task, NetTask)
    if isinstance(condition, WindowCondition) == of_net:
        return
    kind, required = ("a net", "a process") if of_net else ("a process", "a net")
    fitting = [each.name for each in CONDITIONS.values() if isinstance(each, WindowCondition) == of_net]
    raise ValueError(
        f"condition '{condition.name}' needs a task with {required}, but {task.name} has {kind}; choose from "
        f"{', '.join(fitting)}"
    )
