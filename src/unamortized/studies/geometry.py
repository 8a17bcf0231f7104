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

TRAINED, CONTEXT = 16, 10  # the longest training length of a cell, and of the published models
RESEMBLING = ModelSpec(layers=4, positions="rotary")  # learns rrxor's XOR soon, in a context longer than published
SHAI_RRXOR = ModelSpec(layers=4, width=128, positions="learned")  # as in the published run's file, but GELU
WORLD = "next"  # tasks that ask for the next symbol
AS_PUBLISHED = "next_as_published"  # the same, with the published model's shape and context
NOISY, MESS3, RRXOR = (World("noisy_permutation"),), (World("mess3", WORLD),), (World("rrxor", WORLD),)
PUBLISHED = (World("rrxor", AS_PUBLISHED),)
LAYERED_BASELINES = ("untrained", "wrong_process", "control_task", "shuffled_belief")  # probed from all layers
OTHER_BASELINES = ("window_10", "window_4_exact", "window_10_exact", "random_relu", "own_output")
OTHER_MOVES = ("random_subspace", "wrong_state", "mean_patch")  # than along the probed subspace


def next_symbol(
    task: str,
    seeds: int,
    steps: int,
    model: ModelSpec = RESEMBLING,
    context: int = TRAINED,
    world: str = WORLD,
    batch_size: int = 128,
) -> Cell:
    """Return the cell of next-symbol models; one length is enough, as every symbol is learned from those before it."""
    train = TrainSpec(
        steps=steps,
        batch_size=batch_size,
        lengths_per_batch=1,
        warmup_steps=min(100, steps),
        checkpoint_every=steps,
        snapshots=True,
    )
    overrides = ("query=predict 1", f"steps.train=[{context}, {context}]", f"steps.test=[{context}, {2 * context}]")
    return Cell(task, (NEXT_TOKEN,), seeds, train, model, overrides, world)


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
        Evaluation("probes_in_sample", probes.in_sample, SampleSize(2 * problems)),
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
            next_symbol("mess3", 2, 8, ModelSpec(positions="rotary"), batch_size=32),
            Cell("noisy_permutation", (AMORTIZED, COT), 2, SMOKE, own_worlds=True),
        ),
        evaluations(64, every=8),
    ),
    "quick": Preset(
        (
            next_symbol("mess3", 1, 300, ModelSpec(positions="rotary")),
            Cell("noisy_permutation", (AMORTIZED, COT), 1, TrainSpec(steps=300), own_worlds=True),
        ),
        evaluations(256, every=4),
    ),
    "full": Preset(
        (
            next_symbol("mess3", 6, 600),
            next_symbol("rrxor", 6, 1500),
            next_symbol("rrxor", 9, 3000, SHAI_RRXOR, CONTEXT, AS_PUBLISHED),
            Cell("noisy_permutation", (AMORTIZED, COT), 6, TrainSpec(steps=1200), own_worlds=True),
            Cell("mess3", (AMORTIZED, COT), 6, TrainSpec(steps=300), own_worlds=True),
        ),
        evaluations(512, every=2),
    ),
}

kl, steered_reliance, route_reliance = (Quantity(name) for name in ("answer_kl", "steered_reliance", "route_reliance"))
r2 = partial(Quantity("probe_r2"), layer=ALL_LAYERS, step=None)
next_r2 = partial(r2, NEXT_TOKEN, site=QUESTION, split="in_distribution")
question_r2, stated_r2 = (partial(r2, COT, site=site, n_steps=TRAINED) for site in (QUESTION, ABOUT_TO_STATE))
steered_kl = partial(Quantity("steered_kl"), site=ABOUT_TO_STATE, layer=CHOSEN_LAYER, step=None)  # mean over lags
erased_kl = partial(Quantity("erased_kl"), COT, site=ABOUT_TO_STATE, layer="1", step=0)
route_tv = partial(Quantity("route_tv"), COT, site="observation", layer=ALL_LAYERS)
angle = partial(Quantity("subspace_angle"), COT, site=ABOUT_TO_STATE, layer=LAST_LAYER)

best_baseline = greatest(
    *(next_r2(control=baseline) for baseline in LAYERED_BASELINES),
    *(next_r2(control=baseline, layer=None) for baseline in OTHER_BASELINES),
    complete=True,
)
reliance_on_question = greatest(
    *(steered_reliance(AMORTIZED, site=QUESTION, layer=layer).over_steps(2, 4, "mean") for layer in ("0", "1", "2"))
)


