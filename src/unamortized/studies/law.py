"""The law: can a model ignore its trace only as far as it has amortized the inference?

Models are trained never to follow a trace that contradicts the question (ρ = 0). To obey, they must know the answer
without the trace; what a direct model of their size does not know, they still take from the trace. So the amortization
gap should bound reliance from below. Where the question states its last belief, nothing is left to amortize, and the
bound must vanish.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Literal

import numpy as np
import pandas as pd

from unamortized.evaluation.evaluate import Evaluation
from unamortized.evaluation.faithfulness import FaithfulnessSettings, light_cone, undisturbed
from unamortized.learning.specification import TrainSpec
from unamortized.models.transformer import ModelSpec
from unamortized.studies.amortization_gap import DIAL, TOLD, by_cell, points
from unamortized.studies.claims import Claim, Control, World
from unamortized.studies.figures.law import FIGURES
from unamortized.studies.names import AMORTIZED, PRIOR
from unamortized.studies.noisy_permutation import TASK, small_world
from unamortized.studies.quantities import RankCorrelation, SeedStatistic
from unamortized.studies.study import Cell, Preset, Study, answer_evaluations

LAGS = (0, 1, 2, 4, 7, 12)  # ignoring an edit at lag l takes l + 1 steps from the last step before it


def cell(
    seeds: int,
    *,
    states: int = 3,
    slip: float = 0.1,
    n_steps: int = 8,
    layers: int = 2,
    steps: int = 600,
    told: bool = False,
) -> Cell:
    """Return the runs of a world and model; ``told`` adds the control whose questions state their last belief."""
    lengths = (*(lag + 1 for lag in LAGS if lag < n_steps), n_steps)
    return Cell(
        TASK,
        (AMORTIZED, DIAL, TOLD) if told else (AMORTIZED, DIAL),
        seeds,
        TrainSpec(steps=steps, batch_size=128, checkpoint_every=steps),
        ModelSpec(layers=layers),
        small_world(slip, n_steps, lengths, states, states),
        world=f"s{states}_slip{slip:g}_n{n_steps}",
        variant=f"l{layers}_t{steps}",
    )


# one thing at a time around the middle, and a corner where everything is hard
LAW_CELLS = (
    cell(6, told=True),
    *(cell(6, slip=slip, told=slip < 0.1) for slip in (0.02, 0.3)),
    cell(6, states=5, told=True),
    *(cell(6, n_steps=n_steps) for n_steps in (4, 16)),
    *(cell(6, layers=layers) for layers in (1, 3, 6)),
    *(cell(6, steps=steps) for steps in (150, 2400)),
    cell(6, states=5, slip=0.02, n_steps=16, told=True),
)


def evaluations(problems: int) -> tuple[Evaluation, ...]:
    """Return the evaluations, with n problems each."""
    settings = FaithfulnessSettings(problems, LAGS)
    tests = (Evaluation(test.__name__, test, settings) for test in (light_cone, undisturbed))
    return *answer_evaluations(problems), *tests


PRESETS = {
    "smoke": Preset(tuple(cell(2, n_steps=4, slip=slip, steps=12, told=True) for slip in (0.1, 0.3)), evaluations(64)),
    "quick": Preset(tuple(cell(1, slip=slip, steps=300, told=True) for slip in (0.02, 0.1, 0.3)), evaluations(256)),
    "full": Preset(LAW_CELLS, evaluations(1024)),
}


@dataclass(frozen=True)
class OverCells(SeedStatistic):
    """A statistic of columns over cells, or over cells and lags."""

    statistic: Callable[[pd.DataFrame], float]
    dial: str = DIAL
    at_each_lag: bool = False
    own_unit: str = "ratio"

    def rows(self, table: pd.DataFrame) -> pd.DataFrame:
        read = {self.dial: "causal_reliance dial_distance", AMORTIZED: "answer_kl undisturbed_kl", PRIOR: "answer_kl"}
        used = [(table["condition"] == name) & table["metric"].isin(read[name].split()) for name in read]
        return pd.concat(table[rows] for rows in used)

    def points(self, table: pd.DataFrame) -> pd.DataFrame:
        found = points(table, self.dial)
        return found if self.at_each_lag else by_cell(found)

    def of_seed(self, points: pd.DataFrame) -> float:
        return self.statistic(points)


@dataclass(frozen=True)
class RankOverCells(RankCorrelation):
    """Spearman's rank correlation of one column with another, over cells, or over cells and lags."""

    of: str
    by: str
    at_each_lag: bool = False

    def cells(self) -> OverCells:
        return OverCells(lambda found: np.nan, at_each_lag=self.at_each_lag)

    def rows(self, table: pd.DataFrame) -> pd.DataFrame:
        return self.cells().rows(table)

    def pairs(self, table: pd.DataFrame) -> pd.DataFrame:
        found = self.cells().points(table)
        return found[["seed", self.by, self.of]].set_axis(["seed", "x", "y"], axis=1)


