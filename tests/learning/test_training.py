"""Training: loss, schedule and optimizer, and the same weights however a run was interrupted."""

import math
import os
import signal
import threading
import time
from dataclasses import replace
from itertools import count, pairwise
from pathlib import Path

import pytest
import torch

from tests.other_processes import begin, finish
from tests.small_tasks import small_task
from unamortized.language.batches import Batch, to_batch
from unamortized.language.vocabulary import task_vocabulary
from unamortized.learning.conditions import resolve_condition
from unamortized.learning.runs import (
    assemble,
    flops_per_question,
    is_finished,
    load_run,
    new_model,
    read_record,
    run_folder,
    set_up,
    snapshot_steps,
)
from unamortized.learning.specification import RunSpec, TrainSpec, weighted_cross_entropy
from unamortized.learning.training import (
    Learner,
    WholeCheckpoints,
    learning_rate_factor,
    train_run,
    was_interrupted,
)
from unamortized.models.transformer import ModelSpec
from unamortized.worlds.splits import draw

LONG = {"steps": 150, "checkpoint_every": 10}  # long enough to be interrupted after a checkpoint
TRAINING = {"batch_size": 16, "lengths_per_batch": 2, "warmup_steps": 4, "learning_rate": 1e-2}


def small_spec(condition: str = "cot", seed: int = 0, **training) -> RunSpec:
    train = TrainSpec.model_validate(TRAINING | {"steps": 12} | training)
    model = resolve_condition(condition).architecture(ModelSpec(layers=1, width=16))
    return RunSpec(task=small_task(), condition=condition, seed=seed, model=model, train=train)


def small_batch(spec: RunSpec, n_steps: int, size: int) -> Batch:
    """Problems of a specification as its condition renders them."""
    run = assemble(spec, new_model(spec), Path("no folder"))
    return to_batch(run.render(draw(run.task, "train", n_steps, size, 0)))


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_run(folder).model.state_dict()


def assert_same_weights(one: Path, other: Path) -> None:
    first, second = weights(one), weights(other)
    assert list(first) == list(second)
    assert all(torch.equal(first[name], second[name]) for name in first)


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Path:
    """The long run, trained without an interruption."""
    return train_run(small_spec(**LONG), tmp_path_factory.mktemp("whole"))


def wait_for(there: Path) -> None:
    deadline = time.monotonic() + 60
    while not there.exists():
        assert time.monotonic() < deadline, f"{there} never appeared"
        time.sleep(0.002)


# ── loss and schedule ────────────────────────────────────────────────────────────────────────────


def test_the_loss_is_the_weighted_mean_over_all_tokens_of_all_lengths():
    model, batches = new_model(small_spec()), []
    for n_steps in (3, 6):
        batch = small_batch(small_spec(), n_steps, 5)
        batches.append(batch._replace(weights=batch.weights * torch.linspace(0.5, 2, len(batch.weights))))
    total, weight = 0.0, 0.0
    with torch.no_grad():
        for batch in batches:
            for row in batch.tokens:
                logits = model(row[None], batch.positions).logits[0]
                for column in range(1, len(row)):
                    share = float(batch.weights[column])
                    total -= share * float(logits[column - 1].log_softmax(dim=0)[row[column]])
                    weight += share
        assert weighted_cross_entropy(model, batches).item() == pytest.approx(total / weight, rel=1e-5)


def test_before_training_the_loss_is_that_of_uniform_guessing():
    spec = small_spec()
    loss = weighted_cross_entropy(new_model(spec), [small_batch(spec, 4, 64)])
    assert loss.item() == pytest.approx(math.log(task_vocabulary(spec.task).size), abs=0.1)


def test_no_gradient_comes_from_the_question():
    """A token of the question is never a target of the loss."""
    spec = small_spec()
    vocabulary, model = task_vocabulary(spec.task), new_model(spec)
    batch = small_batch(spec, 4, 64)
    weighted_cross_entropy(model, [batch]).backward()
    gradient = model.unembed.weight.grad
    assert gradient is not None
    question = vocabulary.blocks["observation"]
    assert (gradient[question].norm(dim=1) < gradient[vocabulary.blocks["answer"]].norm(dim=1).min()).all()
    with torch.no_grad():
        select = batch.select
        assert (batch.tokens[:, 1:][select] >= question.stop).all()


