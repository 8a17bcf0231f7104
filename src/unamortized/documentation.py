"""Documentation: fills tables and numbers of the Markdown pages from the code and the reference results.

``make docs`` updates the pages. A page holds a table between ``<!-- table: NAME -->`` and ``<!-- /table -->``, and a
claim's number between ``<!-- n: STUDY CLAIM -->`` and ``<!-- /n -->``. If the claim is judged in several worlds, write
the task after it, and the world after the task. The last words may be ``control``, for the claim's control, and
``value``, for the estimate without its interval.
"""

import json
import re
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from unamortized.evaluation.glossary import BASELINES, CONTROLS, SITES, VARIANTS
from unamortized.evaluation.metrics import METRICS
from unamortized.labels import display
from unamortized.learning.conditions import CONDITIONS, resolve_condition
from unamortized.learning.runs import write_text
from unamortized.studies.claims import VERDICTS, qualified
from unamortized.studies.figures.charts import with_column
from unamortized.studies.figures.training import NAMES, named_training
from unamortized.studies.output import read_metrics

ROOT = Path(__file__).parents[2]
REFERENCE = ROOT / "results" / "reference"
NUMBERED = ("dial_0.5", "dial_0.5_told")  # one of each kind of condition that carries a number
BLOCK = re.compile(r"(<!-- table: ([a-z_]+) -->\n).*?(<!-- /table -->)", re.S)
NUMBER = re.compile(r"(<!-- n: ([^>]+) -->).*?(<!-- /n -->)", re.S)


def render(page: str) -> str:
    """Return a page with its tables and numbers updated.

    Raises:
        ValueError: if the page names an unknown table, or a number that is not that of exactly one claim.
    """
    page = BLOCK.sub(lambda found: found[1] + _table_named(found[2]) + found[3], page)
    return NUMBER.sub(lambda found: found[1] + _number(found[2]) + found[3], page)


def _table_named(name: str) -> str:
    if name not in TABLES:
        raise ValueError(f"table: no table named '{name}'; use one of {', '.join(TABLES)}")
    return TABLES[name]()


def _table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [f"| {' | '.join(headings)} |", f"|{'---|' * len(headings)}"]
    return "\n".join([*lines, *(f"| {' | '.join(row)} |" for row in rows)]) + "\n"


def _code(text: str) -> str:
    return f"`{text.replace('|', chr(92) + '|')}`"


def metrics_table() -> str:
    """Return every metric with unit, meaning, formula and source."""
    rows = (
        (
            _code(metric.name),
            metric.unit,
            metric.description + (f" ({metric.source})" if metric.source else ""),
            _code(metric.formula),
            metric.step,
        )
        for metric in METRICS.values()
    )
    return _table(("metric", "unit", "what it says", "formula", "`step` counts"), rows)


def conditions_table() -> str:
    """Return every way of learning, with its display name."""
    conditions = [*CONDITIONS.values(), *map(resolve_condition, NUMBERED)]
    rows = ((_code(each.name), display(each.name), each.description) for each in conditions)
    return _table(("condition", "in figures", "what it learns"), rows)


def terms_table(terms: dict[str, str]) -> Callable[[], str]:
    """Return the function that writes a table of terms, with a sentence for each."""
    return lambda: _table(("name", "what it is"), ((_code(name), text) for name, text in terms.items()))


def tasks_table() -> str:
    """Return every task file, with the first sentence of its comment."""
    rows = []
    for file in sorted((ROOT / "tasks").glob("*.yaml")):
        lines = [line for line in file.read_text(encoding="utf-8").split("\n\n")[0].splitlines() if line[:1] == "#"]
        text = " ".join(line.lstrip("# ").rstrip() for line in lines)
        rows.append((_code(file.stem), re.split(r"(?<=[.]) ", text)[0]))
    return _table(("task", "world"), rows)


def claims_table() -> str:
    """Return the number of claims of each study by verdict, with links to the claims."""
    rows = []
    for name, record in _records().items():
        verdicts = [claim["verdict"] for claim in record["claims"]]
        decided = [claim for claim in record["claims"] if claim["verdict"] in ("supported", "refuted")]
        stand = [claim for claim in decided if claim["p_holm"] <= 0.05]
        counts = [str(verdicts.count(verdict)) for verdict in VERDICTS] + [str(len(stand))]
        made_as = str(record.get("format", 1))
        rows.append((f"[{name}](../results/reference/{name}/claims.md)", record["question"], made_as, *counts))
    headings = ("study", "question", "run format", *VERDICTS, "stand after Holm")
    return _table(headings, rows)


def _records() -> dict[str, Any]:
    files = sorted(REFERENCE.glob("*/claims.json"))
    return {file.parent.name: json.loads(file.read_text(encoding="utf-8")) for file in files}


