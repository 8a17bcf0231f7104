"""The command line does what it says, and says what to write instead."""

import gzip
from pathlib import Path

import pytest

from unamortized.cli import INTERRUPTED, app, expand_grid, guarded, main
from unamortized.evaluation.examples import EXAMPLE_COLUMNS
from unamortized.evaluation.rows import COLUMNS
from unamortized.studies import STUDIES
from unamortized.worlds.task_files import load_task

TOP = Path(__file__).parents[1]
NETS = ("local_chain",)
TASKS = sorted({file.stem for file in (TOP / "tasks").glob("*.yaml")} - {*NETS})
WHOLE_ROW = ",".join(COLUMNS) + "\nmess3,,cot,,{1},0,length,4,,,,{0},1.0,9,nats,abc\n"
COMMANDS = ("train", "compare", "study", "evaluate", "report", "preview", "describe", "export")


pytestmark = pytest.mark.usefixtures("at_the_top")


@pytest.fixture(autouse=True)
def _wide_plain_terminal(monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setenv("TERM", "dumb")


@pytest.fixture
def command(capsys):
    """Run a command; returns its exit status, what it printed, and its complaint."""

    def run(*arguments):
        status = guarded(lambda: app([str(each) for each in arguments], prog_name="unamortized"))
        captured = capsys.readouterr()
        return status, captured.out, captured.err

    return run


# ── help ─────────────────────────────────────────────────────────────────────────────────────────


def test_help_lists_every_command(command):
    status, out, _ = command("--help")
    assert status == 0
    assert all(name in out for name in COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help(command, name):
    status, out, _ = command(name, "--help")
    assert status == 0
    assert f"Usage: unamortized {name}" in out


@pytest.mark.parametrize("name", ["train", "compare", "study"])
def test_help_shows_how_much_can_be_chosen(command, name):
    _, out, _ = command(name, "--help")
    assert all(option in out for option in ("--preset", "--seeds", "--workers", "--results"))
    assert "train.steps=500" in out


def test_help_names_every_study(command):
    _, out, _ = command("study", "--help")
    assert [name for name in STUDIES if name not in out] == []


# ── errors ───────────────────────────────────────────────────────────────────────────────────────


def test_a_bad_task_file_is_told_line_by_line_and_nothing_is_run(command, tmp_path):
    file = tmp_path / "bad.yaml"
    text = Path("tasks/noisy_permutation.yaml").read_text()
    file.write_text(text.replace("slip: 0.02 ", "slip: 1.2  ").replace("  symbols: 4", "  simbols: 4"))
    status, out, err = command("train", file, "train.steps=0", "--results", tmp_path / "results")
    assert (status, out) == (2, "")
    lines = text.splitlines()
    slip, symbols = (next(n for n, line in enumerate(lines, 1) if f"  {name}:" in line) for name in ("slip", "symbols"))
    assert f"{file}:{slip}: process.slip: " in err
    assert f"{file}:{symbols}: process.simbols: unknown field; did you mean 'symbols'?" in err
    assert "override train.steps=0: " in err
    assert err.endswith(f"3 problems in {file} and its overrides; nothing was run.\n")
    assert not (tmp_path / "results").exists()


@pytest.mark.parametrize(
    "arguments, complaint",
    [
        (("train", "mess3", "--condition", "cott"), "no condition named 'cott'; there are amortized, "),
        (
            ("train", "mess3", "--preset", "quik"),
            "study compare has no preset named 'quik'; there are smoke, ",
        ),
        (("study", "compar"), "no study named 'compar'; there are compare"),
        (("train", "mess3", "--grid", "seed"), "--grid seed: write 'field=value,value', for example seed=0,1,2"),
        (("evaluate", "tasks"), "tasks is not a run: it has no run.json; name a folder such as results/runs/<hash>"),
        (
            ("export", "tasks", "nowhere"),
            "tasks is not a run: it has no run.json; name a folder such as results/runs/<hash>",
        ),
    ],
)
def test_what_was_written_wrong_is_answered_with_what_there_is(command, tmp_path, arguments, complaint):
    more = () if arguments[0] in ("evaluate", "export") else ("--results", tmp_path / "results")
    status, _, err = command(*arguments, *more)
    assert status == 2
    assert err.startswith(f"unamortized: {complaint}")
    assert "Traceback" not in err
    assert not (tmp_path / "results").exists()


def test_a_task_that_there_is_not_is_answered_with_the_nearest(command):
    status, _, err = command("preview", "mess4")
    assert status == 2
    assert "tasks/mess4.yaml: no such task; the tasks here are days_of_week, " in err
    assert "did you mean 'mess3'?" in err


def test_a_report_of_nothing_says_how_to_compute_something(command, tmp_path):
    status, _, err = command("report", "--preset", "smoke", "--results", tmp_path)
    assert status == 2
    assert (
        err == f"unamortized: nothing has been computed in {tmp_path}/smoke; 'make compare' computes the quick preset\n"
    )


@pytest.mark.parametrize(
    ("file", "text", "complaint"),
    [
        ("claims.json", "{", "claims.json: not valid JSON (Expecting property name"),
        ("claims.json", "[]", "claims.json: preset: must be text; delete the file, it is written anew"),
        ("claims.json", '{"preset": "smoke", "runs": 3}', "claims.json: runs: must be a list; delete the file"),
        ("metrics.csv", ",".join(COLUMNS) + "\nmess3,,cot,,,0,len", "metrics.csv:2: is not whole; run the study again"),
        (
            "metrics.csv",
            WHOLE_ROW.format("answer_kl", "weird"),
            "metrics.csv:2: has a metric or control",
        ),
        ("metrics.csv", WHOLE_ROW.format("no_metric", ""), "metrics.csv:2: has a metric or control"),
        ("examples.csv.gz", gzip.compress(b"task,world\n" * 9, mtime=0)[:-9], "examples.csv.gz: cannot be read"),
        ("metrics.csv", "task,seed\nmess3,0\n", "metrics.csv: lacks the columns world, condition, variant"),
        ("metrics.csv", "", "metrics.csv: cannot be read (No columns to parse from file)"),
        ("examples.csv.gz", None, "examples.csv.gz: cannot be read"),
    ],
)
def test_broken_outputs_are_named_with_the_remedy(command, tmp_path, file, text, complaint):
    folder = tmp_path / "smoke" / "compare"
    folder.mkdir(parents=True)
    (folder / "metrics.csv").write_text(",".join(COLUMNS) + "\n")
    (folder / "examples.csv.gz").write_bytes(gzip.compress(f"{','.join(EXAMPLE_COLUMNS)}\n".encode()))
    (folder / file).unlink(missing_ok=True)
    if text is not None:
        (folder / file).write_bytes(text if isinstance(text, bytes) else text.encode())
    status, _, err = command("report", "--preset", "smoke", "--results", tmp_path)
    assert status == 2
    assert complaint in err
    assert "Traceback" not in err


def test_ctrl_c_says_how_to_go_on(capsys):
    def interrupted():
        raise SystemExit(INTERRUPTED)  # as typer ends a command that Ctrl-C stopped

    assert guarded(interrupted) == INTERRUPTED
    assert "run the same command again to continue" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [("train",), ("frobnicate",), ("compare", "--seeds", "0"), ("compare", "--sees")])
def test_usage_errors_have_status_2(command, arguments):
    assert command(*arguments)[0] == 2


def test_failures_and_interruptions_have_a_status_of_their_own(capsys):
    def failing():
        raise RuntimeError("mess3 cot seed 0: out of memory")

    def interrupted():
        raise KeyboardInterrupt

    def too_large():
        raise MemoryError("Unable to allocate 6.56 TiB")

    def wrong():
        raise AssertionError("a bug")

    assert guarded(failing) == 1
    assert capsys.readouterr().err == "unamortized: mess3 cot seed 0: out of memory\n"
    assert guarded(too_large) == 1
    says = "unamortized: not enough memory (Unable to allocate 6.56 TiB); ask for fewer or shorter problems\n"
    assert capsys.readouterr().err == says
    assert guarded(interrupted) == 130
    assert "run the same command again" in capsys.readouterr().err
    assert guarded(lambda: None) == 0
    with pytest.raises(AssertionError):
        guarded(wrong)  # what nobody can act on keeps its traceback


def test_the_entry_point_is_the_command_line(monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["unamortized", "report", "--results", "nowhere"])
    with pytest.raises(SystemExit) as stop:
        main()
    assert stop.value.code == 2
    assert "nothing has been computed" in capsys.readouterr().err


# ── grids ────────────────────────────────────────────────────────────────────────────────────────


def test_a_grid_crosses_its_fields_and_takes_seeds_apart():
    seeds, crossed = expand_grid(["seed=0,3", "model.layers=1,2", "process.x=.1,.2"])
    assert seeds == [0, 3]
    assert crossed == [
        ["model.layers=1", "process.x=.1"],
        ["model.layers=1", "process.x=.2"],
        ["model.layers=2", "process.x=.1"],
        ["model.layers=2", "process.x=.2"],
    ]


def test_commas_within_brackets_belong_to_a_value():
    _, crossed = expand_grid(["steps.train=[1,8],[1,16]"])
    assert crossed == [["steps.train=[1,8]"], ["steps.train=[1,16]"]]


def test_no_grid_is_one_run_of_the_presets_seeds():
    assert expand_grid([]) == ([], [[]])


@pytest.mark.parametrize("item", ["seed", "=1,2", "seed=", "model.layers=1,,2", "seed=0,"])
def test_a_grid_that_is_not_a_list_is_refused(item):
    with pytest.raises(ValueError, match="write 'field=value,value', for example seed=0,1,2"):
        expand_grid([item])


@pytest.mark.parametrize("item", ["seed=-1", "seed=a", "seed=1.5"])
def test_seeds_are_whole_numbers(item):
    with pytest.raises(ValueError, match="seeds are whole numbers from 0"):
        expand_grid([item])


# ── commands ─────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("task", TASKS)
def test_every_shipped_task_can_be_looked_at(command, task):
    status, out, err = command("preview", task, "--steps", "5", "--problems", "1")
    assert (status, err) == (0, "")
    assert task in out
    assert "codebook floor" in out
    traces = ("none", "belief", "every_4") if load_task(task).build().is_generalized else ("none", "belief", "state")
    assert all(f"trace {trace}" in out for trace in (*traces, "filler", "synonyms", "hint_untold", "streaming"))
    assert load_task(task).process.family in out


@pytest.mark.parametrize("task", NETS)
def test_a_net_can_be_looked_at_too(command, task):
    status, out, err = command("preview", task, "--problems", "2")
    assert (status, err) == (0, "")
    assert all(f"{kind} windows" in out for kind in ("local", "wrong", "full"))
    assert out.count("p(X") == 2


def test_what_a_net_is_not_for_names_what_is(command):
    for arguments in (("compare", "--task", "local_chain"), ("train", "local_chain", "--condition", "cot")):
        status, _, err = command(*arguments)
        assert status == 2
        assert "cannot learn local_chain: it needs a process, and the task has a net; choose from local_windows" in err
        assert "local_windows, wrong_local_windows, full_windows" in err
    status, _, err = command("train", "mess3", "--condition", "local_windows")
    assert status == 2
    assert "cannot learn mess3: it needs a net, and the task has a process; choose from amortized, " in err
    status, _, err = command("describe", "local_chain")
    assert status == 2
    assert "local_chain has a net instead of a process" in err


def test_a_run_on_a_net_is_trained_measured_and_shown(command, tmp_path):
    size = ("train.steps=2", "train.batch_size=8", "net.variables=8", "held_out_pairs=2")
    options = ("--condition", "local_windows", "--preset", "smoke", "--seeds", "1", "--workers", "1")
    status, out, err = command("train", "local_chain", *size, *options, "--results", tmp_path)
    assert (status, err) == (0, "")
    assert all(name in out for name in ("direct", "scaffolded", "free", "negative_scaffold", "conditional_mse"))
    (folder,) = (tmp_path / "runs").iterdir()
    assert command("evaluate", folder, "--preset", "smoke")[0] == 0


def test_a_preview_follows_overrides_and_its_seed(command):
    def shown(*more):
        return command("preview", "mess3", "--steps", "3", *more)[1]

    assert "mess3(x=0.1, a=0.85)" in shown("process.x=0.1")
    assert "smooth 0: " in shown("query=smooth 0")
    assert shown("--seed", "1") == shown("--seed", "1") != shown()


def test_train_trains_measures_and_shows(command, tmp_path):
    tiny = ("train.steps=3", "train.batch_size=16", "train.lengths_per_batch=1", "model.layers=1", "model.width=16")
    lengths = ("steps.train=[1, 16]", "steps.test=[4, 8]", "codebook.resolution=4")
    arguments = ("--condition", "amortized", "--preset", "smoke", "--grid", "seed=1", "--workers", "1")
    status, out, err = command("train", "mess3", *tiny, *lengths, *arguments, "--results", tmp_path)
    assert (status, err) == (0, "")
    (run,) = (tmp_path / "runs").iterdir()
    assert "[1/1] mess3 amortized seed 1: done" in out
    shown = " ".join(out.split())
    assert "n = 4" in shown
    assert "answer_kl" in shown
    assert {file.name for file in run.iterdir()} >= {"run.json", "metrics.csv", "model.safetensors"}
    status, again, _ = command("evaluate", run, "--preset", "smoke")
    assert status == 0
    assert "measuring" not in again  # all is measured
    assert again.splitlines()[-6:] == out.splitlines()[-6:]
