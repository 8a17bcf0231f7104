"""The log-probabilities of a rollout are those of the tokens that the model chose, within the block of each."""

from pathlib import Path

import numpy as np
import pytest
import torch

from tests.learning.short_runs import short_spec
from tests.small_tasks import small_task
from unamortized.learning import rollouts
from unamortized.learning.rollouts import respond
from unamortized.learning.runs import assemble, new_model
from unamortized.learning.specification import Run
from unamortized.models.decoding import generate
from unamortized.worlds.problems import Problems
from unamortized.worlds.splits import draw

CONDITIONS = (
    *("cot", "cot_copied", "cot_indexed", "cot_state", "cot_every_2", "cot_filler"),
    *("cot_posthoc", "cot_reversed", "cot_streaming", "cot_synonyms", "hint_untold", "gru_cot"),
)


def scrambled(condition: str) -> Run:
    """A run with random weights, large enough for some tokens to be much likelier than others."""
    spec = short_spec("cot" if condition == "gru_cot" else condition)
    if condition == "gru_cot":
        spec = spec.model_copy(update={"model": short_spec("gru").model})
    model, generator = new_model(spec).eval(), torch.Generator().manual_seed(0)
    for parameter in model.parameters():
        parameter.data += torch.randn(parameter.shape, generator=generator) * (0.5 if parameter.ndim == 2 else 0.1)
    return assemble(spec, model, Path("no folder"))


def teacher_forced(run: Run, problems: Problems, response: rollouts.Response) -> np.ndarray:
    """The log-probability of each token of the trace, from one pass over question, trace and answer."""
    examples, vocabulary = run.render(problems), run.vocabulary
    trace = run.language.kind(problems, vocabulary)
    columns = [column for column in np.flatnonzero(examples.written) if column != examples.answer]
    blocks = [vocabulary.blocks[name] for name in trace.blocks]
    tokens = examples.tokens.copy()
    tokens[:, columns] = response.written + np.array([block.start for block in blocks])
    tokens[:, examples.answer] = vocabulary.blocks["answer"].start + response.answers.argmax(axis=1)
    with torch.no_grad():
        logits = run.model(torch.from_numpy(tokens), torch.from_numpy(examples.positions)[None]).logits.double()
    found = np.empty(response.written.shape)
    for place, (column, block) in enumerate(zip(columns, blocks, strict=True)):
        scores = logits[:, column - 1, block].log_softmax(dim=-1).numpy()
        found[:, place] = scores[np.arange(len(tokens)), response.written[:, place]]
    return found


@pytest.mark.parametrize("condition", CONDITIONS)
def test_they_are_those_of_one_pass_over_the_finished_text(condition):
    run = scrambled(condition)
    problems = draw(small_task(), "test", 5, 12, 0)
    response = respond(run, problems)
    expected = teacher_forced(run, problems, response)
    np.testing.assert_allclose(response.log_probabilities, expected, atol=1e-5)
    assert (response.log_probabilities <= 0).all()
    if condition != "cot_filler":  # its tokens have no alternative
        assert np.ptp(response.log_probabilities) > 0.1


@pytest.mark.parametrize("condition", ["cot", "cot_copied"])
def test_a_sampled_trace_has_those_of_the_tokens_that_were_drawn(condition):
    run, problems = scrambled(condition), draw(small_task(), "test", 5, 12, 0)
    likeliest, sampled = respond(run, problems), respond(run, problems, sample=True, draw=3)
    assert (sampled.written != likeliest.written).any()
    np.testing.assert_allclose(sampled.log_probabilities, teacher_forced(run, problems, sampled), atol=1e-5)
    first = (sampled.log_probabilities[:, 0], likeliest.log_probabilities[:, 0])
    assert (first[0] <= first[1] + 1e-6).all()  # the first token has the same alternatives in both


@pytest.mark.parametrize("n_forced", [0, 2, 5])
def test_a_token_that_the_model_did_not_choose_has_none(n_forced):
    run, problems = scrambled("cot"), draw(small_task(), "test", 5, 12, 0)
    other = (respond(run, problems).written + 1) % run.vocabulary.codebook.size
    response = respond(run, problems, forced=other, n_forced=n_forced)
    np.testing.assert_array_equal(response.written[:, :n_forced], other[:, :n_forced])
    assert np.isnan(response.log_probabilities[:, :n_forced]).all()
    expected = teacher_forced(run, problems, response)[:, n_forced:]
    np.testing.assert_allclose(response.log_probabilities[:, n_forced:], expected, atol=1e-5)


def test_a_truncated_trace_has_those_of_what_is_left():
    run, problems = scrambled("cot"), draw(small_task(), "test", 5, 12, 0)
    whole, short = respond(run, problems), respond(run, problems, truncate=2)
    np.testing.assert_allclose(short.log_probabilities, whole.log_probabilities[:, :2], atol=1e-5)


def test_a_direct_model_writes_nothing():
    run, problems = scrambled("amortized_dense"), draw(small_task(), "test", 5, 12, 0)
    assert respond(run, problems).log_probabilities.shape == (12, 0)


def test_problems_answered_in_several_parts_have_the_same(monkeypatch):
    run, problems = scrambled("cot"), draw(small_task(), "test", 5, 12, 0)
    whole = respond(run, problems)
    monkeypatch.setattr(rollouts, "CHUNK", 5)
    np.testing.assert_allclose(respond(run, problems).log_probabilities, whole.log_probabilities, atol=1e-5)


def test_they_are_normalized_over_the_block_of_each_column_alone():
    """Over all tokens that a column may take, their exponentials sum to one."""
    run, problems = scrambled("cot"), draw(small_task(), "test", 3, 4, 0)
    examples, block = run.render(problems), slice(4, 7)
    tokens, positions = torch.from_numpy(examples.tokens), torch.from_numpy(examples.positions)[None]
    written = torch.zeros(tokens.shape[1], dtype=torch.bool)
    written[3] = True
    generated = generate(run.model, tokens, positions, written, block=block)
    with torch.no_grad():
        options = run.model(tokens[:, :3], positions[:, :3]).logits[:, -1, block].double().log_softmax(dim=-1)
    np.testing.assert_allclose(generated.log_probabilities[:, 3], options.max(dim=-1).values, atol=1e-5)
    assert torch.isnan(generated.log_probabilities[:, ~written]).all()
