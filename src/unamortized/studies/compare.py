"""The headline study: the same questions, amortized and step by step, against exact Bayes."""

from functools import partial
from typing import Any

from unamortized.evaluation import faithfulness, probes, triangle
from unamortized.evaluation.evaluate import Evaluation
from unamortized.evaluation.protocol import SampleSize
from unamortized.labels import ABOUT_TO_STATE
from unamortized.learning.specification import TrainSpec
from unamortized.studies.claims import Claim, Control, World
from unamortized.studies.figures.compare import FIGURES
from unamortized.studies.names import AMORTIZED, COT, EQUAL_FLOPS, GRU, PRIOR, WINDOW
from unamortized.studies.quantities import Quantity
from unamortized.studies.study import SMOKE, Cell, Preset, Study, answer_evaluations, examples_evaluation

NOISY, S5 = (World("noisy_permutation"),), (World("group_word_s5"),)
CONDITIONS = (AMORTIZED, EQUAL_FLOPS, COT, GRU)
GROUP: dict[str, Any] = {
    "learning_rate": 2e-3,
    "warmup_steps": 200,
}  # group words break out of a plateau sooner at half the rate


def evaluations(problems: int, probe_steps: tuple[int, ...], lags: tuple[int, ...]) -> tuple[Evaluation, ...]:
    """Return the evaluations, with n problems each."""
    return (
        *answer_evaluations(problems),
        Evaluation("light_cone", faithfulness.light_cone, faithfulness.FaithfulnessSettings(problems, lags)),
        Evaluation("probes", probes.by_layer, probes.Probes(problems, steps=probe_steps)),
        Evaluation("triangle", triangle.triangle, SampleSize(problems)),
        examples_evaluation(problems),
    )


PRESETS = {
    "smoke": Preset(
        cells=(Cell("noisy_permutation", CONDITIONS, seeds=2, train=SMOKE),),
        evaluations=evaluations(64, probe_steps=(16,), lags=(0, 4, 8)),
    ),
    "quick": Preset(
        cells=(
            Cell("noisy_permutation", CONDITIONS, seeds=3, train=TrainSpec(steps=450)),
            Cell("group_word_s5", (EQUAL_FLOPS, COT, GRU), seeds=1, train=TrainSpec(steps=420, **GROUP)),
            Cell("mess3", (AMORTIZED, COT), seeds=1, train=TrainSpec(steps=200)),
        ),
        evaluations=evaluations(512, probe_steps=(16,), lags=(0, 1, 2, 4, 8, 12)),
    ),
    "full": Preset(
        cells=(
            Cell(
                "noisy_permutation",
                (AMORTIZED, EQUAL_FLOPS, COT, "cot_state", GRU),
                seeds=6,
                train=TrainSpec(steps=500),
            ),
            Cell("mess3", CONDITIONS, seeds=6, train=TrainSpec(steps=200)),
            Cell("group_word_s3", CONDITIONS, seeds=6, train=TrainSpec(steps=600, **GROUP)),
            Cell("group_word_s5", (EQUAL_FLOPS, COT, GRU), seeds=6, train=TrainSpec(steps=700, **GROUP)),
        ),
        evaluations=evaluations(512, probe_steps=(1, 2, 4, 8, 12, 16), lags=(0, 1, 2, 3, 4, 5, 6, 7, 8, 12)),
    ),
}

kl, right, reliance = Quantity("answer_kl"), Quantity("map_agreement"), Quantity("causal_reliance")
r2 = partial(Quantity("probe_r2"), site=ABOUT_TO_STATE, step=None)

on_noisy, on_s5 = partial(Claim, worlds=NOISY), partial(Claim, worlds=S5)

CLAIMS = (
    on_noisy(
        "cot_generalizes_in_length",
        "CoT's KL is at most 0.10 nats at n = 64, four times the training length.",
        kl(COT, n_steps=64) <= 0.10,
        Control("exact inference from the last eight observations does not suffice", kl(WINDOW, n_steps=64) >= 0.10),
    ),
    on_noisy(
        "cot_does_not_drift",
        "CoT's KL at n = 64 is at most 2.5 times its KL at n = 16.",
        kl(COT, n_steps=64) / kl(COT, n_steps=16) <= 2.5,
        Control("its KL at n = 16 is low to begin with", kl(COT, n_steps=16) <= 0.10),
    ),
    on_noisy(
        "amortized_is_worse_within_training_length",
        "The KL without a trace is at least 3 times CoT's at n = 16, a length seen in training.",
        kl(AMORTIZED, n_steps=16) / kl(COT, n_steps=16) >= 3.0,
        Control("so it is at equal training FLOPs", kl(EQUAL_FLOPS, n_steps=16) / kl(COT, n_steps=16) >= 3.0),
    ),
    Claim(
        "cot_beats_amortized_out_of_length",
        "At n = 64 CoT's KL is at least 0.05 nats below that of the model without a trace and with equal training "
        "FLOPs.",
        kl(EQUAL_FLOPS, n_steps=64) - kl(COT, n_steps=64) >= 0.05,
        Control(
            "a memory of eight observations does not explain it: its KL is above CoT's",
            kl(WINDOW, n_steps=64) - kl(COT, n_steps=64) >= 0.0,
        ),
    ),
    Claim(
        "cot_beats_a_recurrent_net_out_of_length",
        "At n = 64 CoT's KL is at least 0.05 nats below that of a GRU without a trace.",
        kl(GRU, n_steps=64) - kl(COT, n_steps=64) >= 0.05,
        Control(
            "the GRU has learned short questions: its KL at n = 4 is at least 0.3 nats below the prior's",
            kl(PRIOR, n_steps=4) - kl(GRU, n_steps=4) >= 0.3,
        ),
        (*NOISY, *S5),
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
    Claim(
        "belief_is_read_where_it_is_stated",
        "Where a step is about to be stated, the last layer's R² of the belief is at least 0.1 above the untrained "
        "network's.",
        r2(COT, layer="last") - r2(COT, control="untrained", layer="last") >= 0.1,
        Control(
            "the last ten observations do not explain it", r2(COT, layer="last") - r2(COT, control="window_10") >= 0.1
        ),
    ),
    on_s5(
        "cot_solves_s5_at_any_length",
        "On S5 CoT gives the right answer to at least 95 % of questions at n = 64.",
        right(COT, n_steps=64) >= 0.95,
        Control("the last eight observations do not suffice", right(WINDOW, n_steps=64) <= 0.05),
    ),
    on_s5(
        "amortized_fails_s5_out_of_length",
        "On S5 the model without a trace and with equal training FLOPs is right in at most half of the questions at "
        "n = 32.",
        right(EQUAL_FLOPS, n_steps=32) <= 0.5,
        Control("it has learned short questions (n = 8)", right(EQUAL_FLOPS, n_steps=8) >= 0.5),
    ),
)

COMPARE = Study(
    "compare",
    "Does writing an inference down generalize where a learned shortcut does not, and is what is written believed?",
    PRESETS,
    CLAIMS,
    FIGURES,
)
