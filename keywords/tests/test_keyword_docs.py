# SPDX-License-Identifier: Apache-2.0
"""The Robot libraries as their users see them: every keyword documented, typed, and with an example."""

import pytest
from robot.libdocpkg import LibraryDocumentation

from springbok.support.places import KEYWORDS

LIBRARIES = sorted(KEYWORDS.glob("*Library.py"))
KEYWORDS = [(path.stem, keyword) for path in LIBRARIES for keyword in LibraryDocumentation(str(path)).keywords]


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


@pytest.mark.parametrize(("library", "keyword"), KEYWORDS, ids=lambda value: getattr(value, "name", value))
def test_every_keyword_has_documentation_an_example_and_types(library, keyword):
    assert "Example" in keyword.doc, f"{library}: {keyword.name} has no example"
    assert keyword.tags, f"{library}: {keyword.name} has no tag"
    untyped = [argument.name for argument in keyword.args if not argument.type]
    assert not untyped, f"{library}: arguments of {keyword.name} without a type: {untyped}"
