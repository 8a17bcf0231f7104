"""The check of a GPU: rows are paired, and each is held to the tolerance of what computed it."""

import numpy as np
import pandas as pd
import pytest
import torch

from tests import gpu_check
from tests.gpu_check import compare

ROWS = [
    {"condition": "prior", "metric": "answer_kl", "value": 0.5, "run": None},
    {"condition": "amortized", "metric": "answer_flops", "value": 7e6, "run": "a"},
    {"condition": "amortized", "metric": "answer_kl", "value": 8.0, "run": "a"},
    {"condition": "amortized", "metric": "map_agreement", "value": 0.5, "run": "a"},
    {"condition": "cot", "metric": "answer_kl", "value": 0.5, "run": "b"},
    {"condition": "cot", "metric": "causal_reliance", "value": np.nan, "run": "b"},
]
CPU = pd.DataFrame([{"n_steps": 4, "count": 64, "unit": "", **row} for row in ROWS])


def wrong(gpu: pd.DataFrame) -> list[int]:
    rows = compare(CPU, gpu)
    found = rows[rows["difference"] > rows["tolerance"]]
    order = {(row["condition"], row["metric"]): place for place, row in enumerate(ROWS)}
    return sorted(order[pair] for pair in found[["condition", "metric"]].itertuples(index=False, name=None))


@pytest.mark.parametrize(
    "difference, beyond",
    [(0.0, []), (1e-9, [0]), (1e-3, [0]), (2e-3, [0, 2]), (1 / 64, [0, 2]), (0.1, [0, 2, 3, 4])],
)
def test_rounding_may_move_models_and_break_their_ties_but_moves_no_baseline(difference, beyond):
    moved = CPU["value"].where(CPU["metric"] == "answer_flops", CPU["value"] + difference)
    assert wrong(CPU.assign(value=moved, run="other")) == beyond
    assert 1 in wrong(CPU.assign(value=CPU["value"] + 1e-6))  # FLOPs are counted, not measured


def test_a_row_or_a_value_of_one_device_alone_is_wrong():
    assert wrong(CPU.drop(index=4)) == [4]
    assert wrong(CPU.assign(n_steps=[4, 4, 4, 4, 4, 8])) == [5, 5]
    assert wrong(CPU.assign(value=CPU["value"].fillna(0.0))) == [5]


def test_without_a_gpu_one_sentence_says_so(monkeypatch, capsys):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert gpu_check.main() == 2
    assert capsys.readouterr().err == "gpu_check: this check needs a GPU, and torch finds none that it can use\n"
