# SPDX-License-Identifier: Apache-2.0
"""A chip's devices by kind: a folder each, with the model for simulators, the firmware's driver, the entry for Renode.

A folder holds

model.py     ``SERVES`` (uart, timer, control or i2c: what the firmware uses it as), ``SETTINGS`` (what a description
             may set, with defaults), ``create(surroundings, settings)``, which makes the model; ``ALLOWED``, by name,
             for settings with few values; ``problem(settings)``, which says what no device can be set to
driver.c     the functions of ``firmware/port/devices.h`` for what it serves
renode.repl  its entry in a Renode platform, with ``$name``, ``$base`` and the settings, and on a line of its own
             ``$interrupt`` if it drives one; ``renode_springbok.repl`` in its place beside Springbok's own core
model.cpp    if there is one, what ``model.py`` does in C++ (see ``model.h``), for a simulator that has a compiler

A chip's description names a folder of this package, or one of the user's own by its path, such as ``./my_uart``.
"""

from __future__ import annotations

import importlib
import importlib.util
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from springbok.devices.interface import Problem, Surroundings
from springbok.support.suggestions import did_you_mean

_HERE = Path(__file__).parent
#: What the firmware has a use for; a device may also serve nothing that it knows.
SERVICES = ("uart", "timer", "control", "i2c")


@dataclass(frozen=True)
class Kind:
    """A kind of device: its folder and what its model says of itself."""

    name: str
    folder: Path
    model: ModuleType

    @property
    def serves(self) -> str:
        """``uart``, ``timer``, ``control`` or ``i2c``."""
        return self.model.SERVES

    @property
    def settings(self) -> dict[str, int]:
        """What a description may set, with what holds where it does not."""
        return self.model.SETTINGS

    @property
    def allowed(self) -> dict[str, tuple[int, ...]]:
        """Of settings that have few, all values."""
        return getattr(self.model, "ALLOWED", {})

    def problem(self, settings: dict[str, int]) -> Problem:
        """What the device can't be set to: the setting, and why; None where nothing is wrong."""
        check = getattr(self.model, "problem", None)
        return check({**self.settings, **settings}) if check else None

    @property
    def places_code(self) -> bool:
        """Whether the host writes code through it where the core can't: its driver has ``host_places_code``."""
        return getattr(self.model, "PLACES_CODE", False)

    def renode_entry(self, own_core: bool) -> Path:
        """Its entry in a Renode platform, which may lack; ``own_core``: beside Springbok's core, of `Springbok.cs`."""
        own = self.folder / "renode_springbok.repl"
        return own if own_core and own.is_file() else self.folder / "renode.repl"

    @property
    def drives_interrupt(self) -> bool:
        """Whether it has an interrupt line that a description can lead to the core."""
        entry = self.renode_entry(own_core=False)
        return entry.is_file() and "$interrupt" in entry.read_text(encoding="utf-8")

    @property
    def driver(self) -> Path:
        """The firmware's C source for it; a device that the firmware does not drive has none."""
        return self.folder / "driver.c"

    def size(self, settings: dict[str, int]) -> int:
        """Bytes of its registers on the bus."""
        return self.create(Surroundings(warn=lambda text: None), settings).SIZE

    def create(self, surroundings: Any, settings: dict[str, int]) -> Any:
        """The device, for a simulator."""
        return self.model.create(surroundings, {**self.settings, **settings})


def names() -> list[str]:
    """The kinds of this package.

    >>> names()
    ['clint', 'mailbox', 'ns16550', 'opencores_i2c', 'opentitan_uart', 'pl011', 'springbok_control']
    """
    return sorted(path.parent.name for path in _HERE.glob("*/model.py"))


def find(name: str, beside: Path | None = None) -> Kind:
    """The kind of that name; a path is relative to ``beside``.

    Raises LookupError for a name that there is none of, ImportError or SyntaxError for a model that can't be read.
    """
    if "/" in name:
        folder = ((beside or Path.cwd()) / name).resolve()
        if not (folder / "model.py").is_file():
            raise LookupError(f"there is no {folder / 'model.py'}")
        specification = importlib.util.spec_from_file_location(f"springbok_device_{folder.name}", folder / "model.py")
        module = importlib.util.module_from_spec(specification)
        specification.loader.exec_module(module)
        return Kind(name, folder, module)
    if name not in names():
        near = did_you_mean(name, names())
        known = ", ".join(names())
        raise LookupError(f"there is no kind '{name}'{near}; there are {known}, and folders by their paths")
    return Kind(name, _HERE / name, importlib.import_module(f"springbok.devices.{name}.model"))
