"""The report shows every claim and figure of a preset, and nothing in it can break out of the page."""

import base64
import json
from html.parser import HTMLParser

import pytest

from unamortized.evaluation.metrics import METRICS
from unamortized.studies.report import glossary, interval, number, span, write_report

PIXEL = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)


TABLE = """condition,variant,control,site,metric
prior,,,,answer_kl
window_8,,,,answer_kl
cot,l2_after_128,,,answer_kl
dial_0.5,,wrong_counterfactual,,causal_reliance
cot,,untrained+wrong_process,question,probe_r2
local_windows,free,,,conditional_mse
"""


def claim(name: str, verdict: str, **changes) -> dict:
    written = {
        "name": name,
        "statement": f"{name} says so",
        "task": "noisy_permutation",
        "world": "slip_0.1",
        "estimate": 0.0712,
        "interval": [0.05, 0.09],
        "unit": "nats",
        "range": [None, 0.1],
        "seeds": 3,
        "ceiling": 0.9,
        "verdict": verdict,
        "seeds_seen": 0,
        "exploratory": False,
        "p": 0.004,
        "p_holm": 0.03,
        "control": {
            "description": "nothing else",
            "estimate": -2.5,
            "interval": [-3.0, -2.0],
            "range": [-4, None],
            "unit": "bits",
            "seeds": 2,
            "ceiling": None,
        },
        "runs": ["0123456789abcdef"],
    }
    return written | changes


@pytest.fixture
def preset(tmp_path):
    """The output of one study in ``quick``, beside folders that are none."""
    record = {
        "study": "compare",
        "question": "Does it <em>really</em>?",
        "preset": "quick",
        "claims": [
            claim("first", "supported"),
            claim("second", "refuted", exploratory=True, statement="<script>alert(1)</script> & more"),
            claim("third", "not measured", estimate=None, interval=None, seeds=0, ceiling=None, p=None, p_holm=None),
        ],
        "figures": [
            {"name": "kl_by_length", "caption": 'a "caption" & <more>', "runs": ["fedcba9876543210"]},
            {"name": "gone", "caption": "lost", "runs": []},
        ],
    }
    study = tmp_path / "quick" / "compare"
    (study / "figures").mkdir(parents=True)
    (study / "claims.json").write_text(json.dumps(record))
    (study / "metrics.csv").write_text(TABLE)
    (study / "figures" / "kl_by_length.png").write_bytes(PIXEL)
    (study / "figures" / "another.png").write_bytes(PIXEL)  # of no figure of the study
    (tmp_path / "quick" / "unfinished").mkdir()
    return tmp_path / "quick"


class Page(HTMLParser):
    """Tags that are open, and what was seen."""

    VOID = ("meta", "img", "link", "br")

    def __init__(self, text: str):
        super().__init__()
        self.open, self.tags, self.links, self.images, self.text = [], [], [], [], []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        values = dict(attrs)
        self.links += [values["href"]] if "href" in values else []
        self.images += [values["src"]] if tag == "img" else []
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data.strip())


@pytest.fixture
def page(preset):
    file = write_report(preset)
    assert file == preset / "report.html"
    return Page(file.read_text())


def test_every_claim_is_there_with_its_verdict_estimate_control_and_runs(page):
    assert not page.open
    text = " ".join(" ".join(page.text).split())
    for part in (
        "first says so",
        "0.0712 nats [0.05, 0.09] over 3 seeds, all at the ceiling of 0.9; wanted ≤ 0.1",
        "p 0.004 (0.03)",
        "noisy permutation (slip 0.1)",
    ):
        assert part in text, part
    assert "Control: nothing else: −2.5 bits [−3, −2] over 2 seeds; wanted ≥ −4" in text
    for verdict in ("supported", "refuted, exploratory", "not measured"):
        assert page.text.count(verdict) == 1
        assert f"1 {verdict.split(',')[0]}" in page.text
    assert page.text.count("0123456789abcdef") == 3  # a claim each
    assert page.text.count("fedcba9876543210") == 1  # the figure's


def test_text_is_escaped(preset, page):
    text = (preset / "report.html").read_text()
    assert "script" not in page.tags
    assert "em" not in page.tags
    assert "&lt;script&gt;alert(1)&lt;/script&gt; &amp; more" in text
    assert "Does it <em>really</em>?" in page.text


def test_figures_are_inside_the_page_before_the_claims(preset, page):
    assert page.images == [f"data:image/png;base64,{base64.b64encode(PIXEL).decode()}"]  # others lack file or line
    assert 'a "caption" & <more>' in page.text
    text = (preset / "report.html").read_text()
    assert text.index("<figure") < text.index(">Claims<")


