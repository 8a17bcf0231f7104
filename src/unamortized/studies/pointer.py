"""The pointer: how much of CoT's reach beyond the training lengths does the layout provide?

Each step of a trace has to fetch its observation before it can update the belief. Coupled position ids hand it over:
the model looks up an equal id. Under plain ids the model has to find the observation by itself, at every length. The
study crosses position schemes with ids, without a trace and with CoT. Copied and indexed traces, which show what a step
fetches, are trained under alibi alone. Without positions, ids reach no model, so that coupled and plain are the same.
"""

from collections.abc import Iterable

from unamortized.evaluation import generalization, pointer
from unamortized.evaluation.evaluate import Evaluation
from unamortized.learning.runs import TrainSpec
from unamortized.models.transformer import ModelSpec
from unamortized.studies.claims import Claim, Control, World
from unamortized.studies.figures.pointer import FIGURES
from unamortized.studies.names import AMORTIZED, COT, GRU, WINDOW
from unamortized.studies.quantities import OverParts, Quantity, least
from unamortized.studies.study import Cell, Preset, Study

COPIED, INDEXED = "cot_copied", "cot_indexed"
NOISY = (World("noisy_permutation"),)
MAX_POSITIONS = 256  # randomized ids are drawn from these: enough for plain ids at n = 64, few enough to learn

MODELS = {  # by variant
    "alibi_coupled": ModelSpec(),
    "alibi_plain": ModelSpec(coupled=False),
    "rotary_coupled": ModelSpec(positions="rotary"),
    "rotary_plain": ModelSpec(positions="rotary", coupled=False),
    "none": ModelSpec(positions="none"),
    "learned_coupled": ModelSpec(positions="learned"),
    "learned_plain": ModelSpec(positions="learned", coupled=False),
    "randomized_coupled": ModelSpec(positions="randomized", max_positions=MAX_POSITIONS),
    "randomized_plain": ModelSpec(positions="randomized", max_positions=MAX_POSITIONS, coupled=False),
}
NOT_COUPLED = tuple(variant for variant, model in MODELS.items() if not model.coupled or model.positions == "none")


def cells(conditions: dict[str, tuple[str, ...]], seeds: int, train: TrainSpec) -> tuple[Cell, ...]:
    """Return a cell for each variant, with its conditions."""
    return tuple(
        Cell("noisy_permutation", trained, seeds, train, MODELS[variant], variant=variant)
        for variant, trained in conditions.items()
    )


def evaluations(problems: int) -> tuple[Evaluation, ...]:
    """Return the evaluations, with n problems a length."""
    lengths = generalization.ByLength(problems)
    return (
        Evaluation("baselines", generalization.baselines_by_length, lengths, of="task"),
        Evaluation("by_length", generalization.by_length, lengths),
        Evaluation("pointer", pointer.pointer, pointer.Pointer(problems)),
    )


COUPLED, PLAIN = "alibi_coupled", "alibi_plain"  # coupled: the layout of the other studies
BOTH, FETCHING = (AMORTIZED, COT), (AMORTIZED, COT, COPIED, INDEXED)

PRESETS = {
    "smoke": Preset(
        cells({COUPLED: BOTH, PLAIN: FETCHING}, 2, TrainSpec(steps=12, batch_size=32, warmup_steps=4)),
        evaluations(32),
    ),
    "quick": Preset(  # steps as in `compare`, which shares the runs of the coupled layout
        cells(
            {COUPLED: BOTH, PLAIN: (AMORTIZED, COT, COPIED), "rotary_plain": (COT,)},
            2,
            TrainSpec(steps=450),
        ),
        evaluations(256),
    ),
    "full": Preset(
        cells(
            {
                COUPLED: (*FETCHING, GRU),  # a GRU reads no positions: one layout is enough
                **{name: FETCHING if name == PLAIN else BOTH for name in MODELS if name != COUPLED},
            },
            3,
            TrainSpec(steps=400),
        ),
        evaluations(256),
    ),
}

kl, pointer_share = Quantity("answer_kl"), Quantity("pointer_share")


