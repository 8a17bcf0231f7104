"""Affine belief probes: is the exact belief linear in the residual stream, and do baselines hold it as well?"""

from unamortized.evaluation.probes.sweep import EVERYTHING, IN_SAMPLE, Probes, along_training, by_layer, in_sample

__all__ = ["EVERYTHING", "IN_SAMPLE", "Probes", "along_training", "by_layer", "in_sample"]
