# SPDX-License-Identifier: Apache-2.0
"""Engines: what can run the firmware.

>>> with create_engine("spike", Path("firmware.elf"), vlen=256) as chip:  # doctest: +SKIP
...     print(chip.uart_url)
socket://127.0.0.1:40123
"""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

from springbok.engines.base import Engine
from springbok.support.errors import EngineError

# name: module and class. Modules are imported when asked for: an engine may need a package that another does not.
ENGINES = {
    "spike": ("springbok.engines.spike", "SpikeEngine"),
    "renode": ("springbok.engines.renode", "RenodeEngine"),
    "rtl": ("springbok.rtl.engine", "RtlEngine"),
    "serial": ("springbok.engines.board", "BoardEngine"),
}

#: Those that tell `Counts.sites`.
COUNT_SITES = ("spike", "rtl")
#: Those that tell `Site.region` of the addresses in their option ``watched``.
WATCH_ADDRESSES = ("spike",)


def create_engine(name: str, firmware_elf: Path, **options: object) -> Engine:
    """Return the engine ``name``, not started yet.

    ``options`` are the engine's own, for instance ``vlen``. Raises EngineError for an unknown name or option.
    """
    if name not in ENGINES:
        raise EngineError(f"There is no engine '{name}'. Engines: {', '.join(sorted(ENGINES))}.")
    module, class_name = ENGINES[name]
    try:
        return getattr(import_module(module), class_name)(Path(firmware_elf), **options)
    except TypeError as error:
        raise EngineError(f"Engine '{name}' can't take these options: {error}.") from error
