"""Runs in the formats of other tools."""

import json
from pathlib import Path
from tempfile import TemporaryDirectory

import safetensors.torch

from unamortized.language.vocabulary import MARKS
from unamortized.learning.runs import Run
from unamortized.models.gpt2 import PLAIN, gpt2_config, gpt2_weights
from unamortized.models.transformer import Transformer
from unamortized.worlds.net_tasks import NetTask


def export_gpt2(run: Run, folder: str | Path) -> None:
    """Write a run's model as a GPT-2, for whatever opens one: transformers, TransformerLens.

    The folder then holds ``config.json``, ``model.safetensors`` and, for people, ``vocabulary.json``, a list of what
    each token id stands for: block of the vocabulary and place in it.

    Args:
        run: a run whose model counts its tokens plainly: ``model.positions=learned model.coupled=false``.
        folder: a new or empty folder; written whole or not at all.

    Raises:
        ValueError: if no GPT-2 computes what the run's model does, or if something is in the folder already.
    """
    target = Path(folder).resolve()
    if isinstance(run.spec.task, NetTask):
        raise ValueError(
            f"windows of a net have no positions, which a GPT-2 needs: train on another task, with {PLAIN}"
        )
    vocabulary = run.vocabulary
    config = gpt2_config(run.spec.model, vocabulary.size)
    if not isinstance(run.model, Transformer):
        raise ValueError(f"only a transformer can be exported, and the run's model is a {type(run.model).__name__}")
    if target.exists() and not (target.is_dir() and not any(target.iterdir())):
        raise ValueError(f"{folder} is there already, and not empty: name another folder, or delete it")
    kinds = map(vocabulary.kind, range(vocabulary.size))
    meanings = [MARKS[place] if block == "mark" else f"{block} {place}" for block, place in kinds]
    target.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=target.parent, prefix=f".{target.name}.") as beside:
        unfinished = Path(beside) / target.name
        unfinished.mkdir()
        (unfinished / "config.json").write_text(json.dumps(config, indent=1) + "\n")
        (unfinished / "vocabulary.json").write_text(json.dumps(meanings, indent=1) + "\n")
        weights = safetensors.torch.save(gpt2_weights(run.model), metadata={"format": "pt"})
        (unfinished / "model.safetensors").write_bytes(weights)
        unfinished.replace(target)
