"""The headline study: the same questions, amortized and step by step, against exact Bayes."""

from functools import partial
from typing import Any

from unamortized.evaluation import faithfulness, probes, triangle
from unamortized.evaluation.evaluate import Evaluation
from unamortized.evaluation.protocol import SampleSize
from unamortized.labels import ABOUT_TO_STATE, ALL_LAYERS, joined
from unamortized.learning.specification import TrainSpec
from unamortized.models.transformer import ModelSpec
from unamortized.studies.claims import Claim, Control, World
from unamortized.studies.figures.compare import FIGURES
from unamortized.studies.flops_multiple import FlopsMultiple
from unamortized.studies.names import AMORTIZED, COT, DENSE, DRAWN, GRU, WINDOW, after, deep
from unamortized.studies.quantities import Expression, Quantity, prior_share
from unamortized.studies.study import (
    HALF_SMOKE,
    SMOKE,
    Cell,
    Preset,
    Study,
    answer_evaluations,
    examples_evaluation,
)

NOISY, GROUPS = (World("noisy_permutation"),), (World("group_word_s5"), World("group_word_s3"))
FOUR_LAYERS = deep(4)
EQUAL_STEPS = after(1200)  # the budget at which labels and writing are compared
LONGEST_ALONE = joined("longest", EQUAL_STEPS)  # as the dense models train
# The longest words of S3 teach nothing before the short ones are known, and its loss has no noise to average over.
GROWING: dict[str, Any] = {"lengths": "growing", "learning_rate": 3e-3, "muon_learning_rate": 3e-3}


def cell(task: str, condition: str, seeds: int, steps: int, variant: str = "", **changes: Any) -> Cell:
    """Return the runs of one condition on worlds of their own; ``changes`` are of training, ``layers`` of the model."""
    model = ModelSpec(layers=changes.pop("layers", 2))
    train = TrainSpec(steps=steps, **changes)
    return Cell(task, (condition,), seeds, train, model, variant=variant, own_worlds=True)


def budgets(task: str, condition: str, seeds: int, longest: int, *shorter: int) -> tuple[Cell, ...]:
    """Return the runs of one condition for each number of steps; those of the longest training have no variant."""
    return (cell(task, condition, seeds, longest), *(cell(task, condition, seeds, n, after(n)) for n in shorter))


def evaluations(problems: int, lags: tuple[int, ...]) -> tuple[Evaluation, ...]:
    """Return the evaluations, with n problems each."""
    return (
        *answer_evaluations(problems),
        Evaluation("light_cone", faithfulness.light_cone, faithfulness.FaithfulnessSettings(problems, lags)),
        Evaluation("probes", probes.by_layer, probes.Probes(problems)),
        Evaluation("triangle", triangle.triangle, SampleSize(problems)),
        examples_evaluation(problems),
    )


PRESETS = {
    "smoke": Preset(
        cells=(
            Cell("noisy_permutation", (AMORTIZED, DENSE, COT, GRU), seeds=2, train=SMOKE, own_worlds=True),
            Cell("noisy_permutation", (AMORTIZED, DENSE), 2, HALF_SMOKE, variant=after(6), own_worlds=True),
        ),
        evaluations=evaluations(64, lags=(0, 4, 8)),
    ),
    "quick": Preset(
        cells=(
            cell("noisy_permutation", AMORTIZED, 3, 600),
            cell("noisy_permutation", DENSE, 3, 300),
            cell("noisy_permutation", COT, 3, 300),
            cell("noisy_permutation", GRU, 3, 300),
            cell("group_word_s5", AMORTIZED, 1, 600),
            cell("group_word_s5", DENSE, 1, 300),
            cell("group_word_s5", COT, 1, 200),
            cell("group_word_s5", GRU, 1, 300),
            cell("mess3", AMORTIZED, 1, 150),
            cell("mess3", COT, 1, 100),
        ),
        evaluations=evaluations(512, lags=(0, 1, 2, 4, 8, 12)),
    ),
    "full": Preset(
        cells=(
            *budgets("noisy_permutation", AMORTIZED, 6, 4800, 1200, 300),
            *budgets("noisy_permutation", DENSE, 6, 4800, 1200, 300),
            cell("noisy_permutation", DRAWN, 6, 1200, EQUAL_STEPS),
            cell("noisy_permutation", AMORTIZED, 6, 1200, LONGEST_ALONE, lengths="longest"),
            *budgets("noisy_permutation", COT, 6, 1200, 300),
            cell("noisy_permutation", GRU, 6, 1200),
            *(cell("noisy_permutation", each, 6, 1200, FOUR_LAYERS, layers=4) for each in (AMORTIZED, DENSE, COT)),
            cell("group_word_s5", AMORTIZED, 6, 4800),
            *(cell("group_word_s5", each, 6, 1200) for each in (DENSE, GRU)),
            cell("group_word_s5", COT, 6, 300),
            cell("group_word_s3", AMORTIZED, 6, 6000, **GROWING),
            *(cell("group_word_s3", each, 6, 1200) for each in (DENSE, GRU)),
            cell("group_word_s3", COT, 6, 300),
            cell("mess3", AMORTIZED, 6, 300),
            cell("mess3", DENSE, 6, 300),
            cell("mess3", COT, 6, 150),
        ),
        evaluations=evaluations(512, lags=(0, 1, 2, 3, 4, 5, 6, 7, 8, 12)),
    ),
}
kl, right, reliance = Quantity("answer_kl"), Quantity("map_agreement"), Quantity("causal_reliance")
r2 = partial(Quantity("probe_r2"), site=ABOUT_TO_STATE, step=None)


