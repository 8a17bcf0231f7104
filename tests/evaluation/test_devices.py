"""Evaluations of a model on another device: they give it tensors of the CPU, and read from the CPU what it returns."""

from pathlib import Path

import numpy as np
import pytest
import torch

from tests.another_device import META, another_device
from tests.evaluation.crafted import scrambled_run
from tests.small_nets import small_net_task
from unamortized.evaluation.interventions import answers_under
from unamortized.evaluation.locality import Locality, locality
from unamortized.evaluation.probes import Probes, by_layer
from unamortized.evaluation.protocol import before_training
from unamortized.evaluation.routes import ForcedTrace, ablations, forced_trace, patchings
from unamortized.learning.runs import assemble, new_model
from unamortized.learning.specification import Run, RunSpec
from unamortized.models.device import device_of
from unamortized.models.transformer import ModelSpec, Transformer
from unamortized.worlds.splits import draw

TAP = "blocks.0.hook_resid_post"


def elsewhere() -> Run:
    run = scrambled_run()
    assert isinstance(run.model, Transformer)
    run.model.to(META)
    return run


def trace_elsewhere() -> ForcedTrace:
    trace = forced_trace(elsewhere(), problems=8)
    assert trace is not None
    return trace


def test_the_network_before_training_is_on_the_device_of_the_trained_one():
    assert device_of(before_training(elsewhere()).model) == META
    assert device_of(before_training(scrambled_run()).model) == torch.device("cpu")


@torch.no_grad()
@pytest.mark.parametrize("measure", [ablations, patchings])
def test_routes_are_measured_on_any_device(measure):
    with another_device():
        rows = measure(trace_elsewhere(), steps=[3])
    assert {row["metric"][:6] for row in rows} == {"route_"}
    assert "L1H3" in {row["layer"] for row in rows}


def test_activations_are_replaced_on_any_device():
    run = elsewhere()
    problems = draw(run.task, "test", 8, 16, 0)
    with another_device():
        answers = answers_under(run, problems, TAP, 3, np.zeros((16, 16)))
    np.testing.assert_allclose(answers.sum(axis=1), 1)


def test_probes_and_their_baselines_read_any_device():
    settings = Probes(16, beside=("untrained", "own_output"))
    with another_device():
        rows = by_layer(elsewhere(), settings)
    assert {row["control"] for row in rows} == {"", "untrained", "own_output"}


def test_estimators_of_conditionals_write_on_any_device():
    spec = RunSpec(task=small_net_task(), condition="local_windows", model=ModelSpec(layers=1, width=16))
    with another_device():
        rows = locality(assemble(spec, new_model(spec).to(META), Path("no folder")), Locality(samples=2))
    assert {row["variant"] for row in rows} == {"direct", "scaffolded", "free", "negative_scaffold"}
