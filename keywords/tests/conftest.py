# SPDX-License-Identifier: Apache-2.0
"""What all tests share."""

import os
import signal

import pytest
from hypothesis import HealthCheck, settings

from springbok.compiler.importers import frameworks
from springbok.session import Session
from springbok.support import process
from springbok.trials.framework_server import FrameworkServer

# A defect of the optimizer is an error here; for users it is a line in the compile report.
os.environ.setdefault("SPRINGBOK_STRICT_OPTIMIZER", "1")
# Runs of tests are no history.
os.environ["SPRINGBOK_HISTORY"] = "none"

# No limit by the wall clock decides an outcome, Hypothesis' own neither: a loaded computer draws inputs slowly.
settings.register_profile("bench", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("bench")

# A shell's job in the background ignores SIGINT and nohup's ignores SIGHUP, and so would every program that a test
# starts and ends; a handler of Python's is not inherited.
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
if hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) == signal.SIG_IGN:
    signal.signal(signal.SIGHUP, lambda *_: None)

# Files that take the longest are begun first, so that none is left at the end when their tests are shared out.
LONGEST = (
    *("package", "compiler_runtime", "rtl", "rtl_floats", "core_command", "odd_models", "stablehlo", "importers"),
    *("compiler", "chips", "optimizer", "process", "history", "firmware", "onnx", "search", "channels_last"),
    "runtime_host",
)


def pytest_collection_modifyitems(items):
    names = [f"test_{each}.py" for each in LONGEST]
    items.sort(key=lambda item: names.index(item.path.name) if item.path.name in names else len(names))


def pytest_addoption(parser):
    parser.addoption("--frameworks", metavar="SOCKET", help="where a framework_server.py listens; else one is started")


@pytest.fixture(scope="session")
def framework_server(pytestconfig):
    """The process that has its frameworks already."""
    server = FrameworkServer(pytestconfig.getoption("frameworks"))
    yield server
    server.close()


@pytest.fixture(scope="module")
def session():
    """A Springbok chip on Spike, which counts no opcodes."""
    chip = Session()
    chip.boot("spike", count_opcodes=False)
    yield chip
    chip.shut_down()


@pytest.fixture(autouse=True)
def one_framework(request, framework_server, monkeypatch):
    """Models are imported by one process of the frameworks, but for tests that are marked ``own_framework``."""
    if not request.node.get_closest_marker("own_framework"):
        monkeypatch.setattr(frameworks, "process", framework_server.in_place_of_process())


@pytest.fixture(autouse=True)
def not_asked_to_end():
    """A signal that a test has raised asks nobody behind it to end."""
    yield
    process._endings.number = 0
