"""Mixtures: the probability of a word is the weighted sum over components; errors name the component."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from unamortized.configuration.document import SpecError
from unamortized.worlds.inference import filter_beliefs, random_paths
from unamortized.worlds.processes import build_process
from unamortized.worlds.task_files import load_task
from unamortized.worlds.tasks import Task

COMPONENTS = [
    {"family": "mess3", "x": 0.05, "a": 0.85},
    {"family": "mess3", "x": 0.15, "a": 0.6},
    {"family": "group_word", "group": "S3", "elements": ["213", "231"]},
    {"family": "coin", "p": 0.3},
]
TASK = """\
process:
  family: mixture
  components:
    - {family: mess3, x: 0.05}
    - family: sns
      p: 0.5
      q: 0.25
  weights: [0.25, 0.75]
query: filter
start: fixed
steps: {train: [1, 4], test: [8]}
codebook: {resolution: 2}
"""


@given(
    components=st.lists(st.sampled_from(COMPONENTS), min_size=1, max_size=3),
    shares=st.lists(st.integers(1, 9), min_size=3, max_size=3),
    word=st.lists(st.integers(0, 1), min_size=1, max_size=6),
)
def test_evidence_is_the_weighted_sum_and_blocks_are_the_posterior_over_components(components, shares, word):
    weights = np.array(shares[: len(components)]) / sum(shares[: len(components)])
    mixture = build_process("mixture", components=components, weights=weights.tolist())
    observations = np.array([word])
    alone = [build_process(**component) for component in components]
    filtered = [filter_beliefs(process.transitions, process.initial, observations) for process in alone]
    evidence = weights * np.exp([each.log_probability[0] for each in filtered])
    mixed = filter_beliefs(mixture.transitions, mixture.initial, observations)
    assert abs(np.exp(mixed.log_probability[0]) - evidence.sum()) < 1e-12
    posterior = evidence / evidence.sum()
    blocks = [share * each.beliefs[0, -1] for share, each in zip(posterior, filtered, strict=True)]
    np.testing.assert_allclose(mixed.beliefs[0, -1], np.concatenate(blocks), atol=1e-12)


def test_a_mixture_never_changes_its_component():
    mixture = build_process("mixture", components=COMPONENTS[:2])
    latents = random_paths(mixture.transitions, mixture.initial, 50, 200, seed=0).latents
    assert (latents // 3 == latents[:, :1] // 3).all()
    assert 0.35 < (latents[:, 0] < 3).mean() < 0.65  # weights default to equal ones
    assert mixture.state_names == ("0:0", "0:1", "0:2", "1:0", "1:1", "1:2")


def test_components_share_symbols_by_index_up_to_the_largest_alphabet():
    words = {"family": "mr_name"}
    mixture = build_process(
        "mixture", components=[{"family": "coin"}, words, {"family": "mixture", "components": [words]}]
    )
    assert mixture.symbol_names == ("Mr.", "Something", "Blah", "name")
    assert (mixture.transitions[2:, 0] == 0).all()  # a coin has two symbols
    np.testing.assert_array_equal(mixture.transitions[:, 1:5, 1:5], build_process("mr_name").transitions)
    np.testing.assert_array_equal(mixture.transitions[:, 5:, 5:], mixture.transitions[:, 1:5, 1:5])
    assert mixture.transitions[:, :1, 1:].sum() == mixture.transitions[:, 1:, :1].sum() == 0


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({}, "mixture.components: missing"),
        ({"components": []}, "components must list at least one process"),
        ({"components": [{"x": 0.1}]}, "components[0] must name its family, for example {'family': 'mess3'"),
        ({"components": [{"family": "coin"}, {"family": "mess3", "x": 2.0}]}, "components[1]: mess3.x: must be"),
        ({"components": [{"family": "sns", "p": 0.0, "q": 0.0}]}, "components[0].q must be positive if p is 0"),
        ({"components": [{"family": "coins"}]}, "components[0]: coins: unknown family; did you mean 'coin'?"),
        ({"components": [{"family": "fanizza"}]}, "components[0] must be an ordinary hidden Markov process"),
        ({"components": [{"family": "in_context"}]}, "components[0] must be an ordinary hidden Markov process"),
        ({"components": COMPONENTS, "weights": [1.0]}, "weights must hold 4 shares"),
        ({"components": COMPONENTS[:2], "weights": [0.5, 0.6]}, "weights must hold 2 shares"),
        ({"components": COMPONENTS[:2], "weights": [1.5, -0.5]}, "weights must hold 2 shares"),
    ],
)
def test_an_invalid_mixture_is_an_error(parameters, message):
    with pytest.raises(ValueError) as raised:
        build_process("mixture", **parameters)
    assert str(raised.value).startswith(message)


# ── in a task file ───────────────────────────────────────────────────────────────────────────────


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def load(text):
    with open("mine.yaml", "w") as file:
        file.write(text)
    return load_task("mine.yaml")


def test_a_task_holds_the_defaults_of_its_components():
    task = load(TASK)
    assert task.canonical()["process"]["components"] == [
        {"family": "mess3", "x": 0.05, "a": 0.85},
        {"family": "sns", "p": 0.5, "q": 0.25},
    ]
    np.testing.assert_allclose(task.build().initial, [1 / 12, 1 / 12, 1 / 12, 0.25, 0.5], atol=1e-15)
    assert Task.model_validate(task.canonical()) == task


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("x: 0.05", "x: 0.7", "4: process.components[0].x: must be between 0 and 0.5 (got 0.7)"),
        ("p: 0.5", "r: 0.5", "6: process.components[1].r: unknown field; the fields here are 'p', 'q'"),
        ("q: 0.25", "q: high", "7: process.components[1].q: must be a number (got 'high')"),
        (
            "p: 0.5\n      q: 0.25",
            "p: 0\n      q: 0",
            "7: process.components[1].q: must be positive if p is 0, so that the process can leave a state",
        ),
        ("- {family: mess3, x: 0.05}", "- 3", "4: process.components[0]: must be a block of fields (got 3)"),
        (
            "family: mess3, ",
            "",
            "4: process.components[0].family: missing; write for example 'family: noisy_permutation'",
        ),
        (
            "{family: mess3, x: 0.05}",
            "{family: tom_quantum}",
            "4: process.components[0]: must be an ordinary hidden Markov process (got tom_quantum)",
        ),
        (
            "[0.25, 0.75]",
            "[0.25]",
            "8: process.weights: must hold 2 shares, one per component, that sum to 1 (got [0.25])",
        ),
        ("[0.25, 0.75]", "0.25", "8: process.weights: must be a list (got 0.25)"),
    ],
)
def test_an_error_in_a_component_is_reported_at_its_line(old, new, expected):
    assert TASK.count(old) == 1
    with pytest.raises(SpecError) as raised:
        load(TASK.replace(old, new))
    assert str(raised.value) == f"mine.yaml:{expected}\n1 problem in mine.yaml; nothing was run."


def test_errors_in_several_components_come_at_once():
    with pytest.raises(SpecError) as raised:
        load(TASK.replace("x: 0.05", "x: 0.7").replace("family: sns", "family: snss").replace("fixed", "fxed"))
    fields = [fault.field for fault in raised.value.faults]
    assert fields == ["process.components[0].x", "process.components[1].family", "start"]


def test_a_component_from_a_file_is_stored_in_the_task(tmp_path):
    np.save(tmp_path / "own.npy", build_process("rrxor").transitions)
    task = load(TASK.replace("{family: mess3, x: 0.05}", "{family: matrices, path: own.npy}"))
    (tmp_path / "own.npy").unlink()
    again = Task.model_validate(task.canonical())
    assert again == task
    np.testing.assert_array_equal(again.build().transitions[:, :5, :5], build_process("rrxor").transitions)
