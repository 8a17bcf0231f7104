"""Affine belief probes: is the exact belief linear in the residual stream, and do baselines hold it as well?"""

from unamortized.evaluation.probes.activations import (
    SITES,
    Activations,
    activations_at,
    layers,
    read_activations,
    respond_with_activations,
)
from unamortized.evaluation.probes.discriminant import discriminant
from unamortized.evaluation.probes.fitting import (
    FittedProbe,
    belief_probes,
    fit_by_layer,
    fit_probes,
    fitting_problems,
    scoring_problems,
)
from unamortized.evaluation.probes.probe_baselines import WINDOW, recent_observations
from unamortized.evaluation.probes.readings import as_belief, as_distribution, to_simplex
from unamortized.evaluation.probes.ridge import Moments, Probe, moments, r2, ridge_probe
from unamortized.evaluation.probes.sweep import EVERYTHING, Probes, along_training, by_layer
from unamortized.evaluation.probes.targets import resolve_target

__all__ = [
    "EVERYTHING",
    "SITES",
    "WINDOW",
    "Activations",
    "FittedProbe",
    "Moments",
    "Probe",
    "Probes",
    "activations_at",
    "along_training",
    "as_belief",
    "as_distribution",
    "belief_probes",
    "by_layer",
    "discriminant",
    "fit_by_layer",
    "fit_probes",
    "fitting_problems",
    "layers",
    "moments",
    "r2",
    "read_activations",
    "recent_observations",
    "resolve_target",
    "respond_with_activations",
    "ridge_probe",
    "scoring_problems",
    "to_simplex",
]
