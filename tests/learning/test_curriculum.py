"""The curriculum: lengths grow when the loss is low, never beyond the last, and an interruption changes nothing."""

from dataclasses import replace
from importlib import import_module
from pathlib import Path

import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import entr

from tests.learning.short_runs import assert_same_run, short_spec, train_until_power_cut
from tests.small_tasks import small_task
from unamortized.learning import training
from unamortized.learning.conditions import resolve_condition
from unamortized.learning.curriculum import MEMORY, Curriculum, curriculum
from unamortized.learning.runs import new_model, set_up
from unamortized.learning.specification import RunSpec, Step, excess_loss
from unamortized.learning.training import Learner, train_run
from unamortized.models.architectures import Model
from unamortized.worlds.splits import draw

LOSSES = st.lists(st.floats(0, 4), max_size=30)


@given(LOSSES, st.integers(1, 4), st.integers(0, 3), st.floats(0.1, 3))
def test_the_limit_grows_by_one_exactly_when_the_mean_since_its_last_growth_is_low(losses, first, span, below):
    grown = Curriculum(first, first + span, below)
    since: list[float] = []  # the losses at this limit
    for loss in losses:
        longest = grown.longest
        since.append(loss)
        weights = [MEMORY ** (len(since) - 1 - i) * (1 - MEMORY if i else 1) for i in range(len(since))]
        mean = sum(weight * each for weight, each in zip(weights, since, strict=True))
        if abs(mean - below) < 1e-9:  # too close to call
            return
        grown.see(loss)
        grows = mean < below and longest < first + span
        assert grown.longest == longest + grows
        since = [] if grows else since
    assert first <= grown.longest <= first + span


@given(LOSSES, LOSSES)
def test_a_curriculum_continues_from_its_state(before, after):
    whole, first = Curriculum(2, 9, 1.0), Curriculum(2, 9, 1.0)
    for loss in before:
        whole.see(loss)
        first.see(loss)
    continued = Curriculum(2, 9, 1.0)
    continued.load_state_dict(first.state_dict())
    for loss in after:
        whole.see(loss)
        continued.see(loss)
    assert continued == whole


@pytest.fixture(scope="module", autouse=True)
def every_loss_is_in_excess():
    """Let the tests of runs choose losses; ``test_the_excess_is_what_is_left_of_the_loss`` is about the difference."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training, "excess_loss", lambda loss, batches: loss)
        yield


def test_the_excess_is_what_is_left_of_the_loss_when_all_that_is_uncertain_is_known():
    task = small_task()
    problems = draw(task, "train", 5, 64, 0)
    undecided = entr(problems.answer_distribution).sum(axis=1).mean()
    along = entr(problems.beliefs[:, 1:]).sum(axis=2).mean()
    least = {"amortized": undecided, "cot": undecided / 6, "amortized_dense": along, "amortized_dense_drawn": along}
    for condition, expected in least.items():
        spec = short_spec(condition, task=task)
        with pytest.MonkeyPatch.context() as patch:
            for module in ("supervised", "dense"):
                home = import_module(f"unamortized.learning.conditions.{module}")
                patch.setattr(home, "questions", lambda *_, **__: lambda step: [problems])
            batches = resolve_condition(condition).batches(set_up(spec, Path(), {}))(Step(0), new_model(spec))
        assert batches[0].least == pytest.approx(expected, rel=1e-6)
        assert excess_loss(2.0, batches) == pytest.approx(2.0 - expected, rel=1e-6)


def test_only_growing_lengths_have_a_curriculum_and_it_begins_with_the_shortest():
    assert curriculum(short_spec(lengths="growing", grow_below=0.7)) == Curriculum(3, 6, 0.7)
    assert all(curriculum(short_spec(lengths=lengths)) is None for lengths in ("own", "mixed", "longest"))


def test_a_model_meets_no_question_longer_than_the_limit():
    spec = short_spec(lengths="growing", grow_below=3.3)
    losses = [4.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 9.0, 9.0, 9.0]  # the mean is below 3.3 from the fourth on
    met: list[list[int]] = []

    def loss(model: Model, batches: list) -> torch.Tensor:
        met.append([batch.tokens.shape[1] // 2 - 2 for batch in batches])  # <bos> x_1..n <think> c_1..n <answer> a
        return torch.tensor(losses[len(met) - 1])

    learner = Learner(replace(resolve_condition("cot"), loss=loss), set_up(spec, Path(), {}))
    assert learner.curriculum is not None
    limits = []
    for number in range(len(losses)):
        limits.append(learner.curriculum.longest)
        learner.training_step(number, 0)
    assert limits == [3, 3, 3, 3, 4, 5, 6, 6, 6, 6]
    assert all(max(lengths) <= limit for lengths, limit in zip(met, limits, strict=True))
    assert max(max(lengths) for lengths in met) == 6  # the longest are asked once they are allowed


# ── runs ─────────────────────────────────────────────────────────────────────────────────────────


def growing_spec(**changes: int) -> RunSpec:
    """A run whose loss falls fast, so that its limit grows in the last of its seven steps."""
    rates = {"learning_rate": 0.05, "muon_learning_rate": 0.05}
    return short_spec("amortized", lengths="growing", grow_below=2.9, steps=7, **rates, **changes)


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Path:
    """The growing run, trained without an interruption."""
    return train_run(growing_spec(), tmp_path_factory.mktemp("whole"))


def test_the_curve_shows_how_lengths_grew(whole):
    table = pd.read_csv(whole / "training.csv")
    expected = Curriculum(3, 6, 2.9)
    for longest, loss in zip(table["longest"], table["loss"], strict=True):
        expected.see(loss)
        assert longest == expected.longest
    assert table["longest"].tolist()[0] == 3 < table["longest"].tolist()[-1]


def test_a_growing_run_cut_off_at_any_step_resumes_to_the_same_weights_and_curve(tmp_path, whole):
    spec = growing_spec()
    for step in range(7):
        train_until_power_cut(spec, step, tmp_path)
    assert_same_run(train_run(spec, tmp_path), whole)


def test_a_checkpoint_holds_the_limit_and_the_mean(tmp_path, whole):
    folder = train_run(growing_spec(checkpoint_every=5), tmp_path)
    kept, expected = torch.load(folder / "last.ckpt", weights_only=True), Curriculum(3, 6, 2.9)
    for loss in pd.read_csv(whole / "training.csv")["loss"][:5]:
        expected.see(loss)
    assert kept["curriculum"] == {"longest": expected.longest, "mean": pytest.approx(expected.mean, rel=1e-5)}


@pytest.mark.parametrize("lengths", ["growing", "longest"])
def test_windows_of_a_net_have_no_lengths_to_choose(tmp_path, lengths):
    spec = short_spec("local_windows", lengths=lengths)
    with pytest.raises(ValueError, match=f"windows have no lengths to choose; leave out train.lengths .got {lengths}."):
        train_run(spec, tmp_path)
