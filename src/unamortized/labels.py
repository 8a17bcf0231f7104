"""Labels: the only module that composes names of rows, and takes them apart.

A row of ``metrics.csv`` is identified by columns, not by one string. Within a column, a name may carry numbers, each
after its word: ``cot_every_4``, ``dial_0.5_told``, ``window_8``, ``s3_slip0.1_n8``, ``l2_after_128``.

=========  ==============================================================================================
column     what it says
=========  ==============================================================================================
task       the task file
world      what the study changed in that task, so that one task may stand for several worlds
condition  the way of learning, or the baseline
variant    what the model, its training, or its way of answering had otherwise
control    what stands in for the model, its belief, or the change under test; several are joined by a plus
site       the tokens that were read or changed
layer      a number (0 is the embedding), ``all`` layers together, the ``chosen`` one, or a component (``L0H2``)
run        the hash of the run that was measured; empty for what needs no model
=========  ==============================================================================================
"""

import re
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

QUESTION, ABOUT_TO_STATE = "question", "about_to_state"  # sites
ALL_LAYERS, CHOSEN_LAYER, LAST_LAYER = "all", "chosen", "last"

_NUMBER = re.compile(r"(?:^|_)([a-z]+)_?(\d+(?:\.\d+)?)(?=_|$)")
_COMPONENT = re.compile(r"L(\d+)(?:H(\d+)|(MLP))?")

DISPLAY = {  # what figures, tables and reports call conditions and baselines, by name or stem
    "amortized": "no trace",
    "amortized_equal_flops": "no trace, equal FLOPs",
    "amortized_dense": "no trace, dense",
    "amortized_dense_drawn": "no trace, dense, drawn",
    "distilled": "no trace, distilled",
    "next_token": "next symbol",
    "cot": "CoT",
    "cot_copied": "CoT, copies observations",
    "cot_indexed": "CoT, numbers observations",
    "cot_state": "CoT, sampled states",
    "cot_filler": "empty tokens",
    "cot_shuffled": "another problem's trace",
    "cot_posthoc": "trace after the answer",
    "cot_reversed": "CoT, last step first",
    "cot_streaming": "CoT, while reading",
    "cot_dithered": "CoT, dithered codes",
    "cot_synonyms": "CoT, two spellings",
    "hint_told": "CoT, states the hint",
    "hint_untold": "CoT, hides the hint",
    "gru": "GRU",
    "local_windows": "local windows",
    "wrong_local_windows": "wrong local windows",
    "full_windows": "the whole net",
    "prior": "prior",
    "marginal": "marginal",
    "trained_bayes": "exact, training parameters",
    "codebook_floor": "codebook floor",
    "codebook_recursive": "exact, rounded at each step",
    "exact_scaffolded": "exact, step by step",
    "process": "process",
    "cot_every": "CoT, every {:g} steps",
    "dial": "ρ = {:g}",
    "dial_told": "ρ = {:g}, end told",
    "reader": "exact reader, ρ = {:g}",
    "window": "exact, last {:g}",
    "particle": "{:g} particles",
}

_COUNTED = re.compile(r"_?(?P<word>layers|steps)_(?P<number>\d+)")


def numbers(name: str) -> dict[str, float]:
    """Return the numbers in a name, by the word before each: s3_slip0.1_n8 has s = 3, slip = 0.1 and n = 8."""
    return {word: float(digits) for word, digits in _NUMBER.findall(name)}


def stem(name: str) -> str:
    """Return a name without its numbers: ``window`` for ``window_8``, ``dial_told`` for ``dial_0.5_told``."""
    return _NUMBER.sub(lambda found: found[0][: found.start(2) - found.start()].rstrip("_"), name)


def words(name: str) -> list[str]:
    """Return the words of a name, those with a number also alone: wide, width for ``wide_width_128``."""
    return [*stem(name).split("_"), *numbers(name)]


def numbered(word: str, number: float) -> str:
    """Return a name with its number: ``window_8``, ``dial_0.5``."""
    return f"{word}_{np.format_float_positional(number, precision=6, fractional=False, trim='-')}"


def column_and_word(reference: str) -> tuple[str, str]:
    """Split a reference to a number in a column: ``variant.n`` is the number after n in the column ``variant``."""
    column, _, word = reference.partition(".")
    return column, word


def joined(*parts: str) -> str:
    """Join the parts of a world or variant; empty ones are left out."""
    return "_".join(part for part in parts if part)


def controls(*names: str) -> str:
    """Join controls; empty ones are left out."""
    return "+".join(name for name in names if name)


def parts(control: str) -> list[str]:
    """Split a control into those that it is made of."""
    return control.split("+") if control else []


def display(condition: str, variant: str = "") -> str:
    """Return a condition as people read it, with its variant in brackets."""
    shown = DISPLAY.get(condition) or DISPLAY.get(stem(condition), condition.replace("_", " "))
    shown = shown.format(*numbers(condition).values())
    if stem(variant) == "mean":
        return f"{shown}, mean of {numbers(variant)['mean']:g}"
    return f"{shown} ({variant_name(variant)})" if variant else shown


def variant_name(variant: str) -> str:
    """Return a variant as people read it: ``muon, 4 layers, 1,200 steps``."""
    counted = _COUNTED.sub(lambda found: f", {int(found['number']):,} {found['word']}", variant)
    return counted.removeprefix(", ").replace("_", " ")


def place(task: str, world: str = "") -> str:
    """Return a task and its world as people read them: ``S5``, ``noisy permutation (slip 0.02)``."""
    name = task.removeprefix("group_word_")
    shown = name.replace("_", " ") if name == task else name.upper()
    return f"{shown} ({world.replace('_', ' ')})" if world else shown


def full(condition: str, variant: str = "", control: str = "") -> str:
    """Return a condition with its variant and control as one name, for progress lines and tables of text."""
    return condition + (f"@{variant}" if variant else "") + (f"/{control}" if control else "")


def layer_number(layer: str) -> int | None:
    """Return the number of a layer; None for ``all``, ``chosen`` and components."""
    return int(layer) if layer.isdecimal() else None


def last_layer(layers: Iterable[str]) -> str:
    """Return the last of the layers that have numbers; ``none`` if there is none."""
    return str(max((int(layer) for layer in layers if layer.isdecimal()), default="none"))


class Component(NamedTuple):
    """A part of the network: a layer's attention, one head of it, or its perceptron."""

    layer: int
    head: int | None
    is_perceptron: bool


def component(layer: str) -> Component | None:
    """Return the component that a layer such as ``L0``, ``L0H2`` or ``L1MLP`` names; None for any other layer."""
    found = _COMPONENT.fullmatch(layer)
    return Component(int(found[1]), int(found[2]) if found[2] else None, bool(found[3])) if found else None
