"""Every condition is tested on the same problems, and snapshots of a run on those of the run."""

import pytest

from tests.evaluation.oracle import SMALL, slow_task
from tests.evaluation.untrained import untrained_run
from unamortized.evaluation.evaluate import Evaluation
from unamortized.evaluation.faithfulness import FaithfulnessSettings, along_training
from unamortized.evaluation.generalization import by_length
from unamortized.evaluation.protocol import SampleSize, snapshots, split_of, test_problems
from unamortized.learning.runs import load_run
from unamortized.learning.specification import RunSpec, TrainSpec
from unamortized.learning.training import train_run

test_problems.__test__ = False  # pytest takes it for a test by its name
FEW = FaithfulnessSettings(problems=32, lags=(0,))


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A trained run with snapshots after steps 1, 2 and 4."""
    train = TrainSpec(steps=5, batch_size=8, warmup_steps=1, snapshots=True)
    spec = RunSpec(task=slow_task(), condition="cot", model=SMALL, train=train)
    return load_run(train_run(spec, tmp_path_factory.mktemp("results")))


def kls(rows, variant=""):
    chosen = [row for row in rows if (row["metric"], row["variant"]) == ("answer_kl", variant)]
    return {row["n_steps"]: row["value"] for row in chosen}


def test_lengths_beyond_training_are_the_length_split():
    assert [split_of(slow_task(), n_steps) for n_steps in (2, 8, 9)] == ["in_distribution", "in_distribution", "length"]


def test_other_seeds_are_tested_on_other_problems():
    one, again, other = (test_problems(slow_task(), 8, 64, seed).observations for seed in (0, 0, 1))
    assert (one == again).all()
    assert (one != other).any()


def test_along_training_is_measured_on_the_weights_of_each_snapshot(run):
    rows = along_training(run, FEW)
    assert {row["variant"] for row in rows} == {"after_1", "after_2", "after_4"}
    assert {row["metric"] for row in rows} == {"answer_kl", "causal_reliance"}
    assert kls(rows, "after_2") == kls(by_length(load_run(run.folder, 2), SampleSize(32)))
    assert kls(rows, "after_2") != kls(rows, "after_4")
    assert along_training(untrained_run(), FEW) == []


def test_snapshots_are_tested_where_the_run_is_tested_and_not_where_it_was_trained_to_be(run):
    tests = run.task.steps.model_copy(update={"test": (5, 9)})
    elsewhere = run.task.model_copy(update={"steps": tests})
    rows = Evaluation("along_training", along_training, FEW).at(elsewhere).measure(run)
    assert {variant: list(kls(rows, variant)) for variant in ("after_1", "after_4")} == {
        "after_1": [5, 9],
        "after_4": [5, 9],
    }
    assert [step for step, _ in snapshots(run)] == [1, 2, 4]
