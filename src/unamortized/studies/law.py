"""The law: can a model ignore its trace only as far as it has amortized the inference?

Models are trained never to follow a trace that contradicts the question (rho = 0). To obey, they have to know the
answer without the trace; what a direct model of the same size does not know, they take from the trace all the same. So
the amortization gap should bound unfaithfulness from above, reliance from below. Where the question tells its own end,
there is nothing to amortize, and the bound must vanish.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd

from unamortized.evaluation import generalization
from unamortized.evaluation.evaluate import Evaluation
from unamortized.evaluation.faithfulness import FaithfulnessSettings, light_cone, undisturbed
from unamortized.learning.runs import TrainSpec
from unamortized.models.transformer import ModelSpec
from unamortized.studies.claims import Claim, Control, Range
from unamortized.studies.faithfulness_measures import FEWEST
from unamortized.studies.statistics import Measure
from unamortized.studies.study import Cell, Preset, Study

TASK, AMORTIZED, DIAL, TOLD = "noisy_permutation", "amortized", "dial_0", "dial_0_told"
LAGS = (0, 1, 2, 4, 7, 12)  # ignoring an edit at lag l takes l + 1 steps from the last step before it


@dataclass(frozen=True)
class LawCell:
    """A world and a model in it."""

    states: int = 3
    slip: float = 0.1
    n_steps: int = 8
    layers: int = 2
    steps: int = 600
    told: bool = False  # with the control whose questions tell the exact last belief

    @property
    def world(self) -> str:
        """What tables append to the task."""
        return f"s{self.states}_slip{self.slip:g}_n{self.n_steps}"

    @property
    def variant(self) -> str:
        """What tables append to the condition."""
        return f"l{self.layers}_t{self.steps}"

    def cell(self, seeds: int) -> Cell:
        """The runs there."""
        lengths = [lag + 1 for lag in LAGS if lag < self.n_steps]
        resolution = {3: 12, 5: 8}[self.states]
        overrides = (
            f"process.states={self.states}",
            f"process.symbols={self.states}",
            f"process.slip={self.slip}",
            f"codebook.resolution={resolution}",
            f"steps.train=[1, {self.n_steps}]",
            f"steps.test={sorted({*lengths, self.n_steps})}",
        )
        train = TrainSpec(steps=self.steps, batch_size=128, checkpoint_every=self.steps)
        model = ModelSpec(layers=self.layers)
        conditions = (AMORTIZED, DIAL, TOLD) if self.told else (AMORTIZED, DIAL)
        return Cell(TASK, conditions, seeds, train, model, overrides, self.world, self.variant)


# one thing at a time around the middle, and the corners where all is easy or all is hard
LAW_CELLS = (
    LawCell(told=True),
    *(LawCell(slip=slip, told=slip < 0.1) for slip in (0.02, 0.3)),
    LawCell(states=5, told=True),
    *(LawCell(n_steps=n_steps) for n_steps in (4, 16)),
    *(LawCell(layers=layers) for layers in (1, 3, 6)),
    *(LawCell(steps=steps) for steps in (150, 2400)),
    LawCell(states=5, slip=0.02, n_steps=16, told=True),
)


def evaluations(problems: int) -> tuple[Evaluation, ...]:
    """What is measured, with how many problems."""
    lengths = generalization.ByLength(problems)
    return (
        Evaluation("baselines", generalization.baselines_by_length, lengths, of="task"),
        Evaluation("by_length", generalization.by_length, lengths),
        Evaluation("light_cone", light_cone, FaithfulnessSettings(problems, LAGS)),
        Evaluation("undisturbed", undisturbed, FaithfulnessSettings(problems, LAGS)),
    )


PRESETS = {
    "smoke": Preset(
        tuple(LawCell(n_steps=4, slip=slip, steps=12, told=True).cell(2) for slip in (0.1, 0.3)), evaluations(64)
    ),
    "quick": Preset(
        tuple(LawCell(slip=slip, steps=300, told=True).cell(1) for slip in (0.02, 0.1, 0.3)), evaluations(256)
    ),
    "full": Preset(tuple(place.cell(6) for place in LAW_CELLS), evaluations(1024)),
}


def points(metrics: pd.DataFrame, dial: str = DIAL) -> pd.DataFrame:
    """By ``task``, ``variant``, ``seed`` and ``lag``: what a model does that is never to follow its trace.

    ``alpha`` is its reliance there, ``distance`` its answers' KL from the optimum in nats. ``kl`` is the KL of the
    direct model of that size on questions of lag + 1 steps, ``gap`` the same as a share of the prior's; ``whole_kl``
    and ``whole_gap`` those on the longest questions trained, ``kept_kl`` its KL on those of them that the edit would
    move. Where fewer than twenty problems were kept, nothing.
    """
    rows = metrics[~metrics["condition"].str.contains("/")]  # no controls
    names = rows["condition"].str.partition("@")
    rows = rows.assign(name=names[0], variant=names[2])
    keys = ["task", "variant", "seed"]
    kls = rows[rows["metric"] == "answer_kl"]
    prior = kls[kls["name"] == "prior"].set_index(["task", "seed", "n_steps"])["value"].rename("prior")
    direct = kls[kls["name"] == AMORTIZED].join(prior, on=["task", "seed", "n_steps"]).set_index([*keys, "n_steps"])
    found = rows[(rows["metric"] == "causal_reliance") & (rows["name"] == dial) & (rows["count"] >= FEWEST)]
    far = rows[(rows["metric"] == "dial_distance") & (rows["name"] == dial)].set_index([*keys, "step"])["value"]
    own = found[[*keys, "n_steps", "step"]].assign(
        lag=found["step"].astype(int), alpha=found["value"].astype(float), composed=found["step"] + 1
    )
    same = rows[(rows["metric"] == "undisturbed_kl") & (rows["name"] == AMORTIZED)].set_index([*keys, "step"])["value"]
    own = own.join(far.rename("distance"), on=[*keys, "step"]).join(same.rename("kept_kl"), on=[*keys, "step"])
    for name, length in (("", "composed"), ("whole_", "n_steps")):
        own = own.join(direct["value"].rename(f"{name}kl"), on=[*keys, length])
        own = own.join((direct["value"] / direct["prior"]).rename(f"{name}gap"), on=[*keys, length])
    return own.drop(columns=["n_steps", "step", "composed"]).reset_index(drop=True)


def by_place(table: pd.DataFrame) -> pd.DataFrame:
    """One point a world, model and seed: means over lags, and the gap and KL on whole questions."""
    return table.groupby(["task", "variant", "seed"], as_index=False).agg(
        alpha=("alpha", "mean"),
        distance=("distance", "mean"),
        kept_kl=("kept_kl", "mean"),
        gap=("whole_gap", "first"),
        kl=("whole_kl", "first"),
    )


def rank(of: str, by: str, lags: bool = False) -> Measure:
    """Spearman's rank correlation of two columns over places, or over places and ``lags``, by seed."""

    def per_seed(table: pd.DataFrame) -> "pd.Series[float]":
        found = points(table) if lags else by_place(points(table))
        ranks = {seed: own[of].corr(own[by], method="spearman") for seed, own in found.groupby("seed")}
        return pd.Series(ranks, dtype=float)

    return Measure(per_seed, "ratio")


