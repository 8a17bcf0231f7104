"""What README says is what the code has and what the reference results hold."""

import json
import re
from pathlib import Path

import pytest

from unamortized.evaluation.metrics import METRICS
from unamortized.learning.conditions import CONDITIONS
from unamortized.studies import STUDIES
from unamortized.studies.claims import judge_all, to_markdown
from unamortized.studies.output import read_metrics
from unamortized.worlds.processes import FAMILIES

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
REFERENCE = ROOT / "results" / "reference" / "compare"


def test_table_of_claims_is_that_of_the_reference_results():
    block = re.search(r"<!-- claims -->\n(.*)<!-- /claims -->", README, re.S)
    assert block is not None
    assert block[1] == to_markdown(json.loads((REFERENCE / "claims.json").read_text())["claims"])


@pytest.mark.parametrize("folder", sorted(REFERENCE.parent.iterdir()), ids=lambda folder: folder.name)
def test_reference_results_are_judged_as_the_claims_stand(folder):
    judged = judge_all(STUDIES[folder.name].claims, read_metrics(folder / "metrics.csv"))
    assert to_markdown(judged) == (folder / "claims.md").read_text()


def test_every_study_has_reference_results_and_is_named_where_studies_are_asked_for():
    assert {folder.name for folder in REFERENCE.parent.iterdir()} == set(STUDIES)
    asked_for = (ROOT / "src" / "unamortized" / "cli.py").read_text()
    help_text = re.search(r'"The study: (.*)\."', asked_for)
    assert help_text is not None
    assert re.findall(r"\w+", help_text[1].replace(" or ", " ")) == list(STUDIES)
    assert [name for name in STUDIES if f"| `{name}` |" not in README] == []


def test_every_condition_is_explained():
    explained = README + "cot_every_4" if "cot_every_<k>" in README else README
    assert [name for name in CONDITIONS if name not in explained] == []


def test_every_metric_is_explained():
    assert [name for name in METRICS if f"`{name}`" not in README] == []


def test_every_task_is_explained():
    assert [file.stem for file in (ROOT / "tasks").glob("*.yaml") if f"`{file.stem}`" not in README] == []


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md"])
def test_links_lead_somewhere(page):
    links = re.findall(r"\]\(([^)#:\s]+)\)", (ROOT / page).read_text())
    assert [link for link in links if not (ROOT / link).exists()] == []


def test_families_are_listed_in_the_changelog():
    changelog = (ROOT / "CHANGELOG.md").read_text()
    unlisted = [name for name in FAMILIES if f"`{name}`" not in changelog and name != "matrices"]
    assert unlisted == []
    assert "arbitrary matrices" in changelog


def test_reference_figures_are_complete():
    drawn = json.loads((REFERENCE / "claims.json").read_text())["figures"]
    missing = [
        f"{figure['name']}{suffix}"
        for figure in drawn
        for suffix in (".png", ".svg")
        if not (REFERENCE / "figures" / f"{figure['name']}{suffix}").is_file()
    ]
    assert missing == []
