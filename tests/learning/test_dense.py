"""Dense supervision: after every observation the exact answer is the target, softly or drawn."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from tests.learning.short_runs import SMALL, TRAINING, short_spec
from tests.learning.targets import assert_drawn_from, drawn, told
from tests.small_tasks import IN_CONTEXT, small_task
from tests.worlds.brute_force import enumerated_answer, predicted_by_words
from unamortized.language.batches import Batch
from unamortized.language.rendering import Language
from unamortized.learning.conditions import CONDITIONS, resolve_condition
from unamortized.learning.conditions.dense import answers_so_far, dense_batch
from unamortized.learning.questions import LONGEST, questions
from unamortized.learning.runs import flops_per_question, plan_run, set_up
from unamortized.learning.specification import RunSpec, Step, fresh_weights, weighted_cross_entropy
from unamortized.models.flops import training_flops
from unamortized.models.transformer import Output, Transformer
from unamortized.worlds.problems import Problems
from unamortized.worlds.splits import draw

TWO_STATES = {
    "process": {"family": "noisy_permutation", "states": 2, "symbols": 2, "slip": 0.1, "informativeness": 1.0},
    "steps": {"train": [2, 4], "test": [4]},
}
TASKS: dict[str, dict[str, Any]] = {
    "filter": {},
    "known": {"start": "known"},
    "belief": {"start": "belief"},
    "predict 1": {**TWO_STATES, "query": "predict 1"},
    "predict 3": {**TWO_STATES, "query": "predict 3"},
    "table": {**IN_CONTEXT, "steps": {"train": [2, 4], "test": [4]}},
    "table and state": {**IN_CONTEXT, "start": "known", "query": "predict 1", "steps": {"train": [2, 4], "test": [4]}},
}


def batches_of(spec: RunSpec, step: int = 0) -> tuple[list[Batch], list[Problems]]:
    """The batches of a step, and the problems that they were made from."""
    setup = set_up(spec, Path(), {})
    made = resolve_condition(spec.condition).batches(setup)(Step(step), fresh_weights(setup))
    return made, questions(setup, own=LONGEST)(Step(step))


def language_of(spec: RunSpec) -> Language:
    language = set_up(spec, Path(), {}).language
    assert isinstance(language, Language)
    return language


def enumerated(spec: RunSpec, problems: Problems) -> np.ndarray:
    """The exact answers (batch, step, answer) to the question asked after each prefix, by enumerating latent paths."""
    answers = []
    for number in range(len(problems)):
        process = problems.take(np.array([number])).process
        table = process.transitions if process.transitions.ndim == 3 else process.transitions[0]
        prefixes = [problems.observations[number, :n] for n in range(1, problems.n_steps + 1)]
        start = problems.beliefs[number, 0]
        answers.append([enumerated_answer(table, start, prefix, spec.task.query) for prefix in prefixes])
    return np.array(answers)


@pytest.mark.parametrize("name", TASKS)
def test_soft_targets_are_the_enumerated_answers_after_each_observation(name):
    spec = short_spec("amortized_dense", task=small_task(**TASKS[name]), batch_size=4)
    vocabulary = language_of(spec).vocabulary
    (batch,), (problems,) = batches_of(spec)
    assert problems.n_steps == spec.task.steps.train[1]
    assert batch.block == vocabulary.blocks["answer"]
    soft = told(batch)
    np.testing.assert_array_equal(batch.tokens.numpy()[:, soft.columns], vocabulary.observation(problems.observations))
    np.testing.assert_allclose(soft.distributions, enumerated(spec, problems), atol=1e-6)


def test_soft_targets_of_a_generalized_process_are_its_predictions():
    task = small_task(process={"family": "tom_quantum"}, query="predict 2", steps={"train": [2, 3], "test": [4]})
    spec = short_spec("amortized_dense", task=task, batch_size=4)
    (batch,), (problems,) = batches_of(spec)
    process = task.build()
    expected = [
        [predicted_by_words(process, process.initial, word[:n].tolist(), 2) for n in (1, 2, 3)]
        for word in problems.observations
    ]
    np.testing.assert_allclose(told(batch).distributions, expected, atol=1e-6)


def test_mixed_lengths_have_the_answers_of_each_length():
    spec = short_spec("amortized_dense", lengths="mixed", batch_size=6, lengths_per_batch=3)
    batches, groups = batches_of(spec)
    assert len({group.n_steps for group in groups}) > 1
    for batch, problems in zip(batches, groups, strict=True):
        assert told(batch).distributions.shape == (2, problems.n_steps, 3)
        np.testing.assert_allclose(told(batch).distributions, enumerated(spec, problems), atol=1e-6)


# ── drawn targets ────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("query", ["filter", "predict 2"])
def test_drawn_targets_have_the_frequencies_of_the_exact_answers(query):
    task = small_task(query=query)
    language, problems = language_of(short_spec("amortized_dense_drawn", task=task)), draw(task, "train", 4, 6000, 0)
    exact = answers_so_far(task, problems, problems.beliefs[:, 1:])
    assert_drawn_from(drawn(dense_batch(language, problems, exact, drawn=True), language), exact)


def test_the_same_questions_have_the_same_drawn_targets_and_others_have_others():
    spec = short_spec("amortized_dense_drawn", batch_size=16)
    language = language_of(spec)
    first, again, other = (drawn(batches_of(spec, step)[0][0], language) for step in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()
    problems = batches_of(spec)[1][0]
    answers = answers_so_far(small_task(), problems, problems.beliefs[:, 1:])
    alone = drawn(dense_batch(language, problems, answers, drawn=True), language)
    np.testing.assert_array_equal(alone, first)
    assert (first[:, -1] != problems.answers).any()  # the question's own answer is another draw


def test_only_the_targets_tell_the_two_kinds_of_label_apart():
    (soft,), (hard,) = (batches_of(short_spec(name))[0] for name in ("amortized_dense", "amortized_dense_drawn"))
    for name in ("tokens", "positions", "weights"):
        assert torch.equal(getattr(soft, name), getattr(hard, name))
    assert hard.targets.shape == hard.tokens.shape


# ── the loss ─────────────────────────────────────────────────────────────────────────────────────


class Fixed(Transformer):
    """Gives the logits that it holds, whatever it reads."""

    def __init__(self, logits: torch.Tensor) -> None:
        nn.Module.__init__(self)
        self.logits = nn.Parameter(logits)

    def forward(self, tokens: Any, positions: Any, *, select: Any = None, **_: Any) -> Output:
        return Output(self.logits[select], {})


def by_hand(batches: list[Batch], logits: list[np.ndarray]) -> float:
    """The weighted mean cross-entropy against soft targets, one number after another."""
    total, weight = 0.0, 0.0
    for batch, rows in zip(batches, logits, strict=True):
        assert batch.block is not None
        targets, weights = batch.targets.numpy(), np.broadcast_to(batch.weights.numpy(), batch.tokens.shape)
        for row in range(len(rows)):
            for column in range(1, batch.tokens.shape[1]):
                scores = rows[row, column - 1].astype(np.float64)
                log_probabilities = scores - np.log(np.exp(scores - scores.max()).sum()) - scores.max()
                share = targets[row, column] @ log_probabilities[batch.block]
                total, weight = total - weights[row, column] * share, weight + weights[row, column]
    return total / weight


def test_the_loss_is_the_weighted_mean_cross_entropy_over_all_lengths():
    spec = short_spec("amortized_dense", lengths="mixed", batch_size=6, lengths_per_batch=3)
    batches, _ = batches_of(spec)
    batches = [
        batch._replace(weights=batch.weights * torch.linspace(0.5, 2, batch.weights.numel())) for batch in batches
    ]
    model = fresh_weights(set_up(spec, Path(), {}))
    for parameter in model.parameters():
        parameter.data *= 5
    with torch.no_grad():
        logits = [model(batch.tokens[:, :-1], batch.positions[:, :-1]).logits.numpy() for batch in batches]
        loss = weighted_cross_entropy(model, batches).item()
    assert loss == pytest.approx(by_hand(batches, logits), rel=1e-5)


def test_the_loss_is_least_at_the_exact_answers():
    spec = short_spec("amortized_dense")
    (batch,), _ = batches_of(spec)
    assert batch.block is not None
    soft, size = told(batch).distributions, language_of(spec).vocabulary.size
    entropy = -(soft * np.log(soft)).sum(axis=2).mean()
    best = torch.full((*batch.tokens[:, 1:].shape, size), -40.0)
    best[:, told(batch).columns, batch.block] = torch.from_numpy(soft).log()
    model = Fixed(best)
    loss = weighted_cross_entropy(model, [batch])
    loss.backward()
    assert loss.item() == pytest.approx(entropy, rel=1e-5)
    assert model.logits.grad is not None
    assert model.logits.grad.abs().max() < 1e-7
    generator = torch.Generator().manual_seed(0)
    for _ in range(5):
        other = Fixed(best + torch.randn(best.shape, generator=generator))
        worse = weighted_cross_entropy(other, [batch])
        worse.backward()
        assert worse.item() > entropy + 0.01
        assert other.logits.grad is not None
        assert other.logits.grad.abs().max() > 1e-3
    outside = best.clone()
    outside[..., 0] = 1.0  # probability of a token that is no answer
    assert weighted_cross_entropy(Fixed(outside), [batch]).item() > entropy + 0.01


# ── tasks and costs ──────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("name", ["amortized_dense", "amortized_dense_drawn", "distilled"])
def test_a_question_without_answers_before_its_end_is_refused(name):
    others = [each for each in CONDITIONS if "dense" not in each and "windows" not in each and each != "distilled"]
    with pytest.raises(ValueError) as refusal:
        plan_run(small_task(query="smooth 0"), name, 0, SMALL, short_spec().train)
    reason = "it needs an answer after every observation, so query filter or predict"
    fitting = [each for each in others if each != "hint_told"]
    assert str(refusal.value) == f"condition '{name}' cannot learn small: {reason}; choose from {', '.join(fitting)}"


@pytest.mark.parametrize(("start", "given"), [("fixed", 1), ("known", 2)])
def test_the_cost_is_that_of_the_longest_questions_with_an_answer_after_each_observation(start, given):
    task = small_task(start=start)
    for name in ("amortized_dense", "amortized_dense_drawn"):
        spec = short_spec(name, task=task)
        size = language_of(spec).vocabulary.size
        costs = {n: training_flops(SMALL, size, given + n, n) for n in (3, 4, 5, 6)}  # <bos> [start] x_1..n
        assert flops_per_question(spec) == costs[6]
        for lengths in ("mixed", "growing"):
            chosen = short_spec(name, task=task, lengths=lengths)
            assert flops_per_question(chosen) == pytest.approx(np.mean(list(costs.values())))


def test_a_batch_has_as_many_questions_as_one_of_several_lengths():
    (batch,), _ = batches_of(short_spec("amortized_dense"))
    assert len(batch.tokens) == TRAINING["batch_size"]
