"""Geometry: what holds the belief inside, would anything hold it, and is what is held what is used?

Models of the next symbol stand beside Shai et al. (2024), with controls of ours; amortized models and such that write
their beliefs down beside each other. What a probe reads is moved, erased and left alone.
"""

import pandas as pd

from unamortized.evaluation import belief_geometry, examples, generalization, geometry, probes, routes, steering
from unamortized.evaluation.evaluate import Evaluation
from unamortized.evaluation.faithfulness import FaithfulnessSettings
from unamortized.learning.runs import TrainSpec
from unamortized.models.transformer import ModelSpec
from unamortized.studies.claims import Claim, Control, Range
from unamortized.studies.statistics import Measure, level, paired_difference, paired_ratio, select
from unamortized.studies.study import Cell, Preset, Study

AMORTIZED, COT, NEXT = "amortized", "cot", "next_token"
NOISY, MESS3, RRXOR = "noisy_permutation", "mess3@next", "rrxor@next"
RIVALS = ("untrained", "window_10", "random_relu", "own_output", "wrong_process", "control_task", "shuffled_belief")
STEERED_BESIDE = ("random_subspace", "wrong_state", "mean_patch")
SEEN = " (Stated when results had been seen.)"


def next_symbol(task: str, seeds: int, steps: int, layers: int = 4, batch_size: int = 128) -> Cell:
    """Models of the next symbol, in the shape of Shai et al. but for rotary positions and four heads.

    One length is enough where every symbol is learned from those before it.
    """
    train = TrainSpec(
        steps=steps,
        batch_size=batch_size,
        lengths_per_batch=1,
        learning_rate=2e-3,
        warmup_steps=min(100, steps),
        checkpoint_every=steps,
        snapshots=True,
    )
    overrides = ("query=predict 1", "steps.train=[16, 16]", "steps.test=[16, 32]")
    return Cell(task, (NEXT,), seeds, train, ModelSpec(layers=layers, positions="rotary"), overrides, "next")


