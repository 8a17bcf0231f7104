"""README and docs say what the code has and what the reference results hold, and their links lead somewhere."""

import json
import re
from pathlib import Path

import pandas as pd
import pytest
import yaml

from unamortized import __version__
from unamortized.documentation import TABLES, render, short
from unamortized.evaluation.glossary import BASELINES, SITES, VARIANTS, control_described
from unamortized.evaluation.metrics import METRICS
from unamortized.labels import numbers, stem
from unamortized.learning.conditions import CONDITIONS, resolve_condition
from unamortized.studies import STUDIES
from unamortized.studies.claims import judge_all, to_markdown
from unamortized.studies.figures.losses import TRAINING_LOSS
from unamortized.studies.output import read_metrics
from unamortized.worlds.processes import FAMILIES

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
PAGES = [README, ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md"))]
REFERENCE = ROOT / "results" / "reference"
MOST_BYTES = 24 * 10**6


def read(page):
    return page.read_text(encoding="utf-8")


# ── pages ────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_tables_and_numbers_are_those_of_the_code_and_the_reference_results(page):
    assert render(read(page)) == read(page), "run `make docs`"


def test_a_stale_table_or_number_is_written_anew():
    stale = "<!-- table: sites -->\nold\n<!-- /table --> <!-- n: compare cot_does_not_drift -->9<!-- /n -->"
    fresh = render(stale)
    assert TABLES["sites"]() in fresh
    assert "old" not in fresh
    assert ">9<" not in fresh
    assert render(fresh) == fresh


def test_a_page_may_name_the_verdict_of_a_claim():
    claims = json.loads((REFERENCE / "compare" / "claims.json").read_text())["claims"]
    verdict = next(claim["verdict"] for claim in claims if claim["name"] == "cot_does_not_drift")
    marked = "<!-- n: compare cot_does_not_drift verdict -->refuted or not<!-- /n -->"
    assert render(marked) == f"<!-- n: compare cot_does_not_drift verdict -->{verdict}<!-- /n -->"


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (0.99712, "0.997"),
        (1.0, "1"),
        (0.953, "0.95"),
        (-0.0002, "−0.0002"),
        (12.34, "12"),
        (0.0312, "0.031"),
        (0.0, "0.0000"),
    ],
)
def test_numbers_have_two_or_three_digits(value, shown):
    assert short(value) == shown


@pytest.mark.parametrize(
    "page",
    [
        "<!-- table: none -->\n<!-- /table -->",
        "<!-- n: compare nothing --><!-- /n -->",
        # a task alone does not name the claim of a world that a study made of it: nothing else is meant
        "<!-- n: geometry the_belief_is_read_better_than_from_any_baseline mess3 --><!-- /n --> none",
    ],
)
def test_a_page_that_names_what_there_is_not_is_an_error(page):
    with pytest.raises(ValueError, match="none|nothing|must name one claim"):
        render(page)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page):
    for link in re.findall(r"\]\(([^)\s]+)\)", read(page)):
        target, _, anchor = link.partition("#")
        if ":" in target:
            continue
        file = page if not target else page.parent / target
        assert file.exists(), link
        if anchor:
            assert anchor in {slug(heading) for heading in re.findall(r"^#+ (.*)$", read(file), re.M)}, link


def slug(heading):
    """The anchor that GitHub gives a heading."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def test_every_page_of_docs_is_linked_from_the_readme():
    assert [page.name for page in PAGES if page.parent.name == "docs" and f"docs/{page.name}" not in read(README)] == []


def test_the_readme_can_be_read_in_one_sitting():
    prose = re.sub(r"<!--.*?-->", "", read(README))
    assert 900 <= len(prose.split()) <= 1300


def test_every_study_has_a_line_and_a_picture_in_the_readme():
    lines = {line.split("|")[1].strip(" `"): line for line in read(README).splitlines() if line.startswith("| `")}
    assert set(STUDIES) <= set(lines)
    assert [name for name in STUDIES if f"results/reference/{name}/figures/" not in lines[name]] == []


@pytest.mark.parametrize(
    "page, names",
    [
        ("conditions", CONDITIONS),
        ("metrics", METRICS),
        ("tasks", [file.stem for file in (ROOT / "tasks").glob("*.yaml")]),
    ],
)
def test_every_name_has_a_row_of_its_own(page, names):
    rows = re.findall(r"^\| `([^`]+)` \|", read(ROOT / "docs" / f"{page}.md"), re.M)
    assert set(names) - set(rows) == set()


def test_families_are_listed_in_the_changelog():
    changelog = read(ROOT / "CHANGELOG.md")
    assert [name for name in FAMILIES if f"`{name}`" not in changelog and name != "matrices"] == []
    assert "arbitrary matrices" in changelog


def test_the_citation_is_of_this_version():
    citation = yaml.safe_load(read(ROOT / "CITATION.cff"))
    assert citation["version"] == __version__
    assert citation["title"].startswith("unamortized")


# ── reference results ────────────────────────────────────────────────────────────────────────────

FOLDERS = sorted(file.parent for file in REFERENCE.glob("*/metrics.csv"))


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_reference_results_are_judged_as_the_claims_stand(folder):
    judged = judge_all(STUDIES[folder.name].claims, read_metrics(folder / "metrics.csv"))
    assert to_markdown(judged) == read(folder / "claims.md")


def test_every_study_has_reference_results():
    assert {folder.name for folder in FOLDERS} == set(STUDIES)


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_everything_that_a_reference_table_names_is_explained(folder):
    columns = ["condition", "variant", "control", "site", "metric"]
    table = pd.read_csv(folder / "metrics.csv", dtype=str, keep_default_na=False, usecols=columns)
    for condition in table["condition"].unique():
        assert stem(condition) in BASELINES or resolve_condition(condition).description
    for control in set(table["control"]) - {""}:
        assert control_described(control)
    for variant in set(table["variant"]) - {""}:
        words = {*numbers(variant), *stem(variant).split("_")} - {""}
        assert variant in VARIANTS or words <= set(VARIANTS), variant
    assert set(table["site"]) - {""} <= set(SITES)
    assert set(table["metric"]) <= set(METRICS)


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_every_figure_of_a_study_is_among_its_reference_results(folder):
    drawn = {figure["name"] for figure in json.loads(read(folder / "claims.json"))["figures"]}
    assert drawn - {TRAINING_LOSS.name} == {figure.name for figure in STUDIES[folder.name].figures}
    assert {file.stem for file in (folder / "figures").glob("*.png")} == drawn


def test_reference_results_stay_small():
    kept = [file for file in REFERENCE.rglob("*.*") if file.suffix not in (".svg", ".html")]  # git ignores these
    assert sum(file.stat().st_size for file in kept) <= MOST_BYTES
