"""Questions begin with <bos>, because without it a model that is asked in the question cannot count one symbol."""

from typing import Any

import numpy as np
import pytest
import torch

from tests.small_nets import small_net_task
from tests.small_tasks import KINDS, small_task
from unamortized.language.layout import NO_STEP, NOWHERE, Examples
from unamortized.language.rendering import Language, NetLanguage
from unamortized.language.vocabulary import BOS
from unamortized.language.windows import net_vocabulary
from unamortized.learning.runs import load_run, plan_run
from unamortized.learning.specification import TrainSpec
from unamortized.learning.training import train_run
from unamortized.models.transformer import ModelSpec, Transformer
from unamortized.worlds.problems import Problems, Questions, solve
from unamortized.worlds.splits import draw
from unamortized.worlds.tasks import Task
from unamortized.worlds.windows import Windows, draw_windows

SMALL = ModelSpec(layers=2, width=16)
TRACES = ("none", "dense", "belief", "streaming", "copied", "every_2", "posthoc")


def cyclic(**changes: Any) -> Task:
    """Count two symbols, one and two, modulo three."""
    process = {"family": "group_word", "group": "Z3", "elements": ["1", "2"]}
    fields = {"process": process, "codebook": {"resolution": 1}, "steps": {"train": [1, 3], "test": [3]}}
    return small_task(**fields | changes)


def words(task: Task, observations: list[list[int]]) -> Problems:
    """Problems with these observations."""
    process, observed = task.build(), np.array(observations)
    start = np.tile(process.initial, (len(observed), 1))
    unknown = np.zeros((len(observed), observed.shape[1] + 1), dtype=np.int64)
    return solve(Questions(observed, unknown, start, unknown[:, 0], process, "fixed"), task.query)


def scrambled(size: int, positions: str = "alibi") -> Transformer:
    """A transformer with random weights, large enough for every path to show."""
    torch.manual_seed(0)
    model = Transformer(ModelSpec.model_validate(dict(SMALL) | {"positions": positions}), size)
    for parameter in model.parameters():
        parameter.data += torch.randn(parameter.shape) * 0.3
    return model.eval()


def asked_after(examples: Examples, model: Transformer, column: int, first: int = 0) -> np.ndarray:
    """Return the logits after a column, read from the ``first`` column on."""
    tokens, positions = torch.from_numpy(examples.tokens), torch.from_numpy(examples.positions)[None]
    with torch.no_grad():
        return model(tokens[:, first : column + 1], positions[:, first : column + 1]).logits[0, -1].numpy()


def differences(answers: list[np.ndarray]) -> list[float]:
    """Return how far the second and third answers are from the first."""
    return [float(np.abs(each - answers[0]).max()) for each in answers[1:]]


# ── repeated symbols ─────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("positions", ["alibi", "rotary", "none"])
@pytest.mark.parametrize("trace", TRACES)
def test_a_model_answers_words_of_one_repeated_symbol_differently_in_every_layout(trace, positions):
    language = Language(cyclic(), trace)
    model = scrambled(language.vocabulary.size, positions)
    answers = []
    for n_steps in (1, 2, 3):
        examples = language.render(words(cyclic(), [[0] * n_steps]))
        answers.append(asked_after(examples, model, examples.answer - 1))
    assert min(differences(answers)) > 1e-3


@pytest.mark.parametrize("positions", ["alibi", "rotary", "none"])
@pytest.mark.parametrize("predicts_question", [False, True])
def test_only_the_begin_token_lets_a_model_count_when_it_is_asked_in_the_question(positions, predicts_question):
    """Attention over equal tokens is the same for any number of them, with any bias or rotation of queries and keys."""
    language = Language(cyclic(), "none" if predicts_question else "dense", predicts_question=predicts_question)
    model = scrambled(language.vocabulary.size, positions)
    examples = language.render(words(cyclic(), [[0, 0, 0]]))
    asked = np.flatnonzero(examples.weights)[:3] - 1 + predicts_question  # the observations
    assert examples.steps[asked].tolist() == [1, 2, 3]
    counted = [asked_after(examples, model, column) for column in asked]
    assert min(differences(counted)) > 1e-3
    without = [asked_after(examples, model, column, first=1) for column in asked]
    assert max(differences(without)) < 1e-5


