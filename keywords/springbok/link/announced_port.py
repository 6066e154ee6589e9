# SPDX-License-Identifier: Apache-2.0
"""Runs a Python program that finds its boards by their USB identity, and gives a pseudo-terminal one.

MLPerf Tiny's runner is such a program: it takes the port whose identity its ``devices.yaml`` names, and a
pseudo-terminal has none. The program itself stays as it is. Any Python that has the program's packages runs this file,
from the program's folder::

    python …/springbok/link/announced_port.py /dev/pts/3 main.py --mode=a

The identity is that of the runner's own board; ``--usb 0483:374B`` before the port is another one. ``--interface PATH``
is a second port, which gets the identity of the runner's interface board.
"""

import argparse
import re
import runpy
import sys
from pathlib import Path

from serial.tools import list_ports, list_ports_common

RUNNERS_BOARD = "0483:374B"  # type dut in the runner's files of devices
INTERFACE_BOARD = "0483:374E"  # type interface


def announce(ports: dict[str, str]) -> None:
    """Make these ports, each with its identity, the only ones that are listed; of other USB devices there are none."""
    announced = []
    for port, identity in ports.items():
        info = list_ports_common.ListPortInfo(port)
        info.vid, info.pid = (int(part, 16) for part in identity.split(":"))
        info.description = "springbok-bench"
        announced.append(info)
    list_ports.comports = lambda include_links=False: announced
    try:
        import usb.core
    except ImportError:
        return
    usb.core.find = lambda find_all=False, **_: iter(()) if find_all else None


def main() -> None:
    """Announce the port, and run the program with the rest of the arguments."""
    parser = argparse.ArgumentParser(description="Runs a program that finds boards by their USB identity.")
    parser.add_argument("--usb", default=RUNNERS_BOARD, metavar="VENDOR:PRODUCT", help=f"default: {RUNNERS_BOARD}")
    parser.add_argument("--interface", metavar="PORT", help="that of the runner's interface board, if there is one")
    parser.add_argument("port", help="path of the serial port or pseudo-terminal")
    parser.add_argument("program", help="a Python file, for example the runner's main.py")
    parser.add_argument("arguments", nargs=argparse.REMAINDER, help="those of the program")
    options = parser.parse_args()
    if not re.fullmatch("[0-9a-fA-F]{1,4}:[0-9a-fA-F]{1,4}", options.usb):
        parser.error(f"--usb is VENDOR:PRODUCT in hexadecimal, for example {RUNNERS_BOARD}, not {options.usb!r}")
    ports = {options.port: options.usb}
    if options.interface:
        ports[options.interface] = INTERFACE_BOARD
    announce(ports)
    sys.argv = [options.program, *options.arguments]
    sys.path[0] = str(Path(options.program).resolve().parent)
    runpy.run_path(options.program, run_name="__main__")


if __name__ == "__main__":
    main()
