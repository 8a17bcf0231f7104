"""The study of training varies one thing at a time, and its claims read what it trains."""

import numpy as np
import pandas as pd
import pytest

from tests.studies.figure_tables import drawn, panels, rows, tables, ticks
from unamortized.evaluation.rows import row, to_table
from unamortized.labels import joined
from unamortized.learning.runs import run_digest
from unamortized.studies.claims import judge_all
from unamortized.studies.figures.losses import TRAINING_LOSS
from unamortized.studies.figures.training import FIGURES, named_training
from unamortized.studies.names import after, deep
from unamortized.studies.study import plan
from unamortized.studies.training import ADAMW, MUON, PRESETS, TRAINING

pytestmark = pytest.mark.usefixtures("at_the_top")


@pytest.mark.parametrize("name", PRESETS)
def test_every_run_is_planned_once_and_named_by_how_it_is_trained(name):
    specs = plan(PRESETS[name])
    assert len({run_digest(spec) for spec in specs}) == len(specs)
    assert len({(spec.task.name, spec.condition, spec.variant, spec.seed) for spec in specs}) == len(specs)
    for spec in specs:
        lengths = "" if spec.train.lengths == "own" else spec.train.lengths
        layers = deep(spec.model.layers) if spec.model.layers != 2 else ""
        assert spec.variant == joined(spec.train.optimizer, lengths, layers, after(spec.train.steps))


def test_optimizers_are_compared_on_the_same_questions_at_equal_steps():
    specs = plan(PRESETS["full"])
    other = {(spec.task.name, spec.condition, spec.variant, spec.seed): spec for spec in specs}
    compared = [spec for spec in specs if spec.train.optimizer == ADAMW]
    assert compared
    for spec in compared:
        muon = other[spec.task.name, spec.condition, spec.variant.replace(ADAMW, MUON), spec.seed]
        changed = {"optimizer": ADAMW, "learning_rate": spec.train.learning_rate}
        assert muon.train.model_copy(update=changed) == spec.train
        assert (muon.task, muon.model) == (spec.task, spec.model)


def test_every_claim_reads_what_the_full_preset_measures():
    made = [
        row(cell.task, condition, seed, "length", metric, 0.5 + seed / 10, 1, n_steps=n_steps, variant=variant)
        for cell in PRESETS["full"].cells
        for condition, variant in [(cell.conditions[0], cell.variant), ("prior", "")]
        for seed in (0, 1)
        for metric in ("answer_kl", "map_agreement")
        for n_steps in (4, 8, 16)
    ]
    judged = judge_all(TRAINING.claims, to_table(made).drop_duplicates())
    assert {entry["name"] for entry in judged} == {claim.name for claim in TRAINING.claims}
    assert all(entry["seeds"] == entry["control"]["seeds"] == 2 for entry in judged)


def test_ways_of_training_are_named_apart_from_what_is_trained():
    variants = (joined("muon", "growing", after(2400)), joined("adamw", deep(4), after(1200)), "muon_steps_300")
    table = pd.DataFrame({"task": "mess3", "condition": ["amortized", "amortized", "cot"], "variant": variants})
    named = named_training(table)
    assert named["training"].tolist() == ["muon growing", "adamw", "muon"]
    assert named["learner"].tolist() == ["no trace, 2,400 steps", "no trace, 4 layers, 1,200 steps", "CoT, 300 steps"]


def test_the_figure_has_a_row_for_each_learner_and_a_dot_for_each_training():
    groups = [
        rows("answer_kl", [0.1 * k, 0.1 * k + 0.01], "cot", n_steps=n, variant=joined(name, after(300)))
        for k, name in enumerate(("adamw", "muon", "muon_longest"), start=1)
        for n in (4, 8, 16)
    ]
    figure = drawn(FIGURES[0], tables(*groups))
    assert len(panels(figure)) == 3  # a panel for each length
    assert ticks(next(iter(panels(figure).values()))) == ["mess3: CoT, 300 steps"]
    for axes in panels(figure).values():
        means = sorted(float(np.asarray(line.get_xdata())[0]) for line in axes.lines)
        np.testing.assert_allclose(means, [0.105, 0.205, 0.305])


def test_losses_are_drawn_along_the_steps_of_training():
    groups = [rows("training_loss", [loss, loss], split="train", step=step) for step, loss in ((1, 2.0), (10, 0.5))]
    (axes,) = panels(drawn(TRAINING_LOSS, tables(*groups))).values()
    np.testing.assert_allclose(np.asarray(axes.lines[0].get_xydata()), [[1, 2.0], [10, 0.5]])
    assert axes.get_xscale() == "log"
