# SPDX-License-Identifier: Apache-2.0
"""The simulator's helper in C++ (``engines/native/`` and ``devices/*/model.cpp``), as the simulator's process calls it.

It counts, follows vector configurations, takes the core's turns and holds the devices that every byte and every poll
goes through. Where there is no C++ compiler there is none, and the simulator does the same in Python: slower, with
equal counts.
"""

from __future__ import annotations

import ctypes
import functools
import os
import struct
import traceback
from collections.abc import Callable, Iterator, Sequence
from ctypes import POINTER, c_bool, c_char_p, c_double, c_int, c_size_t, c_uint32, c_uint64, c_void_p
from pathlib import Path

from springbok import devices
from springbok.chips.chip import Chip
from springbok.devices.interface import Surroundings
from springbok.engines import spike_library
from springbok.engines.base import Site
from springbok.engines.windows import Configuration, Instruction, KernelCode, Part, Place
from springbok.support.errors import EngineError

_SOURCES = Path(__file__).parent / "native"
_DEVICES = Path(devices.__file__).parent
# Members of Spike's objects that have no accessor are reached as its headers have them.
_OPTIONS = ("-fno-access-control", f"-I{_DEVICES}")


def what_is_missing() -> str | None:
    """A sentence where the helper can't be built, else None."""
    return spike_library.what_is_missing()


def library(chip: Chip) -> tuple[Path | None, str]:
    """The helper for a chip, built if need be. Where it can't be: None, and why not.

    Raises EngineError with the compiler's words when a model of the user's does not compile.
    """
    missing = what_is_missing()
    if missing:
        return None, missing
    own = {devices.find(device.kind).folder for device in chip.devices}
    theirs = tuple(sorted(folder for folder in own if folder.parent != _DEVICES and has_model(folder)))
    if theirs:
        return build(theirs), ""
    return _of_this_package()


@functools.cache
def _of_this_package() -> tuple[Path | None, str]:
    """A compiler that is too old is no reason to do without the simulator, or to be asked again."""
    try:
        return build(), ""
    except EngineError as error:
        return None, str(error)


def build(folders: Sequence[Path] = ()) -> Path:
    """The helper's library, with the models in C++ of this package's devices and of those in ``folders``.

    Raises EngineError with the compiler's words when it does not compile.
    """
    models = [folder / "model.cpp" for folder in (*sorted(_DEVICES.iterdir()), *folders) if has_model(folder)]
    sources = [*sorted(_SOURCES.glob("*.cpp")), _DEVICES / "model.cpp", *models]
    headers = [
        _DEVICES / "model.h",
        *_SOURCES.glob("*.h"),
        *(each for folder in folders for each in folder.glob("*.h")),
    ]
    return spike_library.build("native", sources, sorted(headers), _OPTIONS)


def has_model(folder: Path) -> bool:
    """Whether that kind of device has a model in C++. One of a user's has not under the name of one of this package."""
    is_own = folder.parent != _DEVICES and folder.name in devices.names()
    return (folder / "model.cpp").is_file() and not is_own


FIRST_TRAP = ("mcause", "mepc", "mtval")


class Clock(ctypes.Structure):
    """``chip_clock_t`` of native.h: what both sides know of the chip's time."""

    _fields_ = (
        ("instructions", c_uint64),
        ("instructions_per_second", c_uint64),
        ("slept_ns", c_uint64),
        ("served_ns", c_uint64),
        ("serve_interval_ns", c_uint64),
        ("attention", c_uint32),
        ("idle_turns", c_uint32),
        *((name, c_uint64) for name in ("trapped", *FIRST_TRAP)),
    )

    def ticks(self, frequency_hz: int) -> int:
        """The chip's time: what the core executed at its nominal speed, and the time that it slept."""
        executed = self.instructions * frequency_hz // self.instructions_per_second
        return executed + self.slept_ns * frequency_hz // 1_000_000_000


_COUNT = struct.Struct("=IIQQ")  # ``count_t`` of native.h: vl, vtype, label, executions

_SITE = struct.Struct("=IIQQQQ")  # ``site_count_t``: vl, vtype, pc, word, executions, region

_Mark = ctypes.CFUNCTYPE(None, c_uint32, c_uint32, c_uint64)
_Label = ctypes.CFUNCTYPE(c_uint32, c_uint32, c_uint32)
_Warn = ctypes.CFUNCTYPE(None, c_char_p)
_Polled = ctypes.CFUNCTYPE(None)
_Turn = ctypes.CFUNCTYPE(None, c_uint64)

