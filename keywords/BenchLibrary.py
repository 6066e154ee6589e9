# SPDX-License-Identifier: Apache-2.0
"""The keyword that says what is missing before anything else does. It needs nothing but Robot Framework."""

import importlib
import sys
from pathlib import Path

from robot.api.deco import keyword, library

sys.path.append(str(Path(__file__).parent))  # Robot has it there only while it imports the library


@library(scope="GLOBAL", auto_keywords=False)
class BenchLibrary:
    """Says in one sentence why the other libraries can't be imported: packages that this Python lacks, for one.

    `Start Bench` begins with it, so a suite fails with that sentence instead of keywords that are not there.

    | [Setup] | Bench Should Be Complete |
    """

    @keyword(tags=("bench",))
    def bench_should_be_complete(self) -> None:
        """Fails with what to do where packages are missing that the keywords need.

        Example:
        | Bench Should Be Complete |
        """
        try:
            importlib.import_module("springbok")
        except ImportError as error:
            raise AssertionError(str(error)) from None
