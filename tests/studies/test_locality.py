"""The study of locality asks for nothing that is not measured, trained or drawn."""

from pathlib import Path

import pytest

from unamortized.evaluation.locality import ESTIMATORS
from unamortized.evaluation.rows import row, to_table
from unamortized.learning.conditions import CONDITIONS
from unamortized.studies import study_of
from unamortized.studies.claims import judge_all
from unamortized.studies.figures import FIGURES
from unamortized.studies.figures.captions import CAPTIONS
from unamortized.studies.figures.locality import ESTIMATORS as DRAWN
from unamortized.studies.figures.locality import PUBLISHED, WINDOWS
from unamortized.studies.locality import FULL, LOCAL, LOCALITY, WRONG
from unamortized.studies.study import plan

FOUND = {  # errors as the hypothesis would have them
    (LOCAL, "direct"): 0.06,
    (LOCAL, "negative_scaffold"): 0.08,
    (LOCAL, "free"): 0.02,
    (LOCAL, "scaffolded"): 0.015,
    **{(WRONG, name): 0.09 for name in ESTIMATORS},
    **{(FULL, name): 0.02 for name in ESTIMATORS},
}


@pytest.fixture(autouse=True)
def _at_the_top(monkeypatch):
    monkeypatch.chdir(Path(__file__).parents[2])  # where tasks/ is


def measured(changes=None, seeds=6):
    """Made-up rows for all that the study measures, a little different from seed to seed."""
    rows = []
    for seed in range(seeds):
        beside = {"marginal": 0.1, "exact_scaffolded": 0.005}
        own = {f"{name}/{estimator}": value for (name, estimator), value in (FOUND | (changes or {})).items()}
        for condition, value in (beside | own).items():
            for split, share in (("composition", 1.0), ("in_distribution", 0.3)):
                for step in (None, 2, 3):
                    error = value * (1.0 if condition == "marginal" else share) * (1 + 0.02 * seed)
                    rows.append(row("local_chain", condition, seed, split, "conditional_mse", error, 40, step=step))
    return to_table(rows)


def verdicts(table):
    return {claim["name"]: claim["verdict"] for claim in judge_all(LOCALITY.claims, table)}


def test_what_the_hypothesis_says_is_supported_and_its_contrary_refuted():
    assert set(verdicts(measured()).values()) == {"supported"}
    contrary = {
        (LOCAL, "direct"): 0.01,
        (FULL, "direct"): 0.05,
        (FULL, "scaffolded"): 0.02,
        (LOCAL, "scaffolded"): 0.08,
    }
    found = verdicts(measured(contrary))
    assert found["steps_help_where_experience_is_local"] == "refuted"
    assert found["models_choose_helpful_steps"] == "refuted"
    assert found["steps_need_the_right_locality"] == "refuted"
    assert found["steps_do_not_help_where_all_is_seen"] == "refuted"
    assert found["local_steps_are_as_good_as_seeing_all"] == "refuted"


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({(LOCAL, "negative_scaffold"): 0.014}, "steps_help_where_experience_is_local"),
        ({(WRONG, "direct"): 0.4}, "steps_need_the_right_locality"),
        ({(FULL, "direct"): 0.11, (FULL, "scaffolded"): 0.11}, "steps_do_not_help_where_all_is_seen"),
    ],
)
def test_a_control_that_fails_leaves_its_claim_open(changes, name):
    assert verdicts(measured(changes))[name] == "inconclusive"


@pytest.mark.parametrize("name", ["smoke", "quick", "full"])
def test_every_preset_can_be_planned(name):
    preset = LOCALITY.preset(name)
    specs = plan(preset)
    assert len(specs) == sum(len(cell.conditions) * cell.seeds for cell in preset.cells)
    assert len({spec.digest() for spec in specs}) == len(specs)


def test_there_are_seeds_enough_for_a_test():
    assert all(cell.seeds >= 6 for cell in LOCALITY.preset("full").cells)


def test_figures_have_captions_and_draw_every_estimator_and_window():
    assert set(LOCALITY.figures) <= set(FIGURES)
    assert set(LOCALITY.figures) <= set(CAPTIONS)
    assert set(DRAWN) == set(ESTIMATORS)
    assert set(WINDOWS) == {LOCAL, WRONG, FULL}
    assert set(PUBLISHED) == {(windows, name) for windows in WINDOWS for name in ESTIMATORS}


def test_a_condition_is_measured_by_the_study_that_trains_it():
    assert study_of(LOCAL) is LOCALITY
    assert study_of("cot").name == "compare"
    assert study_of("cot_every_32").name == "compare"
    assert all(study_of(name) for name in CONDITIONS)
