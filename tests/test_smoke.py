"""The whole way of the data, from task files to the report, in one process and without a network."""

import html
import json
from pathlib import Path

import pandas as pd
import pytest

from unamortized.cli import app, guarded
from unamortized.evaluation.examples import EXAMPLE_COLUMNS
from unamortized.evaluation.metrics import METRICS
from unamortized.evaluation.rows import COLUMNS
from unamortized.studies.claims import World
from unamortized.studies.compare import COMPARE
from unamortized.studies.figures.losses import TRAINING_LOSS

TOP = Path(__file__).parents[1]
CONDITIONS = {"amortized", "amortized_dense", "cot", "gru"}
RUNS = 6  # of a seed: two of the conditions have a second budget
BASELINES = {"prior", "window_8", "particle_64", "codebook_floor", "codebook_recursive"}
LEFT_OUT = {"belief_simplex", "labels_and_writing"}  # figures of what smoke leaves out
FIGURES = {figure.name for figure in (*COMPARE.figures, TRAINING_LOSS)} - LEFT_OUT
SPLITS = {"train", "in_distribution", "length", "parameters", "start", "rare", "composition"}


def compare(results, *more):
    """Run the smoke preset; returns the exit status."""
    arguments = ["compare", "--preset", "smoke", "--workers", "1", "--results", str(results), *more]
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(TOP)  # where tasks/ is
        return guarded(lambda: app(arguments))


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """A results folder in which the smoke preset was run."""
    folder = tmp_path_factory.mktemp("results")
    assert compare(folder) == 0
    return folder


@pytest.fixture(scope="module")
def output(results):
    return results / "smoke" / "compare"


@pytest.fixture(scope="module")
def metrics(output):
    return pd.read_csv(output / "metrics.csv", dtype={"layer": str})


def test_metrics_are_the_tidy_table_of_the_contract(metrics):
    assert tuple(metrics.columns) == COLUMNS
    contract = "task,world,condition,variant,control,seed,split,n_steps,site,layer,step,metric,value,count,unit,run"
    assert ",".join(COLUMNS) == contract
    assert set(metrics["split"]) <= SPLITS
    assert set(metrics["seed"]) == {0, 1}
    assert all(METRICS[metric].unit == unit for metric, unit in zip(metrics["metric"], metrics["unit"], strict=True))
    assert (metrics["count"] >= 0).all()
    assert not metrics.duplicated([column for column in COLUMNS if column not in ("value", "count")]).any()


def test_every_condition_and_baseline_is_measured_at_every_length_for_every_seed(metrics):
    answers = metrics[metrics["metric"] == "answer_kl"]
    assert set(answers["condition"]) == CONDITIONS | BASELINES
    assert set(answers["n_steps"]) == {4, 8, 16, 32, 64}
    assert len(answers) == (len(BASELINES) + RUNS) * 5 * 2
    assert answers["value"].between(-1e-9, 20).all()
    assert set(metrics["metric"]) <= set(METRICS)  # other studies have metrics of their own


def test_every_claim_has_an_estimate_and_a_verdict(output):
    record = json.loads((output / "claims.json").read_text(), parse_constant=pytest.fail)
    assert (record["study"], record["preset"], record["overrides"]) == ("compare", "smoke", [])
    assert all((output.parents[1] / "runs" / run / "run.json").is_file() for run in record["runs"])
    assert len(set(record["runs"])) == RUNS * 2
    noisy = World("noisy_permutation")
    wanted = [claim.name for claim in COMPARE.claims if claim.worlds is None or noisy in claim.worlds]
    assert [claim["name"] for claim in record["claims"]] == wanted
    for claim in record["claims"]:
        measured_whole = all(each["seeds"] == 2 for each in (claim, claim["control"]))
        assert measured_whole == (claim["verdict"] != "not measured")
        for measured in (claim, claim["control"]) if measured_whole else ():
            assert measured["seeds"] == 2
            assert measured["interval"][0] <= measured["estimate"] <= measured["interval"][1]
    unmeasured = [claim["name"] for claim in record["claims"] if claim["verdict"] == "not measured"]
    assert len(unmeasured) == 6  # those about budgets or depth that only larger presets have
    assert {figure["name"] for figure in record["figures"]} == FIGURES


def test_every_figure_is_a_picture_for_the_screen_and_one_for_print(output):
    files = {file.name for file in (output / "figures").iterdir()}
    assert files == {f"{name}.{kind}" for name in FIGURES for kind in ("png", "svg")}


def test_examples_are_told_by_the_first_seed(output):
    examples = pd.read_csv(output / "examples.csv.gz")
    assert tuple(examples.columns) == EXAMPLE_COLUMNS
    assert set(examples["condition"]) == CONDITIONS
    assert set(examples["seed"]) == {0}


def test_the_report_is_one_page_that_names_no_machine(results):
    page = html.unescape((results / "smoke" / "report.html").read_text())
    assert COMPARE.claims[0].statement in page
    assert str(results) not in page
    assert str(TOP) not in page
    assert 'src="http' not in page


def test_a_second_time_nothing_is_done_but_drawing(results, output, capsys):
    files = sorted(file for file in results.rglob("*") if file.is_file() and file.suffix != ".lock")
    before = {file: file.read_bytes() for file in files}
    trained = {file: file.stat().st_mtime_ns for file in (results / "runs").rglob("*") if file.suffix != ".lock"}
    capsys.readouterr()
    assert compare(results) == 0
    said = capsys.readouterr().out
    assert "14 of 14 jobs are done already." in said
    assert "[1/" not in said
    for file, bytes_before in before.items():
        assert file.read_bytes() == bytes_before, f"{file.relative_to(results)} changed"
    assert trained == {file: file.stat().st_mtime_ns for file in trained}


def test_in_another_folder_the_same_numbers_come_out_byte_for_byte(output, tmp_path):
    assert compare(tmp_path, "--seeds", "1") == 0  # one seed of the two, to be quick
    again = tmp_path / "smoke" / "compare"
    header, *lines = (output / "metrics.csv").read_text().splitlines(keepends=True)
    of_first_seed = [line for line in lines if line.split(",")[COLUMNS.index("seed")] == "0"]
    assert (again / "metrics.csv").read_text() == header + "".join(of_first_seed)
    assert (again / "examples.csv.gz").read_bytes() == (output / "examples.csv.gz").read_bytes()
