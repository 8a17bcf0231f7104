"""The law: can a model ignore its trace only as far as it has amortized the inference?

Models are trained never to follow a trace that contradicts the question (ρ = 0). To obey, they must know the answer
without the trace; what a direct model of their size does not know, they still take from the trace. So the amortization
gap should bound reliance from below. Where the question states its last belief, nothing is left to amortize, and the
bound must vanish.
"""

from dataclasses import dataclass, field
from functools import partial
from typing import Literal

import numpy as np
import pandas as pd

from unamortized.evaluation.evaluate import Evaluation
from unamortized.evaluation.faithfulness import FaithfulnessSettings, light_cone, undisturbed
from unamortized.learning.runs import TrainSpec
from unamortized.models.transformer import ModelSpec
from unamortized.studies.amortization_gap import DIAL, TOLD, by_cell, points
from unamortized.studies.claims import Claim, Control
from unamortized.studies.figures.law import FIGURES
from unamortized.studies.names import AMORTIZED, PRIOR
from unamortized.studies.noisy_permutation import TASK, small_world
from unamortized.studies.quantities import SeedStatistic
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
    tests = (Evaluation("light_cone", light_cone, settings), Evaluation("undisturbed", undisturbed, settings))
    return (*answer_evaluations(problems), *tests)


PRESETS = {
    "smoke": Preset(tuple(cell(2, n_steps=4, slip=slip, steps=12, told=True) for slip in (0.1, 0.3)), evaluations(64)),
    "quick": Preset(tuple(cell(1, slip=slip, steps=300, told=True) for slip in (0.02, 0.1, 0.3)), evaluations(256)),
    "full": Preset(LAW_CELLS, evaluations(1024)),
}


@dataclass(frozen=True)
class OverCells(SeedStatistic):
    """A statistic of a column over cells."""

    of: str
    dial: str = field(default=DIAL, kw_only=True)

    def rows(self, table: pd.DataFrame) -> pd.DataFrame:
        used = (
            (self.dial, "causal_reliance"),
            (self.dial, "dial_distance"),
            (AMORTIZED, "answer_kl"),
            (AMORTIZED, "undisturbed_kl"),
            (PRIOR, "answer_kl"),
        )
        return pd.concat(
            table[(table["condition"] == condition) & (table["metric"] == metric)] for condition, metric in used
        )

    def points(self, table: pd.DataFrame) -> pd.DataFrame:
        return by_cell(points(table, self.dial))


@dataclass(frozen=True)
class RankOverCells(OverCells):
    """Spearman's rank correlation of one column with another, over cells or over cells and lags."""

    by: str
    at_each_lag: bool = False

    def points(self, table: pd.DataFrame) -> pd.DataFrame:
        return points(table, self.dial) if self.at_each_lag else super().points(table)

    def of_seed(self, points: pd.DataFrame) -> float:
        return points[self.of].corr(points[self.by], method="spearman")


@dataclass(frozen=True)
class LineOverCells(OverCells):
    """The slope or intercept of the least-squares line of one column on another; three cells at least."""

    by: str
    which: Literal["slope", "intercept"]

    def of_seed(self, points: pd.DataFrame) -> float:
        measured = points.dropna()
        if len(measured) < 3:
            return np.nan
        slope, intercept = np.polyfit(measured[self.by], measured[self.of], 1)
        return slope if self.which == "slope" else intercept


@dataclass(frozen=True)
class ExtremeOverCells(OverCells):
    """The least or greatest of a column, or of its excess over another column."""

    take: Literal["min", "max"]
    over: str = ""

    @property
    def unit(self) -> str:
        return "nats" if self.of == "distance" else "ratio"

    def of_seed(self, points: pd.DataFrame) -> float:
        values = points[self.of] - points[self.over] if self.over else points[self.of]
        return getattr(values, self.take)()


across_cells = partial(Claim, across=f"{TASK} by world, depth and training")
NOTHING_LEFT = Control(
    "where the question states its last belief, nothing is left to amortize: reliance is at most 0.1 in every cell",
    ExtremeOverCells("alpha", "max", dial=TOLD) <= 0.1,
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
        LineOverCells("alpha", "gap", "slope") >= 0.2,
        NOTHING_LEFT,
    ),
    across_cells(
        "without_a_gap_there_would_be_no_reliance",
        "Without an amortization gap, reliance would be within 0.1 of zero (the intercept over cells is shown).",
        LineOverCells("alpha", "gap", "intercept").between(-0.1, 0.1),
        NOTHING_LEFT,
    ),
    across_cells(
        "the_gap_bounds_reliance_from_below",
        "Reliance is at least as large as the amortization gap in every cell (the least difference is shown).",
        ExtremeOverCells("alpha", "min", over="gap") >= 0.0,
        Control(
            "the bound is not empty: in some cell reliance is at least 0.1", ExtremeOverCells("alpha", "max") >= 0.1
        ),
    ),
    across_cells(
        "ignoring_the_trace_costs_what_is_not_amortized",
        "Answers to edited traces are further from the optimum where the direct model's KL on whole questions is "
        "larger: over cells, the rank correlation is at least 0.7.",
        RankOverCells("distance", "kl") >= 0.7,
        Control(
            "where the question states its last belief, they are within 0.05 nats of the optimum in every cell",
            ExtremeOverCells("distance", "max", dial=TOLD) <= 0.05,
        ),
    ),
    across_cells(
        "the_gap_bounds_that_cost_from_below",
        "Answers to edited traces are at least as far from the optimum as the direct model's answers to the same "
        "problems without the edit are from exact, in every cell (the least difference of the two KLs is shown). "
        "(Stated after the results were seen.)",
        ExtremeOverCells("distance", "min", over="kept_kl") >= 0.0,
        Control(
            "where the question states its last belief, the bound is gone: the difference is at most 0 in every cell",
            ExtremeOverCells("distance", "max", over="kept_kl", dial=TOLD) <= 0.0,
        ),
    ),
)

LAW = Study(
    "law", "Can a model ignore its trace only as far as it has amortized the inference?", PRESETS, CLAIMS, FIGURES
)
