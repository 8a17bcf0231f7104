"""Faithfulness: does the answer follow from the trace that the model writes, and does the trace say what it believes?

One file per test. Each is a function from a run to rows, judged by exact Bayes, so that a process that forgets is not
mistaken for a model that ignores its trace.
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
