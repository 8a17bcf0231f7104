"""nnsight, transformers and TransformerLens read the same logits and activations, by the lines of their page.

They run in a fresh interpreter, because nnsight adds a method to every object.
"""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import safetensors.torch
import torch

from unamortized import engine
from unamortized.cli import app, guarded
from unamortized.learning.runs import load_run, new_model, run_folder, save_model, write_record

TOP = Path(__file__).parents[1]
SECTION = (TOP / "docs" / "other-tools.md").read_text()
BLOCKS = re.findall(r"^```(python|)\n(.*?)^```", SECTION, re.M | re.S)
COMMANDS = [line for kind, text in BLOCKS if not kind for line in text.splitlines()]
TOOLS = dict(zip(("nnsight", "transformers", "lens"), [text for kind, text in BLOCKS if kind], strict=True))
ONWARDS = """
with net.trace(tokens, positions, taps=["blocks.1.attn.hook_pattern"]):
    net.blocks[0].output = net.blocks[0].output * 2
    output = net.output.save()
logits, pattern = output.logits, output.taps["blocks.1.attn.hook_pattern"]
"""
READ = """
import runpy, sys
from pathlib import Path

import tests.conftest  # one thread, and no network
import safetensors.torch
from torch import Tensor
from unamortized import load_run

tensors = safetensors.torch.load_file("tokens.safetensors")
run, found = load_run(sys.argv[1]), {}
for file in map(Path, sys.argv[2:]):
    names = runpy.run_path(str(file), {"run": run, **tensors})
    named = {**names, **names.get("cache", {})}
    found |= {f"{file.stem} {name}": each for name, each in named.items() if isinstance(each, Tensor)}
found = {name: each.detach().cpu().clone().contiguous() for name, each in found.items()}
safetensors.torch.save_file(found, "found.safetensors")
"""


@pytest.fixture(scope="module")
def seen(tmp_path_factory):
    """The model of the page's command with random weights, its input, and the tensors that the tools read."""
    place, planned = tmp_path_factory.mktemp("interop"), []

    def random_runs(specs, *_):
        planned.extend(specs)
        return []

    def command(line: str) -> int:
        return guarded(lambda: app(shlex.split(line)[1:]))

    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(TOP)  # the folder with tasks/
        patch.setattr(engine, "run_specs", random_runs)
        assert command(COMMANDS[0]) == 0
        (spec,) = planned
        model, folder = new_model(spec), run_folder(spec, Path("results"))
        for parameter in model.parameters():  # away from the initial weights, so that every path matters
            parameter.data += torch.randn_like(parameter) * 0.1
        patch.chdir(place)
        save_model(spec, model, folder)
        write_record(spec, folder, finished=True)
        assert command(COMMANDS[1].replace("<hash>", folder.name)) == 0
    run = load_run(place / folder)
    inputs = {"tokens": torch.randint(run.vocabulary.size, (3, 9)), "positions": torch.arange(9)[None]}
    safetensors.torch.save_file(inputs, place / "tokens.safetensors")
    lines = TOOLS | {"onwards": TOOLS["nnsight"] + ONWARDS}
    (place / "lines").mkdir()  # a transformers.py beside the script would hide the package
    for name, text in lines.items():
        (place / "lines" / f"{name}.py").write_text(text)
    arguments = [sys.executable, "-W", "error", "-c", READ, folder, *(f"lines/{name}.py" for name in lines)]
    environment = os.environ | {"PYTHONPATH": str(TOP)}
    finished = subprocess.run(arguments, cwd=place, env=environment, capture_output=True, text=True)
    assert finished.returncode == 0, finished.stderr
    return run.model, *inputs.values(), safetensors.torch.load_file(place / "found.safetensors")


def close(one: torch.Tensor, other: torch.Tensor) -> None:
    torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-5)


def zero_last(stream: torch.Tensor) -> torch.Tensor:
    stream = stream.clone()
    stream[:, -1] = 0
    return stream


@torch.no_grad()
def test_nnsight_reads_and_patches_a_model(seen):
    model, tokens, positions, found = seen
    taps = ["blocks.1.hook_resid_post", "blocks.1.attn.hook_pattern"]
    patched = model(tokens, positions, taps=taps, patches={"blocks.0.hook_resid_post": zero_last})
    close(found["nnsight stream"], patched.taps[taps[0]])
    doubled = model(tokens, positions, taps=taps, patches={"blocks.0.hook_resid_post": lambda own: 2 * own})
    close(found["onwards logits"], doubled.logits)
    close(found["onwards pattern"], doubled.taps[taps[1]])
    plain = model(tokens, positions, taps=taps)
    assert (plain.taps[taps[0]] - patched.taps[taps[0]]).abs().max() > 0.1
    assert (plain.logits - doubled.logits).abs().max() > 0.1


@pytest.mark.parametrize("tool", ["transformers", "lens"])
@torch.no_grad()
def test_an_exported_model_has_our_logits(seen, tool):
    model, tokens, positions, found = seen
    logits = model(tokens, positions).logits
    assert logits.std() > 0.5
    torch.testing.assert_close(found[f"{tool} logits"], logits, atol=1e-5, rtol=0)


@torch.no_grad()
def test_transformer_lens_gives_the_same_activations_under_the_same_names(seen):
    model, tokens, positions, found = seen
    theirs = {name.removeprefix("lens "): each for name, each in found.items() if name.startswith("lens ")}
    # the two that differ in TransformerLens 4
    theirs["hook_embed"] = theirs["hook_embed"] + theirs["hook_pos_embed"]
    theirs["ln_final.hook_normalized"] = theirs["ln_final.hook_out"]
    for name, ours in model(tokens, positions, taps=model.tap_names()).taps.items():
        past = ours.isfinite()  # scores of later tokens are -inf
        assert past.all() or name.endswith("hook_attn_scores")
        assert theirs[name].shape == ours.shape, name
        close(theirs[name][past], ours[past])
