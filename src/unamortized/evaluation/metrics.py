"""Metrics: their names and formulas in one place, and the tidy rows that every evaluation returns."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float, Int

ROUNDING = 1e-15  # probabilities that differences of larger numbers may leave where there is none
COLUMNS = (
    *("task", "condition", "seed", "split", "n_steps", "layer", "step"),
    *("metric", "value", "count", "unit"),
)


@dataclass(frozen=True)
class Metric:
    """A measured quantity, as the glossary prints it."""

    name: str
    unit: str
    formula: str
    says: str


METRICS: dict[str, Metric] = {
    metric.name: metric
    for metric in (
        Metric("answer_kl", "nats", "E KL(pi* || q)", "how far the model's answer is from the exact posterior"),
        Metric("answer_tv", "probability", "E 1/2 |pi* - q|_1", "the same as total variation"),
        Metric("map_agreement", "fraction", "E [argmax q in argmax pi*]", "share of answers whose mode is right"),
        Metric(
            "calibration_error",
            "probability",
            "sum_bins P(bin) |E max q - E pi*(argmax q)|, ten bins of max q",
            "how far stated confidence is from the exact probability of being right",
        ),
        Metric(
            "answer_flops",
            "FLOPs",
            "24 d^2 a token and 4 d a pair of tokens (gru: 12 d^2 a token), per layer; 2 d V a written token",
            "what one free-running answer costs, its trace included",
        ),
        Metric(
            "codebook_floor",
            "nats",
            "E KL(pi* || Phi(E[eta | c_n]))",
            "what an answer costs that knows only the code of the last exact belief",
        ),
        Metric("entropy_rate", "nats", "lim H[X_n | X_1..n-1]", "what a symbol of the process costs at best"),
        Metric(
            "mixing_time",
            "steps",
            "-1 / log |second eigenvalue of sum_x T[x]|",
            "steps in which the state forgets its start by a factor e, if nobody looks",
        ),
        Metric(
            "forgetting_time",
            "steps",
            "1 / (lambda_1 - lambda_2), Lyapunov exponents of products of T[x_t]",
            "steps in which the belief forgets its start by a factor e; infinite if it never does",
        ),
        Metric(
            "trace_agreement",
            "fraction",
            "E [c_t = code(eta_t)]",
            "share of written steps that state the exact code",
        ),
        Metric(
            "step_right",
            "fraction",
            "E [code(step(c_{t-1}, x_t)) is the update nearest to c_t, at TV <= 1/8; or both codes are exact]",
            "share of written steps that are the exact update of the model's own code before",
        ),
        Metric(
            "pointer_error",
            "fraction",
            "E [not right, and some code(step(c_{t-1}, v)) at TV <= 1/8; or a wrong copy or index]",
            "share of written steps that are the update with an observation other than x_t",
        ),
        Metric(
            "update_error",
            "fraction",
            "1 - step_right - pointer_error",
            "share of written steps that are the update with no observation",
        ),
        Metric(
            "pointer_share",
            "fraction",
            "pointer_error / (pointer_error + update_error)",
            "share of the wrong steps that a wrong observation explains; none where no step is wrong",
        ),
        Metric(
            "pointer_hidden",
            "fraction",
            "E [code(step(c_{t-1}, v)) = code(step(c_{t-1}, x_t)) for some v != x_t]",
            "share of steps at which some wrong observation would not show",
        ),
        Metric(
            "stride_step_right",
            "fraction",
            "E [c_t = code(Phi(E[eta | c_{t-k}], x_{t-k+1} .. x_t))], the start belief before the first",
            "share of codes that are the exact k-step update of the model's own code before",
        ),
        Metric(
            "table_questions",
            "questions",
            "max(U (log U + .577) k / n, C_n (log C_n + .577)), U = V^k C",
            "training questions that show every k-step update of C codes by V symbols, and every last code",
        ),
        Metric(
            "conditional_mse",
            "probability²",
            "E |p(X_i | X_j) - q|^2 / k, over pairs, directions and values of X_j, with k values of X_i",
            "how far what is said of a variable, given another, is from the exact conditional",
        ),
        Metric(
            "thoughts_written",
            "count",
            "E [variables between X_j and X_i]",
            "how many variables a model writes, by its own choice, before it comes to the one asked about",
        ),
        Metric(
            "duplicate_rate",
            "fraction",
            "share of test questions that training may contain",
            "leak, per length",
        ),
        Metric(
            "causal_reliance",
            "ratio",
            "sum <q_edit - q, pi_cf - pi*> / sum |pi_cf - pi*|^2",
            "alpha: 1 if the answer follows an edited trace as exactly as Bayes would, 0 if it ignores it",
        ),
        Metric(
            "causal_reliance_frozen",
            "ratio",
            "as causal_reliance, the steps after the edit kept as they were",
            "0 is right for an edit before the last step of a Markov trace",
        ),
        Metric(
            "reliance_r2",
            "ratio",
            "1 - sum |q_edit - q - alpha (pi_cf - pi*)|^2 / sum |q_edit - q|^2",
            "share of the answers' movement that lies along the exact counterfactual",
        ),
        Metric("edit_tv", "probability", "E TV(q_edit, q)", "how much an edited step moves the answer"),
        Metric("counterfactual_tv", "probability", "E TV(pi_cf, pi*)", "how much it should, by exact Bayes"),
        Metric("edits_kept", "count", "problems with TV(pi_cf, pi*) > tau", "problems that alpha is measured on"),
        Metric(
            "probe_r2",
            "ratio",
            "1 - sum |eta_t - probe|^2 / sum |eta_t - mean|^2",
            "belief read affinely where step t (or the answer) is about to be written",
        ),
        Metric(
            "question_probe_r2",
            "ratio",
            "as probe_r2, at the token of observation x_t",
            "belief read affinely while the question is being read",
        ),
        Metric(
            "stated_kl",
            "nats",
            "E KL(eta_t || E[eta | c_t])",
            "from the exact belief to the one that the trace states",
        ),
        Metric(
            "probed_kl",
            "nats",
            "E KL(eta_t || .99 simplex(probe) + .01 uniform)",
            "from the exact belief to the one that is probed",
        ),
        Metric(
            "stated_probed_kl",
            "nats",
            "E KL(E[eta | c_t] || .99 simplex(probe) + .01 uniform)",
            "from the stated belief to the probed one",
        ),
    )
}


def row(
    task: str, condition: str, seed: int, split: str, metric: str, value: float, count: int, **where: Any
) -> dict[str, Any]:
    """One row of metrics; ``where`` gives n_steps, layer and step as they apply.

    Raises:
        KeyError: if the metric is not listed in ``METRICS``.
    """
    unit = METRICS[metric].unit
    filled = {"task": task, "condition": condition, "seed": seed, "split": split, "metric": metric}
    return dict.fromkeys(COLUMNS) | filled | where | {"value": float(value), "count": int(count), "unit": unit}


def to_table(rows: Iterable[dict[str, Any]]) -> pd.DataFrame:
    """Rows as a table with the columns of ``metrics.csv``."""
    table = pd.DataFrame(list(rows), columns=list(COLUMNS))
    return table.astype(dict.fromkeys(("seed", "n_steps", "step", "count"), "Int64"))


def to_csv(table: pd.DataFrame) -> str:
    """A table as text, nine significant digits, alike on every run."""
    return table.to_csv(index=False, float_format="%.9g", lineterminator="\n")


def kl(p: Float[np.ndarray, "*batch answer"], q: Float[np.ndarray, "*batch answer"]) -> Float[np.ndarray, "*batch"]:
    """KL(p || q) in nats; infinite where q rules out what p allows, by more than rounding."""
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
    """Whether q's mode is a mode of p (ties of p within 1e-9 all count)."""
    at_mode = np.take_along_axis(p, q.argmax(axis=1)[:, None], axis=1)[:, 0]
    return at_mode >= p.max(axis=1) - 1e-9


def calibration_error(
    p: Float[np.ndarray, "batch answer"], q: Float[np.ndarray, "batch answer"], bins: int = 10
) -> float:
    """Expected calibration error of q's mode against its exact probability (Guo et al. 2017, exact labels)."""
    confidence = q.max(axis=1)
    right = np.take_along_axis(p, q.argmax(axis=1)[:, None], axis=1)[:, 0]
    place: Int[np.ndarray, " batch"] = np.minimum((confidence * bins).astype(int), bins - 1)
    gaps = [abs((confidence - right)[place == b].sum()) for b in range(bins)]
    return float(sum(gaps) / len(p))


def answer_metrics(p: Float[np.ndarray, "batch answer"], q: Float[np.ndarray, "batch answer"]) -> dict[str, float]:
    """The four measures of an answer q against the exact posterior p."""
    return {
        "answer_kl": float(kl(p, q).mean()),
        "answer_tv": float(total_variation(p, q).mean()),
        "map_agreement": float(map_agreement(p, q).mean()),
        "calibration_error": calibration_error(p, q),
    }
