# SPDX-License-Identifier: Apache-2.0
"""For the build of the wheel: what it depends on are the groups of requirements.txt that every run needs."""

import runpy
from pathlib import Path

from hatchling.metadata.plugin.interface import MetadataHookInterface

GROUPS = ("base", "run")
#: Users have a Robot Framework of their own; what the libraries work with is tested.
LOOSE = {"robotframework": "robotframework>=6.1,<8"}


class Dependencies(MetadataHookInterface):
    """Gives the pins of `GROUPS`, exact but for `LOOSE`."""

    def update(self, metadata: dict) -> None:
        root = Path(self.root)
        read = runpy.run_path(str(root / "keywords/springbok/support/pins.py"))["read"]
        groups = read((root / "requirements.txt").read_text(encoding="utf-8"))
        lines = [line for name in GROUPS for line in groups[name].lines]
        metadata["dependencies"] = [LOOSE.get(line.partition("==")[0], line) for line in lines]