def test_windows_with_an_assignment_repeated_are_told_apart():
    language = NetLanguage(net_vocabulary(small_net_task()))
    model = scrambled(language.vocabulary.size)
    answers = []
    for n_shown in (1, 2, 3):
        repeated = np.zeros((1, n_shown + 1), dtype=np.int64)
        examples = language.render(Windows(repeated, repeated))
        answers.append(asked_after(examples, model, examples.answer - 1))
    assert min(differences(answers)) > 1e-3


def test_counting_is_learned_from_dense_answers(tmp_path):
    train = TrainSpec(steps=150, batch_size=16, warmup_steps=5, learning_rate=0.05, muon_learning_rate=0.05)
    shape = ModelSpec(layers=1, width=32)
    run = load_run(train_run(plan_run(cyclic(), "amortized_dense", 0, shape, train), tmp_path))
    for n_steps in (1, 2, 3):
        problems = words(cyclic(), [list(word) for word in np.ndindex((2,) * n_steps)])
        examples = run.render(problems)
        with torch.no_grad():
            read = torch.from_numpy(examples.tokens[:, :-1]), torch.from_numpy(examples.positions[None, :-1])
            logits = run.model(*read).logits[:, -1, run.vocabulary.blocks["answer"]]
        right = (logits.softmax(dim=-1).numpy() * problems.answer_distribution).sum(axis=1)
        assert right.min() > 0.99, problems.observations[right.argmin()]


# ── layout ───────────────────────────────────────────────────────────────────────────────────────


def layouts(kind: str) -> list[Examples]:
    """Examples of a kind of task under all traces that fit it, with coupled and with plain ids."""
    task, found = small_task(**KINDS[kind]), []
    problems = draw(task, "train", 4, 2, 0)
    for trace in (*TRACES, "state", "indexed", "hint_untold", "told_end", "reversed", "filler"):
        if not (trace == "state" and problems.process.is_generalized):
            found += [Language(task, trace, coupled).render(problems) for coupled in (True, False)]
            found.append(Language(task, trace, spread_over=40).render(problems))
    return found


@pytest.mark.parametrize("kind", KINDS)
def test_every_question_begins_with_a_begin_token_that_has_the_lowest_id(kind):
    for examples in layouts(kind):
        assert (examples.tokens[:, 0] == BOS).all()
        assert not (examples.tokens[:, 1:] == BOS).any()
        assert (examples.steps[0], examples.produces[0], examples.weights[..., 0].max()) == (NO_STEP, NO_STEP, 0)
        assert not examples.written[0]
        own, others = examples.positions[0], examples.positions[1:]
        assert 0 <= own <= others[others != NOWHERE].min()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("trace", TRACES)
def test_the_begin_token_has_id_zero_also_before_a_table_and_plain_ids_count_it(kind, trace):
    task = small_task(**KINDS[kind])
    problems = draw(task, "train", 4, 2, 0)
    coupled, plain = (Language(task, trace, coupled).render(problems) for coupled in (True, False))
    assert coupled.positions[0] == 0
    n_table = 6 if "table" in kind else 0  # two symbols over three states
    assert coupled.positions[1 : 1 + n_table].tolist() == [NOWHERE] * n_table
    assert coupled.positions[coupled.observes].tolist() == [1, 2, 3, 4]
    assert plain.positions.tolist() == list(range(plain.tokens.shape[1]))
    if trace != "streaming":
        begins = 1 + n_table + (problems.start != "fixed")
        assert plain.positions[plain.observes].tolist() == [begins + step for step in range(4)]


def test_a_window_begins_with_a_begin_token_of_id_zero():
    language = NetLanguage(net_vocabulary(small_net_task()))
    for group in draw_windows(small_net_task(), "local", 16, 0, 0):
        examples = language.render(group)
        assert (examples.tokens[:, 0] == BOS).all()
        assert not (examples.tokens[:, 1:] == BOS).any()
        assert examples.positions.tolist() == [0, *[NOWHERE] * (examples.tokens.shape[1] - 1)]
        assert examples.weights.tolist() == [0, 0, *[1] * (examples.tokens.shape[1] - 2)]
