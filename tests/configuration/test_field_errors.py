"""What is read from YAML, where it was written, and how every complaint about it reads."""

import pickle
from pathlib import Path
from typing import Annotated, Literal

import pytest
import yaml
from annotated_types import Interval
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict, Field, model_validator

from unamortized.configuration.document import Document, SpecError
from unamortized.configuration.field_errors import got, validate, validate_nested, violation_error
from unamortized.configuration.overrides import apply_overrides
from unamortized.configuration.yaml_reader import parse_yaml, read_yaml


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class Coin(Strict):
    bias: Annotated[float, Interval(ge=0, le=1)]
    flips: int = Field(default=3, gt=0)


class Tossed(Strict):
    """Checks a part of itself with another model, as a process does with its family's parameters."""

    model_config = ConfigDict(extra="allow")

    @model_validator(mode="before")
    @classmethod
    def _check(cls, data):
        return validate_nested(Coin, data).model_dump()


class Lengths(BaseModel):
    train: tuple[int, int] = (1, 16)
    test: list[Annotated[int, Field(strict=True, ge=1, le=99)]] = Field(default=[4], min_length=1, max_length=3)
    by_name: dict[str, Annotated[int, Field(strict=True)]] = {}


class Spec(Strict):
    coin: Coin
    start: Literal["fixed", "known"] = Field(default="fixed")
    shuffle: bool = False
    title: str = Field(default="", examples=["a title"])
    width: int | list[int] = 1
    lengths: Lengths = Lengths()
    tossed: Tossed | None = None
    spare: Coin | None = None
    coins: list[Coin] = []
    ages: list[Annotated[int, Interval(ge=0, lt=9)]] | None = None
    rate: Annotated[float, Interval(gt=0, le=1)] | None = None
    needed: int = Field(examples=[5])


class Loose(BaseModel):
    model_config = ConfigDict(extra="allow")


def complaint(text: str, *overrides: str, model: type[BaseModel] = Spec) -> str:
    """The text of the error; `parse_yaml` sees the text from its first line on."""
    with pytest.raises(SpecError) as caught:
        validate(model, apply_overrides(parse_yaml(text, "mine.yaml"), overrides))
    return str(caught.value)


def first_line(text: str, *overrides: str) -> str:
    """The one thing that is wrong."""
    *lines, _ = complaint(text, *overrides).splitlines()
    assert len(lines) == 1, lines
    return lines[0]


GOOD = """\
coin:
  bias: 0.5
needed: 5
"""


def test_a_valid_document_becomes_a_model():
    spec = validate(Spec, parse_yaml(GOOD, "mine.yaml"))
    assert spec == Spec(coin=Coin(bias=0.5), needed=5)


