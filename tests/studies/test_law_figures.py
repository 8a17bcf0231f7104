"""The figure of the law shows each world and model at its gap and reliance, and each lag at its own."""

import numpy as np
import pandas as pd
import pytest

from tests.studies.figure_tables import Rows, rows, tables
from unamortized.studies.figures.law import FIGURES, law

CELLS = {"l1_t150": 0.4, "l2_t600": 0.1}  # variant -> the direct model's KL on whole questions
PRIOR, LAGS = 0.8, (0, 2)


def alpha(gap: float, lag: int) -> float:
    return 0.5 * gap + 0.1 * lag


@pytest.fixture
def metrics() -> list[Rows]:
    found = [rows("answer_kl", (PRIOR, PRIOR), "prior", world="w", n_steps=n) for n in (1, 3, 4)]
    for variant, kl in CELLS.items():
        where = {"task": "noisy_permutation", "world": "w", "variant": variant}
        found += [rows("answer_kl", (kl * n / 4,) * 2, "amortized", n_steps=n, **where) for n in (1, 3, 4)]
        for lag in LAGS:
            at = where | {"n_steps": 4, "step": lag}
            value = alpha(kl, lag)
            found.append(rows("causal_reliance", (value - 0.05, value + 0.05), "dial_0", **at))
            found.append(rows("causal_reliance", (0.9, 0.9), "dial_0", control="wrong_counterfactual", **at))
            found.append(rows("dial_distance", (kl, kl), "dial_0", **at))
            found.append(rows("undisturbed_kl", (kl / 2, kl / 2), "amortized", **at))
    for each in found:
        for row in each:
            row["task"] = "noisy_permutation"
    return found


def marks(axes) -> np.ndarray:
    """The points of a panel, in order."""
    found = [np.ravel(line.get_data()) for line in axes.lines if line.get_marker() not in ("None", "", None)]
    return np.array(sorted(map(tuple, found)), dtype=float)


def test_cells_are_drawn_at_their_means_over_seeds_and_lags(metrics):
    figure = law(tables(*metrics))
    assert figure is not None
    whole, by_lag, cost = figure.axes[:3]
    cells = [(kl / PRIOR, np.mean([alpha(kl, lag) for lag in LAGS])) for kl in CELLS.values()]
    np.testing.assert_allclose(marks(whole), sorted(cells))
    lags = [((lag + 1) / 4 * kl / PRIOR, alpha(kl, lag)) for kl in CELLS.values() for lag in LAGS]
    np.testing.assert_allclose(marks(by_lag), sorted(lags))
    np.testing.assert_allclose(marks(cost), sorted((kl / 2, kl) for kl in CELLS.values()))


def test_lags_of_too_few_problems_are_left_out(metrics):
    found = tables(*metrics)
    few = found.metrics["metric"].eq("causal_reliance") & found.metrics["step"].eq(2)
    found.metrics.loc[few, "count"] = 3
    figure = law(found)
    assert figure is not None
    np.testing.assert_allclose(marks(figure.axes[0])[:, 1], sorted(alpha(kl, 0) for kl in CELLS.values()))


def test_nothing_is_drawn_without_models_that_should_ignore_their_trace(metrics):
    found = tables(*metrics)
    assert law(type(found)(found.metrics[found.metrics["condition"] != "dial_0"], found.examples)) is None
    assert law(tables()) is None
    assert [figure.name for figure in FIGURES] == ["law"]
    assert isinstance(found.metrics, pd.DataFrame)