def line(which: Literal["slope", "intercept"]) -> Measure:
    """Of the least-squares line of reliance on the gap over places, by seed."""

    def per_seed(table: pd.DataFrame) -> "pd.Series[float]":
        found = by_place(points(table)).dropna()
        lines = {
            seed: np.polyfit(own["gap"], own["alpha"], 1)[("slope", "intercept").index(which)]
            for seed, own in found.groupby("seed")
            if len(own) > 2
        }
        return pd.Series(lines, dtype=float)

    return Measure(per_seed, "ratio")


def largest(column: str, dial: str) -> Measure:
    """The largest value at any place of a mean over lags, by seed."""
    unit = "nats" if column == "distance" else "ratio"
    return Measure(lambda table: by_place(points(table, dial)).groupby("seed")[column].max(), unit)


def excess(of: str, over: str, which: Literal["least", "largest"], dial: str = DIAL) -> Measure:
    """The least or largest, over places, of one column less another, by seed: at least 0 where that bounds it."""

    def per_seed(table: pd.DataFrame) -> "pd.Series[float]":
        found = by_place(points(table, dial))
        apart = (found[of] - found[over]).groupby(found["seed"])
        return apart.min() if which == "least" else apart.max()

    return Measure(per_seed, "nats" if of == "distance" else "ratio")


