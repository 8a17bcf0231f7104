"""The study on strides asks for nothing that it does not measure or draw; runs of a seed share their questions."""

from pathlib import Path

import numpy as np
import pytest

from tests.studies.test_stride_figures import synthetic_metrics
from unamortized.language import dataset
from unamortized.learning.training import train_run
from unamortized.studies.claims import judge_all
from unamortized.studies.figures import FIGURES
from unamortized.studies.figures.captions import CAPTIONS
from unamortized.studies.growth import questions_of, stride_of
from unamortized.studies.stride import GRU, N_STEPS, STRIDE, cells
from unamortized.studies.study import Preset, plan


@pytest.fixture(autouse=True)
def _at_the_top(monkeypatch):
    monkeypatch.chdir(Path(__file__).parents[2])  # where tasks/ is


@pytest.mark.parametrize("name", ["smoke", "quick", "full"])
def test_every_run_has_one_length_and_a_number_of_questions_that_its_name_tells(name):
    preset = STRIDE.preset(name)
    specs = plan(preset)
    assert len({spec.digest() for spec in specs}) == len(specs)
    assert len(specs) == sum(len(cell.conditions) * cell.seeds for cell in preset.cells)
    for spec in specs:
        assert spec.task.steps.train == (N_STEPS, N_STEPS)
        assert spec.task.steps.test == (N_STEPS,)
        assert questions_of(f"{spec.condition}@{spec.variant}") == spec.train.questions
        assert N_STEPS % (stride_of(spec.condition) or 1) == 0


def test_every_claim_is_judged_on_what_the_full_preset_measures():
    preset = STRIDE.preset("full")
    metrics = synthetic_metrics()  # of the names that the full preset gives
    named = {f"{spec.condition}@{spec.variant}" for spec in plan(preset) if spec.condition != GRU}
    trained = {name for name in metrics["condition"] if "@" in name and "/" not in name}
    assert trained == named
    assert {f"{cell.task}@{cell.world}" for cell in preset.cells} >= set(metrics["task"])
    judged = judge_all(STRIDE.claims, metrics)
    assert list(dict.fromkeys(claim["name"] for claim in judged)) == [claim.name for claim in STRIDE.claims]
    for claim in judged:
        for part in (claim, claim["control"]):
            assert part["seeds"] == 3, claim["name"]
            assert np.isfinite(part["interval"]).all()


def test_growth_is_told_apart():
    judged = {claim["name"]: claim for claim in judge_all(STRIDE.claims, synthetic_metrics())}
    assert judged["needs_grow_with_the_stride_where_order_counts"]["verdict"] == "supported"
    assert judged["needs_grow_no_faster_than_the_stride_where_the_past_is_forgotten"]["verdict"] == "supported"
    assert judged["that_growth_is_exponential_rather_than_polynomial"]["estimate"] > 2
    assert judged["where_order_does_not_count_growth_is_polynomial"]["estimate"] > 2


def test_every_figure_exists_and_has_a_caption():
    assert set(STRIDE.figures) <= set(FIGURES)
    assert set(STRIDE.figures) <= set(CAPTIONS)


def test_conditions_of_a_seed_share_one_corpus_that_is_not_built_again(tmp_path, monkeypatch):
    preset = Preset(cells("group_word_s3", ("cot", "cot_every_8", "amortized"), (20,), 2, 12), ())
    specs = plan(preset, overrides=["train.steps=1"])
    drawn = []
    monkeypatch.setattr(
        dataset, "draw", lambda *arguments, draw=dataset.draw: drawn.append(arguments) or draw(*arguments)
    )
    for spec in specs:
        train_run(spec, tmp_path)
    corpora = [folder for folder in (tmp_path / "corpora").iterdir() if folder.is_dir()]
    assert len(corpora) == 2  # one a seed, for three conditions
    assert len(drawn) == 2
    for spec in plan(preset, overrides=["train.steps=2"]):
        train_run(spec, tmp_path)
    assert len(drawn) == 2
