"""The pointer: how much of CoT's reach beyond the training lengths does the layout provide?

Each step has to fetch its observation before it updates the belief. Coupled position ids hand it over: the model looks
up an equal id. Under plain ids the model has to find it, at every length. Copied and indexed traces show what it finds.
"""

from collections.abc import Iterable
from functools import partial

from unamortized.evaluation import pointer
from unamortized.evaluation.evaluate import Evaluation
from unamortized.evaluation.protocol import SampleSize
from unamortized.learning.specification import TrainSpec
from unamortized.models.transformer import ModelSpec
from unamortized.studies.claims import Claim, Control, World
from unamortized.studies.figures.pointer import FIGURES
from unamortized.studies.names import AMORTIZED, COT, GRU, WINDOW
from unamortized.studies.quantities import Expression, Quantity, least
from unamortized.studies.study import SMOKE, Cell, Preset, Study, answer_evaluations

COPIED, INDEXED = "cot_copied", "cot_indexed"
TASK = "noisy_permutation"
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
        Cell(TASK, trained, seeds, train, MODELS[variant], variant=variant) for variant, trained in conditions.items()
    )


def evaluations(problems: int) -> tuple[Evaluation, ...]:
    """Return the evaluations, with n problems a length."""
    return *answer_evaluations(problems), Evaluation("pointer", pointer.pointer, SampleSize(problems))


COUPLED, PLAIN = "alibi_coupled", "alibi_plain"  # coupled: the layout of the other studies
BOTH, FETCHING = (AMORTIZED, COT), (AMORTIZED, COT, COPIED, INDEXED)

PRESETS = {
    "smoke": Preset(cells({COUPLED: BOTH, PLAIN: FETCHING}, 2, SMOKE), evaluations(32)),
    "quick": Preset(  # steps as in `compare`, which shares the runs of the coupled layout
        cells({COUPLED: BOTH, PLAIN: (AMORTIZED, COT, COPIED), "rotary_plain": (COT,)}, 2, TrainSpec(steps=450)),
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


def lowest_kl(condition: str, variants: Iterable[str], n_steps: int) -> Expression:
    """Return the KL under the variant that does best at this length, chosen for each seed on the tests themselves.

    The choice favors the condition: it needs the answers to the test questions.
    """
    return least(*(kl(condition, variant=variant, n_steps=n_steps) for variant in variants))


on_noisy = partial(Claim, worlds=(World(TASK),))

CLAIMS = (
    on_noisy(
        "cot_beats_the_best_amortized_scheme",
        "At n = 64 CoT's KL under alibi with coupled ids is at least 0.05 nats below that of the model without a trace "
        "under its own best layout, chosen on the tests.",
        lowest_kl(AMORTIZED, MODELS, 64) - kl(COT, variant=COUPLED, n_steps=64) >= 0.05,
        Control(
            "a memory of eight observations does not explain it: its KL is above CoT's",
            kl(WINDOW, n_steps=64) - kl(COT, variant=COUPLED, n_steps=64) >= 0.0,
        ),
    ),
    on_noisy(
        "plain_cot_beats_the_best_amortized_scheme",
        "At n = 64 CoT's KL under its best layout without coupled ids is at least 0.05 nats below that of the model "
        "without a trace under its own best layout, both chosen on the tests.",
        lowest_kl(AMORTIZED, MODELS, 64) - lowest_kl(COT, NOT_COUPLED, 64) >= 0.05,
        Control(
            "CoT learns without coupled ids: its KL at n = 16, chosen alike, is at most 0.10 nats",
            lowest_kl(COT, NOT_COUPLED, 16) <= 0.10,
        ),
    ),
    on_noisy(
        "the_layout_gives_the_reach",
        "With alibi, plain ids raise CoT's KL at n = 64 by at least 0.05 nats.",
        kl(COT, variant=PLAIN, n_steps=64) - kl(COT, variant=COUPLED, n_steps=64) >= 0.05,
        Control(
            "they cost reach alone: at n = 16, a training length, they raise it by at most 0.05 nats",
            kl(COT, variant=PLAIN, n_steps=16) - kl(COT, variant=COUPLED, n_steps=16) <= 0.05,
        ),
    ),
    *(
        on_noisy(
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
        )
        for variant, positions in ((PLAIN, "alibi"), ("rotary_plain", "rotary"))
    ),
    on_noisy(
        "what_is_copied_wrongly_is_to_blame",
        "When CoT copies each observation first, at least half of its wrong steps at n = 64 have a wrong copy, under "
        "plain ids with alibi.",
        pointer_share(COPIED, variant=PLAIN, n_steps=64) >= 0.5,
        Control(
            "it has learned to copy: at n = 16, a training length, at most a tenth of the copies are wrong",
            Quantity("pointer_error")(COPIED, variant=PLAIN, n_steps=16) <= 0.1,
        ),
    ),
    on_noisy(
        "numbered_observations_are_found_at_any_length",
        "When CoT numbers the observations, its KL at n = 64 is at most 0.10 nats, under plain ids with alibi.",
        kl(INDEXED, variant=PLAIN, n_steps=64) <= 0.10,
        Control(
            "the numbers help: without them the KL is at least 0.05 nats higher",
            kl(COT, variant=PLAIN, n_steps=64) - kl(INDEXED, variant=PLAIN, n_steps=64) >= 0.05,
        ),
    ),
)

POINTER = Study(
    "pointer", "How much of CoT's reach beyond the training lengths does the layout provide?", PRESETS, CLAIMS, FIGURES
)
