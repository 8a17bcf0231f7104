"""Validation errors name the line, the field, its requirement and the value, all at once."""

import pickle

import pytest
from pydantic import Field, model_validator

from tests.configuration.small_schema import GOOD, Coin, Loose, Spec, error_line, error_text
from unamortized.configuration.document import SpecError
from unamortized.configuration.field_errors import got, validate, violation_error
from unamortized.configuration.yaml_reader import parse_yaml


def test_a_valid_document_becomes_a_model():
    spec = validate(Spec, parse_yaml(GOOD, "mine.yaml"))
    assert spec == Spec(coin=Coin(bias=0.5), needed=5)


def test_all_errors_come_at_once_by_line_with_overrides_last():
    text = "shufle: true\nneeded: five\ncoin:\n  flips: 0\n  bias: 1.2\nneeded: 6\n"
    assert error_text(text, "start=fxed") == (
        "mine.yaml:1: shufle: unknown field; did you mean 'shuffle'?\n"
        "mine.yaml:2: needed: must be a whole number (got 'five')\n"
        "mine.yaml:4: coin.flips: must be greater than 0 (got 0)\n"
        "mine.yaml:5: coin.bias: must be between 0 and 1 (got 1.2)\n"
        "mine.yaml:6: needed: written twice (first on line 2); keep one\n"
        "override start=fxed: must be one of 'fixed', 'known' (got 'fxed'); did you mean 'fixed'?\n"
        "6 problems in mine.yaml and its overrides; nothing was run."
    )


@pytest.mark.parametrize(
    "added, expected",
    [
        ("start: later", "start: must be one of 'fixed', 'known' (got 'later')"),
        ("start:", "start: must be one of 'fixed', 'known' (got nothing)"),
        ("shuffle: 1", "shuffle: must be true or false (got 1)"),
        ("title: 3", "title: must be text (got 3)"),
        ("width: wide", "width: must be a whole number or a list (got 'wide')"),
        ("lengths: 3", "lengths: must be a block of fields (got 3)"),
        ("lengths: {train: [1]}", "lengths.train: must be a list of 2 values (got [1])"),
        ("lengths: {train: [1, 2, 3]}", "lengths.train: must be a list of 2 values (got [1, 2, 3])"),
        ("lengths: {train: 5}", "lengths.train: must be a list (got 5)"),
        ("lengths: {test: []}", "lengths.test: must have at least 1 entry (got [])"),
        ("lengths: {test: [1, 2, 3, 4]}", "lengths.test: must have at most 3 entries (got [1, 2, 3, 4])"),
        ("lengths: {test: [4, 0]}", "lengths.test[1]: must be between 1 and 99 (got 0)"),
        ("lengths: {by_name: {a: 1, b: x}}", "lengths.by_name.b: must be a whole number (got 'x')"),
        ("rate: 0", "rate: must be greater than 0 and at most 1 (got 0)"),
        ("rate: {a: 1}", "rate: must be a number (got a block of fields)"),
        ("spare: {bias: 1, flip: 2}", "spare.flip: unknown field; did you mean 'flips'?"),
        ("coins: [{bias: 1}, {bais: 1, bias: 1}]", "coins[1].bais: unknown field; did you mean 'bias'?"),
        ("ages: [9]", "ages[0]: must be at least 0 and less than 9 (got 9)"),
        ("tossed: {bias: 2}", "tossed.bias: must be between 0 and 1 (got 2)"),
        ("tossed: {bias: 1, flip: 2}", "tossed.flip: unknown field; did you mean 'flips'?"),
        ("tossed: {flips: 2}", "tossed.bias: missing; write 'bias: …'"),
        ("tossed: {bias: 1, zzz: 2}", "tossed.zzz: unknown field; the fields here are 'bias', 'flips'"),
    ],
)
def test_each_error_names_line_field_requirement_and_value(added, expected):
    assert error_line(f"{GOOD}{added}\n") == f"mine.yaml:4: {expected}"


def test_a_missing_field_is_reported_at_its_parents_line_with_an_example():
    assert error_text("# a comment\n\nshuffle: true\ncoin:\n  flips: 2\n") == (
        "mine.yaml:3: needed: missing; write for example 'needed: 5'\n"
        "mine.yaml:4: coin.bias: missing; write 'bias: …'\n"
        "2 problems in mine.yaml; nothing was run."
    )


def test_examples_are_formatted_as_yaml():
    class Examples(Loose):
        yes: bool = Field(examples=[True])
        train: tuple[int, int] = Field(examples=[(1, 16)])

    assert error_text("a: 1\n", model=Examples).splitlines()[:2] == [
        "mine.yaml:1: yes: missing; write for example 'yes: true'",
        "mine.yaml:1: train: missing; write for example 'train: [1, 16]'",
    ]


def test_a_list_item_has_its_own_line():
    assert error_line(GOOD + "lengths:\n  test:\n    - 4\n    - no\n").startswith("mine.yaml:7: lengths.test[1]: ")


def test_a_check_across_fields_reports_several_fields_with_its_own_messages():
    class Pair(Loose):
        @model_validator(mode="after")
        def _check(self):
            raise violation_error(
                "pair", [(("b",), "must not exceed {a}"), ((), "bad pair"), (("c", "d"), "is absent")]
            )

    assert error_text("a: 1\nb: 2\nc: {e: 1}\n", model=Pair) == (
        "mine.yaml:1: bad pair\n"
        "mine.yaml:2: b: must not exceed {a}\n"
        "mine.yaml:3: c.d: is absent\n"
        "3 problems in mine.yaml; nothing was run."
    )


def test_an_error_survives_pickling():
    with pytest.raises(SpecError) as caught:
        parse_yaml("", "mine.yaml")
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)


def test_long_values_are_shortened():
    assert got("x" * 99) == "'" + "x" * 56 + "..."
    assert got(list(range(5))) == "[0, 1, 2, 3, 4]"