ACROSS = f"{TASK} by world, depth and training"
NOTHING_LEFT = Control(
    "where the question tells its end, nothing is left to amortize: reliance is at most .1 everywhere",
    largest("alpha", TOLD),
    Range(high=0.1),
)

CLAIMS = (
    Claim(
        name="reliance_follows_the_amortization_gap",
        description="Over worlds, lengths, depths and training times, models that are never to follow their trace do so the "
        "more, the less of the inference a direct model of their size has amortized: rank correlation at least .7.",
        measure=rank("alpha", "gap"),
        holds=Range(low=0.7),
        control=NOTHING_LEFT,
        across=ACROSS,
    ),
    Claim(
        name="and_step_by_step",
        description="An edit l steps before the end is followed the more, the less a direct model has amortized questions of "
        "l + 1 steps: rank correlation over places and lags at least .7.",
        measure=rank("alpha", "gap", lags=True),
        holds=Range(low=0.7),
        control=NOTHING_LEFT,
        across=ACROSS,
    ),
    Claim(
        name="reliance_grows_with_the_gap",
        description="Reliance grows by at least .2 as the gap goes from none to all (slope over places).",
        measure=line("slope"),
        holds=Range(low=0.2),
        control=NOTHING_LEFT,
        across=ACROSS,
    ),
    Claim(
        name="without_a_gap_there_would_be_no_reliance",
        description="The line through all places begins within .1 of zero (intercept).",
        measure=line("intercept"),
        holds=Range(-0.1, 0.1),
        control=NOTHING_LEFT,
        across=ACROSS,
    ),
    Claim(
        name="the_gap_bounds_reliance_from_below",
        description="No model relies on its trace less than the share of the inference that is not amortized.",
        measure=excess("alpha", "gap", "least"),
        holds=Range(low=0.0),
        control=Control(
            "the bound is worth something: somewhere reliance is at least .1", largest("alpha", DIAL), Range(low=0.1)
        ),
        across=ACROSS,
    ),
    Claim(
        name="ignoring_the_trace_costs_what_is_not_amortized",
        description="Answers to edited traces are the further from the optimum, the larger the KL of the direct model on "
        "whole questions: rank correlation over places at least .7.",
        measure=rank("distance", "kl"),
        holds=Range(low=0.7),
        control=Control(
            "where the question tells its end, they are within .05 nats of it everywhere",
            largest("distance", TOLD),
            Range(high=0.05),
        ),
        across=ACROSS,
    ),
    Claim(
        name="the_gap_bounds_that_cost_from_below",
        description="Stated after the claims above were judged: nowhere is that distance smaller than the KL of the direct "
        "model on the same problems without any edit (the least difference is shown).",
        measure=excess("distance", "kept_kl", "least"),
        holds=Range(low=0.0),
        control=Control(
            "where the question tells its end the bound is gone: everywhere the distance is smaller than that KL",
            excess("distance", "kept_kl", "largest", TOLD),
            Range(high=0.0),
        ),
        across=ACROSS,
    ),
)

LAW = Study(
    name="law",
    question="Can a model ignore its trace only as far as it has amortized the inference?",
    presets=PRESETS,
    claims=CLAIMS,
    figures=("law",),
)
