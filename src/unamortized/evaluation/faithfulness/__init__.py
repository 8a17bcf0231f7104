"""Faithfulness: does the answer follow from the trace that the model writes, and does the trace say what it believes?

One file per test. Each is a function from a run to rows, judged by exact Bayes, so that a process that forgets is not
mistaken for a model that ignores its trace.
"""

from unamortized.evaluation.faithfulness.calibration import RHOS as RHOS
from unamortized.evaluation.faithfulness.calibration import on_readers as on_readers
from unamortized.evaluation.faithfulness.calibration import on_untrained as on_untrained
from unamortized.evaluation.faithfulness.crossing import crossing
from unamortized.evaluation.faithfulness.early_decoding import performative_lead
from unamortized.evaluation.faithfulness.edits import along_training as along_training
from unamortized.evaluation.faithfulness.edits import light_cone
from unamortized.evaluation.faithfulness.edits import undisturbed as undisturbed
from unamortized.evaluation.faithfulness.hints import hints
from unamortized.evaluation.faithfulness.patching import patching
from unamortized.evaluation.faithfulness.resampling import resampling
from unamortized.evaluation.faithfulness.rewording import rewording
from unamortized.evaluation.faithfulness.rollout import FaithfulnessSettings as FaithfulnessSettings
from unamortized.evaluation.faithfulness.simulation import simulation
from unamortized.evaluation.faithfulness.truncation import truncation
from unamortized.evaluation.faithfulness.worked import worked as worked

TESTS = (light_cone, truncation, crossing, rewording, resampling, simulation, hints, performative_lead, patching)