def test_page_needs_nothing_from_elsewhere(preset, page):
    assert not any("//" in link for link in page.links)
    files = [link for link in page.links if not link.startswith("#")]
    assert files
    assert all((preset / link).exists() for link in files)


def test_the_glossary_explains_what_the_tables_name_and_nothing_else(preset, page):
    found = glossary([preset / "compare" / "metrics.csv"])
    assert {heading: list(terms) for heading, terms in found.items()} == {
        "Conditions": ["cot", "dial_0.5", "local_windows"],
        "Baselines": ["prior", "window_8"],
        "Variants": ["l", "after", "free"],
        "Controls": ["wrong_counterfactual", "untrained+wrong_process"],
        "Sites": ["question"],
        "Metrics": ["answer_kl", "causal_reliance", "probe_r2", "conditional_mse"],
    }
    for terms in found.values():
        for name, text in terms.items():
            assert name in page.text
            assert text in page.text
    assert METRICS["answer_kl"].formula in page.text
    assert "steered_kl" not in page.text


def test_captions_of_a_brief_preset_say_that_they_are_of_the_full_one(preset):
    file = preset / "compare" / "claims.json"
    assert "Captions describe the full preset" in write_report(preset).read_text()
    file.write_text(json.dumps(json.loads(file.read_text()) | {"preset": "full"}))
    assert "Captions describe" not in write_report(preset).read_text()


def test_report_is_byte_identical_on_re_runs_and_leaves_nothing_else(preset):
    before = write_report(preset).read_bytes()
    assert write_report(preset).read_bytes() == before
    assert sorted(file.name for file in preset.iterdir()) == ["compare", "report.html", "unfinished"]


def test_each_study_has_its_section(preset):
    record = json.loads((preset / "compare" / "claims.json").read_text())
    other = preset / "a_second"
    other.mkdir()
    (other / "claims.json").write_text(json.dumps(record | {"study": "a_second", "claims": [], "figures": []}))
    (other / "metrics.csv").write_text(TABLE)
    page = Page(write_report(preset).read_text())
    assert page.tags.count("section") == 3  # two studies and the glossary
    assert {"#compare", "#a_second", "#glossary"} <= set(page.links)


def test_a_folder_without_a_study_says_what_is_missing(tmp_path):
    with pytest.raises(ValueError, match="claims.json"):
        write_report(tmp_path)


def test_numbers_are_short_and_absent_ones_a_dash():
    assert [number(value) for value in (None, 0.0712345, -1234.5, 0.0)] == ["–", "0.0712", "−1.23·10³", "0"]
    assert (interval(None), interval([-1.0, 2.0])) == ("", "[−1, 2]")
    ranges = (None, [None, None], [None, 1], [2, None], [0, 1])
    assert [span(bounds) for bounds in ranges] == ["–", "–", "≤ 1", "≥ 2", "0 to 1"]


def test_overrides_are_told(preset):
    study = next(preset.glob("*/claims.json"))
    record = json.loads(study.read_text())
    assert "The preset was changed" not in write_report(preset).read_text()
    study.write_text(json.dumps(record | {"overrides": ["train.steps=<2>"]}))
    assert "The preset was changed: <code>train.steps=&lt;2&gt;</code>" in write_report(preset).read_text()


def test_measures_are_explained_with_their_formulas_where_a_study_has_any(preset):
    file = preset / "compare" / "claims.json"
    write_report(preset)
    assert "What is measured" not in (preset / "report.html").read_text()
    asked = {
        "name": "Reliance",
        "asks": "Does it <b>follow</b>?",
        "published": "Somebody 2023",
        "metrics": ["answer_kl"],
    }
    file.write_text(json.dumps(json.loads(file.read_text()) | {"measures": [asked]}))
    write_report(preset)
    page = (preset / "report.html").read_text()
    assert "Does it &lt;b&gt;follow&lt;/b&gt;?" in page
    assert "(Somebody 2023)" in page
    assert f"answer_kl = {METRICS['answer_kl'].formula}" in page


def test_claims_of_an_older_version_are_named_with_what_writes_them_anew(preset):
    file = preset / "compare" / "claims.json"
    record = json.loads(file.read_text())
    del record["claims"][0]["p_holm"]
    file.write_text(json.dumps(record))
    with pytest.raises(
        ValueError, match=r"compare/claims.json: was written by an older version; .*report --preset quick"
    ):
        write_report(preset)
