# SPDX-License-Identifier: Apache-2.0
"""A path where a keyword takes what another keyword returns, which is what people write first."""

import pytest
from robot.api import TestSuite

from springbok.support.places import KEYWORDS


@pytest.mark.parametrize(
    ("library", "call", "maker"),
    [
        ("RuntimeLibrary", ["Load Model", "model.keras"], "'Compile Model'"),
        ("CompilerLibrary", ["Module Should Contain Vector Instructions", "model.keras"], "'Compile Model'"),
        ("PerformanceLibrary", ["Record Metrics", "metrics.json"], "'Evaluate Model'"),
        ("GateLibrary", ["Memory Should Be At Most", "model.keras", "1"], "'Evaluate Model'"),
    ],
)
def test_path_instead_of_a_result_is_refused_in_words(library, call, maker, tmp_path):
    suite = TestSuite("Paths")
    suite.resource.imports.library(str(KEYWORDS / f"{library}.py"))
    test = suite.tests.create("Takes A Path")
    test.body.create_keyword(call[0], args=call[1:])
    result = suite.run(output=None, stdout=(tmp_path / "out.txt").open("w"))
    message = result.suite.tests[0].message
    assert result.suite.tests[0].status == "FAIL"
    assert f"this takes what {maker} returns, not '{call[1]}'" in message
