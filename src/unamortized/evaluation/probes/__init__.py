"""Affine belief probes: is the exact belief a linear function of the residual stream, and would controls do as well?"""

from unamortized.evaluation.probes.discriminant import classify, discriminant
from unamortized.evaluation.probes.probe_baselines import WINDOW, recent_observations
from unamortized.evaluation.probes.readings import as_belief, as_distribution, to_simplex
from unamortized.evaluation.probes.ridge import Moments, Probe, apply, fit, moments, r2, ridge_probe
from unamortized.evaluation.probes.sites import SITES, Read, layers, listen, read
from unamortized.evaluation.probes.sweep import EVERYTHING, Probes, along_training, by_layer
from unamortized.evaluation.probes.targets import resolve_target

__all__ = [
    "EVERYTHING",
    "SITES",
    "WINDOW",
    "Moments",
    "Probe",
    "Probes",
    "Read",
    "along_training",
    "apply",
    "as_belief",
    "as_distribution",
    "by_layer",
    "classify",
    "discriminant",
    "fit",
    "layers",
    "listen",
    "moments",
    "r2",
    "read",
    "recent_observations",
    "resolve_target",
    "ridge_probe",
    "to_simplex",
]
