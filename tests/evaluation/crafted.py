"""Transformers with known weights: written by hand, so that it is known which head fetches what, or scrambled."""

from pathlib import Path
from typing import Any

import numpy as np
import torch

from tests.evaluation.oracle import slow_task
from tests.small_tasks import small_task
from unamortized.language.vocabulary import THINK
from unamortized.learning.runs import assemble, new_model
from unamortized.learning.specification import Run, RunSpec
from unamortized.models.transformer import ModelSpec, Transformer
from unamortized.worlds.tasks import Task

SHAPE = ModelSpec(layers=2, width=16, heads=4)
FETCHES_SYMBOL, FETCHES_CODE = 2, 1  # heads of the first layer
IS_SYMBOL, IS_CODE, SYMBOL, CODE, FETCHED, LAST, PARITY = range(7)  # directions of the residual stream
SHARP = 8.0  # slope of every head: a token one id away gets no attention unless there is none nearer


def parity_task() -> Task:
    """Two states that one of two symbols exchanges, starting in the first: c_t = c_{t-1} xor x_t, without noise."""
    process = {"family": "group_word", "group": "Z2"}
    return small_task(process=process, steps={"train": [2, 8], "test": [4]}, codebook={"resolution": 1})


def parity_run(condition: str = "cot", layer: int = 0, begins: float = 1.0) -> Run:
    """One head fetches the symbol with the same position id, another the code; the perceptron computes their parity.

    All of this happens in one ``layer``; the other does nothing. With ``begins`` = -1 the first state is wrong: every
    code is wrong from there on, though each step is right. Each direction of the residual stream is a channel and its
    negative another, so that normalization does not shift anything.
    """
    spec = RunSpec(task=parity_task(), condition=condition, model=SHAPE)
    model = new_model(spec)
    assert isinstance(model, Transformer)
    for name, parameter in model.named_parameters():
        parameter.data.fill_(1.0 if "norm" in name and name.endswith("weight") else 0.0)
    model.slopes.fill_(SHARP)
    blocks = assemble(spec, model, Path("no folder")).vocabulary.blocks

    def both(direction: int, value: float) -> torch.Tensor:
        vector = torch.zeros(SHAPE.width)
        vector[direction], vector[direction + 8] = value, -value
        return vector

    for bit, sign in enumerate((1.0, -1.0)):
        model.embed.weight.data[blocks["observation"].start + bit] = both(IS_SYMBOL, 1) + both(SYMBOL, sign)
        model.embed.weight.data[blocks["code"].start + bit] = both(IS_CODE, 1) + both(CODE, sign)
        model.unembed.weight.data[blocks["code"].start + bit] = both(PARITY, sign * 4)
    model.embed.weight.data[THINK] = both(IS_CODE, 1) + both(CODE, begins)
    block: Any = model.blocks[layer]
    width, qkv = SHAPE.width // SHAPE.heads, block.attention.qkv
    for head, kind, says, into in (
        (FETCHES_SYMBOL, IS_SYMBOL, SYMBOL, FETCHED),
        (FETCHES_CODE, IS_CODE, CODE, LAST),
    ):
        first = head * width
        qkv.bias.data[first] = 20.0  # the query asks every token whether it is of the kind
        qkv.weight.data[SHAPE.width + first] = both(kind, 1)
        qkv.weight.data[2 * SHAPE.width + first] = both(says, 0.5)
        block.attention.out.weight.data[:, first] = both(into, 1)
    for unit, (u, v, sign) in enumerate(((1, 1, 1), (-1, -1, 1), (1, -1, -1), (-1, 1, -1))):
        block.expand.weight.data[unit] = both(FETCHED, 4 * u) + both(LAST, 4 * v)  # |u + v| - |u - v| = 2 u v
        block.contract.weight.data[:, unit] = both(PARITY, sign)
    return assemble(spec, model.eval(), Path("no folder"))


def scrambled_run(condition="cot", layers=2, **fields) -> Run:
    """A transformer with random weights, large enough for every path to show."""
    spec = RunSpec(task=slow_task(**fields), condition=condition, model=ModelSpec(layers=layers, width=16, heads=4))
    model, generator = new_model(spec).eval(), torch.Generator().manual_seed(0)
    for parameter in model.parameters():
        parameter.data += torch.randn(parameter.shape, generator=generator) * (0.5 if parameter.ndim == 2 else 0.1)
    return assemble(spec, model, Path("no folder"))


def probabilities(run: Run, logits: torch.Tensor) -> np.ndarray:
    """The distribution over the tokens that state a code."""
    block = run.vocabulary.blocks["code"]
    return logits[:, block].double().softmax(dim=-1).numpy()
