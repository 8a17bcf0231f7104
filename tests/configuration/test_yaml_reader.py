"""YAML documents are read with the line of each field, and errors name the line and a remedy."""

from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from tests.configuration.small_schema import GOOD, SCALARS, Loose, error_line, error_text
from unamortized.configuration.document import Document, SpecError
from unamortized.configuration.yaml_reader import parse_yaml, read_yaml


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
    assert error_text(text) == f"{expected}\n1 problem in mine.yaml; nothing was run."


def test_tags_are_never_executed_and_reported_once():
    text = GOOD + "title: !!python/object/apply:os.getcwd []\n"
    assert error_line(text) == (
        "mine.yaml:4: title: the tag 'tag:yaml.org,2002:python/object/apply:os.getcwd' is not supported; "
        "write a plain value"
    )


def test_a_field_name_must_be_a_word():
    assert error_text("[a, b]: 1\n", model=Loose).startswith("mine.yaml:1: a field's name must be a single word\n")


def test_a_duplicate_field_is_reported_with_all_other_errors():
    text = "coin:\n  bias: 0.5\n  bias: 0.6\n"
    assert error_text(text) == (
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


WORDS = st.text("abcdefgh", min_size=1, max_size=4)
BLOCKS = st.dictionaries(
    WORDS, st.recursive(SCALARS, lambda x: st.lists(x, max_size=3) | st.dictionaries(WORDS, x, max_size=3))
)


@given(data=BLOCKS.filter(bool), flow=st.booleans())
def test_documents_of_the_yaml_library_are_read_back_with_the_line_of_each_field(data, flow):
    text = yaml.safe_dump(data, default_flow_style=flow)
    document = parse_yaml(text, "mine.yaml")
    assert document.data == data
    lines = text.splitlines()
    for path, line in document.lines.items():
        if path and isinstance(path[-1], str) and not flow:
            assert f"{path[-1]}:" in lines[line - 1]


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
