# SPDX-License-Identifier: Apache-2.0
"""What these libraries need to know of renode-test, and how they reach the Renode that it started."""

import atexit
from pathlib import Path

from robot.libraries.BuiltIn import BuiltIn

from springbok.engines.renode_server import RenodeServer, find_renode
from springbok.support.errors import EngineError

_started: dict[str, RenodeServer] = {}


def results_folder() -> Path | None:
    """Where renode-test puts its results; None where no renode-test runs this suite."""
    robot = BuiltIn()
    if robot.get_variable_value("${RENODEKEYWORDS}") is None:
        return None
    return Path(robot.get_variable_value("${RESULTS_DIRECTORY}", default=".")).resolve()


def renode_root() -> Path | None:
    """The folder of the Renode whose renode-test runs this suite; None where none does."""
    tools = BuiltIn().get_variable_value("${RENODETOOLS}")
    return None if tools is None else Path(tools).resolve().parent


def suite_folder() -> Path:
    """Where this suite's files go: Robot's output folder; a folder of the suite's own where suites run in parallel."""
    robot = BuiltIn()
    results = results_folder()
    if results is None:
        return Path(robot.get_variable_value("${OUTPUT DIR}", default="."))
    return results / str(robot.get_variable_value("${SUITE NAME}", default="suite"))


def server() -> RenodeServer:
    """The Renode of this run where no renode-test is: started when it is first asked for, it ends with the run."""
    if "server" not in _started:
        program = find_renode()
        if program is None:
            raise EngineError("There is no Renode here: put renode on PATH, or set RENODE_ROOT to its folder.")
        _started["server"] = RenodeServer(program)
        atexit.register(_started["server"].close)
    return _started["server"]


def is_there() -> bool:
    """Whether Renode's keywords can be run: under renode-test, or where Renode is installed."""
    return results_folder() is not None or find_renode() is not None


def run_keyword(name: str, *arguments: str) -> str:
    """Run a keyword of Renode's; connect to Renode first where the suite's own setup stands in place of Renode's."""
    if results_folder() is None:
        return server().keyword(name, *arguments)
    robot = BuiltIn()
    try:
        robot.get_library_instance("Remote")
    except RuntimeError:
        robot.run_keyword("Setup")
    return robot.run_keyword(name, *arguments)


def run_quietly(name: str, *arguments: str) -> str:
    """The same without a line in the log, for exchanges that are too many to read."""
    if results_folder() is None:
        return server().keyword(name, *arguments)
    return BuiltIn().get_library_instance("Remote").run_keyword(name.replace(" ", ""), arguments, {})
