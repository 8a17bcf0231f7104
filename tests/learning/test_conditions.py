"""Conditions: their names, traces, renderings and training costs."""

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from tests.small_tasks import small_task, task_fields
from unamortized.language.layout import lay_out
from unamortized.language.traces import resolve_trace
from unamortized.language.vocabulary import task_vocabulary
from unamortized.learning.conditions import CONDITIONS, TraceCondition, resolve_condition
from unamortized.models.flops import training_flops
from unamortized.models.transformer import ModelSpec
from unamortized.worlds.splits import draw

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


@pytest.mark.parametrize(("name", "trace"), [*TRACES.items(), ("dial_0", "belief"), ("dial_0.25_told", "told_end")])
def test_a_condition_is_found_by_name_and_has_its_trace(name, trace):
    condition = resolve_condition(name)
    assert (condition.name, condition.trace) == (name, trace)
    assert condition.description
    assert condition.equal_flops == ("cot" if name == "amortized_equal_flops" else None)
    assert condition.architecture == ("gru" if name == "gru" else None)


def test_every_listed_condition_is_found_and_tested_here_or_with_the_windows():
    assert all(resolve_condition(name) is condition for name, condition in CONDITIONS.items())
    on_traces = {name for name, condition in CONDITIONS.items() if isinstance(condition, TraceCondition)}
    assert on_traces == set(TRACES) - {"cot_every_17"}
    assert set(CONDITIONS) - on_traces == {"local_windows", "wrong_local_windows", "full_windows"}


@pytest.mark.parametrize(
    ("name", "reliance"), [("dial_0", 0), ("dial_1", 1), ("dial_0.5", 0.5), ("dial_0.25_told", 0.25), ("cot", None)]
)
def test_a_dial_has_the_reliance_of_its_name(name, reliance):
    condition = resolve_condition(name)
    assert isinstance(condition, TraceCondition)
    assert condition.reliance == reliance


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
    condition, problems = resolve_condition(name), draw(task, "train", 5, 3, 0)
    vocabulary = condition.vocabulary(task)
    trace = resolve_trace(TRACES[name])(problems, vocabulary)
    for spread_over in (None, 60):
        spread = {"positions": "randomized", "max_positions": spread_over} if spread_over else {}
        rendered = condition.renderer(task, ModelSpec(coupled=coupled, **spread))(problems)
        laid_out = lay_out(problems, trace, vocabulary, coupled, spread_over)
        if name == "next_token":  # its further losses are tested below
            laid_out = laid_out._replace(weights=laid_out.weights + laid_out.observes)
        for column, expected in zip(rendered, laid_out, strict=True):
            np.testing.assert_array_equal(column, expected)


@pytest.mark.parametrize("name", TRACES)
def test_only_the_indexed_condition_has_index_tokens_and_training_lengths_set_their_number(name):
    task = small_task()
    assert resolve_condition(name).vocabulary(task).n_indices == (48 if name == "cot_indexed" else 0)
    tested_elsewhere = small_task(steps={"train": [3, 6], "test": [40]})
    assert resolve_condition(name).vocabulary(tested_elsewhere) == resolve_condition(name).vocabulary(task)


@pytest.mark.parametrize("start", ["fixed", "known"])
def test_the_cost_of_a_question_is_the_mean_over_the_training_lengths(start):
    task, model = small_task(start=start), ModelSpec(layers=1, width=16)
    size, first = task_vocabulary(task).size, start == "known"
    direct = [training_flops(model, size, first + n + 1, 1) for n in (3, 4, 5, 6)]  # x_1..n <answer>
    thought = [training_flops(model, size, first + 2 * n + 2, n + 1) for n in (3, 4, 5, 6)]  # <think> c_1..n
    copied = [training_flops(model, size, first + 3 * n + 2, 2 * n + 1) for n in (3, 4, 5, 6)]
    indexed = [training_flops(model, size + 48, first + 4 * n + 2, 2 * n + 1) for n in (3, 4, 5, 6)]
    rare = [training_flops(model, size, first + n + 3, 2) for n in (4, 5, 6)]  # <think> c_4
    costs = {
        "amortized": np.mean(direct),
        "cot": np.mean(thought),
        "cot_copied": np.mean(copied),
        "cot_indexed": np.mean(indexed),
        "cot_state": np.mean(thought),
        "cot_every_4": np.mean([direct[0], *rare]),
    }
    for name, cost in costs.items():
        assert resolve_condition(name).training_flops_per_question(task, model) == pytest.approx(cost)


def test_a_condition_with_its_own_architecture_keeps_layers_and_width():
    requested = ModelSpec(layers=3, width=24, heads=2, positions="rotary", coupled=False)
    assert resolve_condition("gru").shape(requested) == ModelSpec(architecture="gru", layers=3, width=24)
    assert resolve_condition("cot").shape(requested) == requested
    recurrent = ModelSpec(architecture="gru", layers=3, width=24)
    assert resolve_condition("cot").shape(recurrent) == resolve_condition("gru").shape(recurrent) == recurrent


def test_a_next_token_model_also_learns_every_symbol_of_the_question():
    task = small_task()
    render, direct = (resolve_condition(name).renderer(task, ModelSpec()) for name in ("next_token", "amortized"))
    problems = draw(task, "train", 4, 5)
    predicting, given = render(problems), direct(problems)
    np.testing.assert_array_equal(predicting.tokens, given.tokens)
    np.testing.assert_array_equal(predicting.weights, given.weights + predicting.observes)
    vocabulary = resolve_condition("next_token").vocabulary(task)
    kinds = [vocabulary.kind(token)[0] for token in predicting.tokens[0].tolist()]
    assert [kind for kind, weight in zip(kinds, predicting.weights, strict=True) if weight] == ["observation"] * 4 + [
        "answer"
    ]
    costs = [
        resolve_condition(name).training_flops_per_question(task, ModelSpec()) for name in ("next_token", "amortized")
    ]
    assert costs[0] > costs[1]
