# SPDX-License-Identifier: Apache-2.0
"""JSON from outside: what is read can be worked with and written again; whatever else is one kind of error."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from springbok.support import strict_json

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(exclude_categories=())),
    lambda parts: st.lists(parts, max_size=3) | st.dictionaries(st.text(), parts, max_size=3),
    max_leaves=6,
)


@given(st.text() | VALUES.map(json.dumps) | VALUES.map(lambda value: json.dumps(value).replace("}", "")))
def test_what_is_read_can_be_said_again(text):
    try:
        found = strict_json.parse(text)
    except ValueError:
        return
    again = json.dumps(found, ensure_ascii=False, allow_nan=False).encode()
    assert strict_json.parse(again) == found == json.loads(text)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[" * 200_000, "too deeply"),
        ('{"a": ' * 5000 + "1" + "}" * 5000, "too deeply"),
        ('"\\ud800x"', "half a character"),
        ("NaN", "no number"),
        ("1e999", "not JSON compliant"),
        (f"{2**63}", "too large"),
        ("1" * 9999, "too large"),
        ("{", "line 1"),
        ('[{"a": {"b": 1, "b": 1}}]', "'b' is there twice"),
    ],
)
def test_what_can_not_be_worked_with_is_said(text, said):
    with pytest.raises(ValueError, match=said):
        strict_json.parse(text)
    assert strict_json.parse(f"{-(2**63)}") == -(2**63)
