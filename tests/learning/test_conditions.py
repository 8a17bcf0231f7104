"""Conditions: their names, traces, renderings and training costs."""

from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from tests.small_tasks import small_task, task_fields
from unamortized.language.layout import lay_out
from unamortized.language.rendering import Language
from unamortized.language.traces import resolve_trace
from unamortized.language.vocabulary import task_vocabulary
from unamortized.learning.conditions import CONDITIONS, resolve_condition
from unamortized.learning.conditions.supervised import TRACED
from unamortized.learning.runs import flops_per_question, training_steps
from unamortized.learning.specification import RunSpec
from unamortized.models.flops import training_flops
from unamortized.models.transformer import ModelSpec
from unamortized.worlds.splits import draw
from unamortized.worlds.tasks import Task

SMALL = ModelSpec(layers=1, width=16)
TRACES = {
    "amortized": "none",
    "amortized_equal_flops": "none",
    "next_token": "none",
    "cot": "belief",
    "cot_copied": "copied",
    "cot_indexed": "indexed",
    "cot_state": "state",
    "cot_every_4": "every_4",
    "cot_every_17": "every_17",
    "cot_filler": "filler",
    "cot_shuffled": "shuffled",
    "cot_posthoc": "posthoc",
    "cot_reversed": "reversed",
    "cot_streaming": "streaming",
    "cot_dithered": "dithered",
    "cot_synonyms": "synonyms",
    "hint_untold": "hint_untold",
    "hint_told": "hint_told",
    "gru": "none",
}


def language_of(name: str, task: Task, model: ModelSpec = SMALL) -> Language:
    language = resolve_condition(name).language(task, model)
    assert isinstance(language, Language)
    return language


def small_spec(name: str, **changes: Any) -> RunSpec:
    return RunSpec(**{"task": small_task(), "condition": name, "model": SMALL} | changes)


@pytest.mark.parametrize(("name", "trace"), [*TRACES.items(), ("dial_0", "belief"), ("dial_0.25_told", "told_end")])
def test_a_condition_is_found_by_name_and_has_its_trace(name, trace):
    condition = resolve_condition(name)
    assert (condition.name, language_of(name, small_task()).trace) == (name, trace)
    assert condition.description
    assert (training_steps(small_spec(name)) > 1000) == (name == "amortized_equal_flops")
    assert condition.architecture(SMALL).architecture == ("gru" if name == "gru" else "transformer")


def test_every_listed_condition_is_found_and_tested_here_or_in_a_file_of_its_own():
    assert all(resolve_condition(name) is condition for name, condition in CONDITIONS.items())
    on_traces = {condition.name for condition in TRACED}
    assert on_traces == set(TRACES) - {"cot_every_17"}
    others = {"test_dense": ("amortized_dense", "amortized_dense_drawn"), "test_distilled": ("distilled",)}
    others["test_windows"] = ("local_windows", "wrong_local_windows", "full_windows")
    assert set(CONDITIONS) - on_traces == {name for names in others.values() for name in names}


@pytest.mark.parametrize(
    ("name", "reliance"), [("dial_0", 0), ("dial_1", 1), ("dial_0.5", 0.5), ("dial_0.25_told", 0.25), ("cot", None)]
)
def test_a_dial_has_the_reliance_of_its_name(name, reliance):
    assert language_of(name, small_task()).reliance == reliance


UNKNOWN = (
    *("chain_of_thought", "cot_every_0", "cot_every_x", "cot_every_04", "cot_every_1.5", "cot_every_4_told", "every_4"),
    *("dial_2", "dial_1.5", "dial_0.50", "dial_.5", "dial_", "dial", "dial_0.5_", "dial_0.5_untold", "cot_dial_0.5"),
    *("", "cot_every_" + 400 * "9", "dial_" + 400 * "9"),
)


@pytest.mark.parametrize("name", UNKNOWN)
def test_an_unknown_condition_is_an_error_that_lists_the_known_ones(name):
    with pytest.raises(ValueError, match=f"no condition named '{name}'; there are amortized, .*, cot_every_4"):
        resolve_condition(name)