def gap(condition: str, n_steps: int, variant: str = "") -> Expression:
    """Return how much further from exact than CoT a condition is, as a share of the prior's KL."""
    return prior_share(condition, n_steps, variant) - prior_share(COT, n_steps)


on_noisy, on_groups = partial(Claim, worlds=NOISY), partial(Claim, worlds=GROUPS)
CLAIMS = (
    on_noisy(
        "cot_generalizes_in_length",
        "CoT's KL at n = 64, four times the training length, is at most 0.10 of the prior's.",
        prior_share(COT, 64) <= 0.10,
        Control("exact inference from the last eight observations does not suffice", prior_share(WINDOW, 64) >= 0.10),
    ),
    on_noisy(
        "cot_does_not_drift",
        "CoT's KL at n = 64 is at most 2.5 times its KL at n = 16.",
        kl(COT, n_steps=64) / kl(COT, n_steps=16) <= 2.5,
        Control("its KL at n = 16 is low to begin with: at most 0.10 of the prior's", prior_share(COT, 16) <= 0.10),
    ),
    on_noisy(
        "amortized_is_worse_at_its_longest_budget",
        "At the longest budget, of four times CoT's steps in the full preset, the model without a trace has a KL at "
        "n = 16 that is at least 0.15 (as a share of the prior's) above CoT's.",
        gap(AMORTIZED, 16) >= 0.15,
        Control(
            "it has learned short questions: at n = 4 its KL is at most 0.15 of the prior's",
            prior_share(AMORTIZED, 4) <= 0.15,
        ),
    ),
    on_noisy(
        "the_trace_beats_equal_supervision",
        "Told the exact belief after every observation, at the longest budget, the dense model has a KL at n = 16 that "
        "is at least 0.10 (as a share of the prior's) above CoT's.",
        gap(DENSE, 16) >= 0.10,
        Control(
            "it has learned short questions: at n = 4 its KL is at most 0.15 of the prior's",
            prior_share(DENSE, 4) <= 0.15,
        ),
    ),
    on_noisy(
        "depth_does_not_close_the_gap",
        "With four layers and equal steps, the dense model's KL at n = 16 is at least twice that of CoT with two.",
        kl(DENSE, n_steps=16, variant=FOUR_LAYERS) / kl(COT, n_steps=16) >= 2.0,
        Control(
            "depth helps: the dense model's KL is lower with four layers than with two",
            kl(DENSE, n_steps=16, variant=EQUAL_STEPS) - kl(DENSE, n_steps=16, variant=FOUR_LAYERS) >= 0.0,
        ),
    ),
    on_noisy(
        "the_gap_does_not_grow_out_of_length",
        "The gap between the model without a trace and CoT (as a share of the prior's KL) changes by at most 0.05 from "
        "n = 16 to n = 64: what CoT gains is not about length.",
        (gap(AMORTIZED, 64) - gap(AMORTIZED, 16)).between(-0.05, 0.05),
        Control("there is a gap at n = 16, of at least 0.10", gap(AMORTIZED, 16) >= 0.10),
    ),
    on_noisy(
        "equal_supervision_does_not_reach_out_of_length",
        "At the longest budget, the gap between the dense model and CoT (as a share of the prior's KL) grows by at "
        "least 0.20 from n = 16 to n = 64.",
        gap(DENSE, 64) - gap(DENSE, 16) >= 0.20,
        Control(
            "CoT itself generalizes: at n = 64 its KL is at most 0.10 of the prior's", prior_share(COT, 64) <= 0.10
        ),
        seeds_seen=3,
    ),
    on_groups(
        "the_gap_grows_out_of_length",
        "On a group the gap between the model without a trace and CoT (as a share of the prior's KL) grows by at least "
        "0.20 from n = 8 to n = 32: the shortcut does not generalize.",
        gap(AMORTIZED, 32) - gap(AMORTIZED, 8) >= 0.20,
        Control(
            "CoT itself generalizes: at n = 32 its KL is at most 0.10 of the prior's", prior_share(COT, 32) <= 0.10
        ),
    ),
    on_noisy(
        "more_labels_help",
        "At equal steps on the longest questions alone, a drawn answer after every observation lowers the KL at n = 16 "
        "by at least 0.02 (as a share of the prior's) below that of one drawn answer at the end.",
        prior_share(AMORTIZED, 16, LONGEST_ALONE) - prior_share(DRAWN, 16, EQUAL_STEPS) >= 0.02,
        Control(
            "neither has reached CoT: the drawn labels leave a gap of at least 0.05",
            gap(DRAWN, 16, EQUAL_STEPS) >= 0.05,
        ),
    ),
    on_noisy(
        "soft_labels_help",
        "At equal steps, exact beliefs as labels lower the KL at n = 16 by at least 0.02 (as a share of the prior's) "
        "below that of drawn answers.",
        prior_share(DRAWN, 16, EQUAL_STEPS) - prior_share(DENSE, 16, EQUAL_STEPS) >= 0.02,
        Control(
            "soft labels have not reached CoT: they leave a gap of at least 0.05", gap(DENSE, 16, EQUAL_STEPS) >= 0.05
        ),
    ),
    on_noisy(
        "most_of_the_gap_is_writing",
        "At equal steps, at least half of the gap at n = 16 between the model without a trace and CoT remains when the "
        "model is told the exact belief after every observation.",
        gap(DENSE, 16, EQUAL_STEPS).share_of(gap(AMORTIZED, 16, EQUAL_STEPS)) >= 0.5,
        Control("there is a gap, of at least 0.10", gap(AMORTIZED, 16, EQUAL_STEPS) >= 0.10),
    ),
    on_noisy(
        "amortizing_costs_many_times_more",
        "At n = 16 the model without a trace would need at least 10 times CoT's training FLOPs to answer as well.",
        FlopsMultiple(AMORTIZED, 16) >= 10.0,
        Control(
            "budgets matter: its KL at n = 16 falls from 300 to 4,800 steps",
            kl(AMORTIZED, n_steps=16) / kl(AMORTIZED, n_steps=16, variant=after(300)) <= 0.9,
        ),
    ),
    Claim(
        "cot_beats_a_recurrent_net_out_of_length",
        "At n = 64 CoT's KL (as a share of the prior's) is at least 0.05 below that of a GRU without a trace.",
        gap(GRU, 64) >= 0.05,
        Control(
            "the GRU has learned short questions: at n = 4 its KL is at most 0.15 of the prior's",
            prior_share(GRU, 4) <= 0.15,
        ),
        (*NOISY, *GROUPS),
    ),
    on_noisy(
        "answer_follows_the_trace",
        "CoT's causal reliance α is at least 0.7 at every lag from 0 to 8 (the smallest is shown).",
        reliance(COT).over_steps(0, 8, "min") >= 0.7,
        Control(
            "it acts through the steps written after the edit: with those frozen, an edit at lag 4 moves nothing",
            Quantity("causal_reliance_frozen")(COT, step=4).between(-0.1, 0.1),
        ),
    ),
    on_noisy(
        "answer_does_not_overshoot_the_trace",
        "CoT's causal reliance α, averaged over lags 0 to 8, is at most 1.",
        reliance(COT).over_steps(0, 8, "mean") <= 1.0,
        Control("CoT does not ignore its trace: α at lag 0 is at least 0.7", reliance(COT, step=0) >= 0.7),
    ),
    on_noisy(
        "belief_is_read_where_it_is_stated",
        "Where a step is about to be stated, R² of the belief from all layers is at least 0.1 above the untrained "
        "network's.",
        r2(COT, layer=ALL_LAYERS) - r2(COT, control="untrained", layer=ALL_LAYERS) >= 0.1,
        Control(
            "the last four observations do not explain it: R² is at least 0.1 above that of exact inference from them",
            r2(COT, layer=ALL_LAYERS) - r2(COT, control="window_4_exact") >= 0.1,
        ),
        seeds_seen=3,
    ),
    on_groups(
        "cot_solves_groups_at_any_length",
        "On a group CoT gives the right answer to at least 95 % of questions at n = 64.",
        right(COT, n_steps=64) >= 0.95,
        Control(
            "the last eight observations do not suffice: exact inference from them has at least 0.9 of the prior's KL",
            prior_share(WINDOW, 64) >= 0.9,
        ),
    ),
    on_groups(
        "amortized_fails_groups_out_of_length",
        "On a group the model without a trace, trained at least three times as many steps as CoT, is right in at most "
        "half of the questions at n = 32.",
        right(AMORTIZED, n_steps=32) <= 0.5,
        Control(
            "it has learned short questions: it is right in at least 95 % at n = 8", right(AMORTIZED, n_steps=8) >= 0.95
        ),
    ),
    on_groups(
        "dense_fails_groups_out_of_length",
        "On a group the model told the right state after every observation is right in at most half of the questions "
        "at n = 32, too.",
        right(DENSE, n_steps=32) <= 0.5,
        Control(
            "it has learned short questions: it is right in at least 95 % at n = 8", right(DENSE, n_steps=8) >= 0.95
        ),
    ),
)

COMPARE = Study(
    "compare",
    "Does writing an inference down generalize where a learned shortcut does not, and is what is written believed?",
    PRESETS,
    CLAIMS,
    FIGURES,
)