def line(of: str, by: str) -> tuple[OverCells, OverCells]:
    """Return slope and intercept of the least-squares line of one column on another; three cells at least."""

    def coefficient(found: pd.DataFrame, which: int) -> float:
        measured = found.dropna()
        return np.polyfit(measured[by], measured[of], 1)[which] if len(measured) >= 3 else np.nan

    return OverCells(partial(coefficient, which=0)), OverCells(partial(coefficient, which=1))


def extreme(take: Literal["min", "max"], of: str, over: str = "", dial: str = DIAL) -> OverCells:
    """Return the least or greatest of a column, or of its excess over another column."""
    unit = "nats" if of == "distance" else "ratio"
    return OverCells(lambda found: getattr(found[of] - (found[over] if over else 0), take)(), dial, own_unit=unit)


slope, intercept = line("alpha", "gap")
across_cells = partial(Claim, across=World(TASK, "by world, depth and training"))
NOTHING_LEFT = Control(
    "where the question states its last belief, nothing is left to amortize: reliance is at most 0.1 in every cell",
    extreme("max", "alpha", dial=TOLD) <= 0.1,
)

CLAIMS = (
    across_cells(
        "reliance_follows_the_amortization_gap",
        "Models trained never to follow their trace (ρ = 0) rely on it more where a direct model of their size has "
        "amortized less: over worlds, lengths, depths and training times, the rank correlation of reliance with the "
        "amortization gap (the direct model's KL over the prior's) is at least 0.7.",
        RankOverCells("alpha", "gap") >= 0.7,
        NOTHING_LEFT,
    ),
    across_cells(
        "and_step_by_step",
        "Reliance on an edit at lag l grows with the amortization gap on questions of l + 1 steps: over cells and "
        "lags, the rank correlation is at least 0.7.",
        RankOverCells("alpha", "gap", at_each_lag=True) >= 0.7,
        NOTHING_LEFT,
    ),
    across_cells(
        "reliance_grows_with_the_gap",
        "Reliance grows by at least 0.2 as the amortization gap grows from 0 to 1 (the slope over cells is shown).",
        slope >= 0.2,
        NOTHING_LEFT,
    ),
    across_cells(
        "without_a_gap_there_would_be_no_reliance",
        "Without an amortization gap, reliance would be within 0.1 of zero (the intercept over cells is shown).",
        intercept.between(-0.1, 0.1),
        NOTHING_LEFT,
    ),
    across_cells(
        "the_gap_bounds_reliance_from_below",
        "Reliance is at least as large as the amortization gap in every cell (the least difference is shown).",
        extreme("min", "alpha", over="gap") >= 0.0,
        Control("the bound is not empty: in some cell reliance is at least 0.1", extreme("max", "alpha") >= 0.1),
    ),
    across_cells(
        "ignoring_the_trace_costs_what_is_not_amortized",
        "Answers to edited traces are further from the optimum where the direct model's KL on whole questions is "
        "larger: over cells, the rank correlation is at least 0.7.",
        RankOverCells("distance", "kl") >= 0.7,
        Control(
            "where the question states its last belief, they are within 0.05 nats of the optimum in every cell",
            extreme("max", "distance", dial=TOLD) <= 0.05,
        ),
    ),
    across_cells(
        "the_gap_bounds_that_cost_from_below",
        "Answers to edited traces are at least as far from the optimum as the direct model's answers to the same "
        "problems without the edit are from exact, in every cell (the least difference of the two KLs is shown).",
        extreme("min", "distance", over="kept_kl") >= 0.0,
        Control(
            "where the question states its last belief, the bound is gone: the difference is at most 0 in every cell",
            extreme("max", "distance", over="kept_kl", dial=TOLD) <= 0.0,
        ),
        seeds_seen=6,
    ),
)

LAW = Study(
    "law", "Can a model ignore its trace only as far as it has amortized the inference?", PRESETS, CLAIMS, FIGURES
)
