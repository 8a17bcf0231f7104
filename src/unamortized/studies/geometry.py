"""Geometry: where does the model hold the belief, would anything hold it, and does the model use it?

Next-symbol models repeat Shai et al. (2024), with controls added; models without a trace and with CoT stand beside each
other. The study moves, erases and leaves alone what a probe reads.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

from unamortized.evaluation import geometry, probes, routes, steering
from unamortized.evaluation.belief_geometry import belief_geometry
from unamortized.evaluation.evaluate import Evaluation
from unamortized.evaluation.faithfulness import FaithfulnessSettings
from unamortized.evaluation.protocol import SampleSize
from unamortized.labels import ABOUT_TO_STATE, ALL_LAYERS, CHOSEN_LAYER, LAST_LAYER, QUESTION, controls
from unamortized.learning.specification import TrainSpec
from unamortized.models.transformer import ModelSpec
from unamortized.studies.claims import Claim, Control, World
from unamortized.studies.figures.geometry import FIGURES
from unamortized.studies.names import AMORTIZED, COT, NEXT_TOKEN
from unamortized.studies.quantities import Expression, Quantity, greatest, least
from unamortized.studies.study import SMOKE, Cell, Preset, Study, answer_evaluations, examples_evaluation

TRAINED = 16  # the longest training length of every cell
WORLD = "next"  # tasks that ask for the next symbol
NOISY, MESS3, RRXOR = (World("noisy_permutation"),), (World("mess3", WORLD),), (World("rrxor", WORLD),)
LAYERED_BASELINES = ("untrained", "wrong_process", "control_task", "shuffled_belief")  # probed from all layers
OTHER_BASELINES = ("window_10", "random_relu", "own_output")
OTHER_MOVES = ("random_subspace", "wrong_state", "mean_patch")  # than along the probed subspace


def next_symbol(task: str, seeds: int, steps: int, layers: int = 4, batch_size: int = 128) -> Cell:
    """Return the cell of next-symbol models, shaped as in Shai et al. but with rotary positions and four heads.

    One length is enough because the model learns every symbol from those before it.
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
    return Cell(task, (NEXT_TOKEN,), seeds, train, ModelSpec(layers=layers, positions="rotary"), overrides, WORLD)


