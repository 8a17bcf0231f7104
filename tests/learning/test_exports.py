"""Exports are written whole or not at all; `test_interop` opens them with other tools."""

import json
from dataclasses import replace

import pytest

from tests.small_nets import small_net_task
from tests.small_tasks import small_task
from unamortized.cli import app, guarded
from unamortized.learning.exports import export_gpt2
from unamortized.learning.runs import load_run, new_model, run_folder, save_model, write_record
from unamortized.learning.specification import Run, RunSpec
from unamortized.models.recurrent import Recurrent
from unamortized.models.transformer import ModelSpec

PLAIN = ModelSpec(layers=2, width=16, positions="learned", coupled=False, max_positions=40)


def untrained(root, **changes) -> Run:
    """An untrained run in a folder that looks finished."""
    spec = RunSpec(**{"task": small_task(), "condition": "cot", "model": PLAIN} | changes)
    save_model(spec, new_model(spec), run_folder(spec, root))
    write_record(spec, run_folder(spec, root), finished=True)
    return load_run(run_folder(spec, root))


def test_the_command_writes_configuration_weights_and_vocabulary(tmp_path, capsys):
    run, target = untrained(tmp_path), tmp_path / "deep" / "gpt2"
    assert guarded(lambda: app(["export", str(run.folder), str(target)])) == 0
    assert capsys.readouterr().out == f"Written: {target}\n"
    assert {file.name for file in target.iterdir()} == {"config.json", "model.safetensors", "vocabulary.json"}
    assert [file.name for file in target.parent.iterdir()] == ["gpt2"]
    assert json.loads((target / "config.json").read_text())["vocab_size"] == run.vocabulary.size
    meanings = json.loads((target / "vocabulary.json").read_text())
    assert len(meanings) == run.vocabulary.size
    assert meanings[:5] == ["<bos>", "<think>", "<answer>", "observation 0", "observation 1"]
    assert meanings[run.vocabulary.blocks["answer"].start + 2] == "answer 2"


def test_an_empty_folder_is_filled_and_any_other_is_left_unchanged(tmp_path):
    run, target = untrained(tmp_path), tmp_path / "gpt2"
    target.mkdir()
    export_gpt2(run, target)
    before = {file: file.read_bytes() for file in target.iterdir()}
    for taken in (target, target / "config.json"):
        with pytest.raises(ValueError, match=f"{taken} must be new or an empty folder; name another, or delete it"):
            export_gpt2(run, taken)
    assert {file: file.read_bytes() for file in target.iterdir()} == before


def test_a_failed_export_leaves_nothing(tmp_path, monkeypatch):
    def full(*_, **__):
        raise OSError("disk full")

    run, target = untrained(tmp_path), tmp_path / "exports" / "gpt2"
    monkeypatch.setattr("safetensors.torch.save", full)
    with pytest.raises(OSError, match="disk full"):
        export_gpt2(run, target)
    assert list(target.parent.iterdir()) == []


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model": ModelSpec()}, "got model.positions=alibi model.coupled=true"),
        ({"condition": "gru", "model": ModelSpec(architecture="gru")}, "export needs a transformer .got gru."),
        ({"task": small_net_task(), "condition": "full_windows"}, "windows of a net have none"),
    ],
)
def test_a_run_that_is_no_gpt2_is_an_error_that_says_what_to_train(tmp_path, changes, message):
    run = untrained(tmp_path, **changes)
    with pytest.raises(ValueError, match=f"{message}.* with model.positions=learned model.coupled=false$"):
        export_gpt2(run, tmp_path / "gpt2")
    assert not (tmp_path / "gpt2").exists()


def test_a_stand_in_for_a_model_cannot_be_exported(tmp_path):
    run = replace(untrained(tmp_path), model=Recurrent(PLAIN, 40))
    with pytest.raises(ValueError, match="export needs a transformer .got Recurrent."):
        export_gpt2(run, tmp_path / "gpt2")