@given(task_fields(), st.sampled_from(list(TRACES)), st.booleans())
def test_rendering_lays_out_the_trace_of_the_condition(fields, name, coupled):
    task = small_task(**fields)
    assume(name != "hint_told" or task.query.kind == "filter")
    problems, vocabulary = draw(task, "train", 5, 3, 0), language_of(name, task).vocabulary
    trace = resolve_trace(TRACES[name])(problems, vocabulary)
    for spread_over in (None, 60):
        spread = {"positions": "randomized", "max_positions": spread_over} if spread_over else {}
        rendered = language_of(name, task, ModelSpec(coupled=coupled, **spread)).render(problems)
        laid_out = lay_out(problems, trace, vocabulary, coupled, spread_over)
        if name == "next_token":  # its further losses are tested below
            laid_out = laid_out._replace(weights=laid_out.weights + laid_out.observes)
        for column, expected in zip(rendered, laid_out, strict=True):
            np.testing.assert_array_equal(column, expected)


@pytest.mark.parametrize("name", TRACES)
def test_only_the_indexed_condition_has_index_tokens_and_training_lengths_set_their_number(name):
    task = small_task()
    assert language_of(name, task).vocabulary.n_indices == (48 if name == "cot_indexed" else 0)
    tested_elsewhere = small_task(steps={"train": [3, 6], "test": [40]})
    assert language_of(name, tested_elsewhere).vocabulary == language_of(name, task).vocabulary


@pytest.mark.parametrize("start", ["fixed", "known"])
def test_the_cost_of_a_question_is_the_mean_over_the_training_lengths(start):
    task, model = small_task(start=start), SMALL
    size, first = task_vocabulary(task).size, 1 + (start == "known")  # <bos> s_0
    direct = [training_flops(model, size, first + n + 1, 1) for n in (3, 4, 5, 6)]  # x_1..n <answer>
    thought = [training_flops(model, size, first + 2 * n + 2, n + 1) for n in (3, 4, 5, 6)]  # <think> c_1..n
    copied = [training_flops(model, size, first + 3 * n + 2, 2 * n + 1) for n in (3, 4, 5, 6)]
    indexed = [training_flops(model, size + 48, first + 4 * n + 2, 2 * n + 1) for n in (3, 4, 5, 6)]
    filler = [training_flops(model, size + 1, first + 2 * n + 2, 1) for n in (3, 4, 5, 6)]  # no loss on empty tokens
    rare = [training_flops(model, size, first + n + 3, 2) for n in (4, 5, 6)]  # <think> c_4
    costs = {
        "amortized": np.mean(direct),
        "cot": np.mean(thought),
        "cot_copied": np.mean(copied),
        "cot_indexed": np.mean(indexed),
        "cot_state": np.mean(thought),
        "cot_filler": np.mean(filler),
        "cot_every_4": np.mean([direct[0], *rare]),
    }
    for name, cost in costs.items():
        assert flops_per_question(small_spec(name, task=task)) == pytest.approx(cost)


def test_a_condition_with_its_own_architecture_keeps_layers_and_width():
    requested = ModelSpec(layers=3, width=24, heads=2, positions="rotary", coupled=False)
    assert resolve_condition("gru").architecture(requested) == ModelSpec(architecture="gru", layers=3, width=24)
    assert resolve_condition("cot").architecture(requested) == requested
    recurrent = ModelSpec(architecture="gru", layers=3, width=24)
    assert all(resolve_condition(name).architecture(recurrent) == recurrent for name in ("cot", "gru"))


def test_a_next_token_model_also_learns_every_symbol_of_the_question():
    task = small_task()
    problems = draw(task, "train", 4, 5)
    predicting, given = (language_of(name, task).render(problems) for name in ("next_token", "amortized"))
    np.testing.assert_array_equal(predicting.tokens, given.tokens)
    np.testing.assert_array_equal(predicting.weights, given.weights + predicting.observes)
    vocabulary = language_of("next_token", task).vocabulary
    kinds = [vocabulary.kind(token)[0] for token in predicting.tokens[0].tolist()]
    assert [kind for kind, weight in zip(kinds, predicting.weights, strict=True) if weight] == ["observation"] * 4 + [
        "answer"
    ]
    costs = [flops_per_question(small_spec(name)) for name in ("next_token", "amortized")]
    assert costs[0] > costs[1]
