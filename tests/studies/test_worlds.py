"""The study of worlds asks for what can be trained, and its claims and figures say what its table holds."""

from pathlib import Path

import numpy as np
import pytest

from unamortized.evaluation.protocol import shifted_tests
from unamortized.evaluation.rows import row, to_table
from unamortized.studies.claims import Claim, Control, Range, judge_all
from unamortized.studies.figures import FIGURES, Tables
from unamortized.studies.figures.captions import CAPTIONS
from unamortized.studies.statistics import level
from unamortized.studies.study import plan
from unamortized.studies.worlds import (
    AMORTIZED,
    CLAIMS,
    COT,
    GRU,
    SLIPS,
    WORLDS,
    gap_at,
    growth,
    mixing_correlation,
    share_at,
    world,
)

LENGTHS = (1, 2, 4, 8, 16, 32)


@pytest.fixture(autouse=True)
def _at_the_top(monkeypatch):
    monkeypatch.chdir(Path(__file__).parents[2])  # where tasks/ is


def slow_gap(slip: float, n_steps: int) -> float:
    """A gap that grows with length, less so the more the world slips."""
    return max(0.0, 1 - 2 * slip) * (n_steps - 1) / 31


def table(gap=slow_gap, seeds: int = 3, recurrent: float = 0.02):
    """The phase diagram and two whole worlds, with gaps that are known up to a little noise of seeds."""
    draw = np.random.default_rng(3)
    rows = []
    for seed in range(seeds):
        for slip in SLIPS:
            task = f"noisy_permutation@{world(slip)}"
            for n_steps in LENGTHS:
                split = "length" if n_steps > 16 else "in_distribution"
                noise = draw.normal(0, 1e-4)
                rows += [
                    row(task, "window_8", seed, split, "answer_kl", n_steps / 100 - slip / 10, 1, n_steps=n_steps),
                    row(task, COT, seed, split, "answer_kl", 0.01, 1, n_steps=n_steps),
                    row(task, "prior", seed, split, "answer_kl", 2.0 - slip, 1, n_steps=n_steps),
                    row(task, GRU, seed, split, "answer_kl", 0.01 + recurrent + noise, 1, n_steps=n_steps),
                    row(
                        task, AMORTIZED, seed, split, "answer_kl", 0.01 + gap(slip, n_steps) + noise, 1, n_steps=n_steps
                    ),
                ]
        for task, split, n_steps, better in (
            ("mess3", "in_distribution", 8, 9.0),  # not the longest, so not shown
            ("mess3", "in_distribution", 16, 0.0),
            ("mess3", "length+rare", 64, 0.75),
            ("sns", "rare", 16, -0.25),
        ):
            noise = draw.normal(0, 1e-3)
            rows += [
                row(task, COT, seed, split, "answer_kl", 1.0, 1, n_steps=n_steps),
                row(task, AMORTIZED, seed, split, "answer_kl", 1.0 + better + noise, 1, n_steps=n_steps),
                row(task, "prior", seed, split, "answer_kl", 2.0, 1, n_steps=n_steps),
            ]
    return to_table(rows)


@pytest.mark.parametrize("preset", ["smoke", "quick", "full"])
def test_every_preset_can_be_planned_and_names_each_of_its_worlds(preset):
    specs = plan(WORLDS.preset(preset))
    titles = [spec.title for spec in specs]
    assert len(set(titles)) == len(titles)
    of_phases = {spec.digest() for spec in specs if spec.world}
    assert len(of_phases) == sum(bool(spec.world) for spec in specs)
    assert {spec.world for spec in specs if spec.world} <= {world(slip) for slip in SLIPS}
    slips = {spec.world: spec.task.process.parameters["slip"] for spec in specs if spec.world}
    assert all(name == world(slip) for name, slip in slips.items())


def test_the_full_preset_has_every_shipped_world_but_nets_and_shifts_on_every_axis():
    tasks = {spec.task.name: spec.task for spec in plan(WORLDS.preset("full"))}
    shipped = {file.stem for file in Path("tasks").glob("*.yaml") if "\nprocess:" in file.read_text()}
    assert set(tasks) == shipped
    splits = {test.split for task in tasks.values() for test in shifted_tests(task)}
    assert {"parameters", "start", "rare", "composition"} <= splits
    assert any("+" in split for split in splits)


