"""Runs: specifications, digests, and folders that are written and read back."""

import json
from pathlib import Path

import pytest
import safetensors
import torch
from pydantic import ValidationError

from tests.small_tasks import IN_CONTEXT, small_task
from unamortized.learning import runs
from unamortized.learning.runs import (
    exclusively,
    flops_per_question,
    git_commit,
    is_finished,
    load_run,
    new_model,
    plan_run,
    read_record,
    run_digest,
    run_folder,
    save_model,
    set_up,
    sibling,
    training_steps,
    versions,
    write_record,
    write_text,
)
from unamortized.learning.specification import RunSpec, TrainSpec
from unamortized.models.recurrent import Recurrent
from unamortized.models.transformer import ModelSpec, Transformer
from unamortized.worlds.splits import draw
from unamortized.worlds.task_files import load_task
from unamortized.worlds.tasks import Task

TINY = ModelSpec(layers=1, width=16)


def small_spec(**changes) -> RunSpec:
    fields = {"task": small_task(), "condition": "cot", "model": TINY, "train": TrainSpec(steps=4)}
    return RunSpec(**fields | changes)


def trained(spec: RunSpec) -> Transformer:
    """A model with every parameter changed."""
    model = new_model(spec)
    for parameter in model.parameters():
        parameter.data += 1
    return model


def finished_run(root, **changes):
    """A run and its folder, which looks trained."""
    spec = small_spec(**changes)
    folder = run_folder(spec, root)
    with exclusively(folder):
        save_model(spec, trained(spec), folder)
        write_record(spec, folder, finished=True, cost={"seconds": 1.5})
    return spec, folder


# ── specifications ───────────────────────────────────────────────────────────────────────────────


def test_the_digest_depends_on_every_field_that_affects_the_weights():
    trained = dict(small_spec().train)
    others = [
        small_spec(seed=1),
        small_spec(condition="amortized"),
        small_spec(options={"teacher": "cot"}),
        small_spec(task=small_task(query="smooth 0")),
        small_spec(task=small_task(start="known")),
        small_spec(task=small_task(codebook={"resolution": 5})),
        small_spec(task=small_task(steps={"train": [3, 7], "test": [4, 12]})),
        *[small_spec(model=TINY.model_copy(update={name: value})) for name, value in OTHER_MODEL.items()],
        *[small_spec(train=TrainSpec(**trained | {name: value})) for name, value in OTHER_TRAINING.items()],
        *[small_spec(train=TrainSpec(**trained | {"lengths": "growing", "grow_below": value})) for value in (0.3, 0.4)],
    ]
    assert set(OTHER_MODEL) == set(ModelSpec.model_fields)
    assert {*OTHER_TRAINING, "grow_below"} == set(TrainSpec.model_fields) - {"checkpoint_every"}
    digests = [run_digest(each) for each in (small_spec(), *others)]
    assert len(set(digests)) == len(digests)
    assert all(len(digest) == 16 for digest in digests)


OTHER_MODEL = {
    "architecture": "gru",
    "layers": 2,
    "width": 32,
    "heads": 2,
    "positions": "rotary",
    "coupled": False,
    "max_positions": 512,
}
OTHER_TRAINING = {
    "steps": 5,
    "batch_size": 64,
    "lengths_per_batch": 2,
    "learning_rate": 1e-3,
    "final_learning_rate": 0.1,
    "warmup_steps": 50,
    "weight_decay": 0.0,
    "gradient_clip": 2.0,
    "questions": 100,
    "optimizer": "adamw",
    "muon_learning_rate": 1e-3,
    "lengths": "longest",
    "snapshots": True,  # affects not the weights but which of them are kept
}


def test_the_digest_does_not_depend_on_fields_that_do_not_affect_the_weights():
    spec = small_spec()
    evaluated_elsewhere = small_task(steps={"train": [3, 6], "test": [5, 50]})
    assert run_digest(small_spec(task=evaluated_elsewhere)) == run_digest(spec)
    assert run_digest(small_spec(train=TrainSpec(steps=4, checkpoint_every=1))) == run_digest(spec)
    assert run_digest(small_spec(train=TrainSpec(steps=4, grow_below=0.4))) == run_digest(spec)  # nothing grows
    adamw, other = (TrainSpec(optimizer="adamw", muon_learning_rate=rate) for rate in (1e-2, 1e-3))
    assert run_digest(small_spec(train=adamw)) == run_digest(small_spec(train=other))
    assert run_digest(spec.model_copy(update={"world": "slow", "variant": "wide"})) == run_digest(spec)
    assert run_digest(RunSpec.model_validate_json(spec.model_dump_json())) == run_digest(spec)
    assert RunSpec.model_validate_json(spec.model_dump_json()) == spec


