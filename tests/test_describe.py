"""`unamortized describe` prints the numbers of a process, for each kind of task, and writes its pictures."""

import io
import re
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from tests.small_tasks import small_task
from unamortized.cli import app, guarded
from unamortized.describe import describe
from unamortized.worlds.tasks import Task

TOP = Path(__file__).parents[1]
WRITTEN = {"process.png", "process.svg", "mixed_states.png", "mixed_states.svg"}


@pytest.fixture
def no_pictures(monkeypatch):
    """Skip the pictures, which take most of the time."""
    monkeypatch.setattr("unamortized.describe.save", lambda figure, folder, name: None)


def printed(task: Task, folder: Path, depth: int = 4) -> str:
    console = Console(width=200, file=io.StringIO())
    with console.capture() as captured:
        for part in describe(task, depth, folder):
            console.print(part)
    return captured.get()


def small(**changes) -> Task:
    return small_task(**({"steps": {"train": [2, 4], "test": [2, 5]}} | changes))


def row(text: str, title: str, first: str) -> list[float]:
    """Return the numbers of the row that starts with `first` in the panel with a title."""
    panel = text[text.index(title) :]
    (line,) = re.findall(rf"^│ +{re.escape(first)} +(.*)│$", panel, re.M)[:1]
    return [float(number) for number in re.findall(r"\d+\.?\d*(?:e-\d+)?", line)]


def test_a_finite_process_is_described_exactly(tmp_path):
    text = printed(small(process={"family": "zero_one_random", "p": 0.5}), tmp_path)
    assert "0.2310 nats per symbol, exact (7 mixed states)" in text
    assert "never mixes: it has period 3; within a phase, less than one step" in text
    assert "finite: some words make the belief forget the start at once" in text
    # next symbol, start known, belief, certainty, mixed states, left out
    assert row(text, "after n symbols", "0") == [0.6931, 0.231, 1.0986, 0, 1, 0]
    assert row(text, "after n symbols", "2") == [0.4621, 0.2310, 0.2310, 0.6667, 4, 0]
    assert row(text, "after n symbols", "3") == [0.2310, 0.2310, 0, 1, 3, 0]
    chance, optimal, *_ = row(text, "cost of questions with n symbols", "5")
    assert (chance, optimal) == (1.0986, 0)
    assert {file.name for file in tmp_path.iterdir()} == WRITTEN


def test_the_entropy_rate_of_a_fractal_is_bounded_and_sampled(tmp_path, no_pictures):
    text = printed(small(process={"family": "mess3"}), tmp_path, depth=5)
    assert re.search(r"0\.793\d nats per symbol, proven within ± \S+; sampled: 0\.79\d\d ± 0\.000\d", text)
    assert "6.153 steps per factor e, without observations" in text
    assert row(text, "after n symbols", "1")[:2] == [0.8577, 0.7692]


def test_a_group_never_forgets_and_is_always_certain(tmp_path, no_pictures):
    process = {"family": "group_word", "group": "S3"}
    text = printed(small(process=process, codebook={"resolution": 1}), tmp_path)
    assert "1.7918 nats per symbol, exact (1 mixed state)" in text
    assert "infinite: no observation makes the belief forget" in text
    assert row(text, "after n symbols", "4") == [1.7918, 1.7918, 0, 1, 6, 0]
    chance, optimal, gained, floor, *_ = row(text, "cost of questions with n symbols", "5")
    assert (chance, optimal, gained, floor) == (1.7918, 0, 1.7918, 0)


def test_a_generalized_process_has_vectors_instead_of_beliefs(tmp_path):
    text = printed(small(process={"family": "tom_quantum"}, query="predict 1"), tmp_path)
    assert "generalized: predictive vectors instead of states" in text
    assert re.search(r"at most 1\.3\d+ nats per symbol, proven; sampled: 1\.36\d+ ± \S+ \(standard error\)", text)
    for heading in ("given start", "P(certain)"):
        assert heading not in text
        assert heading in printed(small(), tmp_path)
    assert {file.name for file in tmp_path.iterdir()} == WRITTEN


def test_a_process_per_problem_is_described_by_its_mean(tmp_path, no_pictures):
    text = printed(small(process={"family": "in_context", "states": 3, "symbols": 2}), tmp_path)
    assert "each problem has its own transitions; the numbers below describe their mean" in text
    chance, optimal, gained, *_ = row(text.replace("±", ""), "cost of questions with n symbols", "5")
    assert chance > optimal > 0


@pytest.mark.parametrize("start", ["known", "belief"])
def test_beliefs_start_as_in_the_task(tmp_path, no_pictures, start):
    text = printed(small(start=start), tmp_path)
    belief, certain = row(text, "after n symbols", "0")[2:4]
    if start == "known":
        assert (belief, certain) == (0, 1)
    else:  # 3 of the 15 points of the lattice are certain
        assert certain == 0.2
        assert 0 < belief < np.log(3)


def test_smoothing_has_no_codebook_floor(tmp_path, no_pictures):
    text = printed(small(query="smooth 0"), tmp_path)
    assert "m = 2" not in text
    assert "m = 2" in printed(small(), tmp_path)


def test_finer_codes_have_a_lower_floor(tmp_path, no_pictures):
    text = printed(small(codebook={"resolution": 2}), tmp_path)
    numbers = row(text.replace("±", ""), "cost of questions with n symbols", "5")
    coarse, own, fine = numbers[-3:]
    assert coarse > own > fine >= 0


def test_the_gain_is_the_difference_of_chance_and_optimum(tmp_path, no_pictures):
    numbers = row(printed(small(), tmp_path), "cost of questions with n symbols", "5")
    chance, optimal, _, gained = numbers[:4]  # with the interval of the optimum between
    assert abs(chance - optimal - gained) < 2e-4


# ── the command ──────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def command(capsys, monkeypatch):
    monkeypatch.chdir(TOP)
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setenv("TERM", "dumb")

    def run(*arguments):
        status = guarded(lambda: app([str(each) for each in arguments], prog_name="unamortized"))
        captured = capsys.readouterr()
        return status, captured.out, captured.err

    return run


def test_the_command_follows_overrides_and_repeats_its_output(command, tmp_path):
    few = ("steps.train=[2, 3]", "steps.test=[3]", "process.p=0.25", "--depth", "3")
    runs = [command("describe", "zero_one_random", *few, "--out", tmp_path / name) for name in ("one", "two")]
    (status, out, err), (_, again, _) = runs
    assert (status, err) == (0, "")
    assert out.replace("/one/", "/two/") == again
    assert "0.1874 nats per symbol, exact" in out
    assert f"{tmp_path}/one/process.png" in out
    assert {file.name for file in (tmp_path / "one").iterdir()} == WRITTEN
    for name in WRITTEN:
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


def test_pictures_go_to_the_folder_of_the_task(command, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    file = TOP / "tasks" / "zero_one_random.yaml"
    few = ("steps.train=[2, 3]", "steps.test=[3]", "--depth", "2")
    assert command("describe", file, *few)[0] == 0
    assert {each.name for each in (tmp_path / "results" / "describe" / "zero_one_random").iterdir()} == WRITTEN


def test_the_command_has_help_and_a_make_target(command):
    status, out, _ = command("describe", "--help")
    assert status == 0
    assert all(option in out for option in ("--depth", "--out"))
    assert "$(RUN) describe $(ONE_TASK) $(OVERRIDES)" in (TOP / "Makefile").read_text()