def evaluations(problems: int, every: int) -> tuple[Evaluation, ...]:
    """What is measured, with how many problems; each so many steps get a probe of their own."""
    lengths, moved = generalization.ByLength(problems), FaithfulnessSettings(problems // 2, lags=(0, 2, 4))
    swept = probes.Probes(
        problems,
        fitted=2 * problems,
        steps=tuple(range(every, 17, every)),
        beside=(*probes.EVERYTHING, "belief_1_back", "belief_2_back", "belief_4_back"),
    )
    held = geometry.Geometry(problems)
    return (
        Evaluation("baselines", generalization.baselines_by_length, lengths, of="task"),
        Evaluation("by_length", generalization.by_length, lengths),
        Evaluation("probes", probes.by_layer, swept),
        Evaluation("probes_along_training", probes.along_training, probes.Probes(problems)),
        Evaluation("dimensions", geometry.dimensions, held),
        Evaluation("across_lengths", geometry.across_lengths, held),
        Evaluation("between_conditions", geometry.between_conditions, held, against=held.against),
        Evaluation("steering", steering.steering, moved),
        Evaluation("routes", routes.routes, routes.Routes(problems // 2)),
        Evaluation(
            "clouds",
            belief_geometry.belief_geometry,
            belief_geometry.BeliefGeometry(problems),
            gives="examples",
            only_seed=0,
        ),
        Evaluation(
            "examples",
            examples.example_problems,
            examples.ExampleProblems(probe_problems=problems),
            gives="examples",
            only_seed=0,
        ),
    )


PRESETS = {
    "smoke": Preset(
        (
            next_symbol("mess3", seeds=2, steps=8, layers=2, batch_size=32),
            Cell(NOISY, (AMORTIZED, COT), 2, TrainSpec(steps=12, batch_size=32, warmup_steps=4)),
        ),
        evaluations(64, every=8),
    ),
    "quick": Preset(
        (
            next_symbol("mess3", seeds=1, steps=500, layers=2),
            Cell(NOISY, (AMORTIZED, COT), 1, TrainSpec(steps=450)),
        ),
        evaluations(256, every=4),
    ),
    "full": Preset(
        (
            next_symbol("mess3", seeds=4, steps=1000),
            next_symbol("rrxor", seeds=4, steps=3000),
            Cell(NOISY, (AMORTIZED, COT), 6, TrainSpec(steps=500)),
            Cell("mess3", (AMORTIZED, COT), 4, TrainSpec(steps=200)),
        ),
        evaluations(512, every=2),
    ),
}


TRAINED = 16  # the longest training length of every cell


def read_off(condition: str, layer: str | None, site: str = "question_") -> Measure:
    """R2 at the longest training length, steps pooled."""
    return level(f"{site}probe_r2", condition, "ratio", layer=layer, step=None, n_steps=TRAINED)


def above_rivals(condition: str, site: str = "question_") -> Measure:
    """How much R2 of all layers concatenated is above that of the best control, by seed."""

    def per_seed(table: pd.DataFrame) -> "pd.Series[float]":
        where = {"step": None, "n_steps": TRAINED}
        own = select(table, f"{site}probe_r2", condition, layer="all", **where)
        rivals = {}
        for name in RIVALS:
            rows = table[table["condition"] == f"{condition}/{name}"]
            layer = "all" if (rows["layer"] == "all").any() else None
            rivals[name] = select(table, f"{site}probe_r2", f"{condition}/{name}", layer=layer, **where)
        return own - pd.DataFrame(rivals).max(axis=1, skipna=False)

    return Measure(per_seed, "ratio")


def learned(condition: str, target: str = "", site: str = "question_", layer: str = "all") -> Measure:
    """How much more of the belief, or of another target, is read than from the network before training, by seed."""
    where = {"layer": layer, "step": None, "n_steps": TRAINED}
    own, before = ("/".join(part for part in (condition, extra, target) if part) for extra in ("", "untrained"))
    return paired_difference(f"{site}probe_r2", (own, where), (before, where), "ratio")


def more_learned(condition: str, than: str) -> Measure:
    """How much more is learned of the belief than of another target, by seed."""
    own, other = learned(condition).per_seed, learned(condition, than).per_seed
    return Measure(lambda table: own(table) - other(table), "ratio")


def above_best(metric: str, condition: str, beside: tuple[str, ...]) -> Measure:
    """A KL at the chosen layer over the least of those beside it, the mean over lags, by seed."""

    def per_seed(table: pd.DataFrame) -> "pd.Series[float]":
        where = {"layer": "chosen", "step": None}
        best = pd.DataFrame({name: select(table, metric, f"{condition}/{name}", **where) for name in beside}).min(
            axis=1
        )
        return select(table, metric, condition, **where) / best

    return Measure(per_seed, "ratio", geometric=True)


def cost_of_erasing(condition: str, beside: str = "") -> Measure:
    """What erasing at the first layer costs, of what losing the belief costs exact Bayes, by seed; at lag 0."""

    def per_seed(table: pd.DataFrame) -> "pd.Series[float]":
        erased, loss, untouched = (
            select(table, "erased_kl", f"{condition}/{name}" if name else condition, layer="1", step=0)
            for name in (beside, "exact_loss", "untouched")
        )
        return (erased - untouched) / (loss - untouched)

    return Measure(per_seed, "ratio")


def used_in_the_question(table: pd.DataFrame) -> "pd.Series[float]":
    """Reliance on what is steered in the question, the mean over lags 2 and 4, of the layer where it is largest."""
    rows = table[(table["metric"] == "question_steered_reliance") & (table["condition"] == AMORTIZED)]
    rows = rows[rows["step"].isin((2, 4))]
    return rows.groupby(["seed", "layer"])["value"].mean().groupby("seed").max()


def steers(condition: str) -> tuple[Claim, Claim]:
    """A belief that is moved inside moves the answer."""
    there = {"layer": "chosen", "step": None}
    return (
        Claim(
            name=f"{condition}_is_steered",
            description=f"{condition}: moved along the probed subspace of an inner layer, answers are at most a third as far "
            "from exact Bayes's counterfactual as after the best of: as far a move in a random subspace of that rank "
            "and variance, a move to another belief, the mean activation.",
            measure=above_best("steered_kl", condition, STEERED_BESIDE),
            holds=Range(high=1 / 3),
            control=Control(
                "there is somewhere to go: unsteered answers are at least .5 nats away",
                level("steered_kl", f"{condition}/unsteered", "nats", **there),
                Range(low=0.5),
            ),
            tasks=(NOISY,),
        ),
        Claim(
            name=f"{condition}_takes_a_donors_belief",
            description=f"{condition}: with the part of a donor's activation that lies in the probed subspace, answers are at "
            "most a third as far from the counterfactual as with the part in a random one of that rank and variance."
            + SEEN,
            measure=paired_ratio(
                "steered_kl", (f"{condition}/donor_subspace", there), (f"{condition}/donor_random", there)
            ),
            holds=Range(high=1 / 3),
            control=Control(
                "the whole of the donor's activation does as well: at most a third of the unsteered KL",
                paired_ratio("steered_kl", (f"{condition}/donor_patch", there), (f"{condition}/unsteered", there)),
                Range(high=1 / 3),
            ),
            tasks=(NOISY,),
        ),
    )


LEARNED = Control(
    "it has learned: its next symbol is within .05 nats of exact",
    level("answer_kl", NEXT, "nats", n_steps=TRAINED),
    Range(high=0.05),
)

CLAIMS = (
    Claim(
        name="a_model_of_the_next_symbol_holds_the_belief",
        description="R² of the belief from all layers is above that of every control: the network before training, ten "
        "observations, random features of them, the model's own output, a wrong process's belief, words learned by "
        "heart, shuffled beliefs.",
        measure=above_rivals(NEXT),
        holds=Range(low=0.0),
        control=LEARNED,
        tasks=(MESS3, RRXOR),
    ),
    Claim(
        name="training_brings_out_the_belief_not_a_wrong_one",
        description="Training raises R² of the belief by more than that of a wrong process's belief, which an untrained "
        "network may hold as well." + SEEN,
        measure=more_learned(NEXT, "wrong_process"),
        holds=Range(low=0.0),
        control=Control(
            "nor is it the next symbol alone that is read: the model's own output has at least .1 less (in mess3 it "
            "cannot: there the next symbol's distribution is the belief, turned)",
            paired_difference(
                "question_probe_r2",
                (NEXT, {"layer": "all", "step": None, "n_steps": TRAINED}),
                (f"{NEXT}/own_output", {"layer": None, "step": None, "n_steps": TRAINED}),
                "ratio",
            ),
            Range(low=0.1),
        ),
        tasks=(MESS3, RRXOR),
    ),
    Claim(
        name="the_simplex_of_mess3_lies_in_the_last_layer",
        description="R² of the belief at the last layer is at least .9 (Shai et al. 2024).",
        measure=read_off(NEXT, "last"),
        holds=Range(low=0.9),
        control=Control(
            "not without learning: the network before training has at least .1 less",
            paired_difference(
                "question_probe_r2",
                (NEXT, {"layer": "last", "step": None, "n_steps": TRAINED}),
                (f"{NEXT}/untrained", {"layer": "last", "step": None, "n_steps": TRAINED}),
                "ratio",
            ),
            Range(low=0.1),
        ),
        tasks=(MESS3,),
    ),
    Claim(
        name="the_belief_of_rrxor_is_spread_over_layers",
        description="R² of the belief from all layers is at least .9 (published: .95).",
        measure=read_off(NEXT, "all"),
        holds=Range(low=0.9),
        control=Control(
            "and not from the last layer alone: at most .5 (published: .31)", read_off(NEXT, "last"), Range(high=0.5)
        ),
        tasks=(RRXOR,),
    ),
    *steers(COT),
    *steers(AMORTIZED),
    Claim(
        name="the_question_holds_no_belief_that_is_used",
        description="amortized: moving the belief at an observation two or four steps before the end, at whichever layer does "
        "most, moves the answer by at most a tenth of what it should." + SEEN,
        measure=Measure(used_in_the_question, "ratio"),
        holds=Range(high=0.1),
        control=Control(
            "at the answer mark it is used: at least .5",
            level("steered_reliance", AMORTIZED, "ratio", layer="1", step=0),
            Range(low=0.5),
        ),
        tasks=(NOISY,),
    ),
    Claim(
        name="erasing_costs_what_losing_the_belief_costs",
        description="cot: with the belief subspace of layer 1 erased where the last step is about to be stated, at "
        "least half of what losing that belief costs exact Bayes is lost." + SEEN,
        measure=cost_of_erasing(COT),
        holds=Range(low=0.5),
        control=Control(
            "a random subspace of that rank and variance costs at most a quarter of it",
            cost_of_erasing(COT, "random_subspace"),
            Range(high=0.25),
        ),
        tasks=(NOISY,),
    ),
    Claim(
        name="the_question_holds_no_more_than_before_training",
        description="cot: at the observations, R² of the belief from all layers is at most .1 above the untrained network's."
        + SEEN,
        measure=learned(COT),
        holds=Range(high=0.1),
        control=Control(
            "where a step is about to be stated, it is at least .3 above it", learned(COT, site=""), Range(low=0.3)
        ),
        tasks=(NOISY,),
    ),
    Claim(
        name="what_is_stated_is_held_alike_at_four_times_the_length",
        description="cot: beyond the training length a probe of one that was fitted there, too, reads at most .05 more."
        + SEEN,
        measure=paired_difference(
            "probe_r2",
            (f"{COT}/refitted", {"layer": "last", "n_steps": 64}),
            (COT, {"layer": "last", "n_steps": 64}),
            "ratio",
        ),
        holds=Range(high=0.05),
        control=Control(
            "there is a belief to read: R² at least .7",
            level("probe_r2", COT, "ratio", layer="last", n_steps=64),
            Range(low=0.7),
        ),
        tasks=(NOISY,),
    ),
    Claim(
        name="a_step_fetches_its_observation",
        description="cot: with every head cut off from x_t where step t is about to be stated, the new code moves by at least "
        "half (TV)." + SEEN,
        measure=level("route_tv", f"{COT}/observation", "probability", layer="all"),
        holds=Range(low=0.5),
        control=Control(
            "cut off from another observation it moves by at most .05",
            level("route_tv", f"{COT}/random_columns", "probability", layer="all"),
            Range(high=0.05),
        ),
        tasks=(NOISY, "mess3"),
    ),
    Claim(
        name="one_head_fetches_it",
        description="cot: another symbol that reaches the new code through the steepest head of the first layer alone moves "
        "it at least .7 of the way that exact Bayes goes." + SEEN,
        measure=level("route_reliance", f"{COT}/observation", "ratio", layer="L0H0"),
        holds=Range(low=0.7),
        control=Control(
            "another last code does not come through it: at most .2",
            level("route_reliance", f"{COT}/last_code", "ratio", layer="L0H0"),
            Range(high=0.2),
        ),
        tasks=(NOISY, "mess3"),
    ),
    Claim(
        name="amortized_and_cot_hold_the_belief_in_the_same_directions",
        description="From the same weights and questions: the belief subspaces of cot and amortized, at the last layer where "
        "it is about to be said, are at least 10 degrees nearer than chance." + SEEN,
        measure=paired_difference(
            "subspace_angle",
            (f"{COT}/amortized_random_subspace", {"layer": "last"}),
            (f"{COT}/amortized", {"layer": "last"}),
            "degrees",
        ),
        holds=Range(low=10.0),
        control=Control(
            "angles can be told: two fits of cot agree within 15 degrees",
            level("subspace_angle", f"{COT}/amortized_refit", "degrees", layer="last"),
            Range(high=15.0),
        ),
        tasks=(NOISY,),
    ),
)

GEOMETRY = Study(
    name="geometry",
    question="What holds the belief inside, would anything hold it, and is it used?",
    presets=PRESETS,
    claims=CLAIMS,
    figures=(
        "residual_simplex",
        "belief_simplex",
        "probe_rivals",
        "probe_training",
        "steering",
        "subspaces",
        "routes",
    ),
)
