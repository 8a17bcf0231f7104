"""unamortized: what does a model gain by thinking step by step, and does the trace that it writes state its beliefs?

The public names are below. They are imported at first use, so that exact inference does not import torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from unamortized.learning.exports import export_gpt2
    from unamortized.learning.runs import load_run
    from unamortized.learning.specification import Run
    from unamortized.worlds.inference import (
        ImpossibleObservation,
        filter_beliefs,
        most_likely_latents,
        predict,
        sample_latents,
        smooth_beliefs,
    )
    from unamortized.worlds.problems import Problems, sample_problems
    from unamortized.worlds.processes import FAMILIES, Process, build_process
    from unamortized.worlds.task_files import load_task
    from unamortized.worlds.tasks import Task

__version__ = "0.1.0"

_ROOMS = {
    "learning.exports": ("export_gpt2",),
    "learning.runs": ("Run", "load_run"),
    "worlds.inference": (
        "ImpossibleObservation",
        "filter_beliefs",
        "most_likely_latents",
        "predict",
        "sample_latents",
        "smooth_beliefs",
    ),
    "worlds.problems": ("Problems", "sample_problems"),
    "worlds.processes": ("FAMILIES", "Process", "build_process"),
    "worlds.task_files": ("load_task",),
    "worlds.tasks": ("Task",),
}
_HOME = {name: room for room, names in _ROOMS.items() for name in names}

__all__ = [
    "FAMILIES",
    "ImpossibleObservation",
    "Problems",
    "Process",
    "Run",
    "Task",
    "build_process",
    "export_gpt2",
    "filter_beliefs",
    "load_run",
    "load_task",
    "most_likely_latents",
    "predict",
    "sample_latents",
    "sample_problems",
    "smooth_beliefs",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'unamortized' has no attribute {name!r}")
    return getattr(import_module(f"unamortized.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
