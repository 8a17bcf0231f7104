"""From finished runs to a study's output: its tables, its figures and its claims, each written whole."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from unamortized.evaluation.evaluate import Evaluation, collect
from unamortized.learning.runs import write_text
from unamortized.studies.claims import judge_all, to_json, to_markdown
from unamortized.studies.figures import FIGURES, Tables, save
from unamortized.studies.figures.captions import CAPTIONS
from unamortized.studies.study import Study

Measured = Sequence[tuple[Path, Sequence[Evaluation]]]  # folders, and what was measured in each


def write_output(study: Study, preset: str, measured: Measured, folder: Path) -> dict[str, Any]:
    """Write ``metrics.csv``, ``examples.csv``, the figures and ``claims.json``; returns what the last says."""
    for gives in ("metrics", "examples"):
        write_text(folder / f"{gives}.csv", collect(measured, gives))
    return redraw(study, preset, folder)


def read_metrics(file: Path) -> pd.DataFrame:
    """A table of metrics with its types."""
    strings = dict.fromkeys(("task", "condition", "split", "layer", "metric", "unit"), "string")
    return pd.read_csv(file, dtype={**strings, "n_steps": "Int64", "step": "Int64"})


def read_preset(folder: Path) -> str | None:
    """The preset that a study's output was made by, or nothing where it has no claims yet."""
    file = folder / "claims.json"
    return json.loads(file.read_text())["preset"] if file.is_file() else None


def redraw(study: Study, preset: str, folder: Path) -> dict[str, Any]:
    """Figures and claims from a study's tables alone."""
    tables = Tables(read_metrics(folder / "metrics.csv"), pd.read_csv(folder / "examples.csv"))
    drawn = []
    for name in study.figures:
        drawing = FIGURES[name](tables)
        if drawing is not None:
            save(drawing, folder / "figures", name)
            drawn.append({"name": name, "caption": CAPTIONS[name]})
    record = {
        "study": study.name,
        "question": study.question,
        "preset": preset,
        "claims": judge_all(study.claims, tables.metrics),
        "figures": drawn,
    }
    write_text(folder / "claims.json", to_json(record))
    write_text(folder / "claims.md", to_markdown(record["claims"]))
    return record
