"""The study of strides judges only what it measures, and the runs of a seed share their questions."""

import itertools

import numpy as np
import pytest

from unamortized.evaluation.rows import row, to_table
from unamortized.language import corpus
from unamortized.learning.runs import run_digest
from unamortized.learning.training import train_run
from unamortized.studies.claims import judge_all
from unamortized.studies.growth import THRESHOLD, questions_of, stride_of
from unamortized.studies.stride import N_STEPS, STRIDE, STRIDES, WORLD, cells
from unamortized.studies.study import Preset, plan

pytestmark = pytest.mark.usefixtures("at_the_top")

GROWTHS = {  # of log N*
    "group_word_s3": lambda k: 0.7 * k,
    "group_word_z7": lambda k: 1.5 * np.log(k),
    "noisy_permutation": lambda k: 0.0 * k,
}


def synthetic_metrics(preset="full"):
    """Return a table of all that claims read of a preset's runs, with growths that differ by world."""
    draw, log_needed, rows = np.random.default_rng(9), {}, []

    def add(task, condition, seed, metric, value, **where):
        where = {"world": WORLD, "n_steps": N_STEPS} | where
        rows.append(row(task, condition, seed, "in_distribution", metric, value, 512, **where))

    for cell in STRIDE.preset(preset).cells:
        for condition, seed in itertools.product(cell.conditions, range(cell.seeds)):
            stride = stride_of(condition)
            grown = GROWTHS[cell.task](stride or N_STEPS)
            needed = log_needed.setdefault((cell.task, condition, seed), 5.0 + grown + draw.normal(0, 0.1))
            kl = THRESHOLD * np.exp(-2 * (np.log(cell.train.questions) - needed))
            add(cell.task, condition, seed, "answer_kl", kl, variant=cell.variant)
            for step in range(stride, N_STEPS + 1, stride) if stride else ():
                for control, share in (("", draw.uniform(0.8, 1)), ("exact_trace", 0.99)):
                    where = {"variant": cell.variant, "control": control, "step": step}
                    add(cell.task, condition, seed, "stride_step_right", share, **where)
    for task, seed, stride in itertools.product(GROWTHS, range(3), map(stride_of, STRIDES)):
        add(task, "update_table", seed, "table_questions", 10.0 * 2**stride, step=stride)
    return to_table(rows)


@pytest.fixture(scope="module")
def judged():
    return judge_all(STRIDE.claims, synthetic_metrics())


@pytest.mark.parametrize("name", ["smoke", "quick", "full"])
def test_every_run_has_one_length_and_as_many_questions_as_its_variant_says(name):
    preset = STRIDE.preset(name)
    specs = plan(preset)
    assert len({run_digest(spec) for spec in specs}) == len(specs)
    assert len(specs) == sum(len(cell.conditions) * cell.seeds for cell in preset.cells)
    for spec in specs:
        assert spec.task.steps.train == (N_STEPS, N_STEPS)
        assert spec.task.steps.test == (N_STEPS,)
        assert questions_of(spec.variant) == spec.train.questions
        assert N_STEPS % (stride_of(spec.condition) or 1) == 0


def test_every_claim_is_judged_on_what_the_full_preset_measures(judged):
    assert list(dict.fromkeys(claim["name"] for claim in judged)) == [claim.name for claim in STRIDE.claims]
    for claim in judged:
        for part in (claim, claim["control"]):
            assert part["seeds"] == 3, claim["name"]
            assert np.isfinite(part["interval"]).all()


def test_growths_are_told_apart(judged):
    found = {claim["name"]: claim for claim in judged}
    assert found["needs_grow_with_the_stride_where_order_counts"]["verdict"] == "supported"
    assert found["needs_grow_no_faster_than_the_stride_where_the_past_is_forgotten"]["verdict"] == "supported"
    assert found["that_growth_is_exponential_rather_than_polynomial"]["estimate"] > 2
    assert found["where_order_does_not_count_growth_is_polynomial"]["estimate"] > 2


def test_conditions_of_a_seed_share_one_corpus_that_is_built_once(tmp_path, monkeypatch):
    preset = Preset(cells("group_word_s3", ("cot", "cot_every_8", "amortized"), (20,), 2, 12), ())
    specs = plan(preset, overrides=["train.steps=1"])
    drawn = []
    monkeypatch.setattr(
        corpus, "draw", lambda *arguments, draw=corpus.draw: drawn.append(arguments) or draw(*arguments)
    )
    for spec in specs:
        train_run(spec, tmp_path)
    corpora = [folder for folder in (tmp_path / "corpora").iterdir() if folder.is_dir()]
    assert len(corpora) == 2  # one a seed, for three conditions
    assert len(drawn) == 2
    for spec in plan(preset, overrides=["train.steps=2"]):
        train_run(spec, tmp_path)
    assert len(drawn) == 2
