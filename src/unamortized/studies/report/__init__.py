"""Report: one page that shows every study of a preset, self-contained and alike on every run."""

import base64
import json
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from unamortized.evaluation.metrics import METRICS
from unamortized.learning.conditions import CONDITIONS, resolve_condition
from unamortized.learning.runs import write_text

PATTERNS = ("dial_0.5", "dial_0_told")  # one of each kind that has no line of its own
BESIDE = {  # what stands under its own name in the condition column, without being a way of learning
    "prior": "the start belief moved on by the process, with no observation used",
    "window_8": "exact inference from the last eight observations alone",
    "particle_64": "a bootstrap particle filter with 64 particles",
    "trained_bayes": "exact inference under the parameters of training, where the tests have others",
    "codebook_floor": "the answer that the code of the exact last belief implies",
    "codebook_recursive": "exact inference that rounds each belief to its code before it reads the next observation",
    "<condition>_mean_4, _mean_16": "the answers after so many sampled traces, averaged",
    "marginal": "the distribution of the variable asked about, whatever is known of others",
    "exact_scaffolded": "the path between two variables walked with exact conditionals, averaged over few samples",
    "<condition>/direct": "the variable asked about, at once after the known one",
    "<condition>/scaffolded": "the same after samples of the variables on the path between them, averaged",
    "<condition>/negative_scaffold": "the same after samples of as many variables that are not on the path",
    "<condition>/free": "the same after samples of whichever variables the model chooses to write first",
    "<condition>/untrained": "the same of the network before training",
    "<condition>/shuffled_belief": "the probe fitted on beliefs shuffled among problems within each step",
    "<condition>/window_10": "the probe on the last ten observations, without a network",
    "<condition>/wrong_counterfactual": "causal reliance fitted on the counterfactual of another problem",
    "reader_<rho>": "exact Bayes that answers rho from its trace and 1 - rho from the question, without a network",
    "<condition>/random_patch": "as large a change of the activation in a random direction, as activations vary",
    "<condition>/other_trace": "another problem's trace in the place of the reworded one",
    "<condition>/known_by_then": "the exact expectation of the last belief, given what was observed up to the step",
    "<condition>/after_<steps>": "the model as it was after so many steps of training",
    "<condition>/exchanged_codes": "the codes of other problems at the same step, judged as if written here",
    "<condition>/codes_only": "a trace that fetches, judged without a look at what was fetched",
    "<condition>@<scheme>_<ids>": "the condition under another position scheme, with coupled or plain position ids",
}


def write_report(folder: Path) -> Path:
    """Write ``report.html`` into the folder of a preset, from its studies' claims and figures.

    Args:
        folder: ``results/<preset>``; a study in it has ``claims.json`` and ``metrics.csv``.

    Returns:
        The page's path.

    Raises:
        ValueError: if the folder holds no study.
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
    environment.filters |= {"number": number, "interval": interval, "span": span}
    page = environment.get_template("report.html.j2").render(
        studies=studies,
        preset=studies[0]["preset"],
        metrics=METRICS,
        conditions=[*CONDITIONS.values(), *map(resolve_condition, PATTERNS)],
        beside=BESIDE,
    )
    write_text(folder / "report.html", page)
    return folder / "report.html"


def _study(folder: Path) -> dict[str, Any]:
    """What ``claims.json`` says, with verdicts counted and figures as base64: captioned first, then the others."""
    record = json.loads((folder / "claims.json").read_text())
    files = {file.stem: file for file in sorted((folder / "figures").glob("*.png"))}
    captions = {figure["name"]: figure["caption"] for figure in record["figures"]}
    shown = [name for name in captions if name in files] + [name for name in files if name not in captions]
    verdicts = [claim["verdict"] for claim in record["claims"]]
    return record | {
        "folder": folder.name,
        "verdicts": {verdict: verdicts.count(verdict) for verdict in ("supported", "refuted", "inconclusive")},
        "figures": [
            {
                "name": name,
                "caption": captions.get(name, ""),
                "png": base64.b64encode(files[name].read_bytes()).decode(),
            }
            for name in shown
        ],
    }


def number(value: float | None) -> str:
    """A number to three significant digits; a dash where there is none."""
    return "–" if value is None else f"{value:.3g}".replace("-", "−")


def interval(bounds: list[float] | None) -> str:
    """An interval as it is printed; nothing where there is none."""
    return "" if bounds is None else f"[{number(bounds[0])}, {number(bounds[1])}]"


def span(bounds: list[float | None] | None) -> str:
    """Where a quantity lies if the hypothesis holds, in signs."""
    low, high = bounds or (None, None)
    if low is None:
        return "–" if high is None else f"≤ {number(high)}"
    return f"≥ {number(low)}" if high is None else f"{number(low)} to {number(high)}"


__all__ = ["write_report"]
