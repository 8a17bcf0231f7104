"""The questions of a step: their lengths follow the chosen mode, and keys name another stream of them."""

from itertools import chain
from pathlib import Path

import numpy as np
import pytest

from tests.learning.short_runs import short_spec
from tests.small_tasks import small_task
from unamortized.language.batches import lengths_of_step
from unamortized.learning.questions import LONGEST, MIXED, questions, training_lengths
from unamortized.learning.runs import set_up
from unamortized.learning.specification import RunSpec, Step
from unamortized.worlds.problems import Problems
from unamortized.worlds.splits import content_hash

LONG = small_task(steps={"train": [3, 12], "test": [4]})


def spec_with(lengths: str, **changes) -> RunSpec:
    return short_spec(
        "amortized", **{"task": LONG, "lengths": lengths, "batch_size": 12, "lengths_per_batch": 3} | changes
    )


def asked(
    spec: RunSpec, *keys: str | int, own: str = MIXED, step: int = 0, longest: int | None = None, root: Path = Path()
) -> list[Problems]:
    return questions(set_up(spec, root, {}), *keys, own=own)(Step(step, longest))


def observed(groups: list[Problems]) -> list[list]:
    return [group.observations.tolist() for group in groups]


def hashes(groups: list[Problems]) -> set[int]:
    """The contents of questions that are too long to occur twice by chance."""
    return {each for group in groups if group.n_steps > 8 for each in content_hash(group).tolist()}


def test_mixed_lengths_come_from_each_part_of_the_training_range():
    seen = set()
    for number in range(40):
        groups = asked(spec_with("mixed"), step=number)
        lengths = [group.n_steps for group in groups]
        assert lengths == lengths_of_step(LONG, 3, 0, number)
        assert [len(group) for group in groups] == [4, 4, 4]
        assert 3 <= lengths[0] <= 6 <= lengths[1] <= 9 <= lengths[2] <= 12
        seen |= set(lengths)
    assert seen == set(range(3, 13))


def test_the_longest_mode_asks_questions_of_the_longest_training_length_only():
    for number in range(4):
        (group,) = asked(spec_with("longest"), step=number)
        assert (group.n_steps, len(group)) == (12, 12)


def test_growing_lengths_are_drawn_up_to_the_limit_and_reach_it():
    for longest in (3, 4, 8, 12):
        drawn = [[group.n_steps for group in asked(spec_with("growing"), step=n, longest=longest)] for n in range(12)]
        assert max(map(max, drawn)) == longest
        assert min(map(min, drawn)) == 3
        assert all(len(lengths) == 3 for lengths in drawn)


def test_a_condition_chooses_its_own_lengths_unless_the_run_says_otherwise():
    for own in (MIXED, LONGEST):
        chosen = observed(asked(spec_with("own"), own=own))
        assert chosen == observed(asked(spec_with(own), own=MIXED)) == observed(asked(spec_with(own), own=LONGEST))
        assert training_lengths(spec_with("own"), own) == training_lengths(spec_with(own), LONGEST)
    assert training_lengths(spec_with("own")) == training_lengths(spec_with("growing")) == list(range(3, 13))
    assert training_lengths(spec_with("longest")) == [12]


def test_steps_seeds_and_keys_give_other_questions_of_the_same_lengths():
    spec = spec_with("longest", batch_size=24)
    streams = [
        hashes(asked(spec)),
        hashes(asked(spec, step=1)),
        hashes(asked(spec_with("longest", batch_size=24, seed=1))),
        hashes(asked(spec, "distilled")),
        hashes(asked(spec, "distilled", 1)),
        hashes(asked(spec, "distilled", step=1)),
    ]
    assert len(set.union(*streams)) == sum(map(len, streams)) == 6 * 24
    assert hashes(asked(spec, "distilled")) == streams[3]  # the same each time
    mixed = spec_with("mixed")
    assert [g.n_steps for g in asked(mixed, "distilled")] == [g.n_steps for g in asked(mixed)]


def test_a_corpus_gives_its_own_few_questions_and_no_others(tmp_path):
    spec = spec_with("own", questions=30)
    steps = [asked(spec, root=tmp_path, step=number) for number in range(12)]
    assert all([group.n_steps for group in groups] == lengths_of_step(LONG, 3, 0, n) for n, groups in enumerate(steps))
    of_length: dict[int, set[int]] = {}
    for group in chain.from_iterable(steps):
        of_length.setdefault(group.n_steps, set()).update(content_hash(group).tolist())
    assert all(len(met) <= 3 for met in of_length.values())  # thirty questions of ten lengths
    (longest,) = asked(spec_with("longest", questions=30), root=tmp_path)
    assert set(content_hash(longest).tolist()) <= of_length[12]
    assert len(np.unique(content_hash(longest))) == 3


def test_a_corpus_cannot_be_asked_for_another_stream(tmp_path):
    with pytest.raises(ValueError, match="condition amortized always draws fresh questions; leave out train.questions"):
        questions(set_up(spec_with("own", questions=30), tmp_path, {}), "distilled")
    assert list(tmp_path.iterdir()) == []
