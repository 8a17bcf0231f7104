"""Supervised learning on windows of a net."""

import numpy as np

from unamortized.language.batches import to_batch
from unamortized.language.rendering import AnyLanguage, NetLanguage
from unamortized.language.windows import net_vocabulary
from unamortized.learning.specification import AnyTask, BatchesOf, Condition, RunSpec, Setup
from unamortized.models.flops import training_flops
from unamortized.models.transformer import ModelSpec
from unamortized.worlds.net_tasks import NetTask
from unamortized.worlds.windows import Kind, draw_windows

COSTED = 4096  # windows averaged for the cost of one


def with_net(task: AnyTask) -> NetTask:
    """Return the task if it has a net; a ValueError if it has a process."""
    if not isinstance(task, NetTask):
        raise ValueError(f"{task.name} has a process, and windows need a net")
    return task


def window_language(task: AnyTask, model: ModelSpec) -> NetLanguage:
    """Return the language of windows of the task's net."""
    return NetLanguage(net_vocabulary(with_net(task)))


def needs_net(task: AnyTask) -> str:
    """Return why a task cannot be learned: it has a process."""
    return "" if isinstance(task, NetTask) else "it needs a net, and the task has a process"


def on_windows(name: str, kind: Kind, description: str) -> Condition:
    """Make a condition that trains on one kind of windows, grouped by size so that nothing is padded."""

    def batches(setup: Setup) -> BatchesOf:
        spec, task, language = setup.spec, with_net(setup.spec.task), setup.language
        assert isinstance(language, NetLanguage)
        if spec.train.questions is not None:
            raise ValueError(f"condition {name} always draws fresh windows; leave out train.questions")
        if spec.train.lengths != "own":
            raise ValueError(f"windows have no lengths to choose; leave out train.lengths (got {spec.train.lengths})")
        return lambda step, model: [
            to_batch(language.render(group))
            for group in draw_windows(task, kind, spec.train.batch_size, spec.seed, step.number)
        ]

    def flops(language: AnyLanguage, spec: RunSpec) -> float:
        costs = []
        for group in draw_windows(with_net(spec.task), kind, COSTED, 0, "cost"):
            count, shown = group.values.shape
            columns = 1 + shown  # the model reads <bos>, the question and all assignments but the last
            costs.append(count * training_flops(spec.model, language.vocabulary.size, columns, shown))
        return float(np.sum(costs) / COSTED)

    return Condition(name, description, window_language, batches, flops, unsupported=needs_net)


WINDOWS = (
    on_windows("local_windows", "local", "a net seen through windows of variables that lie close together"),
    on_windows("wrong_local_windows", "wrong", "windows as local, but in a relabeled net"),
    on_windows("full_windows", "full", "all of the net at once, except one of each held-out pair"),
)