def test_the_learning_rate_warms_up_linearly_and_decays_as_a_cosine():
    train = TrainSpec(warmup_steps=10, final_learning_rate=0.1)
    factors = [learning_rate_factor(step, train, 100) for step in range(101)]
    assert factors[:10] == pytest.approx([0.1 * step for step in range(1, 11)])
    assert factors[10] == 1
    assert factors[55] == pytest.approx(0.55)  # halfway between the peak and a tenth of it
    assert factors[100] == pytest.approx(0.1)
    assert all(later < earlier for earlier, later in pairwise(factors[10:]))
    short = TrainSpec(warmup_steps=100)  # warm-up takes at most half of a short run
    assert max(range(6), key=lambda step: learning_rate_factor(step, short, 6)) in (2, 3)
    assert learning_rate_factor(0, TrainSpec(), 1) == 1


@pytest.mark.parametrize(("optimizer", "rates"), [("muon", [2e-4, 3e-4]), ("adamw", [3e-4])])
def test_the_optimizer_follows_the_specification(tmp_path, optimizer, rates):
    peaks = {"learning_rate": 3e-3, "muon_learning_rate": 2e-3}
    spec = small_spec(**peaks, steps=100, warmup_steps=10, weight_decay=0.2, optimizer=optimizer)
    learner = Learner(resolve_condition("cot"), set_up(spec, tmp_path, {}))
    configured = learner.configure_optimizers()
    groups, schedule = configured["optimizer"].param_groups, configured["lr_scheduler"]
    assert [group["lr"] for group in groups] == pytest.approx(rates)  # the first of ten warm-up steps
    assert {group["weight_decay"] for group in groups} == {0.2}
    assert schedule["interval"] == "step"
    trained = [parameter for group in groups for parameter in group["params"]]
    assert sorted(map(id, trained)) == sorted(map(id, learner.model.parameters()))


# ── runs ─────────────────────────────────────────────────────────────────────────────────────────


def test_a_run_trains_and_reports_its_progress(tmp_path):
    reports = []
    spec = small_spec(steps=60, batch_size=32)
    folder = train_run(spec, tmp_path, lambda *progress: reports.append(progress))
    assert folder == run_folder(spec, tmp_path)
    assert is_finished(folder)
    assert reports[-1][:2] == (60, 60)
    assert all(done <= 60 and steps == 60 for done, steps, _ in reports)
    batch = to_batch(load_run(folder).render(draw(spec.task, "validation", 6, 64, 0)))
    with torch.no_grad():
        before, after = (weighted_cross_entropy(model, [batch]) for model in (new_model(spec), load_run(folder).model))
    assert after < 0.85 * before
    assert reports[-1][2] == pytest.approx(after.item(), rel=0.2)
    cost = read_record(folder)["cost"]
    assert cost["questions"] == 60 * 32
    assert cost["training_flops"] == pytest.approx(60 * 32 * flops_per_question(spec))
    assert cost["parameters"] == sum(p.numel() for p in new_model(spec).parameters())
    assert 0 < cost["seconds"] < 60


def test_a_run_takes_the_batches_of_its_steps_in_their_order(tmp_path, monkeypatch):
    taken, cot = [], resolve_condition("cot")

    def recorded(setup):
        batches = cot.batches(setup)

        def of_step(step, model):
            taken.append(step.number)
            return batches(step, model)

        return of_step

    monkeypatch.setattr("unamortized.learning.training.resolve_condition", {"cot": replace(cot, batches=recorded)}.get)
    train_run(small_spec(steps=5), tmp_path)
    assert taken == [0, 1, 2, 3, 4]


def test_a_recurrent_run_learns_the_same_questions(tmp_path):
    spec = small_spec("gru", steps=60, batch_size=32)
    run = load_run(train_run(spec, tmp_path))
    batch = to_batch(run.render(draw(spec.task, "validation", 6, 64, 0)))
    with torch.no_grad():
        before, after = (weighted_cross_entropy(model, [batch]) for model in (new_model(spec), run.model))
    assert after < 0.5 * before


@pytest.mark.parametrize("condition", ["cot_copied", "cot_indexed"])
def test_training_on_fetching_traces_and_randomized_ids_is_reproducible(tmp_path, condition):
    spec = small_spec(condition, steps=3)
    spec = spec.model_copy(update={"model": ModelSpec(layers=1, width=16, positions="randomized", max_positions=40)})
    assert_same_weights(train_run(spec, tmp_path / "one"), train_run(spec, tmp_path / "other"))
    run = load_run(run_folder(spec, tmp_path / "one"))
    assert run.vocabulary.n_indices == (48 if condition == "cot_indexed" else 0)
    assert run.model.vocabulary_size == run.vocabulary.size
    positions = run.render(draw(spec.task, "test", 4, 8, 0)).positions
    assert positions.tolist() != list(range(len(positions)))
    assert positions.max() < 40