def _number(key: str) -> str:
    """Return the estimate of a claim of the reference results with its interval, or its verdict."""
    study, name, *more = key.split()
    where = [word for word in more if word not in ("control", "value", "verdict")]
    file = REFERENCE / study / "claims.json"
    claims = json.loads(file.read_text(encoding="utf-8"))["claims"] if file.is_file() else []
    named = [claim for claim in claims if claim["name"] == name]
    if where:
        named = [claim for claim in named if [claim["task"], claim["world"]] == [*where, ""][:2]]
    if len(named) != 1:
        form = "STUDY CLAIM TASK WORLD control value, or verdict in place of the last two"
        raise ValueError(f"{key}: must name one claim (got {len(named)}); write {form}")
    if "verdict" in more:
        return qualified(named[0])
    entry = named[0]["control"] if "control" in more else named[0]
    unit = "" if entry["unit"] in ("ratio", "fraction") else f" {entry['unit']}"
    interval = "" if "value" in more else " ({} to {})".format(*map(short, entry["interval"]))
    return short(entry["estimate"]) + unit + interval


def short(value: float) -> str:
    """Return a number with two or three digits, never in powers of ten; just below 1 it is not rounded to 1."""
    digits = ".4f" if abs(value) < 0.001 else ".3f" if 0.99 < abs(value) < 1 else ".2g" if abs(value) < 10 else ".0f"
    text = format(value, digits)
    return text.replace("-", "−")


def worked_problem() -> str:
    """Return one problem of noisy_permutation: observations, exact beliefs, beliefs that CoT states, and answers."""
    examples = pd.read_csv(REFERENCE / "compare" / "examples.csv.gz", keep_default_na=False, dtype={"layer": str})
    own = examples[(examples["task"] == "noisy_permutation") & (examples["problem"] == 0) & (examples["variant"] == "")]
    cot = own[own["condition"] == "cot"]

    def beliefs(source: str, rows: pd.DataFrame = cot) -> pd.DataFrame:
        found = rows[rows["source"] == source]
        return found.pivot_table(index="step", columns="state", values="value", fill_value=0.0)

    def written(belief: Any) -> str:
        return " ".join(f"{value:.2f}".removeprefix("0") if value < 0.995 else "1" for value in belief)

    exact, stated = beliefs("exact"), beliefs("stated")
    observed = cot[cot["source"] == "observation"].set_index("step")["value"]
    last = int(observed.index.max())
    rows = [
        (f"{step}", f"{observed[step]:g}", _code(written(exact.loc[step])), _code(written(stated.loc[step])))
        for step in (1, 2, 3, last - 1, last)
    ]
    rows.insert(3, ("…", "…", "…", "…"))
    steps = _table(("step", "observation", "exact belief over five states", "CoT writes"), rows)
    answers = [("exact answer", beliefs("exact_answer"))]
    answered_by = [name for name in ("cot", "amortized_dense", "amortized") if (own["condition"] == name).any()]
    answers += [(display(name), beliefs("answer", own[own["condition"] == name])) for name in answered_by]
    answered = _table(("", "answer"), ((name, _code(written(found.iloc[-1]))) for name, found in answers))
    return f"{steps}\n{answered}"


def training_table() -> str:
    """Return the KL that each way of training reaches, from the study of training."""
    metrics = read_metrics(REFERENCE / "training" / "metrics.csv")
    rows = named_training(metrics[(metrics["metric"] == "answer_kl") & (metrics["variant"] != "")])
    rows = with_column(rows, "place")
    cells = []
    for (where, learner, training), own in rows.groupby(["place", "learner", "training"], sort=False):
        reached = [own.loc[own["n_steps"].eq(n).fillna(False), "value"] for n in (4, 8, 16)]
        cells.append(
            (str(where), str(learner), NAMES[str(training)], *(short(float(values.mean())) for values in reached))
        )
    return _table(("world", "condition", "training", "KL at n = 4", "n = 8", "n = 16"), cells)


TABLES: dict[str, Callable[[], str]] = {
    "metrics": metrics_table,
    "conditions": conditions_table,
    "tasks": tasks_table,
    "claims": claims_table,
    "baselines": terms_table(BASELINES),
    "controls": terms_table(CONTROLS),
    "sites": terms_table(SITES),
    "variants": terms_table(VARIANTS),
    "worked_problem": worked_problem,
    "training": training_table,
}


def main(files: Sequence[str]) -> None:
    """Update the tables and numbers of pages in place."""
    for file in map(Path, files):
        page = file.read_text(encoding="utf-8")
        if (rendered := render(page)) != page:
            write_text(file, rendered)
            print(f"Written: {file}")


if __name__ == "__main__":
    main(sys.argv[1:])
