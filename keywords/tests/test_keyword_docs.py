# SPDX-License-Identifier: Apache-2.0
"""The Robot libraries as their users see them: every keyword documented, typed, and with an example."""

import pytest
from robot.libdocpkg import LibraryDocumentation

from springbok.report import keyword_page
from springbok.support.places import KEYWORDS, ROOT

LIBRARIES = sorted(KEYWORDS.glob("*Library.py"))
ALL = [(path.stem, keyword) for path in LIBRARIES for keyword in LibraryDocumentation(str(path)).keywords]


def test_the_libraries_are_found():
    assert {
        "SimulatorLibrary",
        "CompilerLibrary",
        "RuntimeLibrary",
        "QualityLibrary",
        "PerformanceLibrary",
        "GateLibrary",
    } <= {path.stem for path in LIBRARIES}


@pytest.mark.parametrize("library", LIBRARIES, ids=lambda path: path.stem)
def test_every_library_is_introduced(library):
    assert len(LibraryDocumentation(str(library)).doc) > 100


@pytest.mark.parametrize(("library", "keyword"), ALL, ids=lambda value: getattr(value, "name", value))
def test_every_keyword_has_documentation_an_example_and_types(library, keyword):
    assert "Example" in keyword.doc, f"{library}: {keyword.name} has no example"
    assert keyword.tags, f"{library}: {keyword.name} has no tag"
    untyped = [argument.name for argument in keyword.args if not argument.type]
    assert not untyped, f"{library}: arguments of {keyword.name} without a type: {untyped}"


def test_the_list_of_all_keywords_is_up_to_date():
    listed = (ROOT / "docs" / "keywords.md").read_text(encoding="utf-8")
    assert listed == keyword_page.as_markdown(), "./bench keywords --markdown docs/keywords.md writes it anew"


def test_the_page_has_every_keyword_with_its_documentation(tmp_path):
    page = keyword_page.write(tmp_path).read_text(encoding="utf-8")
    for library, keyword in ALL:
        assert f'id="{library}.{keyword.name}"' in page
        assert f'href="#{library}.{keyword.name}"' in page
    assert page.count("<article") == sum(len(library.keywords) for library in keyword_page.libraries())