def test_a_run_leaves_plain_files_only(tmp_path):
    folder = train_run(small_spec(checkpoint_every=5), tmp_path)
    names = {file.name for file in folder.iterdir()}
    assert names == {".lock", "run.json", "model.safetensors", "last.ckpt", "training.csv"}
    checkpoint = torch.load(folder / "last.ckpt", weights_only=True)  # raises unless it holds plain types only
    assert checkpoint["global_step"] == 10


def test_snapshots_are_the_weights_during_training(tmp_path):
    plain, spec = small_spec(steps=8), small_spec(steps=8, snapshots=True)
    folder = train_run(spec, tmp_path)
    assert sorted(int(file.stem) for file in (folder / "snapshots").iterdir()) == snapshot_steps(spec) == [1, 2, 4, 8]
    embedded = [load_run(folder, step).model.state_dict()["embed.weight"] for step in (1, 2, 4, 8, None)]
    assert torch.equal(embedded[3], embedded[4])  # the last snapshot has the final weights
    assert not any(torch.equal(one, other) for one, other in pairwise(embedded[:4]))
    assert torch.equal(
        embedded[4], weights(train_run(plain, tmp_path))["embed.weight"]
    )  # snapshots do not affect training
    assert snapshot_steps(plain) == []
    with pytest.raises(ValueError, match="has no snapshot of step 3; train.snapshots=true keeps steps 1, 2, 4, 8"):
        load_run(folder, 3)


def test_equal_specifications_train_to_equal_weights_and_others_do_not(tmp_path):
    spec = small_spec()
    one, again = train_run(spec, tmp_path / "one"), train_run(spec, tmp_path / "again")
    assert_same_weights(one, again)
    for other in (small_spec(seed=1), small_spec(condition="amortized"), small_spec(weight_decay=0.5)):
        embedded = weights(train_run(other, tmp_path))["embed.weight"]
        assert not torch.equal(embedded, weights(one)["embed.weight"])


def test_the_number_of_threads_does_not_affect_the_weights(tmp_path):
    one = train_run(small_spec(), tmp_path / "one")
    torch.set_num_threads(2)
    assert_same_weights(one, train_run(small_spec(), tmp_path / "two"))


def test_a_finished_run_is_left_untouched(tmp_path, monkeypatch):
    spec = small_spec(steps=3)
    folder = train_run(spec, tmp_path)
    before = {file.name: (file.stat().st_mtime_ns, file.read_bytes()) for file in folder.iterdir()}
    monkeypatch.setattr("unamortized.learning.training._train", pytest.fail)
    assert train_run(spec, tmp_path) == folder
    assert {file.name: (file.stat().st_mtime_ns, file.read_bytes()) for file in folder.iterdir()} == before


def test_a_corpus_is_shared_between_conditions_and_affects_the_weights(tmp_path):
    reports = []
    spec = small_spec(steps=40, questions=8, warmup_steps=5)
    folder = train_run(spec, tmp_path, lambda *progress: reports.append(progress))
    train_run(small_spec(condition="amortized", steps=2, questions=8), tmp_path)
    corpora = [entry for entry in (tmp_path / "corpora").iterdir() if not entry.name.startswith(".")]
    assert len(corpora) == 1
    fresh = weights(train_run(small_spec(steps=40, warmup_steps=5), tmp_path))
    assert not torch.equal(weights(folder)["embed.weight"], fresh["embed.weight"])


# ── interruptions ────────────────────────────────────────────────────────────────────────────────


def test_a_killed_run_resumes_to_the_same_weights(tmp_path, whole):
    spec = small_spec(**LONG)
    folder = run_folder(spec, tmp_path)
    process = begin(train_run, spec, tmp_path)
    wait_for(folder / "last.ckpt")
    process.kill()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    assert not is_finished(folder)
    left = torch.load(folder / "last.ckpt", weights_only=True)["global_step"]
    assert 0 < left < LONG["steps"]
    reports = []
    train_run(spec, tmp_path, lambda done, *_: reports.append(done))
    assert min(reports) > left  # it resumed and did not restart
    assert_same_weights(folder, whole)


@pytest.mark.parametrize(
    ("condition", "questions"), [("cot", None), ("cot", 40), ("gru", None)], ids=["fresh", "corpus", "recurrent"]
)
def test_a_run_cut_off_at_any_step_resumes_to_the_same_weights(tmp_path, monkeypatch, condition, questions):
    spec = small_spec(condition, steps=9, checkpoint_every=2, questions=questions)
    whole = train_run(spec, tmp_path / "whole")
    for step in (1, 2, 7, 8):  # before any checkpoint, at one, between two, and at the last
        with monkeypatch.context() as cut:
            failing = replace(resolve_condition(condition), loss=power_cut_after(step))
            cut.setattr("unamortized.learning.training.resolve_condition", {condition: failing}.get)
            with pytest.raises(OSError, match="power cut"):
                train_run(spec, tmp_path / str(step))
        assert_same_weights(train_run(spec, tmp_path / str(step)), whole)


