"""The report shows every claim and figure of a preset, and nothing in it can break out of the page."""

import base64
import json
from html.parser import HTMLParser

import pytest

from unamortized.evaluation.baselines import baselines
from unamortized.evaluation.metrics import METRICS
from unamortized.learning.conditions import CONDITIONS
from unamortized.studies.report import BESIDE, interval, number, span, write_report
from unamortized.worlds.task_files import load_task

PIXEL = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)


def claim(name: str, verdict: str, **changes) -> dict:
    written = {
        "name": name,
        "says": f"{name} says so",
        "task": "noisy_permutation",
        "estimate": 0.0712,
        "interval": [0.05, 0.09],
        "unit": "nats",
        "range": [None, 0.1],
        "seeds": 3,
        "verdict": verdict,
        "control": {"says": "nothing else", "estimate": -2.5, "interval": [-3.0, -2.0], "range": [-4, None]},
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
            claim("second", "refuted", description="<script>alert(1)</script> & more"),
            claim("third", "inconclusive", estimate=None, interval=None, control=None),
        ],
        "figures": [{"name": "kl_by_length", "caption": 'a "caption" & <more>'}, {"name": "gone", "caption": "lost"}],
    }
    study = tmp_path / "quick" / "compare"
    (study / "figures").mkdir(parents=True)
    (study / "claims.json").write_text(json.dumps(record))
    (study / "metrics.csv").write_text("task\n")
    (study / "figures" / "kl_by_length.png").write_bytes(PIXEL)
    (study / "figures" / "another.png").write_bytes(PIXEL)
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


def test_every_claim_is_there_with_its_verdict_estimate_and_control(page):
    assert not page.open
    for text in ("first says so", "0.0712", "[0.05, 0.09]", "≤ 0.1", "−2.5", "[−3, −2]", "≥ −4"):
        assert text in page.text, text
    for verdict in ("supported", "refuted", "inconclusive"):
        assert verdict in page.text
        assert f"1 {verdict}" in page.text


def test_text_is_escaped(preset, page):
    text = (preset / "report.html").read_text()
    assert "script" not in page.tags
    assert "em" not in page.tags
    assert "&lt;script&gt;alert(1)&lt;/script&gt; &amp; more" in text
    assert "Does it <em>really</em>?" in page.text


def test_figures_are_inside_the_page_captioned_ones_first(page):
    whole = f"data:image/png;base64,{base64.b64encode(PIXEL).decode()}"
    assert page.images == [whole, whole]  # a figure without a file is left out
    assert page.text.index("kl_by_length.") < page.text.index("another.")
    assert 'a "caption" & <more>' in page.text


def test_page_needs_nothing_from_elsewhere(preset, page):
    assert not any("//" in link for link in page.links)
    files = [link for link in page.links if not link.startswith("#")]
    assert files
    assert all((preset / link).exists() for link in files)


def test_glossary_names_every_metric_condition_and_baseline(page):
    for name in [*METRICS, *CONDITIONS, *baselines(load_task("mess3"), seed=0)]:
        assert name in page.text, name
    assert METRICS["answer_kl"].formula in page.text
    assert CONDITIONS["cot"].description in page.text
    assert set(BESIDE) <= set(page.text)


def test_report_is_byte_identical_on_re_runs_and_leaves_nothing_else(preset):
    before = write_report(preset).read_bytes()
    assert write_report(preset).read_bytes() == before
    assert sorted(file.name for file in preset.iterdir()) == ["compare", "report.html", "unfinished"]


def test_each_study_has_its_section(preset):
    record = json.loads((preset / "compare" / "claims.json").read_text())
    other = preset / "a_second"
    other.mkdir()
    (other / "claims.json").write_text(json.dumps(record | {"study": "a_second", "claims": [], "figures": []}))
    (other / "metrics.csv").write_text("task\n")
    page = Page(write_report(preset).read_text())
    assert page.tags.count("section") == 3  # two studies and the glossary
    assert {"#compare", "#a_second", "#glossary"} <= set(page.links)


def test_a_folder_without_a_study_says_what_is_missing(tmp_path):
    with pytest.raises(ValueError, match="claims.json"):
        write_report(tmp_path)


def test_numbers_are_short_and_absent_ones_a_dash():
    assert [number(value) for value in (None, 0.0712345, -1234.5, 0.0)] == ["–", "0.0712", "−1.23e+03", "0"]
    assert (interval(None), interval([-1.0, 2.0])) == ("", "[−1, 2]")
    ranges = (None, [None, None], [None, 1], [2, None], [0, 1])
    assert [span(bounds) for bounds in ranges] == ["–", "–", "≤ 1", "≥ 2", "0 to 1"]


def test_overrides_are_told(preset):
    study = next(preset.glob("*/claims.json"))
    record = json.loads(study.read_text())
    assert "Not the preset as it is" not in write_report(preset).read_text()
    study.write_text(json.dumps(record | {"overrides": ["train.steps=<2>"]}))
    assert "run with <code>train.steps=&lt;2&gt;</code>" in write_report(preset).read_text()


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