def test_gaps_and_their_growth_are_paired_by_seed():
    found = gap_at(0.02, 16).estimate(table())
    assert found is not None
    assert found.value == pytest.approx(slow_gap(0.02, 16), abs=1e-3)
    grown = growth(0.02, 2, 16).estimate(table())
    assert grown is not None
    assert grown.value == pytest.approx(slow_gap(0.02, 16) - slow_gap(0.02, 2), abs=1e-3)
    assert gap_at(0.3, 16).estimate(table()) is None  # a slip that was not run
    known = share_at(0.1, 16).estimate(table())
    assert known is not None
    assert known.value == pytest.approx(slow_gap(0.1, 16) / 1.9, abs=1e-3)
    without = gap_at(0.02, 16, GRU).estimate(table())
    assert without is not None
    assert without.value == pytest.approx(0.02, abs=1e-3)


@pytest.mark.parametrize(("gap", "sign"), [(slow_gap, -1.0), (lambda slip, n_steps: slip, 1.0)])
def test_the_correlation_with_slip_is_that_of_ranks(gap, sign):
    found = mixing_correlation(16).estimate(table(gap))
    assert found is not None
    assert found.value == pytest.approx(sign)


def test_claims_are_supported_where_they_hold_and_refuted_where_they_do_not():
    assert [claim["verdict"] for claim in judge_all(CLAIMS, table())] == ["supported"] * 4
    turned = judge_all(CLAIMS, table(lambda slip, n_steps: slip * n_steps / 16, recurrent=0.2))
    assert [claim["verdict"] for claim in turned] == ["refuted"] * 4
    assert {claim["task"] for claim in turned} == {"noisy_permutation by slip"}


def test_a_claim_across_worlds_is_judged_once_on_the_whole_table():
    both = level("answer_kl", COT, "nats", task="sns", n_steps=16)
    claim = Claim("one", "…", both, Range(low=0.5), Control("…", both, Range()), across="all")
    (judged,) = judge_all((claim,), table())
    assert (judged["task"], judged["estimate"], judged["seeds"]) == ("all", 1.0, 3)


def texts(axes):
    return {tuple(map(float, text.get_position())): text.get_text() for text in axes.texts}


def test_the_gap_figure_writes_cot_minus_amortized_at_the_longest_length():
    drawing = FIGURES["worlds_gap"](Tables(table(), table().head(0)))
    assert drawing is not None
    axes = drawing.axes[0]
    rows = [label.get_text() for label in axes.get_yticklabels()]
    columns = [label.get_text().replace("\n", "").replace(" ", "") for label in axes.get_xticklabels()]
    assert rows == ["mess3", "sns"]
    assert columns == ["in_distribution", "rare", "length+rare"]
    shown = texts(axes)
    assert shown[2.0, 0.0].startswith("−.75")
    assert shown[1.0, 1.0].startswith(".25")
    assert {place: text.endswith("°") for place, text in shown.items()} == {
        (2.0, 0.0): False,  # 1.75 where the prior has 2
        (1.0, 1.0): False,
        (0.0, 0.0): False,
    }
    idle = table().assign(value=lambda rows: rows["value"].where(rows["condition"] != AMORTIZED, 1.9))
    marked = FIGURES["worlds_gap"](Tables(idle, idle.head(0)))
    assert marked is not None
    assert all(text.endswith("°") for text in texts(marked.axes[0]).values())
    assert shown[0.0, 0.0].startswith("0")
    assert len(shown) == 3


def test_the_phase_diagram_shows_each_slip_with_what_a_short_memory_loses_there():
    drawing = FIGURES["phase_diagram"](Tables(table(), table().head(0)))
    assert drawing is not None
    amortized, gru, cot, difference = (axes for axes in drawing.axes if axes.images and axes.get_title(loc="left"))
    assert [label.get_text().split() for label in amortized.get_yticklabels()][-1] == ["0.005", ".32"]
    image = np.asarray(difference.images[0].get_array())
    assert image.shape == (len(SLIPS), len(LENGTHS))
    assert image[-1, -1] == pytest.approx(-slow_gap(0.005, 32), abs=1e-3)  # the slowest world is at the bottom
    assert np.asarray(cot.images[0].get_array()).max() == pytest.approx(0.01)


def test_all_conditions_and_baselines_of_a_split_are_drawn_beside_each_other():
    drawing = FIGURES["worlds_kl"](Tables(table(), table().head(0)))
    assert drawing is not None
    assert [axes.get_title(loc="left") for axes in drawing.axes] == ["in_distribution", "rare"]
    (legend,) = drawing.legends
    assert {text.get_text() for text in legend.get_texts()} == {AMORTIZED, COT, "prior"}


def test_every_figure_of_the_study_exists_has_a_caption_and_is_left_out_of_other_tables():
    empty = table().head(0)
    for name in WORLDS.figures:
        assert CAPTIONS[name]
        assert FIGURES[name](Tables(empty, empty)) is None