def lowest_kl(condition: str, variants: Iterable[str], n_steps: int) -> OverParts:
    """Return the KL under whichever variant does best at this length, chosen seed by seed on the tests themselves.

    The choice favors the condition: it needs the answers to the test questions.
    """
    return least(*(kl(condition, variant=variant, n_steps=n_steps) for variant in variants))


CLAIMS = (
    Claim(
        "cot_beats_the_best_amortized_scheme",
        "At n = 64 CoT's KL under alibi with coupled ids is at least 0.05 nats below that of the model without a trace "
        "under its own best layout, chosen on the tests.",
        lowest_kl(AMORTIZED, MODELS, 64) - kl(COT, variant=COUPLED, n_steps=64) >= 0.05,
        Control(
            "a memory of eight observations does not explain it: its KL is above CoT's",
            kl(WINDOW, n_steps=64) - kl(COT, variant=COUPLED, n_steps=64) >= 0.0,
        ),
        NOISY,
    ),
    Claim(
        "plain_cot_beats_the_best_amortized_scheme",
        "At n = 64 CoT's KL under its best layout without coupled ids is at least 0.05 nats below that of the model "
        "without a trace under its own best layout, both chosen on the tests.",
        lowest_kl(AMORTIZED, MODELS, 64) - lowest_kl(COT, NOT_COUPLED, 64) >= 0.05,
        Control(
            "CoT learns without coupled ids: its KL at n = 16, chosen alike, is at most 0.10 nats",
            lowest_kl(COT, NOT_COUPLED, 16) <= 0.10,
        ),
        NOISY,
    ),
    Claim(
        "the_layout_gives_the_reach",
        "With alibi, plain ids raise CoT's KL at n = 64 by at least 0.05 nats.",
        kl(COT, variant=PLAIN, n_steps=64) - kl(COT, variant=COUPLED, n_steps=64) >= 0.05,
        Control(
            "they cost reach alone: at n = 16, a training length, they raise it by at most 0.05 nats",
            kl(COT, variant=PLAIN, n_steps=16) - kl(COT, variant=COUPLED, n_steps=16) <= 0.05,
        ),
        NOISY,
    ),
    *(
        Claim(
            f"errors_are_pointer_errors_under_{variant}",
            f"At n = 64 at least half of CoT's wrong steps under plain ids with {positions} positions are exact "
            "updates with a wrong observation.",
            pointer_share(COT, variant=variant, n_steps=64) >= 0.5,
            Control(
                "chance does not explain it: with codes exchanged among problems the share is at least 0.1 lower",
                pointer_share(COT, variant=variant, n_steps=64)
                - pointer_share(COT, variant=variant, control="exchanged_codes", n_steps=64)
                >= 0.1,
            ),
            NOISY,
        )
        for variant, positions in ((PLAIN, "alibi"), ("rotary_plain", "rotary"))
    ),
    Claim(
        "what_is_copied_wrongly_is_to_blame",
        "When CoT copies each observation first, at least half of its wrong steps at n = 64 have a wrong copy, under "
        "plain ids with alibi.",
        pointer_share(COPIED, variant=PLAIN, n_steps=64) >= 0.5,
        Control(
            "it has learned to copy: at n = 16, a training length, at most a tenth of the copies are wrong",
            Quantity("pointer_error")(COPIED, variant=PLAIN, n_steps=16) <= 0.1,
        ),
        NOISY,
    ),
    Claim(
        "numbered_observations_are_found_at_any_length",
        "When CoT numbers the observations, its KL at n = 64 is at most 0.10 nats, under plain ids with alibi.",
        kl(INDEXED, variant=PLAIN, n_steps=64) <= 0.10,
        Control(
            "the numbers help: without them the KL is at least 0.05 nats higher",
            kl(COT, variant=PLAIN, n_steps=64) - kl(INDEXED, variant=PLAIN, n_steps=64) >= 0.05,
        ),
        NOISY,
    ),
)

POINTER = Study(
    name="pointer",
    question="How much of CoT's reach beyond the training lengths does the layout provide?",
    presets=PRESETS,
    claims=CLAIMS,
    figures=FIGURES,
)
