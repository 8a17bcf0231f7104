"""The headline study: the same questions, amortized and step by step, against exact Bayes."""

from unamortized.evaluation import examples, faithfulness, generalization, probes, triangle
from unamortized.evaluation.evaluate import Evaluation
from unamortized.learning.runs import TrainSpec
from unamortized.studies.claims import Claim, Control, Range
from unamortized.studies.statistics import level, over_steps, paired_difference, paired_ratio
from unamortized.studies.study import Cell, Preset, Study

AMORTIZED, EQUAL_FLOPS, COT, GRU = "amortized", "amortized_equal_flops", "cot", "gru"
NOISY, S5 = ("noisy_permutation",), ("group_word_s5",)
GROUP = TrainSpec(learning_rate=2e-3, warmup_steps=200)  # group words break out of a plateau sooner at half the rate


def evaluations(problems: int, probe_steps: tuple[int, ...], lags: tuple[int, ...]) -> tuple[Evaluation, ...]:
    """What is measured on each run, with how many problems."""
    lengths = generalization.ByLength(problems)
    return (
        Evaluation("baselines", generalization.baselines_by_length, lengths, of="task"),
        Evaluation("by_length", generalization.by_length, lengths),
        Evaluation("light_cone", faithfulness.light_cone, faithfulness.FaithfulnessSettings(problems, lags)),
        Evaluation("probes", probes.by_layer, probes.Probes(problems, steps=probe_steps)),
        Evaluation("triangle", triangle.triangle, triangle.Triangle(problems)),
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
        cells=(
            Cell(
                "noisy_permutation",
                (AMORTIZED, EQUAL_FLOPS, COT, GRU),
                seeds=2,
                train=TrainSpec(steps=12, batch_size=32, warmup_steps=4),
            ),
        ),
        evaluations=evaluations(64, probe_steps=(16,), lags=(0, 4, 8)),
    ),
    "quick": Preset(
        cells=(
            Cell("noisy_permutation", (AMORTIZED, EQUAL_FLOPS, COT, GRU), seeds=3, train=TrainSpec(steps=450)),
            Cell("group_word_s5", (EQUAL_FLOPS, COT, GRU), seeds=1, train=GROUP.model_copy(update={"steps": 420})),
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
            Cell("mess3", (AMORTIZED, EQUAL_FLOPS, COT, GRU), seeds=6, train=TrainSpec(steps=200)),
            Cell(
                "group_word_s3",
                (AMORTIZED, EQUAL_FLOPS, COT, GRU),
                seeds=6,
                train=GROUP.model_copy(update={"steps": 600}),
            ),
            Cell(
                "group_word_s5",
                (EQUAL_FLOPS, COT, GRU),
                seeds=6,
                train=GROUP.model_copy(update={"steps": 700}),
            ),
        ),
        evaluations=evaluations(512, probe_steps=(1, 2, 4, 8, 12, 16), lags=(0, 1, 2, 3, 4, 5, 6, 7, 8, 12)),
    ),
}

LAST_LAYER = {"layer": "last", "step": None}  # steps pooled

