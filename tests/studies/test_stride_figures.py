"""The figures on strides show the table's numbers: curves by N, N* by stride, costs and right steps."""

import numpy as np
import pandas as pd
import pytest

from unamortized.evaluation.examples import EXAMPLE_COLUMNS
from unamortized.evaluation.metrics import row, to_table
from unamortized.studies.figures import FIGURES, Tables
from unamortized.studies.figures.stride import AMORTIZED
from unamortized.studies.figures.style import colour
from unamortized.studies.growth import THRESHOLD, all_needed, fit

TASKS = ("group_word_s3@fixed_16", "noisy_permutation@fixed_16")
SIZES = (20, 100, 500, 2500, 12500)
STRIDES = (1, 2, 4, 8, 16)
SEEDS = 3


def name_of(stride):
    return {0: AMORTIZED, 1: "cot"}.get(stride, f"cot_every_{stride}")


def synthetic_metrics():
    """Exponential growth in one world, none in the other, in the form of ``metrics.csv``."""
    draw, rows = np.random.default_rng(9), []

    def add(task, name, seed, metric, value, step=None):
        rows.append(row(task, name, seed, "in_distribution", metric, value, 512, n_steps=16, step=step))

    for task, rate in zip(TASKS, (0.7, 0.03), strict=True):
        for seed in range(SEEDS):
            for stride in (*STRIDES, 0):
                log_needed = 3.2 + rate * (stride or 16) + 0.3 * draw.standard_normal()
                for size in SIZES:
                    condition = f"{name_of(stride)}@n{size}"
                    excess = 2.0 * (np.log(size) - log_needed)
                    add(task, condition, seed, "answer_kl", 8 * THRESHOLD / (THRESHOLD + 7.9 * np.exp(excess) * 0.1))
                    add(task, condition, seed, "answer_flops", 1e6 * (1 + 16 / (stride or 32)))
                    for step in range(stride, 17, stride) if stride else ():
                        right = draw.uniform(0.8, 1)
                        add(task, condition, seed, "stride_step_right", right, step)
                        add(task, f"{name_of(stride)}@n{size}/exact_trace", seed, "stride_step_right", 0.99, step)
                        add(task, condition, seed, "trace_agreement", right ** (step / stride), step)
                    if stride:
                        add(task, condition, seed, "trace_agreement", 0.5)
            for stride in STRIDES:
                add(task, "update_table", seed, "table_questions", 10.0 * 2**stride, stride)
    return to_table(rows)


@pytest.fixture(scope="module")
def tables():
    return Tables(synthetic_metrics(), pd.DataFrame(columns=list(EXAMPLE_COLUMNS)))


def points(axes, **look):
    """The points of all lines that look so."""
    same = [line for line in axes.lines if all(getattr(line, f"get_{key}")() == value for key, value in look.items())]
    return [np.column_stack(line.get_data()).astype(float) for line in same]
