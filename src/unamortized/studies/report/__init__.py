"""Report: one self-contained page with every study of a preset; a re-run writes the same bytes."""

import base64
import json
from pathlib import Path
from typing import Any

import pandas as pd
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from unamortized.evaluation.glossary import BASELINES, SITES, VARIANTS, control_described
from unamortized.evaluation.metrics import METRICS
from unamortized.labels import display, place, stem, words
from unamortized.learning.conditions import resolve_condition
from unamortized.learning.runs import write_text
from unamortized.studies.claims import VERDICTS, p_value, qualified

RAISED = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
Terms = dict[str, str]  # name -> a sentence about it


def write_report(folder: Path) -> Path:
    """Write ``report.html`` into the folder of a preset, from its studies' claims, figures and tables.

    Args:
        folder: ``results/<preset>``; a study in it has ``claims.json`` and ``metrics.csv``.

    Returns:
        The page's path.

    Raises:
        ValueError: if the folder holds no study, or one of its files cannot be read.
    """
    found = sorted(file.parent for file in folder.glob("*/claims.json") if (file.parent / "metrics.csv").exists())
    if not found:
        raise ValueError(f"no study in {folder}: it needs <study>/claims.json and <study>/metrics.csv")
    studies = [_study(study) for study in found]
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {"number": number, "interval": interval, "span": span, "slug": slug}
    environment.filters |= {"qualified": qualified, "p_value": p_value}
    page = environment.get_template("report.html.j2").render(
        studies=studies,
        preset=studies[0]["preset"],
        metrics=METRICS,
        glossary=glossary([study / "metrics.csv" for study in found]),
        place=place,
    )
    write_text(folder / "report.html", page)
    return folder / "report.html"


def _study(folder: Path) -> dict[str, Any]:
    """Read ``claims.json``, count its verdicts, and add the figures as base64."""
    record = json.loads((folder / "claims.json").read_text(encoding="utf-8"))
    if any("p_holm" not in claim for claim in record["claims"]):
        raise ValueError(
            f"{folder / 'claims.json'}: was written by an older version; `unamortized report --preset "
            f"{folder.parent.name}` writes the claims of every study anew"
        )
    verdicts = [claim["verdict"] for claim in record["claims"]]
    figures = [
        figure | {"png": base64.b64encode(file.read_bytes()).decode()}
        for figure in record["figures"]
        if (file := folder / "figures" / f"{figure['name']}.png").is_file()
    ]
    return record | {
        "folder": folder.name,
        "verdicts": {verdict: verdicts.count(verdict) for verdict in VERDICTS},
        "figures": figures,
    }


def glossary(tables: list[Path]) -> dict[str, Terms]:
    """Return the conditions, baselines, variants, controls, sites and metrics that tables name, each explained."""
    columns = ["condition", "variant", "control", "site", "metric"]
    named = pd.concat([pd.read_csv(file, dtype=str, keep_default_na=False, usecols=columns) for file in tables])
    used = {column: [value for value in dict.fromkeys(named[column]) if value] for column in columns}
    baselines = [name for name in used["condition"] if stem(name) in BASELINES]
    of_variants = dict.fromkeys(word for name in used["variant"] for word in words(name))
    return {
        "Conditions": {
            name: f"{display(name)}: {resolve_condition(name).description}"
            for name in used["condition"]
            if name not in baselines
        },
        "Baselines": {name: f"{display(name)}: {BASELINES[stem(name)]}" for name in baselines},
        "Variants": {word: VARIANTS[word] for word in of_variants if word in VARIANTS}
        | {name: VARIANTS[name] for name in used["variant"] if name in VARIANTS},
        "Controls": {name: control_described(name) for name in used["control"]},
        "Sites": {name: SITES[name] for name in used["site"]},
        "Metrics": {name: METRICS[name].description for name in used["metric"]},
    }


def number(value: float | None) -> str:
    """Return a number with three significant digits, or a dash where there is none."""
    if value is None:
        return "–"
    digits, _, power = f"{value:.3g}".replace("-", "−").partition("e")
    return f"{digits}·10{str(int(power.replace('−', '-'))).translate(RAISED)}" if power else digits


def interval(bounds: list[float] | None) -> str:
    """Return an interval in brackets, or nothing where there is none."""
    return "" if bounds is None else f"[{number(bounds[0])}, {number(bounds[1])}]"


def span(bounds: list[float | None] | None) -> str:
    """Return the range of a claim, written with ≤ and ≥."""
    low, high = bounds or (None, None)
    if low is None:
        return "–" if high is None else f"≤ {number(high)}"
    return f"≥ {number(low)}" if high is None else f"{number(low)} to {number(high)}"


def slug(verdict: str) -> str:
    """Return the CSS class of a verdict."""
    return verdict.replace(" ", "-")


__all__ = ["write_report"]
