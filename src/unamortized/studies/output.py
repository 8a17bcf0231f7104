"""From finished runs to a study's output: its tables, its figures and its claims, each written whole."""

import gzip
import json
import zlib
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from unamortized.evaluation.evaluate import Measured, collect
from unamortized.evaluation.examples import EXAMPLE_COLUMNS, EXAMPLE_TEXT
from unamortized.evaluation.glossary import is_described
from unamortized.evaluation.metrics import METRICS
from unamortized.evaluation.rows import COLUMNS, TEXT, WHOLE
from unamortized.learning.runs import write_bytes, write_text
from unamortized.studies.claims import judge_all, to_json, to_markdown
from unamortized.studies.figures.charts import runs_of
from unamortized.studies.figures.drawing import draw
from unamortized.studies.figures.losses import training_loss
from unamortized.studies.figures.style import Tables, save
from unamortized.studies.study import Study

EXAMPLES = "examples.csv.gz"  # single problems, compressed as they are many numbers that tell a picture


def write_output(study: Study, made_by: dict[str, Any], measured: Sequence[Measured], folder: Path) -> dict[str, Any]:
    """Write ``metrics.csv``, ``examples.csv.gz``, the figures and ``claims.json``; return what the last holds."""
    write_text(folder / "metrics.csv", collect(measured, "metrics") or ",".join(COLUMNS) + "\n")
    examples = collect(measured, "examples") or ",".join(EXAMPLE_COLUMNS) + "\n"
    write_bytes(folder / EXAMPLES, gzip.compress(examples.encode(), mtime=0))  # no date: the same bytes on every run
    return redraw(study, made_by, folder)


def read_metrics(file: Path) -> pd.DataFrame:
    """Read a table of metrics (see ``read_table``).

    Raises:
        ValueError: if a row is not whole, or its metric or control has no description.
    """
    table = read_table(file, COLUMNS, TEXT, WHOLE)
    cut = table[["seed", "count"]].isna().any(axis=1) | (table["unit"] == "")
    described = [name for name in table["control"].unique() if is_described(name)]
    undescribed = ~table["metric"].isin(METRICS) | ~table["control"].isin(described)
    for wrong, what in ((cut, "is not whole"), (undescribed, "has a metric or control without a description")):
        if wrong.any():
            line = int(np.flatnonzero(wrong)[0]) + 2
            raise ValueError(f"{file}:{line}: {what}; run the study again to write the table anew")
    return table


def read_table(file: Path, columns: Sequence[str], text: Sequence[str], whole: Sequence[str] = ()) -> pd.DataFrame:
    """Read a table with its types; text that does not apply is empty, never missing.

    Raises:
        ValueError: if the file cannot be read, or lacks a column.
    """
    types: dict[Any, Any] = dict.fromkeys(text, "string") | dict.fromkeys(whole, "Int64")
    try:
        table = pd.read_csv(file, dtype=types)
    except (OSError, EOFError, ValueError, zlib.error) as error:  # pandas' own errors are ValueErrors
        raise ValueError(f"{file}: cannot be read ({error}); run the study again to write it anew") from None
    if missing := [column for column in columns if column not in table]:
        raise ValueError(f"{file}: lacks the columns {', '.join(missing)}; run the study again to write it anew")
    return table.fillna(dict.fromkeys(text, ""))


def read_made_by(folder: Path, preset: str) -> dict[str, Any]:
    """Return what made a study's output, as ``claims.json`` says; without it, the preset alone.

    Raises:
        ValueError: if ``claims.json`` cannot be read.
    """
    file, kinds = folder / "claims.json", {"preset": str, "overrides": list, "runs": list, "format": int}
    try:
        record = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
    except ValueError as error:
        raise ValueError(f"{file}: not valid JSON ({error}); delete it, it is written anew") from None
    known = record if isinstance(record, dict) else {"preset": None}
    made_by = {key: known.get(key, {str: preset, list: [], int: 1}[kind]) for key, kind in kinds.items()}
    if wrong := [key for key, kind in kinds.items() if not isinstance(made_by[key], kind)]:
        kind = {str: "text", list: "a list", int: "a number"}[kinds[wrong[0]]]
        raise ValueError(f"{file}: {wrong[0]}: must be {kind}; delete the file, it is written anew")
    return made_by


def redraw(study: Study, made_by: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Draw figures and judge claims from a study's tables alone; return the record written to ``claims.json``.

    ``made_by`` are the preset, overrides, run hashes and run format that made the tables.
    """
    tables = Tables(
        read_metrics(folder / "metrics.csv"),
        read_table(folder / EXAMPLES, EXAMPLE_COLUMNS, (*EXAMPLE_TEXT, "task", "condition", "source")),
    )
    drawn = []
    for figure in (*study.figures, training_loss(tables.metrics)):
        drawing = draw(figure, tables)
        if drawing is not None:
            save(drawing, folder / "figures", figure.name)
            drawn.append({"name": figure.name, "caption": figure.caption, "runs": runs_of(figure, tables)})
    record = {
        "study": study.name,
        "question": study.question,
        **made_by,
        "claims": judge_all(study.claims, tables.metrics),
        "figures": drawn,
        "measures": [asdict(measure) for measure in study.measures],
    }
    write_text(folder / "claims.json", to_json(record))
    write_text(folder / "claims.md", to_markdown(record["claims"]))
    return record
