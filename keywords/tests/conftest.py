# SPDX-License-Identifier: Apache-2.0
"""What all tests share."""

import os
from types import SimpleNamespace

import pytest

# A defect of the optimizer is an error here; for users it is a line in the compile report.
os.environ.setdefault("SPRINGBOK_STRICT_OPTIMIZER", "1")

# Files that take the longest are begun first, so that none is left at the end when their tests are shared out.
LONGEST = ("channels_last", "optimizer", "odd_models", "importers", "vlen", "rtl", "compiler", "search", "equality")


def pytest_collection_modifyitems(items):
    names = [f"test_{each}.py" for each in LONGEST]
    items.sort(key=lambda item: names.index(item.path.name) if item.path.name in names else len(names))


@pytest.fixture(scope="session")
def framework_server():
    """The process that has its frameworks already."""
    from framework_server import FrameworkServer

    server = FrameworkServer()
    yield server
    server.close()


@pytest.fixture(autouse=True)
def one_framework(request, framework_server, monkeypatch):
    """Models are imported by one process of the frameworks, but for tests that are marked ``own_framework``."""
    if request.node.get_closest_marker("own_framework"):
        return
    from springbok.compiler.importers import frameworks
    from springbok.support import process

    monkeypatch.setattr(frameworks, "process", SimpleNamespace(**vars(process) | {"run": framework_server.run}))
