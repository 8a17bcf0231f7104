"""From finished runs to a study's output: its tables, its figures and its claims, each written whole."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pandas as pd

from unamortized.evaluation.evaluate import Measured, collect
from unamortized.evaluation.examples import EXAMPLE_COLUMNS
from unamortized.evaluation.rows import COLUMNS, TEXT, WHOLE
from unamortized.learning.runs import write_text
from unamortized.studies.claims import judge_all, to_json, to_markdown
from unamortized.studies.figures import FIGURES, Tables, save
from unamortized.studies.figures.captions import CAPTIONS
from unamortized.studies.study import Study


def write_output(study: Study, made_by: dict[str, Any], measured: Sequence[Measured], folder: Path) -> dict[str, Any]:
    """Write ``metrics.csv``, ``examples.csv``, the figures and ``claims.json``; returns what the last says."""
    write_text(folder / "metrics.csv", collect(measured, "metrics") or ",".join(COLUMNS) + "\n")
    write_text(folder / "examples.csv", collect(measured, "examples") or ",".join(EXAMPLE_COLUMNS) + "\n")
    return redraw(study, made_by, folder)


def read_metrics(file: Path) -> pd.DataFrame:
    """A table of metrics with its types; text that does not apply is empty, never missing.

    Raises:
        ValueError: if it cannot be read, or lacks a column.
    """
    table = _read_table(file, COLUMNS, dict.fromkeys(TEXT, "string") | dict.fromkeys(WHOLE, "Int64"))
    return table.fillna(dict.fromkeys(TEXT, ""))


def _read_table(file: Path, columns: Sequence[str], types: dict[str, str] | None = None) -> pd.DataFrame:
    try:
        table = pd.read_csv(file, dtype=types)
    except (OSError, ValueError) as error:  # pandas' own errors are ValueErrors
        raise ValueError(f"{file}: cannot be read ({error}); run the study again to write it anew") from None
    if missing := [column for column in columns if column not in table]:
        raise ValueError(f"{file}: lacks the columns {', '.join(missing)}; run the study again to write it anew")
    return table


def read_made_by(folder: Path, preset: str) -> dict[str, Any]:
    """What made a study's output, as its claims say; they may be missing, the preset then is that of its folder.

    Raises:
        ValueError: if ``claims.json`` cannot be read.
    """
    file = folder / "claims.json"
    try:
        record = json.loads(file.read_text()) if file.is_file() else {}
    except json.JSONDecodeError as error:
        raise ValueError(f"{file}:{error.lineno}: not valid JSON; delete it, it is written anew") from None
    return {"preset": preset, "overrides": [], "runs": []} | {
        key: record[key] for key in ("preset", "overrides", "runs") if key in record
    }


def redraw(study: Study, made_by: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Figures and claims from a study's tables alone.

    Args:
        study: the study.
        made_by: the preset, overrides and run hashes that made the tables, repeated in ``claims.json``.
        folder: where the tables are.
    """
    metrics = read_metrics(folder / "metrics.csv")
    tables = Tables(metrics, _read_table(folder / "examples.csv", EXAMPLE_COLUMNS))
    drawn = []
    for name in study.figures:
        drawing = FIGURES[name](tables)
        if drawing is not None:
            save(drawing, folder / "figures", name)
            drawn.append({"name": name, "caption": CAPTIONS[name]})
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