def learned(r2_of: Callable[..., Expression], control: str = "", **where: Any) -> Expression:
    """Return how far training raises R²."""
    return r2_of(control=control, **where) - r2_of(control=controls("untrained", control), **where)


def closed(condition: str, move: str) -> Expression:
    """Return how far a move brings answers to the counterfactual: the KL of unsteered answers less that after it."""
    return steered_kl(condition, control="unsteered") - steered_kl(condition, control=move)


def cost_of_erasing(control: str = "") -> Expression:
    """Return the cost of erasing at layer 1, as a share of what losing the belief costs exact Bayes."""
    untouched = erased_kl(control="untouched")
    return (erased_kl(control=control) - untouched).share_of(erased_kl(control="exact_loss") - untouched)


on_noisy = partial(Claim, worlds=NOISY)
as_published = partial(Claim, worlds=PUBLISHED, seeds_seen=3)  # stated after these seeds were scored in that way
learned_the_next_symbol = Control(
    "the model has learned: its KL is at most 0.02 nats", kl(NEXT_TOKEN, split="in_distribution") <= 0.02
)

CLAIMS = (
    Claim(
        "the_belief_is_read_better_than_from_any_baseline",
        "R² of the belief from all layers is at least 0.02 above that of every baseline: the untrained network, "
        "observations of a window, their random features, exact Bayes on the last four and ten of them, the model's "
        "own output, a wrong process's belief, a control task, shuffled beliefs.",
        next_r2() - best_baseline >= 0.02,
        learned_the_next_symbol,
        (*MESS3, *RRXOR),
    ),
    Claim(
        "training_brings_out_the_belief_not_a_wrong_one",
        "Training raises R² of the belief by at least 0.2 more than R² of a wrong process's belief, which an untrained "
        "network may hold as well.",
        learned(next_r2) - learned(next_r2, "wrong_process") >= 0.2,
        Control(
            "the probe reads more than the next symbol: R² is at least 0.1 above that of the model's own output",
            next_r2() - next_r2(control="own_output", layer=None) >= 0.1,
        ),
        RRXOR,  # the next symbol's distribution in mess3 is the belief, rotated: no probe can read more
    ),
    Claim(
        "the_simplex_of_mess3_lies_in_the_last_layer",
        "In mess3, R² of the belief from the last layer is at least 0.9 (Shai et al. 2024).",
        next_r2(layer=LAST_LAYER) >= 0.9,
        Control(
            "some of it is learned: R² is at least 0.02 above the untrained network's",
            learned(next_r2, layer=LAST_LAYER) >= 0.02,
        ),
        MESS3,
    ),
    Claim(
        "all_layers_of_rrxor_hold_the_belief",
        "In rrxor, R² of the belief from all layers together is at least 0.9 (published: 0.95).",
        next_r2() >= 0.9,
        learned_the_next_symbol,
        (*RRXOR, *PUBLISHED),
    ),
    Claim(
        "the_last_layer_of_rrxor_does_not",
        "In rrxor, R² of the belief from the last layer alone is at most 0.5 (published: 0.31).",
        next_r2(layer=LAST_LAYER) <= 0.5,
        learned_the_next_symbol,
        (*RRXOR, *PUBLISHED),
    ),
    as_published(
        "as_published_all_layers_of_rrxor_hold_the_belief",
        "Scored as published, on the words that the probe was fitted on, R² of the belief from all layers together is "
        "at least 0.9 (published: 0.95).",
        next_r2(control=probes.IN_SAMPLE) >= 0.9,
        Control(
            "words are no look-up table: the network before training reads at most 0.5",
            next_r2(control=controls("untrained", probes.IN_SAMPLE)) <= 0.5,
        ),
    ),
    as_published(
        "as_published_the_last_layer_of_rrxor_does_not",
        "Scored as published, on the words that the probe was fitted on, R² of the belief from the last layer alone is "
        "at most 0.5 (published: 0.31).",
        next_r2(control=probes.IN_SAMPLE, layer=LAST_LAYER) <= 0.5,
        learned_the_next_symbol,
    ),
    *(
        claim
        for condition, model in ((COT, "CoT"), (AMORTIZED, "the model without a trace"))
        for claim in (
            on_noisy(
                f"{condition}_is_steered",
                f"Steering {model} along the probed subspace of an inner layer leaves at most half of the KL to exact "
                "Bayes's counterfactual that the best baseline leaves: an equal move in a random subspace of the same "
                "rank and variance, a move to another belief, the mean activation.",
                steered_kl(condition) / least(*(steered_kl(condition, control=move) for move in OTHER_MOVES)) <= 0.5,
                Control(
                    "there is a way to go: unsteered answers have a KL of at least 0.5 nats",
                    steered_kl(condition, control="unsteered") >= 0.5,
                ),
            ),
            on_noisy(
                f"{condition}_takes_a_donors_belief",
                f"In {model}, the part of a donor's activation in the probed subspace closes at least half of the "
                "distance to the counterfactual (in KL) that the donor's whole activation closes.",
                closed(condition, "donor_subspace").share_of(closed(condition, "donor_patch")) >= 0.5,
                Control(
                    "the part in a random subspace of the same rank and variance closes at most a quarter of it",
                    closed(condition, "donor_random").share_of(closed(condition, "donor_patch")) <= 0.25,
                ),
            ),
        )
    ),
    on_noisy(
        "the_question_holds_no_belief_that_is_used",
        "Without a trace, moving the belief at an observation two or four steps before the end moves the answer by "
        "at most 0.15 of the exact change, at whichever layer does most.",
        reliance_on_question <= 0.15,
        Control(
            "the model uses the belief at the answer mark: moving it there moves the answer by at least 0.3 of it",
            steered_reliance(AMORTIZED, site=ABOUT_TO_STATE, layer="1", step=0) >= 0.3,
        ),
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
    ),
    on_noisy(
        "the_question_holds_no_more_than_before_training",
        "At the observations, CoT's R² of the belief from all layers is at most 0.15 above the untrained network's.",
        learned(question_r2) <= 0.15,
        Control(
            "where a step is about to be stated, it is at least 0.2 above the untrained network's",
            learned(stated_r2) >= 0.2,
        ),
    ),
    on_noisy(
        "what_is_held_is_the_last_code_and_the_observation",
        "Where a step is about to be stated, CoT's R² of the belief from all layers is at most 0.02 above that of the "
        "last code and the observation.",
        stated_r2() - stated_r2(control="last_statement", layer=None) <= 0.02,
        Control(
            "the belief is read there: R² is at least 0.1 above that of exact Bayes on the last four observations",
            stated_r2() - stated_r2(control="window_4_exact", layer=None) >= 0.1,
        ),
    ),
    on_noisy(
        "what_is_stated_is_held_alike_at_four_times_the_length",
        "At n = 64, refitting the probe of CoT's last layer raises R² of the belief by at most 0.05 over the probe "
        "fitted at the training length.",
        stated_r2(control="refitted", layer=LAST_LAYER, n_steps=64) - stated_r2(layer=LAST_LAYER, n_steps=64) <= 0.05,
        Control("there is a belief to read: R² is at least 0.5", stated_r2(layer=LAST_LAYER, n_steps=64) >= 0.5),
    ),
    Claim(
        "a_step_fetches_its_observation",
        "Cutting every head off from x_t, where step t is about to be stated, moves CoT's new code by a TV of at "
        "least 0.4.",
        route_tv() >= 0.4,
        Control(
            "cutting them off from another observation moves it by at most 0.05",
            route_tv(control="random_columns") <= 0.05,
        ),
        (*NOISY, World("mess3")),
    ),
    Claim(
        "one_head_fetches_it",
        "Another symbol that reaches CoT's new code through the steepest head of the first layer alone moves it at "
        "least 0.7 of the way that exact Bayes goes.",
        route_reliance(COT, site="observation", layer="L0H0") >= 0.7,
        Control(
            "another last code does not come through that head: it moves the new code at most 0.3 of the way",
            route_reliance(COT, site="last_code", layer="L0H0") <= 0.3,
        ),
        (*NOISY, World("mess3")),
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
    ),
)

GEOMETRY = Study(
    "geometry",
    "Where does the model hold the belief, would anything hold it, and does the model use it?",
    PRESETS,
    CLAIMS,
    FIGURES,
)