_FUNCTIONS: dict[str, tuple[Sequence[type], type | None]] = {
    "surround": ((POINTER(Clock), _Warn, _Polled, _Turn), None),
    "device": ((c_char_p, c_size_t, POINTER(c_char_p), POINTER(c_uint64)), c_void_p),
    "device_size": ((c_void_p,), c_uint64),
    "device_read": ((c_void_p, c_uint32), c_uint32),
    "device_write": ((c_void_p, c_uint32, c_uint64), None),
    "uart_receiving": ((c_void_p,), c_bool),
    "uart_waiting": ((c_void_p,), c_size_t),
    "uart_receive": ((c_void_p, c_char_p, c_size_t), None),
    "uart_sending": ((c_void_p, POINTER(c_void_p)), c_size_t),
    "uart_sent": ((c_void_p, c_size_t), None),
    "line": ((c_int, c_int, c_int), None),
    "timer_seconds_left": ((c_void_p,), c_double),
    "timer_interrupt": ((c_void_p,), c_bool),
    "timer_software_interrupt": ((c_void_p,), c_bool),
    "attach": ((c_void_p,), None),
    "place": ((c_void_p, c_uint64), None),
    "take_turns": ((c_void_p, c_void_p), None),
    "interrupts": ((), c_uint64),
    "set_interrupts": ((c_uint64,), None),
    "set_privilege": ((c_uint64,), None),
    "take_serialized": ((), c_bool),
    "read": ((c_uint64, c_uint64, c_void_p), c_bool),
    "write": ((c_uint64, c_uint64, c_char_p), c_bool),
    "add_mark": ((c_uint64, c_uint64, c_bool), None),
    "watch": ((c_uint64, c_uint64), None),
    "count": ((c_void_p, _Mark), None),
    "select": ((c_uint64,), None),
    "select_none": ((), None),
    "drain": ((c_uint64, c_uint64, c_uint64, c_char_p, c_size_t, _Label, POINTER(c_void_p)), c_size_t),
    "sites": ((c_uint64, POINTER(c_void_p)), c_size_t),
    "forget_code": ((), None),
    "clear": ((), None),
}


class Helper:
    """The loaded helper: its functions by the names in `_FUNCTIONS`. There is one machine a process."""

    def __init__(self, path: Path) -> None:
        # Spike holds the interpreter's lock while it runs, and calls from C++ come in the same thread.
        library = ctypes.PyDLL(str(path))
        for name, (arguments, result) in _FUNCTIONS.items():
            function = getattr(library, f"bench_{name}")
            function.argtypes, function.restype = arguments, result
            setattr(self, f"_{name}", function)
        self._kept: list[object] = []  # what C++ calls
        self.set_interrupts: Callable[[int], None] = self._set_interrupts
        self.interrupts: Callable[[], int] = self._interrupts
        self.set_privilege: Callable[[int], None] = self._set_privilege
        self.take_serialized: Callable[[], bool] = self._take_serialized
        self.attach: Callable[[int], None] = self._attach

    def surround(self, clock: Clock, surroundings: Surroundings, on_turn: Callable[[int], None]) -> None:
        """What devices are given, and who is called between turns, with the instructions of the last one, when
        something may have to be done in Python."""
        self._kept += [clock, _Warn(_guarded(lambda text: surroundings.warn(text.decode())))]
        self._kept += [_Polled(_guarded(surroundings.on_polling)), _Turn(_guarded(on_turn))]
        self._surround(ctypes.byref(clock), *self._kept[-3:])

    def device(self, kind: devices.Kind, settings: dict[str, int]) -> NativeDevice | None:
        """A device with a model in C++; None where its kind has none. ``settings`` are what a description sets."""
        if not has_model(kind.folder):
            return None
        settings = {**kind.settings, **settings}
        names = (c_char_p * len(settings))(*(name.encode() for name in settings))
        values = (c_uint64 * len(settings))(*settings.values())
        handle = self._device(kind.folder.name.encode(), len(settings), names, values)
        made = {"uart": NativeUart, "timer": NativeTimer}.get(kind.serves, NativeDevice)
        return made(self, handle) if handle else None

    def place(self, device: NativeDevice, base: int) -> None:
        """Put a device on the bus."""
        self._place(device.handle, base)

    def take_turns(self, uart: NativeUart | None, timer: NativeTimer | None) -> None:
        """Let C++ have the core's turns: it resets the UART's polls and raises the timer's interrupts."""
        self._take_turns(uart and uart.handle, timer and timer.handle)

    def know_line(self, client: int, listener: int, control: int) -> None:
        """Let C++ talk to the client of the line, a socket (-1: there is none), until anything else happens: somebody
        comes to the ``listener``, or the parent says something (``control``)."""
        self._line(client, listener, control)

    def read(self, address: int, count: int) -> bytes:
        content = ctypes.create_string_buffer(count)
        if not self._read(address, count, content):
            raise ValueError(f"there is no memory at 0x{address:x}")
        return content.raw

    def write(self, address: int, content: bytes) -> None:
        if not self._write(address, len(content), content):
            raise ValueError(f"there is no memory at 0x{address:x}")

    def count(
        self,
        core: int,
        chip: Chip,
        on_mark: Callable[[int, int, int], None] | None,
        watched: Sequence[tuple[int, int]] = (),
    ) -> None:
        """Count what the core executes from its first mark on; without ``on_mark`` marks do nothing.

        Sites tell apart which of the addresses in ``watched`` (begin, end) they reach.
        """
        for begin, end in watched:
            self._watch(begin, end)
        for each in chip.instructions:
            if each.does == "mark":
                self._add_mark(each.match, each.mask, each.privileged)
        self._kept.append(_Mark(_guarded(on_mark)) if on_mark else _Mark())
        self._count(core, self._kept[-1])


