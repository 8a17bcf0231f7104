"""The study of locality judges only what it trains and measures."""

import pytest

from unamortized.evaluation.rows import row, to_table
from unamortized.learning.conditions import CONDITIONS
from unamortized.learning.runs import run_digest
from unamortized.studies import study_of
from unamortized.studies.claims import judge_all
from unamortized.studies.figures.locality import ESTIMATORS
from unamortized.studies.locality import FULL, LOCAL, LOCALITY, WRONG
from unamortized.studies.study import plan

pytestmark = pytest.mark.usefixtures("at_the_top")

FOUND = {  # errors that agree with the hypotheses
    (LOCAL, "direct"): 0.06,
    (LOCAL, "negative_scaffold"): 0.08,
    (LOCAL, "free"): 0.02,
    (LOCAL, "scaffolded"): 0.015,
    **{(WRONG, name): 0.09 for name in ESTIMATORS},
    **{(FULL, name): 0.02 for name in ESTIMATORS},
}


def measured(changes=None, seeds=6):
    """Return a table of all that the study measures, a little different from seed to seed."""
    rows = []
    for seed in range(seeds):
        baselines = {("marginal", ""): 0.1, ("exact_scaffolded", ""): 0.005}
        for (condition, variant), value in (baselines | FOUND | (changes or {})).items():
            for split, share in (("composition", 1.0), ("in_distribution", 0.3)):
                for step in (None, 2, 3):
                    error = value * (1.0 if condition == "marginal" else share) * (1 + 0.02 * seed)
                    where = {"variant": variant, "step": step}
                    rows.append(row("local_chain", condition, seed, split, "conditional_mse", error, 40, **where))
    return to_table(rows)


def verdicts(table):
    return {claim["name"]: claim["verdict"] for claim in judge_all(LOCALITY.claims, table)}


def test_every_claim_is_supported_where_it_holds_and_refuted_where_it_does_not():
    assert verdicts(measured()) == {claim.name: "supported" for claim in LOCALITY.claims}
    contrary = {
        (LOCAL, "direct"): 0.01,
        (FULL, "direct"): 0.05,
        (FULL, "scaffolded"): 0.02,
        (LOCAL, "scaffolded"): 0.08,
    }
    assert set(verdicts(measured(contrary)).values()) == {"refuted"}


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({(LOCAL, "negative_scaffold"): 0.014}, "steps_help_where_experience_is_local"),
        ({(WRONG, "direct"): 0.4}, "steps_need_the_right_locality"),
        ({(LOCAL, "direct"): 0.3, (LOCAL, "free"): 0.02}, "models_choose_helpful_steps"),
        ({(FULL, "direct"): 0.11, (FULL, "scaffolded"): 0.11}, "steps_do_not_help_where_all_is_seen"),
        ({("marginal", ""): 0.02}, "local_steps_are_as_good_as_seeing_all"),
    ],
)
def test_a_control_that_fails_makes_its_claim_void(changes, name):
    assert verdicts(measured(changes))[name] == "void"


@pytest.mark.parametrize("name", ["smoke", "quick", "full"])
def test_every_preset_can_be_planned(name):
    preset = LOCALITY.preset(name)
    specs = plan(preset)
    assert len(specs) == sum(len(cell.conditions) * cell.seeds for cell in preset.cells)
    assert len({run_digest(spec) for spec in specs}) == len(specs)


def test_the_full_preset_has_twelve_nets():
    assert all(cell.seeds >= 12 for cell in LOCALITY.preset("full").cells)


def test_a_condition_is_measured_by_the_study_that_trains_it():
    assert study_of(LOCAL) is LOCALITY
    assert study_of("cot").name == "compare"
    assert study_of("cot_every_32").name == "compare"
    for condition in CONDITIONS:
        study = study_of(condition)
        trained = {name for preset in study.presets.values() for cell in preset.cells for name in cell.conditions}
        assert condition in trained or study.name == "compare"