def test_a_shift_affects_the_digest_only_where_training_withholds_it():
    plain = run_digest(small_spec(task=small_task(start="known")))

    def named(**shifts) -> str:
        return run_digest(small_spec(task=small_task(start="known", shifts=shifts)))

    assert named() == named(parameters={"slip": 0.3}) == plain
    assert named(parameters={"slip": 0.3}, crossed=[["length", "parameters"]]) == plain
    withheld = [named(start=[1]), named(start=[2]), named(rare=0.1), named(rare=0.2), named(composition=[[0, 1]])]
    assert len({plain, *withheld}) == 6
    assert named(start=[1], parameters={"slip": 0.3}, crossed=[["length", "start"]]) == withheld[0]
    own = run_digest(small_spec(task=small_task(**IN_CONTEXT)))
    assert run_digest(small_spec(task=small_task(**IN_CONTEXT, shifts={"parameters": "tables"}))) != own
    rare = small_spec(task=small_task(shifts={"rare": 0.1}))
    assert run_digest(RunSpec.model_validate_json(rare.model_dump_json())) == run_digest(rare)


@pytest.mark.parametrize(
    ("task", "condition", "steps", "name"),
    [
        ("noisy_permutation", "amortized", 450, "8620f827f6400f2b"),
        ("noisy_permutation", "amortized_equal_flops", 450, "1e9ba7d4fe2db9c4"),
        ("noisy_permutation", "cot", 450, "eaa51cdf4c62a5aa"),
        ("mess3", "cot", 200, "3d6fefe00ce232dc"),
    ],
)
def test_published_runs_keep_their_digests(task, condition, steps, name):
    """New fields of tasks and specifications must not make finished runs train again."""
    file = Path(__file__).parents[2] / "tasks" / f"{task}.yaml"
    spec = plan_run(load_task(file), condition, 0, ModelSpec(), TrainSpec(steps=steps))
    assert run_digest(spec) == name


def test_small_runs_keep_their_digests():
    """A change here makes every run train again."""
    assert run_digest(small_spec()) == "df7373c65036c86d"
    named = {"amortized": "9ebae1c31a26329b", "amortized_equal_flops": "1d2084dfa63a88b6", "cot": "3ee7b89073c67183"}
    for condition, name in named.items():
        assert run_digest(plan_run(small_task(), condition, 3, ModelSpec(), TrainSpec())) == name
    plain_rotary = ModelSpec(positions="rotary", coupled=False)
    assert run_digest(plan_run(small_task(), "cot", 0, plain_rotary, TrainSpec())) == "c63f756a31c3fb38"


def test_the_digest_of_a_recurrent_run_does_not_depend_on_requested_positions():
    digests = set()
    for positions in ("alibi", "rotary"):
        spec = plan_run(small_task(), "gru", 0, TINY.model_copy(update={"positions": positions}), TrainSpec())
        assert spec.model == ModelSpec(architecture="gru", layers=1, width=16)
        digests.add(run_digest(spec))
    assert len(digests) == 1


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"train": {"batch_size": 10, "lengths_per_batch": 4}}, "batch_size 10 must be a multiple of lengths"),
        ({"train": {"step": 10}}, "Extra inputs are not permitted"),
        ({"seed": -1}, "greater than or equal to 0"),
        ({"seed": 1.0}, "valid integer"),
    ],
)
def test_a_wrong_specification_is_an_error(changes, message):
    with pytest.raises(ValidationError, match=message):
        small_spec(**changes)


@pytest.mark.parametrize(
    ("condition", "message"),
    [
        ("gru", "condition 'gru' trains another model than the run's transformer; plan_run sets it"),
        ("cott", "no condition named 'cott'"),
    ],
)
def test_a_condition_that_is_unknown_or_trains_another_model_is_an_error(tmp_path, condition, message):
    spec = small_spec(condition=condition)
    with pytest.raises(ValueError, match=message):
        new_model(spec)
    with pytest.raises(ValueError, match=message):
        set_up(spec, tmp_path, {})  # before any training


