"""Faithfulness: is the trace that a model writes what its answer follows from, and does it say what the model believes?

One file for each way of finding out. All are functions from a run to rows, and each is judged by exact Bayes, so that
a process which forgets is not mistaken for a model that does not care.
"""

from unamortized.evaluation.faithfulness.calibration import Calibration, on_readers, on_untrained
from unamortized.evaluation.faithfulness.checkpoints import along_training
from unamortized.evaluation.faithfulness.crossing import crossing
from unamortized.evaluation.faithfulness.early_decoding import performative_lead
from unamortized.evaluation.faithfulness.edits import edit_step, light_cone, undisturbed
from unamortized.evaluation.faithfulness.hints import hints
from unamortized.evaluation.faithfulness.patching import patching
from unamortized.evaluation.faithfulness.resampling import resampling
from unamortized.evaluation.faithfulness.rewording import rewording
from unamortized.evaluation.faithfulness.rollout import FaithfulnessSettings, causal_reliance
from unamortized.evaluation.faithfulness.simulation import simulation
from unamortized.evaluation.faithfulness.truncation import truncation
from unamortized.evaluation.faithfulness.worked import worked

__all__ = [
    "Calibration",
    "FaithfulnessSettings",
    "along_training",
    "causal_reliance",
    "crossing",
    "edit_step",
    "hints",
    "light_cone",
    "on_readers",
    "on_untrained",
    "patching",
    "performative_lead",
    "resampling",
    "rewording",
    "simulation",
    "truncation",
    "undisturbed",
    "worked",
]