CLAIMS = (
    Claim(
        name="cot_generalizes_in_length",
        description="At four times the training length CoT is within 0.10 nats of exact Bayes.",
        measure=level("answer_kl", COT, "nats", n_steps=64),
        holds=Range(high=0.10),
        control=Control(
            "the last eight observations do not suffice",
            level("answer_kl", "window_8", "nats", n_steps=64),
            Range(low=0.10),
        ),
        tasks=NOISY,
    ),
    Claim(
        name="cot_does_not_drift",
        description="CoT's error at n = 64 is at most 2.5 times its error at n = 16.",
        measure=paired_ratio("answer_kl", (COT, {"n_steps": 64}), (COT, {"n_steps": 16})),
        holds=Range(high=2.5),
        control=Control(
            "not because n = 16 is bad already",
            level("answer_kl", COT, "nats", n_steps=16),
            Range(high=0.10),
        ),
        tasks=NOISY,
    ),
    Claim(
        name="amortized_is_worse_within_training_length",
        description="At n = 16, which training covers, the amortized model's error is at least 3 times CoT's.",
        measure=paired_ratio("answer_kl", (AMORTIZED, {"n_steps": 16}), (COT, {"n_steps": 16})),
        holds=Range(low=3.0),
        control=Control(
            "so it is at equal training FLOPs",
            paired_ratio("answer_kl", (EQUAL_FLOPS, {"n_steps": 16}), (COT, {"n_steps": 16})),
            Range(low=3.0),
        ),
        tasks=NOISY,
    ),
    Claim(
        name="cot_beats_amortized_out_of_length",
        description="At n = 64 CoT is closer to exact Bayes than the amortized model of equal training FLOPs, by 0.05 nats.",
        measure=paired_difference("answer_kl", (EQUAL_FLOPS, {"n_steps": 64}), (COT, {"n_steps": 64}), "nats"),
        holds=Range(low=0.05),
        control=Control(
            "a memory of eight observations is no explanation: it is worse than CoT",
            paired_difference("answer_kl", ("window_8", {"n_steps": 64}), (COT, {"n_steps": 64}), "nats"),
            Range(low=0.0),
        ),
    ),
    Claim(
        name="cot_beats_a_recurrent_net_out_of_length",
        description="At n = 64 CoT is closer to exact Bayes than a recurrent net that writes no trace, by 0.05 nats.",
        measure=paired_difference("answer_kl", (GRU, {"n_steps": 64}), (COT, {"n_steps": 64}), "nats"),
        holds=Range(low=0.05),
        control=Control(
            "the recurrent net has learned short questions: at n = 4 it is closer than the prior, by 0.3 nats",
            paired_difference("answer_kl", ("prior", {"n_steps": 4}), (GRU, {"n_steps": 4}), "nats"),
            Range(low=0.3),
        ),
        tasks=(*NOISY, *S5),
    ),
    Claim(
        name="answer_follows_the_trace",
        description="Alpha is at least 0.7 at every lag from 0 to 8 (the smallest is shown).",
        measure=over_steps("causal_reliance", COT, "ratio", step=(0, 8), take="min"),
        holds=Range(low=0.7),
        control=Control(
            "through the steps that are written after the edit: with those kept, an edit at lag 4 moves nothing",
            level("causal_reliance_frozen", COT, "ratio", step=4),
            Range(low=-0.1, high=0.1),
        ),
        tasks=NOISY,
    ),
    Claim(
        name="answer_does_not_overshoot_the_trace",
        description="On average over lags 0 to 8, alpha is at most 1.",
        measure=over_steps("causal_reliance", COT, "ratio", step=(0, 8), take="mean"),
        holds=Range(high=1.0),
        control=Control(
            "not because the trace is ignored: at lag 0 alpha is at least 0.7",
            level("causal_reliance", COT, "ratio", step=0),
            Range(low=0.7),
        ),
        tasks=NOISY,
    ),
    Claim(
        name="belief_is_read_where_it_is_stated",
        description="Where a step is about to be stated, the last layer holds the belief affinely: R² exceeds the untrained "
        "network's by 0.1.",
        measure=paired_difference("probe_r2", (COT, LAST_LAYER), (f"{COT}/untrained", LAST_LAYER), "ratio"),
        holds=Range(low=0.1),
        control=Control(
            "the last ten observations do not explain it",
            paired_difference("probe_r2", (COT, LAST_LAYER), (f"{COT}/window_10", {"step": None}), "ratio"),
            Range(low=0.1),
        ),
    ),
    Claim(
        name="cot_solves_s5_at_any_length",
        description="On S5, CoT names the right state in at least 95 % of questions at four times the training length.",
        measure=level("map_agreement", COT, "fraction", n_steps=64),
        holds=Range(low=0.95),
        control=Control(
            "the last eight observations do not suffice",
            level("map_agreement", "window_8", "fraction", n_steps=64),
            Range(high=0.05),
        ),
        tasks=S5,
    ),
    Claim(
        name="amortized_fails_s5_out_of_length",
        description="On S5, the amortized model of equal training FLOPs is right in under half of the questions at n = 32.",
        measure=level("map_agreement", EQUAL_FLOPS, "fraction", n_steps=32),
        holds=Range(high=0.5),
        control=Control(
            "it has learned short ones (n = 8)",
            level("map_agreement", EQUAL_FLOPS, "fraction", n_steps=8),
            Range(low=0.5),
        ),
        tasks=S5,
    ),
)

COMPARE = Study(
    name="compare",
    question="Does writing an inference down generalize where a learned shortcut does not, and is what is written "
    "believed?",
    presets=PRESETS,
    claims=CLAIMS,
    figures=(
        "kl_by_length",
        "accuracy_by_length",
        "light_cone",
        "triangle_along_trace",
        "probe_r2_by_layer",
        "belief_simplex",
        "one_problem",
    ),
)
