"""Figures: functions from tables to a picture, or to None where the tables hold nothing for it.

To add one, write a function from ``Tables``, give it a line in ``FIGURES``, and a caption in a study.
"""

from collections.abc import Callable

from matplotlib.figure import Figure

from unamortized.studies.figures.curves import (
    accuracy_by_length,
    kl_by_length,
    light_cone,
    triangle_along_trace,
)
from unamortized.studies.figures.probes import probe_r2_by_layer
from unamortized.studies.figures.simplex import belief_simplex
from unamortized.studies.figures.story import one_problem
from unamortized.studies.figures.style import Tables, save

FIGURES: dict[str, Callable[[Tables], Figure | None]] = {
    "kl_by_length": kl_by_length,
    "accuracy_by_length": accuracy_by_length,
    "light_cone": light_cone,
    "triangle_along_trace": triangle_along_trace,
    "probe_r2_by_layer": probe_r2_by_layer,
    "belief_simplex": belief_simplex,
    "one_problem": one_problem,
}

__all__ = ["FIGURES", "Tables", "save"]
