# SPDX-License-Identifier: Apache-2.0
"""Letters that command are written out wherever people or programs read what names say."""

from xml.etree import ElementTree

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from made_up_runs import make_document, make_model

from springbok.gate import snapshots
from springbok.history import record
from springbok.report import matrix, page
from springbok.support.escaping import visible

NAMES = st.text(st.characters(codec=None), min_size=1, max_size=30)


@given(NAMES)
@example('bell\a, escape\x1b[31m, \u202e, \x9b, \ud800, \uffff, <b> & "')
def test_a_badge_is_xml_whatever_a_name_holds(name):
    root = ElementTree.fromstring(matrix.badge(name, f"{name} instructions", matrix.GOOD))
    assert [part.tag.rpartition("}")[2] for part in root] == ["title", "rect", "path", "g"]
    assert root[0].text.split() == f"{visible(name)}: {visible(name)} instructions".split()


@given(NAMES)
@example("bell\a, escape\x1b[31m, \x9b")
def test_no_text_commands_who_reads_it(name):
    document = make_document(make_model(name))
    ((configuration, measured),) = record.snapshots_in(document)
    for text in (
        visible(name),
        page._markdown(name),
        page._code_block(name),
        page._robot_text(name),
        configuration.title,
        snapshots.title(measured),
    ):
        assert not any(ord(letter) < 32 and letter not in "\t\n\r" for letter in text)
        assert not any(0x7F <= ord(letter) < 0xA0 and letter != "\x85" for letter in text)


@pytest.mark.parametrize("text", ["gestures (vector)", "tab\tand\nline", "größe, 模型, \U0001f600", ""])
def test_what_can_be_read_stays(text):
    assert visible(text) == text
