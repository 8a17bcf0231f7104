"""Untrained runs to test, and values found among rows."""

from pathlib import Path

from tests.evaluation.oracle import SMALL, slow_task
from unamortized.learning.runs import assemble, new_model
from unamortized.learning.specification import RunSpec


def untrained_run(condition="cot", model=SMALL, **fields):
    """A real network before training, for a task with these fields."""
    spec = RunSpec(task=slow_task(**fields), condition=condition, model=model)
    return assemble(spec, new_model(spec).eval(), Path("no folder"))


def by_step(rows, metric, control=""):
    """The values of a metric that has no layer, by step (None if it has none)."""
    chosen = [row for row in rows if (row["metric"], row["control"], row["layer"]) == (metric, control, "")]
    return {row["step"]: row["value"] for row in chosen}
