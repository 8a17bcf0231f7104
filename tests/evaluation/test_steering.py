"""Steering moves the answers of a model that reads its stream, and of no other."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.evaluation.found_rows import value as row_value
from tests.evaluation.oracle import Oracle, Reading, as_if, oracle_run, slow_task
from unamortized.evaluation.faithfulness import FaithfulnessSettings
from unamortized.evaluation.steering import CHANGES, steering
from unamortized.labels import CHOSEN_LAYER as CHOSEN
from unamortized.language.vocabulary import ANSWER
from unamortized.learning.runs import new_model
from unamortized.learning.specification import Run
from unamortized.models.transformer import ModelSpec, Output

FEW = FaithfulnessSettings(problems=256, lags=(0, 2))
HERE = "about_to_state"
TAPS = ("hook_embed", "blocks.0.hook_resid_post", "blocks.1.hook_resid_post")


class Steerable(Oracle):
    """Answers at once, from its stream at the answer mark: beliefs in three directions, recent symbols in others."""

    def __init__(self, task: Any, reads_stream: bool) -> None:
        super().__init__(task, "amortized")
        self.reads_stream = reads_stream
        basis = np.linalg.qr(np.random.default_rng(3).standard_normal((16, 16)))[0]
        self.map, self.rest = basis[:3] * 2.0, basis[3:]
        self.noise = np.random.default_rng(4).standard_normal((self.vocabulary.size, 13))

    def forward(self, tokens: Tensor, positions: Tensor, *, taps=(), patches=None, cache=None, select=None) -> Output:
        reading = Reading(self, tokens.numpy())
        stream = reading.beliefs_held() @ self.map
        last = reading.tokens[:, reading.observed[-1]], reading.tokens[:, reading.observed[-2]]
        stream[:, -1] += (self.noise[last[0]] + self.noise[last[1]][:, ::-1]) @ self.rest
        activation = torch.from_numpy(stream).float()
        stages = {"hook_embed": torch.zeros(*tokens.shape, 16)}
        activation = torch.from_numpy(stream).float()
        for tap in TAPS:
            activation = stages.get(tap, activation)
            activation = stages[tap] = (patches or {}).get(tap, lambda own: own)(activation)
            activation = torch.from_numpy(stream).float() if tap == "hook_embed" else activation
        held = activation[:, -1].double().numpy() @ np.linalg.pinv(self.map)
        answers = np.maximum(held, 1e-6) if self.reads_stream else reading.answer()
        logits = np.full((len(tokens), self.vocabulary.size), -np.inf)
        assert tokens[0, -1] == ANSWER
        logits[:, self.vocabulary.blocks["answer"]] = np.log(answers / answers.sum(axis=1, keepdims=True))
        return Output(torch.from_numpy(logits), {tap: stages[tap] for tap in taps})


def steerable(reads_stream: bool) -> Run:
    run = oracle_run(slow_task(), "amortized")
    spec = run.spec.model_copy(update={"model": ModelSpec(layers=2, width=16)})
    return replace(run, spec=spec, model=Steerable(run.task, reads_stream).eval())


def value(rows, metric: str, control: str = "", layer: str = "1", step: int | None = 0, site: str = HERE) -> float:
    return row_value(rows, metric, control=control, layer=layer, step=step, site=site)


@pytest.fixture(scope="module")
def rows():
    return {reads: steering(steerable(reads), FEW) for reads in (True, False)}


def test_a_model_that_reads_its_stream_goes_where_it_is_steered(rows):
    found = rows[True]
    assert value(found, "steered_kl") < 0.01
    assert value(found, "steered_reliance") == pytest.approx(1, abs=0.03)
    assert value(found, "steered_kl", "donor_subspace") < 0.02
    assert value(found, "steered_kl", "donor_patch") < 0.02
    for control in ("random_subspace", "wrong_state", "mean_patch", "donor_random", "unsteered"):
        assert value(found, "steered_kl", control) > 0.1


def test_a_model_that_does_not_read_its_stream_stays_where_it_is(rows):
    found = rows[False]
    assert value(found, "steered_kl") == pytest.approx(value(found, "steered_kl", "unsteered"))
    assert value(found, "steered_reliance") == pytest.approx(0, abs=1e-6)
    assert value(found, "erased_kl") == pytest.approx(value(found, "erased_kl", "untouched"))


def test_erasing_costs_what_losing_the_belief_costs(rows):
    found = rows[True]
    lost = value(found, "erased_kl", "exact_loss")
    assert value(found, "erased_kl") == pytest.approx(lost, rel=0.1)
    assert value(found, "erased_kl", "untouched") < 0.01
    assert value(found, "erased_kl", "random_subspace") < 0.6 * lost


def test_the_layer_is_chosen_on_one_half_of_the_problems_and_measured_on_the_other(rows):
    found = rows[True]
    assert value(found, "steered_kl", layer=CHOSEN) < 0.01
    assert value(found, "steered_kl", layer=CHOSEN, step=None) == value(found, "steered_kl", layer=CHOSEN)
    assert value(found, "steered_kl", layer="0") == pytest.approx(value(found, "steered_kl", "unsteered"))
    assert value(found, "steered_kl", layer="2") < 0.01  # where nothing is left to compute: not to be chosen
    one, other = (
        {row["value"] for row in found if (row["metric"], row["site"], row["layer"]) == ("steered_kl", HERE, layer)}
        for layer in "12"
    )
    assert one != other
    assert value(found, "steered_kl", "random_subspace", CHOSEN) == pytest.approx(
        value(found, "steered_kl", "random_subspace", "1"), rel=0.3
    )
    halves = value(found, "steered_kl", "unsteered", CHOSEN), value(found, "steered_kl", "unsteered")
    assert halves[0] != halves[1]
    assert halves[0] == pytest.approx(halves[1], rel=0.2)


def test_steering_in_the_question_moves_nothing_if_the_model_does_not_read_there(rows):
    found = rows[True]
    for lag in (0, 2):
        assert value(found, "steered_reliance", step=lag, site="question") == pytest.approx(0, abs=1e-6)
        controls = ("", "donor_patch", "unsteered")
        kls = {value(found, "steered_kl", control, step=lag, site="question") for control in controls}
        assert max(kls) == pytest.approx(min(kls))
    lags = {row["step"] for row in found if (row["metric"], row["site"], row["layer"]) == ("steered_kl", HERE, "1")}
    assert lags == {0}  # the answer mark has only one


def test_traces_are_steered_where_they_are_about_to_state_and_beside_an_edited_code():
    run = oracle_run(slow_task(), "cot")
    run = replace(run, model=new_model(run.spec).eval())
    found = steering(run, FEW)
    assert {row["metric"] for row in found} == {"steered_kl", "steered_reliance", "erased_kl"}
    assert {row["site"] for row in found} == {HERE}
    controls = {row["control"] for row in found if row["metric"] == "steered_kl"}
    assert controls == {*CHANGES, "token_edit", "unsteered"}
    reliances = [row["value"] for row in found if row["metric"] == "steered_reliance"]
    assert max(map(abs, reliances)) < 0.1  # an untrained network reads nothing


@pytest.mark.parametrize("condition", ["cot_state", "hint_told"])
def test_sampled_traces_and_hinted_questions_are_not_steered(condition):
    run = oracle_run(slow_task(), "cot")
    run = as_if(run, condition=condition)
    assert steering(replace(run, model=new_model(run.spec).eval()), FEW) == []
