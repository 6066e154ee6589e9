# SPDX-License-Identifier: Apache-2.0
"""A listener of Robot's: with it, suites import models by the process that has the frameworks (`framework_server`)."""

from springbok.compiler.importers import frameworks
from springbok.trials.framework_server import FrameworkServer


class shared_frameworks:  # noqa: N801 (Robot looks for the file's name)
    """``place`` is where the server listens."""

    ROBOT_LISTENER_API_VERSION = 3

    def __init__(self, place: str) -> None:
        frameworks.process = FrameworkServer(place).in_place_of_process()