def evaluations(problems: int, every: int) -> tuple[Evaluation, ...]:
    """Return the evaluations, with n problems each; each k-th step gets a probe of its own."""
    size, moved = SampleSize(problems), FaithfulnessSettings(problems // 2, lags=(0, 2, 4))
    swept = probes.Probes(
        problems,
        fitted=2 * problems,
        steps=tuple(range(every, 17, every)),
        beside=(*probes.EVERYTHING, "belief_1_back", "belief_2_back", "belief_4_back"),
    )
    return (
        *answer_evaluations(problems),
        Evaluation("probes", probes.by_layer, swept),
        Evaluation("probes_along_training", probes.along_training, probes.Probes(problems)),
        Evaluation("dimensions", geometry.dimensions, size),
        Evaluation("across_lengths", geometry.across_lengths, size),
        Evaluation("between_conditions", geometry.between_conditions, size, against=geometry.AGAINST),
        Evaluation("steering", steering.steering, moved),
        Evaluation("routes", routes.routes, SampleSize(problems // 2)),
        Evaluation("clouds", belief_geometry, size, gives="examples"),
        examples_evaluation(problems),
    )


PRESETS = {
    "smoke": Preset(
        (
            next_symbol("mess3", seeds=2, steps=8, layers=2, batch_size=32),
            Cell("noisy_permutation", (AMORTIZED, COT), 2, SMOKE),
        ),
        evaluations(64, every=8),
    ),
    "quick": Preset(
        (
            next_symbol("mess3", seeds=1, steps=500, layers=2),
            Cell("noisy_permutation", (AMORTIZED, COT), 1, TrainSpec(steps=450)),
        ),
        evaluations(256, every=4),
    ),
    "full": Preset(
        (
            next_symbol("mess3", seeds=4, steps=1000),
            next_symbol("rrxor", seeds=4, steps=3000),
            Cell("noisy_permutation", (AMORTIZED, COT), 6, TrainSpec(steps=500)),
            Cell("mess3", (AMORTIZED, COT), 4, TrainSpec(steps=200)),
        ),
        evaluations(512, every=2),
    ),
}

kl, steered_reliance, route_reliance = (Quantity(name) for name in ("answer_kl", "steered_reliance", "route_reliance"))
r2 = partial(Quantity("probe_r2"), layer=ALL_LAYERS, step=None, n_steps=TRAINED)
question_r2, stated_r2 = partial(r2, site=QUESTION), partial(r2, site=ABOUT_TO_STATE)
steered_kl = partial(Quantity("steered_kl"), site=ABOUT_TO_STATE, layer=CHOSEN_LAYER, step=None)  # mean over lags
erased_kl = partial(Quantity("erased_kl"), COT, site=ABOUT_TO_STATE, layer="1", step=0)
route_tv = partial(Quantity("route_tv"), COT, site="observation", layer=ALL_LAYERS)
angle = partial(Quantity("subspace_angle"), COT, site=ABOUT_TO_STATE, layer=LAST_LAYER)

best_baseline = greatest(
    *(question_r2(NEXT_TOKEN, control=baseline) for baseline in LAYERED_BASELINES),
    *(question_r2(NEXT_TOKEN, control=baseline, layer=None) for baseline in OTHER_BASELINES),
    complete=True,
)
reliance_on_question = greatest(
    *(steered_reliance(AMORTIZED, site=QUESTION, layer=layer).over_steps(2, 4, "mean") for layer in ("0", "1", "2"))
)


def learned(r2_of: Callable[..., Expression], condition: str, control: str = "", **where: Any) -> Expression:
    """Return how far training raises R²."""
    untrained = r2_of(condition, control=controls("untrained", control), **where)
    return r2_of(condition, control=control, **where) - untrained


def cost_of_erasing(control: str = "") -> Expression:
    """Return the cost of erasing at layer 1, as a share of what losing the belief costs exact Bayes."""
    untouched = erased_kl(control="untouched")
    return (erased_kl(control=control) - untouched).share_of(erased_kl(control="exact_loss") - untouched)


on_noisy = partial(Claim, worlds=NOISY)
SEEN = 6  # seeds of this study that were seen before some of its claims were stated

CLAIMS = (
    Claim(
        "a_model_of_the_next_symbol_holds_the_belief",
        "R² of the belief from all layers is above that of every baseline: the untrained network, ten observations, "
        "random features of them, the model's own output, a wrong process's belief, a control task, shuffled beliefs.",
        question_r2(NEXT_TOKEN) - best_baseline >= 0.0,
        Control("the model has learned: its KL is at most 0.05 nats", kl(NEXT_TOKEN, n_steps=TRAINED) <= 0.05),
        (*MESS3, *RRXOR),
    ),
    Claim(
        "training_brings_out_the_belief_not_a_wrong_one",
        "Training raises R² of the belief by more than R² of a wrong process's belief, which an untrained network "
        "may hold as well.",
        learned(question_r2, NEXT_TOKEN) - learned(question_r2, NEXT_TOKEN, "wrong_process") >= 0.0,
        Control(
            "the probe reads more than the next symbol: R² is at least 0.1 above that of the model's own output (mess3 "
            "cannot show it: there the next symbol's distribution is the belief, rotated)",
            question_r2(NEXT_TOKEN) - question_r2(NEXT_TOKEN, control="own_output", layer=None) >= 0.1,
        ),
        (*MESS3, *RRXOR),
        seeds_seen=SEEN,
    ),
    Claim(
        "the_simplex_of_mess3_lies_in_the_last_layer",
        "In mess3, R² of the belief from the last layer is at least 0.9 (Shai et al. 2024).",
        question_r2(NEXT_TOKEN, layer=LAST_LAYER) >= 0.9,
        Control(
            "it is learned: R² is at least 0.1 above the untrained network's",
            learned(question_r2, NEXT_TOKEN, layer=LAST_LAYER) >= 0.1,
        ),
        MESS3,
    ),
    Claim(
        "the_belief_of_rrxor_is_spread_over_layers",
        "In rrxor, R² of the belief from all layers is at least 0.9 (published: 0.95).",
        question_r2(NEXT_TOKEN) >= 0.9,
        Control(
            "the last layer alone does not hold it: its R² is at most 0.5 (published: 0.31)",
            question_r2(NEXT_TOKEN, layer=LAST_LAYER) <= 0.5,
        ),
        RRXOR,
    ),
    *(
        claim
        for condition, model in ((COT, "CoT"), (AMORTIZED, "the model without a trace"))
        for claim in (
            on_noisy(
                f"{condition}_is_steered",
                f"Steering {model} along the probed subspace of an inner layer leaves at most a third of the KL to "
                "exact Bayes's counterfactual that the best baseline leaves: an equal move in a random subspace of "
                "the same rank and variance, a move to another belief, the mean activation.",
                steered_kl(condition) / least(*(steered_kl(condition, control=move) for move in OTHER_MOVES)) <= 1 / 3,
                Control(
                    "there is a way to go: unsteered answers have a KL of at least 0.5 nats",
                    steered_kl(condition, control="unsteered") >= 0.5,
                ),
            ),
            on_noisy(
                f"{condition}_takes_a_donors_belief",
                f"Patching {model} with the part of a donor's activation in the probed subspace leaves at most a "
                "third of the KL to the counterfactual that the part in a random subspace of the same rank and "
                "variance leaves.",
                steered_kl(condition, control="donor_subspace") / steered_kl(condition, control="donor_random")
                <= 1 / 3,
                Control(
                    "the donor's whole activation does as well: it leaves at most a third of the unsteered KL",
                    steered_kl(condition, control="donor_patch") / steered_kl(condition, control="unsteered") <= 1 / 3,
                ),
                seeds_seen=SEEN,
            ),
        )
    ),
    on_noisy(
        "the_question_holds_no_belief_that_is_used",
        "Without a trace, moving the belief at an observation two or four steps before the end moves the answer by "
        "at most a tenth of the exact change, at whichever layer does most.",
        reliance_on_question <= 0.1,
        Control(
            "the model uses the belief at the answer mark: moving it there moves the answer by at least half",
            steered_reliance(AMORTIZED, site=ABOUT_TO_STATE, layer="1", step=0) >= 0.5,
        ),
        seeds_seen=SEEN,
    ),
    on_noisy(
        "erasing_costs_what_losing_the_belief_costs",
        "Erasing CoT's belief subspace of layer 1, where the last step is about to be stated, costs at least half of "
        "what losing that belief costs exact Bayes.",
        cost_of_erasing() >= 0.5,
        Control(
            "erasing a random subspace of the same rank and variance costs at most a quarter of it",
            cost_of_erasing("random_subspace") <= 0.25,
        ),
        seeds_seen=SEEN,
    ),
    on_noisy(
        "the_question_holds_no_more_than_before_training",
        "At the observations, CoT's R² of the belief from all layers is at most 0.1 above the untrained network's.",
        learned(question_r2, COT) <= 0.1,
        Control(
            "where a step is about to be stated, it is at least 0.3 above the untrained network's",
            learned(stated_r2, COT) >= 0.3,
        ),
        seeds_seen=SEEN,
    ),
    on_noisy(
        "what_is_stated_is_held_alike_at_four_times_the_length",
        "At n = 64, refitting the probe of CoT's last layer raises R² of the belief by at most 0.05 over the probe "
        "fitted at the training length.",
        stated_r2(COT, control="refitted", layer=LAST_LAYER, n_steps=64) - stated_r2(COT, layer=LAST_LAYER, n_steps=64)
        <= 0.05,
        Control("there is a belief to read: R² is at least 0.7", stated_r2(COT, layer=LAST_LAYER, n_steps=64) >= 0.7),
        seeds_seen=SEEN,
    ),
    Claim(
        "a_step_fetches_its_observation",
        "Cutting every head off from x_t, where step t is about to be stated, moves CoT's new code by a TV of at "
        "least 0.5.",
        route_tv() >= 0.5,
        Control(
            "cutting them off from another observation moves it by at most 0.05",
            route_tv(control="random_columns") <= 0.05,
        ),
        (*NOISY, World("mess3")),
        seeds_seen=SEEN,
    ),
    Claim(
        "one_head_fetches_it",
        "Another symbol that reaches CoT's new code through the steepest head of the first layer alone moves it at "
        "least 0.7 of the way that exact Bayes goes.",
        route_reliance(COT, site="observation", layer="L0H0") >= 0.7,
        Control(
            "another last code does not come through that head: it moves the new code at most 0.2 of the way",
            route_reliance(COT, site="last_code", layer="L0H0") <= 0.2,
        ),
        (*NOISY, World("mess3")),
        seeds_seen=SEEN,
    ),
    on_noisy(
        "amortized_and_cot_hold_the_belief_in_the_same_directions",
        "Trained from the same weights and questions, CoT and the model without a trace have belief subspaces at "
        "least 10 degrees closer than chance, at the last layer where the belief is about to be stated.",
        angle(control="amortized_random_subspace") - angle(control="amortized") >= 10.0,
        Control(
            "angles can be measured: two fits of CoT's subspace agree within 15 degrees",
            angle(control="amortized_refit") <= 15.0,
        ),
        seeds_seen=SEEN,
    ),
)

GEOMETRY = Study(
    "geometry",
    "Where does the model hold the belief, would anything hold it, and does the model use it?",
    PRESETS,
    CLAIMS,
    FIGURES,
)
