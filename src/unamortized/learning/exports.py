"""Export runs in the formats of other tools."""

import json
from pathlib import Path
from tempfile import TemporaryDirectory

import safetensors.torch

from unamortized.language.vocabulary import MARKS
from unamortized.learning.specification import Run
from unamortized.models.gpt2 import PLAIN, gpt2_config, gpt2_weights
from unamortized.models.transformer import Transformer
from unamortized.worlds.net_tasks import NetTask


def export_gpt2(run: Run, folder: str | Path) -> None:
    """Write a run's model as a GPT-2, which transformers and TransformerLens open.

    The folder, new or empty, then has ``config.json``, ``model.safetensors`` and, for readers, ``vocabulary.json``, the
    block and index of each token id. It is written whole or not at all.

    Raises:
        ValueError: if no GPT-2 computes what the run's model does, or the folder is not empty.
    """
    target = Path(folder).resolve()
    if isinstance(run.spec.task, NetTask):
        raise ValueError(f"export needs positions, and windows of a net have none; train on another task, with {PLAIN}")
    vocabulary = run.vocabulary
    config = gpt2_config(run.spec.model, vocabulary.size)
    if not isinstance(run.model, Transformer):
        raise ValueError(f"export needs a transformer (got {type(run.model).__name__})")
    if target.exists() and not (target.is_dir() and not any(target.iterdir())):
        raise ValueError(f"{folder} must be new or an empty folder; name another, or delete it")
    kinds = map(vocabulary.kind, range(vocabulary.size))
    meanings = [MARKS[index] if block == "mark" else f"{block} {index}" for block, index in kinds]
    target.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=target.parent, prefix=f".{target.name}.") as temporary:
        unfinished = Path(temporary) / target.name
        unfinished.mkdir()
        (unfinished / "config.json").write_text(json.dumps(config, indent=1) + "\n")
        (unfinished / "vocabulary.json").write_text(json.dumps(meanings, indent=1) + "\n")
        weights = safetensors.torch.save(gpt2_weights(run.model), metadata={"format": "pt"})
        (unfinished / "model.safetensors").write_bytes(weights)
        unfinished.replace(target)