def test_all_errors_come_at_once_by_line_with_overrides_last():
    text = "shufle: true\nneeded: five\ncoin:\n  flips: 0\n  bias: 1.2\nneeded: 6\n"
    assert complaint(text, "start=fxed") == (
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
    assert first_line(f"{GOOD}{added}\n") == f"mine.yaml:4: {expected}"


def test_a_missing_field_is_reported_at_its_parents_line_with_an_example():
    assert complaint("# a comment\n\nshuffle: true\ncoin:\n  flips: 2\n") == (
        "mine.yaml:3: needed: missing; write for example 'needed: 5'\n"
        "mine.yaml:4: coin.bias: missing; write 'bias: …'\n"
        "2 problems in mine.yaml; nothing was run."
    )


def test_examples_are_formatted_as_yaml():
    class Examples(Loose):
        yes: bool = Field(examples=[True])
        train: tuple[int, int] = Field(examples=[(1, 16)])

    assert complaint("a: 1\n", model=Examples).splitlines()[:2] == [
        "mine.yaml:1: yes: missing; write for example 'yes: true'",
        "mine.yaml:1: train: missing; write for example 'train: [1, 16]'",
    ]


def test_a_list_item_has_its_own_line():
    assert first_line(GOOD + "lengths:\n  test:\n    - 4\n    - no\n").startswith("mine.yaml:7: lengths.test[1]: ")


def test_a_check_across_fields_reports_several_fields_with_its_own_messages():
    class Pair(Loose):
        @model_validator(mode="after")
        def _check(self):
            raise violation_error(
                "pair", [(("b",), "must not exceed {a}"), ((), "bad pair"), (("c", "d"), "is absent")]
            )

    assert complaint("a: 1\nb: 2\nc: {e: 1}\n", model=Pair) == (
        "mine.yaml:1: bad pair\n"
        "mine.yaml:2: b: must not exceed {a}\n"
        "mine.yaml:3: c.d: is absent\n"
        "3 problems in mine.yaml; nothing was run."
    )


@pytest.mark.parametrize(
    "text, expected",
    [
        ("", "mine.yaml:1: the file is empty; write its fields as 'field: value' lines"),
        ("# only a comment\n", "mine.yaml:1: the file is empty; write its fields as 'field: value' lines"),
        ("\n- a\n", "mine.yaml:2: must be a block of 'field: value' lines"),
        ("word\n", "mine.yaml:1: must be a block of 'field: value' lines"),
        (
            "a:\n\tb: 1\n",
            "mine.yaml:2: not valid YAML: a tab in the indentation; indent with spaces",
        ),
        (
            "a: 1\n b: 2\n",
            "mine.yaml:2: not valid YAML: a second ':' on one line; check the indentation above, "
            "and quote text that contains ': '",
        ),
        (
            "a: 1\nb\nc: 2\n",
            "mine.yaml:3: not valid YAML: a line without 'field: value'; is a ':' missing, or the space after it?",
        ),
        ("a: [1,", "mine.yaml:1: not valid YAML: it ends too early; is a bracket or a quote left open?"),
        ("a: 'x\n", "mine.yaml:2: not valid YAML: it ends too early; is a bracket or a quote left open?"),
        ("a: 1\n---\nb: 2\n", "mine.yaml:2: not valid YAML: a second document after '---'; keep one"),
        (
            "a: &x 1\nb: *x\n",
            "mine.yaml:2: not valid YAML: the alias '*x' is not supported; write the value out",
        ),
        ("a: 1\nb: \x07\n", "mine.yaml:2: not valid YAML: the invisible character U+0007 is not allowed"),
        ("a: " + "[" * 5000, "mine.yaml: nested too deeply"),
    ],
)
def test_a_document_that_is_not_a_block_of_fields_is_an_error_at_its_line(text, expected):
    assert complaint(text) == f"{expected}\n1 problem in mine.yaml; nothing was run."


def test_tags_are_never_executed_and_reported_once():
    text = GOOD + "title: !!python/object/apply:os.getcwd []\n"
    assert first_line(text) == (
        "mine.yaml:4: title: the tag 'tag:yaml.org,2002:python/object/apply:os.getcwd' is not supported; "
        "write a plain value"
    )


def test_a_field_name_must_be_a_word():
    assert complaint("[a, b]: 1\n", model=Loose).startswith("mine.yaml:1: a field's name must be a single word\n")


def test_a_duplicate_field_is_reported_with_all_other_errors():
    text = "coin:\n  bias: 0.5\n  bias: 0.6\n"
    assert complaint(text) == (
        "mine.yaml:1: needed: missing; write for example 'needed: 5'\n"
        "mine.yaml:3: coin.bias: written twice (first on line 2); keep one\n"
        "2 problems in mine.yaml; nothing was run."
    )


@pytest.mark.parametrize(
    "written, value",
    [
        ("1e-3", 0.001),
        ("-.5", -0.5),
        ("2.", 2.0),
        ("010", 10),
        ("+3", 3),
        ("-.inf", float("-inf")),
        ("true", True),
        ("~", None),
        ("", None),
        ("no", "no"),
        ("on", "on"),
        ("1:30", "1:30"),
        ("2020-01-01", "2020-01-01"),
        ("1_000", "1_000"),
        ("'5'", "5"),
        ("'null'", "null"),
        ("nan", "nan"),
        ("[1, [a, 2.5]]", [1, ["a", 2.5]]),
    ],
)
def test_plain_values_follow_the_core_schema(written, value):
    read = parse_yaml(f"field: {written}\n", "mine.yaml").data["field"]
    assert read == value
    assert type(read) is type(value)


words = st.text("abcdefgh", min_size=1, max_size=4)
scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text("ab :#1.-'\n~", max_size=9)
blocks = st.dictionaries(
    words, st.recursive(scalars, lambda x: st.lists(x, max_size=3) | st.dictionaries(words, x, max_size=3))
)


@given(data=blocks.filter(bool), flow=st.booleans())
def test_documents_of_the_yaml_library_are_read_back_with_the_line_of_each_field(data, flow):
    text = yaml.safe_dump(data, default_flow_style=flow)
    source = parse_yaml(text, "mine.yaml")
    assert source.data == data
    lines = text.splitlines()
    for path, line in source.lines.items():
        if path and isinstance(path[-1], str) and not flow:
            assert f"{path[-1]}:" in lines[line - 1]


@given(value=scalars | st.lists(scalars, max_size=4))
def test_an_override_sets_its_field(value):
    # a block scalar cannot stand in a flow list, so values are written as they would be on a command line
    written = yaml.safe_dump([value], default_flow_style=True, width=10**6).strip()
    source = apply_overrides(Document("defaults", {"a": {"b": 1, "c": 2}}), [f"a.b={written}"])
    assert source.data == {"a": {"b": [value], "c": 2}}


def test_overrides_do_not_change_the_original():
    source = parse_yaml(GOOD, "mine.yaml")
    changed = apply_overrides(source, ["coin.bias=1", "lengths.test=[2, 3]", "coin.bias=0"])
    assert source.data == {"coin": {"bias": 0.5}, "needed": 5}
    assert changed.data == {"coin": {"bias": 0}, "needed": 5, "lengths": {"test": [2, 3]}}


@pytest.mark.parametrize(
    "override, expected",
    [
        ("coin.bias=1.2", "must be between 0 and 1 (got 1.2)"),
        ("coin.bais=1", "unknown field; did you mean 'bias'?"),
        ("coyn.bias=1", "coyn: unknown field; did you mean 'coin'?"),
        ("lengths.test=[1, 0]", "lengths.test[1]: must be between 1 and 99 (got 0)"),
        ("coin=5", "must be a block of fields (got 5)"),
        ("needed=null", "must be a whole number (got nothing)"),
        ("coin", "must be written as field=value, for example train.steps=500"),
        ("=5", "must be written as field=value, for example train.steps=500"),
        ("coin..bias=5", "must be written as field=value, for example train.steps=500"),
        ("needed=", "no value after '='; to set it to nothing, write needed=null"),
        ("coin={bias: 1}", "an override sets one field to one value or list"),
        ("needed=# 5", "an override sets one field to one value or list"),
        ("needed.more=5", "needed is not a block of fields; override it as a whole"),
        ("needed=[1,", "not valid YAML: it ends too early; is a bracket or a quote left open?"),
        ("needed=!x 5", "the tag '!x' is not supported; write a plain value"),
    ],
)
def test_an_invalid_override_is_an_error_with_a_remedy(override, expected):
    assert complaint(GOOD, override) == (
        f"override {override}: {expected}\n1 problem in the overrides; nothing was run."
    )


def test_an_override_fixes_a_fault_of_its_own_field_only():
    text = "coin:\n  bias: 7\n  flips: 0\nneeded: 5\n"
    assert complaint(text, "coin.bias=0.7") == (
        "mine.yaml:3: coin.flips: must be greater than 0 (got 0)\n1 problem in mine.yaml; nothing was run."
    )


def test_unreadable_overrides_do_not_hide_faults_of_the_file():
    assert complaint("a: 1\na: 2\n", "b") == (
        "mine.yaml:2: a: written twice (first on line 1); keep one\n"
        "override b: must be written as field=value, for example train.steps=500\n"
        "2 problems in mine.yaml and its overrides; nothing was run."
    )


def test_data_without_a_file_is_reported_without_a_line():
    source = apply_overrides(Document("the quick preset", {"coin": {"bias": 3}}), ["needed=x"])
    with pytest.raises(SpecError) as caught:
        validate(Spec, source)
    assert str(caught.value) == (
        "the quick preset: coin.bias: must be between 0 and 1 (got 3)\n"
        "override needed=x: must be a whole number (got 'x')\n"
        "2 problems in the quick preset and its overrides; nothing was run."
    )


def test_a_file_may_have_any_line_endings_and_a_byte_order_mark(tmp_path):
    file = tmp_path / "mine.yaml"
    file.write_bytes(b"\xef\xbb\xbf# caf\xc3\xa9\r\na: 1\r\nb: 2\r\n")
    assert read_yaml(file) == Document(str(file), {"a": 1, "b": 2}, {(): 2, ("a",): 2, ("b",): 3})


def test_an_unreadable_file_is_an_error_with_the_reason(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("latin.yaml").write_bytes(b"a: 1\nb: caf\xe9\n")
    Path("folder.yaml").mkdir()
    for name, expected in [
        ("latin.yaml", "latin.yaml:2: not UTF-8 text; save the file as UTF-8"),
        ("folder.yaml", "folder.yaml: cannot be read (Is a directory)"),
        ("none.yaml", "none.yaml: no such file"),
    ]:
        with pytest.raises(SpecError) as caught:
            read_yaml(name)
        assert str(caught.value) == f"{expected}\n1 problem in {name}; nothing was run."


def test_an_error_survives_pickling():
    with pytest.raises(SpecError) as caught:
        parse_yaml("", "mine.yaml")
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)


def test_long_values_are_shortened():
    assert got("x" * 99) == "'" + "x" * 56 + "..."
    assert got(list(range(5))) == "[0, 1, 2, 3, 4]"
