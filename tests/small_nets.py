"""Small tasks about nets for tests."""

from typing import Any

from unamortized.worlds.net_tasks import NetTask


def small_net_task(**changes: Any) -> NetTask:
    """Return a chain of fourteen variables; changes replace fields."""
    fields: dict[str, Any] = {
        "name": "small_net",
        "net": {"shape": "chain", "variables": 14},
        "windows": {"stop": 0.5, "dropout": 0.2},
        "held_out_pairs": 5,
        "steps": {"train": [1, 2], "test": [2, 3]},
    }
    return NetTask.model_validate(fields | changes)
