"""Distances between answer distributions."""

import numpy as np
from jaxtyping import Bool, Float, Int

ROUNDING = 1e-15  # a smaller probability is the rounding error of a zero


def kl(p: Float[np.ndarray, "*batch answer"], q: Float[np.ndarray, "*batch answer"]) -> Float[np.ndarray, "*batch"]:
    """KL(p || q) in nats; infinite where q is zero and p is more than rounding error."""
    with np.errstate(divide="ignore", invalid="ignore"):
        terms = np.where(p > ROUNDING, p * (np.log(p) - np.log(q)), 0.0)
    return terms.sum(axis=-1)


def total_variation(
    p: Float[np.ndarray, "*batch answer"], q: Float[np.ndarray, "*batch answer"]
) -> Float[np.ndarray, "*batch"]:
    """Half the L1 distance."""
    return np.abs(p - q).sum(axis=-1) / 2


def map_agreement(
    p: Float[np.ndarray, "batch answer"], q: Float[np.ndarray, "batch answer"]
) -> Bool[np.ndarray, " batch"]:
    """Whether q's mode is a mode of p; ties of p within 1e-9 all count."""
    at_mode = np.take_along_axis(p, q.argmax(axis=1)[:, None], axis=1)[:, 0]
    return at_mode >= p.max(axis=1) - 1e-9


def calibration_error(
    p: Float[np.ndarray, "batch answer"], q: Float[np.ndarray, "batch answer"], bins: int = 10
) -> float:
    """Expected calibration error of q's mode (Guo et al. 2017), against its exact probability instead of labels."""
    confidence = q.max(axis=1)
    right = np.take_along_axis(p, q.argmax(axis=1)[:, None], axis=1)[:, 0]
    place: Int[np.ndarray, " batch"] = np.minimum((confidence * bins).astype(int), bins - 1)
    gaps = [abs((confidence - right)[place == b].sum()) for b in range(bins)]
    return float(sum(gaps) / len(p))


def answer_metrics(p: Float[np.ndarray, "batch answer"], q: Float[np.ndarray, "batch answer"]) -> dict[str, float]:
    """Compute the four metrics of an answer q against the exact posterior p."""
    return {
        "answer_kl": float(kl(p, q).mean()),
        "answer_tv": float(total_variation(p, q).mean()),
        "map_agreement": float(map_agreement(p, q).mean()),
        "calibration_error": calibration_error(p, q),
    }