def test_a_title_has_task_condition_and_seed():
    assert small_spec(seed=3).title == "small cot seed 3"


def test_equal_flops_scale_the_steps_by_the_cost_of_a_question():
    def planned(condition: str, task: Task) -> RunSpec:
        return plan_run(task, condition, 2, TINY, TrainSpec(steps=1000))

    def spent(spec: RunSpec) -> float:
        return training_steps(spec) * flops_per_question(spec)

    for task in (small_task(), small_task(start="known", steps={"train": [1, 16], "test": [4]})):
        cot, equal = planned("cot", task), planned("amortized_equal_flops", task)
        assert spent(equal) == pytest.approx(spent(cot), rel=1e-3)
        assert training_steps(equal) > 1700  # a trace roughly doubles the tokens, and its tokens are unembedded too
        assert training_steps(planned("amortized", task)) == training_steps(cot) == 1000
        assert equal.train == cot.train
        assert (equal.condition, equal.seed, equal.model) == ("amortized_equal_flops", 2, TINY)


@pytest.mark.parametrize("steps", [1, 7, 450, 1000])
@pytest.mark.parametrize("task", [small_task(), small_task(start="known", steps={"train": [1, 16], "test": [4]})])
def test_a_sibling_is_the_run_planned_with_the_same_requested_steps(tmp_path, task, steps):
    planned = {
        condition: plan_run(task, condition, 2, TINY, TrainSpec(steps=steps))
        for condition in ("cot", "amortized", "amortized_equal_flops")
    }
    for spec in planned.values():
        again = RunSpec.model_validate_json(spec.model_dump_json())  # as read back from a run's folder
        assert again.train.steps == steps
        for condition, other in planned.items():
            assert sibling(again, condition, tmp_path) == run_folder(other, tmp_path)


def test_conditions_of_a_seed_share_initial_weights_and_leave_the_global_generator_alone():
    state = torch.get_rng_state()
    one, other, another = (
        new_model(small_spec(**changes)).state_dict() for changes in ({}, {"condition": "amortized"}, {"seed": 1})
    )
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(one[name], other[name]) for name in one)
    assert not torch.equal(one["embed.weight"], another["embed.weight"])


# ── what was trained ─────────────────────────────────────────────────────────────────────────────


def test_a_run_read_back_is_the_one_that_was_written(tmp_path):
    spec, folder = finished_run(tmp_path, seed=3)
    assert folder == tmp_path / "runs" / run_digest(spec)
    run = load_run(str(folder))
    assert (run.spec, run.folder, run.task, run.spec.condition) == (spec, folder, spec.task, "cot")
    written, read = trained(spec).state_dict(), run.model.state_dict()
    assert list(written) == list(read)
    assert all(torch.equal(written[name], read[name]) for name in written)
    assert not run.model.training
    problems = draw(run.task, "test", 4, 2, 0)
    examples = run.render(problems)
    assert examples.tokens.shape == (2, 1 + 4 + 1 + 4 + 2)
    assert examples.tokens.max() < run.vocabulary.size == run.model.vocabulary_size
    output = run.model(torch.from_numpy(examples.tokens), torch.from_numpy(examples.positions)[None])
    assert output.logits.shape == (2, 12, run.vocabulary.size)


def test_a_recurrent_run_is_read_back_as_a_recurrent_net(tmp_path):
    _, folder = finished_run(tmp_path, condition="gru", model=ModelSpec(architecture="gru", layers=1, width=16))
    assert isinstance(load_run(folder).model, Recurrent)


def test_a_run_renders_with_its_own_position_ids(tmp_path):
    _, folder = finished_run(tmp_path, model=ModelSpec(layers=1, width=16, coupled=False))
    examples = load_run(folder).render(draw(small_task(), "test", 4, 2, 0))
    assert examples.positions.tolist() == list(range(12))


def test_weights_are_safetensors_that_carry_their_specification(tmp_path):
    spec, folder = finished_run(tmp_path)
    with safetensors.safe_open(str(folder / "model.safetensors"), framework="pt") as file:
        assert RunSpec.model_validate_json(file.metadata()["spec"]) == spec
        assert set(file.keys()) == set(new_model(spec).state_dict())
    assert {file.name for file in folder.iterdir()} == {".lock", "run.json", "model.safetensors"}


