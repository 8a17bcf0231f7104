"""Overrides set single fields of a document, and errors name the override and a remedy."""

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from tests.configuration.small_schema import GOOD, SCALARS, Spec, error_text
from unamortized.configuration.document import Document, SpecError
from unamortized.configuration.field_errors import validate
from unamortized.configuration.overrides import apply_overrides
from unamortized.configuration.yaml_reader import parse_yaml


@given(value=SCALARS | st.lists(SCALARS, max_size=4))
def test_an_override_sets_its_field(value):
    # write the value as on a command line: flow style, since a flow list cannot hold a block scalar
    written = yaml.safe_dump([value], default_flow_style=True, width=10**6).strip()
    document = apply_overrides(Document("defaults", {"a": {"b": 1, "c": 2}}), [f"a.b={written}"])
    assert document.data == {"a": {"b": [value], "c": 2}}


def test_overrides_do_not_change_the_original():
    document = parse_yaml(GOOD, "mine.yaml")
    changed = apply_overrides(document, ["coin.bias=1", "lengths.test=[2, 3]", "coin.bias=0"])
    assert document.data == {"coin": {"bias": 0.5}, "needed": 5}
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
    assert error_text(GOOD, override) == (
        f"override {override}: {expected}\n1 problem in the overrides; nothing was run."
    )


def test_an_override_fixes_a_fault_of_its_own_field_only():
    text = "coin:\n  bias: 7\n  flips: 0\nneeded: 5\n"
    assert error_text(text, "coin.bias=0.7") == (
        "mine.yaml:3: coin.flips: must be greater than 0 (got 0)\n1 problem in mine.yaml; nothing was run."
    )


def test_unreadable_overrides_do_not_hide_faults_of_the_file():
    assert error_text("a: 1\na: 2\n", "b") == (
        "mine.yaml:2: a: written twice (first on line 1); keep one\n"
        "override b: must be written as field=value, for example train.steps=500\n"
        "2 problems in mine.yaml and its overrides; nothing was run."
    )


def test_data_without_a_file_is_reported_without_a_line():
    document = apply_overrides(Document("the quick preset", {"coin": {"bias": 3}}), ["needed=x"])
    with pytest.raises(SpecError) as caught:
        validate(Spec, document)
    assert str(caught.value) == (
        "the quick preset: coin.bias: must be between 0 and 1 (got 3)\n"
        "override needed=x: must be a whole number (got 'x')\n"
        "2 problems in the quick preset and its overrides; nothing was run."
    )
