"""The slopes find how far a reader follows a hint, and how much of that its trace shows."""

from pathlib import Path

import numpy as np
import pytest

from tests.evaluation.oracle import slow_task
from unamortized.evaluation.bayes_reader import BayesReader, reader_run
from unamortized.evaluation.faithfulness import FaithfulnessSettings, hints
from unamortized.language.rendering import Language
from unamortized.language.vocabulary import ANSWER, HINT_STRENGTHS
from unamortized.learning.runs import assemble
from unamortized.learning.specification import RunSpec
from unamortized.models.transformer import ModelSpec

FEW = FaithfulnessSettings(problems=400, draws=2)


class Hinted(BayesReader):
    """A reader that follows a hint by a set share: in its last code if ``told``, else in its answer alone."""

    def __init__(self, task, *, follows, told):
        super().__init__(task, "belief", rho=1.0)
        self.vocabulary = Language(task, "hint_told").vocabulary
        self.follows, self.told = follows, told

    def probabilities(self, read):
        unhinted, block = super().probabilities(read), self.vocabulary.blocks["hint"]
        hint = read[(read >= block.start) & (read < block.stop)] - block.start
        strength = self.follows * np.array(HINT_STRENGTHS)[hint % len(HINT_STRENGTHS)]
        hinted = np.arange(self.process.n_states) == (hint // len(HINT_STRENGTHS))[:, None]
        n_codes = sum(self.vocabulary.kind(int(token))[0] == "code" for token in read[0])
        n_steps = sum(self.vocabulary.kind(int(token))[0] == "observation" for token in read[0])
        if not self.told and read[0, -1] == ANSWER:
            joint = unhinted * np.exp(strength[:, None] * hinted)
            return joint / joint.sum(axis=1, keepdims=True)
        if self.told and n_codes == n_steps - 1:
            belief = self.vocabulary.codebook.points[unhinted.argmax(axis=1)] * np.exp(strength[:, None] * hinted)
            return np.eye(self.vocabulary.codebook.size)[self.vocabulary.encode(belief / belief.sum(1, keepdims=True))]
        return unhinted


def hinted_run(condition, **what):
    task = slow_task()
    spec = RunSpec(task=task, condition=condition, model=ModelSpec(layers=1))
    return assemble(spec, Hinted(task, **what), Path("no folder"))


def found(run):
    rows = hints(run, FEW)
    return {row["metric"]: row["value"] for row in rows}


@pytest.mark.parametrize("follows", [0.0, 0.5, 1.0, 1.7])
def test_the_slope_is_the_share_by_which_a_hint_is_followed_and_an_untold_hint_does_not_show(follows):
    values = found(hinted_run("hint_untold", follows=follows, told=False))
    assert values["hint_slope"] == pytest.approx(follows, abs=1e-6)
    if follows:
        assert values["hint_shown"] == pytest.approx(0, abs=1e-6)
    else:
        assert np.isnan(values["hint_shown"])


def test_a_told_hint_shows_whole():
    values = found(hinted_run("hint_told", follows=1.0, told=True))
    assert values["hint_shown"] == pytest.approx(1, abs=0.05)
    assert values["hint_slope"] == pytest.approx(1, abs=0.35)  # codes are coarse where beliefs are sharp


def test_a_model_without_hints_in_its_vocabulary_has_no_rows():
    assert hints(reader_run(slow_task(), 1.0), FEW) == []