def test_the_record_has_specification_versions_and_commit(tmp_path):
    spec, folder = finished_run(tmp_path, seed=3)
    record = read_record(folder)
    assert RunSpec.model_validate(record["spec"]) == spec
    assert record["seed"] == 3
    assert record["versions"] == versions()
    assert set(versions()) == {"python", "unamortized", "torch", "lightning", "numpy", "numba"}
    assert record["git_commit"] == git_commit()
    assert (record["finished"], record["cost"]) == (True, {"seconds": 1.5})


def test_outside_of_a_checkout_there_is_no_commit(monkeypatch, tmp_path):
    git_commit.cache_clear()
    monkeypatch.setattr(runs, "__file__", str(tmp_path / "runs.py"))
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert git_commit() is None
    git_commit.cache_clear()
    monkeypatch.setenv("PATH", str(tmp_path))  # nor without git
    assert git_commit() is None
    git_commit.cache_clear()


def test_a_folder_without_a_run_is_an_error(tmp_path):
    assert not is_finished(tmp_path)
    with pytest.raises(ValueError, match="is not a run: it has no run.json; name a folder such as results/runs/<hash>"):
        load_run(tmp_path)


def test_an_unfinished_run_is_an_error_that_says_how_to_resume(tmp_path):
    spec, folder = finished_run(tmp_path)
    write_record(spec, folder, finished=False)
    assert not is_finished(folder)
    with pytest.raises(ValueError, match="is not fully trained; repeat the command that started it to resume"):
        load_run(folder)


@pytest.mark.parametrize("text", ["{", '{\n"spec": {},\n"fin'])
def test_a_broken_record_is_an_error_with_its_line(tmp_path, text):
    _, folder = finished_run(tmp_path)
    (folder / "run.json").write_text(text)
    line = text.count("\n") + 1
    message = f"run.json:{line}: not valid JSON; delete .*{folder.name} to train it again"
    for read in (load_run, is_finished, read_record):
        with pytest.raises(ValueError, match=message):
            read(folder)


@pytest.mark.parametrize("text", ["[]", '{"finished": true}'])
def test_json_that_is_no_record_is_an_error(tmp_path, text):
    (tmp_path / "run.json").write_text(text)
    with pytest.raises(ValueError, match=r"run\.json: not the record of a run; delete .* to train it again"):
        read_record(tmp_path)


@pytest.mark.parametrize("damage", ["missing", "cut"])
def test_damaged_weights_are_an_error_and_missing_ones_leave_a_run_unfinished(tmp_path, damage):
    spec = small_spec()
    save_model(spec, new_model(spec), tmp_path)
    write_record(spec, tmp_path, finished=True)
    assert is_finished(tmp_path)
    weights = tmp_path / "model.safetensors"
    whole = weights.read_bytes()
    weights.unlink()
    if damage == "missing":
        assert not is_finished(tmp_path)
    else:
        weights.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match=r"model\.safetensors: cannot be read .*; delete .* to train it again"):
        load_run(tmp_path)


def test_text_is_written_whole_or_not_at_all(tmp_path, monkeypatch):
    file = tmp_path / "deep" / "run.json"
    write_text(file, "before")

    def interrupted(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as cut:
        cut.setattr("pathlib.Path.replace", interrupted)
        with pytest.raises(KeyboardInterrupt):
            write_text(file, "after")
    assert file.read_text() == "before"
    write_text(file, "after")
    assert file.read_text() == "after"
    assert list(file.parent.iterdir()) == [file]


def test_weights_are_written_whole_or_not_at_all(tmp_path, monkeypatch):
    spec, folder = finished_run(tmp_path)
    before = (folder / "model.safetensors").read_bytes()

    def half(_model, file, metadata):
        with open(file, "wb") as opened:
            opened.write(b"half")
        raise OSError("disk full")

    monkeypatch.setattr("safetensors.torch.save_model", half)
    with pytest.raises(OSError, match="disk full"):
        save_model(spec, new_model(spec), folder)
    assert (folder / "model.safetensors").read_bytes() == before


def test_the_record_is_indented_json(tmp_path):
    _, folder = finished_run(tmp_path)
    text = (folder / "run.json").read_text()
    assert text == json.dumps(json.loads(text), indent=1) + "\n"
