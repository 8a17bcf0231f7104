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
from unamortized.studies.figures.depth import depth_accuracy, depth_steps, depth_windows
from unamortized.studies.figures.faithfulness_measures import dial, gauge_readings, gauges
from unamortized.studies.figures.geometry import (
    probe_rivals,
    probe_training,
    residual_simplex,
    steering,
    subspaces,
)
from unamortized.studies.figures.law import law
from unamortized.studies.figures.locality import locality_mse
from unamortized.studies.figures.modes import modes, modes_training
from unamortized.studies.figures.pointer import kl_by_scheme, pointer_errors
from unamortized.studies.figures.probes import probe_r2_by_layer
from unamortized.studies.figures.routes import routes
from unamortized.studies.figures.simplex import belief_simplex
from unamortized.studies.figures.story import one_problem
from unamortized.studies.figures.stride import stride_cost, stride_growth, stride_learning
from unamortized.studies.figures.style import Tables, save
from unamortized.studies.figures.worked import worked
from unamortized.studies.figures.worlds import phase_diagram, worlds_gap, worlds_kl

FIGURES: dict[str, Callable[[Tables], Figure | None]] = {
    "kl_by_length": kl_by_length,
    "accuracy_by_length": accuracy_by_length,
    "light_cone": light_cone,
    "triangle_along_trace": triangle_along_trace,
    "probe_r2_by_layer": probe_r2_by_layer,
    "belief_simplex": belief_simplex,
    "one_problem": one_problem,
    "kl_by_scheme": kl_by_scheme,
    "pointer_errors": pointer_errors,
    "worlds_gap": worlds_gap,
    "worlds_kl": worlds_kl,
    "phase_diagram": phase_diagram,
    "locality_mse": locality_mse,
    "stride_learning": stride_learning,
    "stride_growth": stride_growth,
    "stride_cost": stride_cost,
    "worked": worked,
    "gauges": gauges,
    "gauge_readings": gauge_readings,
    "dial": dial,
    "law": law,
    "modes": modes,
    "modes_training": modes_training,
    "residual_simplex": residual_simplex,
    "probe_rivals": probe_rivals,
    "probe_training": probe_training,
    "steering": steering,
    "subspaces": subspaces,
    "routes": routes,
    "depth_accuracy": depth_accuracy,
    "depth_windows": depth_windows,
    "depth_steps": depth_steps,
}

__all__ = ["FIGURES", "Tables", "save"]