def power_cut_after(steps: int):
    calls = count()

    def loss(model, batches):
        if next(calls) == steps:
            raise OSError("power cut")
        return weighted_cross_entropy(model, batches)

    return loss


def test_a_run_killed_after_its_last_checkpoint_is_finished_without_training(tmp_path, monkeypatch):
    spec = small_spec(steps=10, checkpoint_every=5)
    with monkeypatch.context() as cut:
        cut.setattr("unamortized.learning.training.save_model", interrupted)
        with pytest.raises(KeyboardInterrupt):
            train_run(spec, tmp_path / "cut")
    reports = []
    cut_short = train_run(spec, tmp_path / "cut", lambda *progress: reports.append(progress))
    assert reports == []
    assert_same_weights(cut_short, train_run(spec, tmp_path / "whole"))


def interrupted(*_arguments):
    raise KeyboardInterrupt


def test_ctrl_c_leaves_a_run_that_resumes_and_restores_the_handler(tmp_path, whole):
    spec = small_spec(**LONG)
    folder = run_folder(spec, tmp_path)
    handler = signal.getsignal(signal.SIGINT)

    def press():
        wait_for(folder / "last.ckpt")
        os.kill(os.getpid(), signal.SIGINT)

    pressing = threading.Thread(target=press)
    pressing.start()
    with pytest.raises(KeyboardInterrupt):
        train_run(spec, tmp_path)
    pressing.join()
    assert signal.getsignal(signal.SIGINT) == handler
    assert not is_finished(folder)
    assert read_record(folder)["finished"] is False
    with pytest.raises(ValueError, match="is not fully trained; repeat the command that started it to resume"):
        load_run(folder)
    assert_same_weights(train_run(spec, tmp_path), whole)


def test_ctrl_c_is_recognized_through_other_errors():
    def raised(*errors: BaseException) -> BaseException:
        """The last error, each raised from the one before."""
        for cause, error in pairwise(errors):
            error.__cause__ = cause
        return errors[-1]

    assert was_interrupted(KeyboardInterrupt())
    assert was_interrupted(raised(KeyboardInterrupt(), SystemError(), SystemError()))
    while_handled = SystemExit()
    while_handled.__context__ = KeyboardInterrupt()
    assert was_interrupted(while_handled)
    assert not was_interrupted(raised(ValueError(), SystemError()))
    assert not was_interrupted(SystemExit())


def test_a_run_resumes_under_other_checkpoint_intervals_and_test_lengths(tmp_path, monkeypatch):
    spec = small_spec(steps=12, checkpoint_every=5)
    elsewhere = small_task(steps={"train": [3, 6], "test": [5]})
    other = spec.model_copy(update={"task": elsewhere, "train": spec.train.model_copy(update={"checkpoint_every": 7})})
    with monkeypatch.context() as cut:
        cut.setattr("unamortized.learning.training.save_model", interrupted)
        with pytest.raises(KeyboardInterrupt):
            train_run(spec, tmp_path / "cut")
    assert_same_weights(train_run(other, tmp_path / "cut"), train_run(spec, tmp_path / "whole"))


def test_a_checkpoint_appears_whole_or_not_at_all(tmp_path, monkeypatch):
    file, checkpoints = tmp_path / "last.ckpt", WholeCheckpoints()
    checkpoints.save_checkpoint({"step": 1}, file)

    def half(_checkpoint, target):
        Path(target).write_bytes(b"half")
        raise OSError("disk full")

    with monkeypatch.context() as broken:
        broken.setattr(torch, "save", half)
        with pytest.raises(OSError, match="disk full"):
            checkpoints.save_checkpoint({"step": 2}, file)
    assert torch.load(file, weights_only=True) == {"step": 1}
    checkpoints.save_checkpoint({"step": 3}, str(file))
    assert torch.load(file, weights_only=True) == {"step": 3}
    assert list(tmp_path.iterdir()) == [file]


def test_two_processes_train_one_run(tmp_path, whole):
    spec = small_spec(**LONG)
    both = [begin(train_run, spec, tmp_path) for _ in range(2)]
    for process in both:
        finish(process)
    folder = run_folder(spec, tmp_path)
    names = {file.name for file in folder.iterdir()}
    assert names == {".lock", "run.json", "model.safetensors", "last.ckpt", "training.csv"}
    assert_same_weights(folder, whole)