def _guarded(function: Callable) -> Callable:
    """An exception in what C++ calls must end the process: ctypes would only print it and go on."""

    @functools.wraps(function)
    def guarded(*arguments: object) -> object:
        try:
            return function(*arguments)
        except BaseException:
            traceback.print_exc()
            os._exit(1)

    return guarded


class NativeDevice:
    """A device's model in C++: a `springbok.devices.interface.Model`."""

    def __init__(self, helper: Helper, handle: int) -> None:
        self._helper = helper
        self.handle = handle
        self.SIZE = helper._device_size(handle)

    def read(self, offset: int) -> int:
        return self._helper._device_read(self.handle, offset)

    def write(self, offset: int, value: int) -> None:
        self._helper._device_write(self.handle, offset, value)


class NativeUart(NativeDevice):
    """A UART's model in C++: the line's side of `springbok.devices.interface.Uart`."""

    @property
    def receiving(self) -> bool:
        return self._helper._uart_receiving(self.handle)

    @property
    def waiting(self) -> int:
        return self._helper._uart_waiting(self.handle)

    def receive(self, content: bytes) -> None:
        self._helper._uart_receive(self.handle, content, len(content))

    def sending(self) -> bytes:
        found = c_void_p()
        count = self._helper._uart_sending(self.handle, ctypes.byref(found))
        return ctypes.string_at(found, count) if count else b""

    def sent(self, count: int) -> None:
        self._helper._uart_sent(self.handle, count)


class NativeTimer(NativeDevice):
    """A timer's model in C++."""

    @property
    def software_interrupt(self) -> bool:
        return self._helper._timer_software_interrupt(self.handle)

    def timer_interrupt(self) -> bool:
        return self._helper._timer_interrupt(self.handle)

    def seconds_left(self) -> float:
        return self._helper._timer_seconds_left(self.handle)


class NativeHistogram:
    """Executions by PC, apart by place and vector configuration: a `springbok.engines.windows.Histogram`."""

    def __init__(self, helper: Helper) -> None:
        self._helper = helper
        self._places: dict[Place, int] = {}
        # C++ keeps a label for each word that was executed, and sums by labels; 0 is none.
        self._labels: dict[Instruction, int] = {}
        self._instructions: list[Instruction] = []

    def select(self, place: Place | None) -> None:
        if place is None:
            self._helper._select_none()
        else:
            self._helper._select(self._places.setdefault(place, len(self._places)))

    def drain(
        self, place: Place, kernels: KernelCode, name: Callable[[int, Part], Instruction]
    ) -> Iterator[tuple[Configuration, Instruction, int]]:
        if place not in self._places:
            return

        def label(word: int, part: int) -> int:
            instruction = name(word, Part(part))
            if instruction not in self._labels:
                self._instructions.append(instruction)
                self._labels[instruction] = len(self._instructions)
            return self._labels[instruction]

        found = c_void_p()
        words = kernels.begin, kernels.end, kernels.stack, len(kernels.stack)
        number = self._helper._drain(self._places[place], *words, _Label(_guarded(label)), ctypes.byref(found))
        for vl, vtype, label, executions in _COUNT.iter_unpack(ctypes.string_at(found, number * _COUNT.size)):
            yield (vl, vtype), self._instructions[label - 1], executions

    def sites(self, place: Place) -> Iterator[Site]:
        found = c_void_p()
        number = self._helper._sites(self._places[place], ctypes.byref(found)) if place in self._places else 0
        for vl, vtype, pc, word, executions, region in _SITE.iter_unpack(ctypes.string_at(found, number * _SITE.size)):
            yield Site(pc, word, vl, vtype, executions, region)

    def forget_code(self) -> None:
        self._helper._forget_code()

    def clear(self) -> None:
        self._helper._clear()
