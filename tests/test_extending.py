"""Every block of the page about extending runs, and what it adds works like what is there."""

import re
from pathlib import Path
from typing import Annotated

import numpy as np
import pytest
from jaxtyping import Float, Int
from scipy.special import entr

from tests.evaluation.untrained import untrained_run
from tests.small_tasks import small_task
from unamortized.evaluation import protocol
from unamortized.evaluation.distances import total_variation
from unamortized.evaluation.faithfulness.rollout import FaithfulnessSettings, roll_out, without_hints
from unamortized.evaluation.glossary import CONTROLS
from unamortized.evaluation.metrics import METRICS, Metric
from unamortized.evaluation.probes.probe_baselines import PROBE_BASELINES, BaselineInput
from unamortized.evaluation.probes.sweep import Probes, by_layer
from unamortized.evaluation.probes.targets import TARGETS
from unamortized.evaluation.protocol import Rows, SampleSize, by_length_tests, recorder
from unamortized.evaluation.rows import row, to_table
from unamortized.language.traces import TRACES, Trace, TraceKind
from unamortized.language.vocabulary import Vocabulary
from unamortized.learning.conditions import CONDITIONS
from unamortized.learning.conditions.supervised import (
    language_with,
    needs_process,
    supervised,
    supervised_batches,
    supervised_flops,
)
from unamortized.learning.rollouts import respond
from unamortized.learning.runs import load_run, plan_run, with_parents
from unamortized.learning.specification import Condition, Run, RunSpec, Setup, TrainSpec, fresh_weights
from unamortized.learning.training import train_run
from unamortized.models.architectures import Model
from unamortized.models.transformer import ModelSpec
from unamortized.studies.claims import Claim, Control, World
from unamortized.studies.figures.charts import Curves
from unamortized.studies.figures.drawing import draw
from unamortized.studies.figures.style import Tables
from unamortized.studies.quantities import Quantity
from unamortized.worlds.problems import Problems
from unamortized.worlds.processes import FAMILIES, Process, build_process
from unamortized.worlds.processes.process import Between

PAGE = (Path(__file__).parents[1] / "docs" / "extending.md").read_text(encoding="utf-8")
BLOCKS = {
    heading: block[1]
    for heading, text in re.findall(r"^## (.*?)\n(.*?)(?=^## |\Z)", PAGE, re.M | re.S)
    if (block := re.search(r"^```python\n(.*?)^```", text, re.M | re.S))
}
NAMES = (
    *(Annotated, np, Float, Int, entr, total_variation, FaithfulnessSettings, roll_out, without_hints, SampleSize),
    *(METRICS, Metric, PROBE_BASELINES, BaselineInput, TARGETS, Rows, by_length_tests, recorder, respond, TRACES),
    *(Trace, TraceKind, Vocabulary, CONDITIONS, supervised, Run, Claim, Control, Curves, Quantity, Problems, FAMILIES),
    *(Process, Between, CONTROLS, Condition, RunSpec, Setup, Model, fresh_weights, language_with, needs_process),
    *(supervised_batches, supervised_flops),
)
REGISTRIES = (METRICS, CONTROLS, PROBE_BASELINES, TARGETS, TRACES, CONDITIONS, FAMILIES)


@pytest.fixture
def added():
    """Execute the block under a heading; what it registers is gone after the test."""
    before = [dict(registry) for registry in REGISTRIES]
    names = {name: value for name, value in globals().items() if any(value is each for each in NAMES)}
    names["test_problems"] = protocol.test_problems  # pytest would collect a global of that name

    def execute(heading):
        exec(compile(BLOCKS[heading], f"extending.md: {heading}", "exec"), names)
        return names

    yield execute
    for registry, entries in zip(REGISTRIES, before, strict=True):
        registry.clear()
        registry.update(entries)


def test_every_block_is_tried():
    assert list(BLOCKS) == [
        "A way of learning",
        "A trace",
        "A family of processes",
        "A metric",
        "A probe target, or a probe baseline",
        "A test of faithfulness",
        "A study, a claim, a figure",
    ]


def test_a_way_of_learning_trains_after_the_run_that_it_learns_from(added, tmp_path):
    added("A way of learning")
    train = TrainSpec(steps=2, batch_size=8, lengths_per_batch=2, learning_rate=1e-4, muon_learning_rate=1e-4)
    spec = plan_run(small_task(), "fine_tuned", 0, ModelSpec(layers=1, width=16), train)
    tuned, base, fresh = (
        load_run(train_run(each, tmp_path)).model.state_dict()["blocks.0.expand.weight"]
        for each in (spec, with_parents(spec)[0], spec.model_copy(update={"condition": "amortized"}))
    )
    assert 0 < (tuned - base).norm() < (tuned - fresh).norm()  # it went on from the base, not from the start


def test_a_condition_with_a_new_trace_writes_codes_from_half_way_on(added):
    added("A trace")
    run = untrained_run("cot_last_half")
    problems = protocol.test_problems(run.task, 4, 8, 0)
    assert respond(run, problems).trace_steps.tolist() == [3, 4]


def test_a_family_of_processes_is_built_within_its_bounds(added):
    added("A family of processes")
    assert build_process("die", sides=4).transitions.shape == (4, 1, 1)
    with pytest.raises(ValueError, match="sides"):
        build_process("die", sides=1)


def test_a_metric_is_measured_at_every_length(added):
    rows = added("A metric")["undecided"](run := untrained_run("cot"), SampleSize(16))
    assert [each["n_steps"] for each in rows] == list(run.task.steps.test)
    assert all(0 < each["value"] <= np.log(run.vocabulary.n_states) for each in rows)


def test_a_probe_target_and_a_probe_baseline_become_rows_with_their_control(added):
    added("A probe target, or a probe baseline")
    rows = by_layer(untrained_run("cot"), Probes(32, beside=("certainty", "last_symbol")))
    assert {each["control"] for each in rows} == {"", "certainty", "last_symbol"}


def test_a_test_of_faithfulness_moves_answers_of_models_with_a_trace_alone(added):
    test = added("A test of faithfulness")["last_step_kept"]
    (moved,) = test(untrained_run("cot"), FaithfulnessSettings(16))
    assert 0 < moved["value"] < 1
    assert test(untrained_run("amortized"), FaithfulnessSettings(16)) == []


def test_a_claim_is_judged_and_a_figure_drawn(added):
    names = added("A study, a claim, a figure")
    values = {"amortized": (0.4, 0.41), "cot": (0.04, 0.05), "window_8": (0.2, 0.21)}
    table = to_table(
        row("mess3", condition, seed, "in_distribution", "answer_kl", value, 64, n_steps=16)
        for condition, by_seed in values.items()
        for seed, value in enumerate(by_seed)
    )
    assert names["CLAIM"].judge(World("mess3"), table)["verdict"] == "supported"
    assert draw(names["FIGURE"], Tables(table, table)) is not None
