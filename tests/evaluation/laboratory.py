"""Untrained runs to test, and values found among rows."""

from pathlib import Path

from tests.evaluation.oracle import SMALL, slow_task
from unamortized.learning.runs import Run, RunSpec, new_model


def untrained(condition, **fields):
    """A model that knows nothing, of a task with these fields."""
    spec = RunSpec(task=slow_task(**fields), condition=condition, model=SMALL)
    return Run(spec, new_model(spec).eval(), Path("no folder"))


def found(rows, metric, condition=None):
    """Values by step (None where there is none) of the condition itself, or of a control."""
    own = [row for row in rows if row["metric"] == metric]
    names = {row["condition"] for row in own if "/" not in row["condition"]}
    wanted = condition or (names.pop() if names else None)
    return {row["step"]: row["value"] for row in own if row["condition"] == wanted and row["layer"] is None}
