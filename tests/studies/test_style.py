"""One look for all figures: colors, intervals over seeds, and files with the same bytes on every run."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from scipy import stats

from tests.studies.figure_tables import drawn, rows, tables
from unamortized.studies.figures.charts import Curves
from unamortized.studies.figures.style import (
    AVERAGED,
    BASELINES,
    CONDITIONS,
    STRIDES,
    UNORDERED,
    color,
    compared,
    curve,
    is_baseline,
    legend_below,
    look,
    over_seeds,
    save,
    shades,
    whisker,
)
from unamortized.studies.statistics import Estimate

CHART = Curves(name="c", title="?", caption="!", metrics=("answer_kl",), x="n_steps")


def figure() -> Figure:
    found = (rows("answer_kl", [0.1 * n, 0.2 * n], name, n_steps=n) for n in (4, 8) for name in ("cot", "gru"))
    return drawn(CHART, tables(*found))


def test_the_interval_over_seeds_is_students_t():
    values = [0.2, 0.4, 0.9]
    table = pd.DataFrame({"n_steps": 8, "seed": [0, 1, 2], "value": values})
    low, high = stats.t.interval(0.95, 2, np.mean(values), stats.sem(values))
    np.testing.assert_allclose(over_seeds(table, "n_steps").loc[8], [np.mean(values), low, high])


def test_a_seed_counts_once_however_many_rows_it_has():
    table = pd.DataFrame({"n_steps": 8, "seed": [0, 0, 0, 1], "value": [1.0, 2.0, 3.0, 4.0]})
    assert over_seeds(table, "n_steps").loc[8, "mean"] == 3.0


def test_one_seed_has_no_interval_and_an_infinite_one_no_mean():
    one = over_seeds(pd.DataFrame({"n_steps": [8], "seed": [0], "value": [0.5]}), "n_steps")
    assert one.loc[8, "mean"] == 0.5
    assert one[["low", "high"]].isna().all(axis=None)
    assert over_seeds(pd.DataFrame({"n_steps": 8, "seed": [0, 1], "value": [0.5, np.inf]}), "n_steps").empty


def test_a_curve_is_clipped_from_below_with_its_band():
    axes = Figure().subplots()
    table = pd.DataFrame({"n_steps": [4, 4, 8, 8], "seed": [0, 1, 0, 1], "value": [1e-9, 2e-9, 0.1, 0.2]})
    line = curve(axes, table, "n_steps", floor=1e-3, color="#000000")
    np.testing.assert_allclose(line.get_ydata(), [1e-3, 0.15])
    assert axes.collections[0].get_paths()[0].vertices[:, 1].min() == 1e-3


@pytest.mark.parametrize("along", ["x", "y"])
def test_a_whisker_is_a_mean_with_its_interval_along_an_axis(along):
    axes = Figure().subplots()
    whisker(axes, np.array([1.0, 2.0, np.nan]), 7, along=along, color="#000000", marker="o")
    (mark,) = axes.lines
    place = float(np.asarray(mark.get_xdata())[0]), float(np.asarray(mark.get_ydata())[0])
    assert place == ((1.5, 7) if along == "x" else (7, 1.5))
    (segment,) = axes.collections[0].get_segments()
    bounds = segment[:, 0 if along == "x" else 1]
    np.testing.assert_allclose(bounds, stats.t.interval(0.95, 1, 1.5, 0.5))
    for nothing in (np.array([np.nan]), None):
        whisker(axes, nothing, 7, along=along)
    assert len(axes.lines) == 1


def test_a_whisker_of_an_estimate_has_the_estimates_interval():
    axes = Figure().subplots()
    whisker(axes, Estimate(0.9, 0.5, 0.95, 3), 0, along="y", color="#000000", marker="o")
    (segment,) = axes.collections[0].get_segments()
    assert segment[:, 1].tolist() == [0.5, 0.95]
    assert axes.lines[0].get_ydata().tolist() == [0.9]


def test_each_condition_has_a_look_of_its_own():
    names = [*CONDITIONS, *(f"cot_every_{stride}" for stride in STRIDES)]
    looks = {(look(name)["color"], look(name)["marker"]) for name in names}
    looks |= {(look("cot_state", f"mean_{n}")["color"], look("cot_state", f"mean_{n}")["marker"]) for n in AVERAGED}
    assert len(looks) == len(names) + len(AVERAGED)


def test_baselines_are_gray_dashes_whatever_their_number():
    for name in ("prior", "window_8", "window_16", "particle_64"):
        assert is_baseline(name)
        red, green, blue = (int(color(name)[place : place + 2], 16) for place in (1, 3, 5))
        assert red == green == blue
        assert "marker" not in look(name)
    assert color("window_8") == color("window_16") == BASELINES["window"][0]
    assert not is_baseline("cot")


def test_a_trained_comparison_has_a_color_but_stands_behind_the_others():
    red, green, blue = (int(color("gru")[place : place + 2], 16) for place in (1, 3, 5))
    assert max(red, green, blue) - min(red, green, blue) > 60  # no gray
    assert not is_baseline("gru")
    assert look("gru")["linestyle"] != look("cot").get("linestyle", "-")
    assert look("prior")["zorder"] < look("gru")["zorder"] < look("cot")["zorder"]


def test_ordered_values_go_from_light_to_dark_and_others_are_told_apart():
    brightness = [sum(shade[:3]) for shade in shades(5, ordered=True)]
    assert brightness == sorted(brightness, reverse=True)
    assert len(set(shades(len(UNORDERED), ordered=False))) == len(UNORDERED)


def test_one_amortized_condition_and_cot_are_compared_or_all_where_neither_is_there():
    assert compared(["cot", "amortized_equal_flops", "cot_state"]) == ["amortized_equal_flops", "cot"]
    assert compared(["gru", "cot", "amortized"]) == ["amortized", "cot"]
    assert compared(["cot_state", "cot_every_4"]) == ["cot_every_4", "cot_state"]


@pytest.mark.parametrize("label, columns", [("CoT", 4), ("a label of forty letters, more or less....", 2)])
def test_a_legend_has_as_many_columns_as_fit(label, columns):
    wide = Figure(figsize=(9, 3), layout="constrained")
    legend_below(wide, [Line2D([], [], label=label) for _ in range(6)])
    wide.draw_without_rendering()
    (found,) = wide.legends
    assert found._ncols == columns
    box = found.get_window_extent()
    assert (box.x0, box.x1) >= (0, 0)
    assert box.x1 <= wide.bbox.x1


def test_saved_files_are_byte_identical_and_name_no_software_or_date(tmp_path):
    for folder in ("first", "second"):
        save(figure(), tmp_path / folder, "c")
    assert sorted(file.name for file in (tmp_path / "first").iterdir()) == ["c.png", "c.svg"]  # nothing unfinished
    for kind in ("png", "svg"):
        content = (tmp_path / "first" / f"c.{kind}").read_bytes()
        assert content == (tmp_path / "second" / f"c.{kind}").read_bytes()
        assert not any(word in content for word in (b"Software", b"<dc:date>", b"<dc:creator>"))


def test_saved_files_do_not_depend_on_the_process(tmp_path):
    script = (
        "import sys; from pathlib import Path; from tests.studies.test_style import figure;"
        "from unamortized.studies.figures.style import save; save(figure(), Path(sys.argv[1]), 'c')"
    )
    top = Path(__file__).parents[2]
    path = os.pathsep.join([str(top / "src"), str(top)])
    for seed in ("1", "2"):
        environment = os.environ | {"PYTHONPATH": path, "PYTHONHASHSEED": seed}
        subprocess.run([sys.executable, "-c", script, str(tmp_path / seed)], check=True, env=environment)
    for kind in ("png", "svg"):
        assert (tmp_path / "1" / f"c.{kind}").read_bytes() == (tmp_path / "2" / f"c.{kind}").read_bytes()


def test_a_failed_save_leaves_the_old_file(tmp_path, monkeypatch):
    own = figure()
    save(own, tmp_path, "c")
    before = (tmp_path / "c.png").read_bytes()
    monkeypatch.setattr(own, "savefig", lambda file, **_: (file.write(b"half"), 1 / 0))
    with pytest.raises(ZeroDivisionError):
        save(own, tmp_path, "c")
    assert (tmp_path / "c.png").read_bytes() == before
