"""Training: loss, schedule and optimizer, and runs that depend on their specification alone."""

import math
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
import torch

from tests.learning.small_runs import assert_same_weights, small_spec, weights
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
from unamortized.learning.training import Learner, learning_rate_factor, train_run
from unamortized.models.transformer import ModelSpec
from unamortized.worlds.splits import draw


def small_batch(spec: RunSpec, n_steps: int, size: int) -> Batch:
    """Problems of a specification as its condition renders them."""
    run = assemble(spec, new_model(spec), Path("no folder"))
    return to_batch(run.render(draw(run.task, "train", n_steps, size, 0)))


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
