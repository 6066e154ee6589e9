# SPDX-License-Identifier: Apache-2.0
"""Robot keywords that start, stop and look into the simulated chip."""

from robot.api import logger
from robot.api.deco import keyword, library
from robot.libraries.BuiltIn import BuiltIn

import renode_test
from springbok import session
from springbok.chips.description import load
from springbok.support.errors import EngineError
from springbok.support.places import given_path
from springbok.support.suggestions import misnamed

_ARGUMENTS = (
    "platform",
    "engine",
    "vlen",
    "uart",
    "firmware",
    "port",
    "baudrate",
    "sensor",
    "core",
    "lockstep",
    "seed",
    "timing",
)


@library(scope="GLOBAL", auto_keywords=False)
class SimulatorLibrary:
    """Boots a chip, Springbok or one of your own, in a simulator and looks into it.

    The chip runs this project's firmware, which is built when it is stale. Its UART is reached at the URL that
    `Get Uart Url` returns; the keywords of RuntimeLibrary use it by themselves.

    | Boot Springbok | engine=spike | vlen=512 |
    | ${info}=       | Get Chip Information  |          |
    | Stop Chip      |              |          |

    Under renode-test, a chip that a suite setup has booted stays for the tests of the suite: Renode's own defaults,
    which reset the emulation before and after each test, are left out for them. A failed test still leaves Renode's
    log and snapshot.
    """

    ROBOT_LISTENER_API_VERSION = 3

    def __init__(self) -> None:
        self.ROBOT_LIBRARY_LISTENER = self
        self._told: set[str] = set()  # of the firmware, on the console

    def _start_test(self, data, result) -> None:
        del result
        if session.current.engine is None or not session.current.engine.has_steps_of_renode_test:
            return
        if data.setup.name == "Reset Emulation":
            data.setup.config(name="No Operation")
        if data.teardown.name == "Test Teardown":
            data.teardown.config(name="Run Keyword If Test Failed", args=["Keep Failed State"])

    @keyword(tags=("chip",))
    def boot_chip(
        self,
        platform: str | None = None,
        engine: str = "auto",
        vlen: int | None = None,
        uart: str = "socket",
        firmware: str | None = None,
        port: str | None = None,
        baudrate: int = 115200,
        sensor: bool = True,
        core: str | None = None,
        lockstep: bool | None = None,
        seed: int | None = None,
        timing: str | None = None,
    ) -> str:
        """Starts a chip with the firmware, releases the core from reset and returns the UART's URL.

        A chip that runs already is stopped first.

        | =Argument= | =Meaning= |
        | platform   | a chip's name, or the path of its description; by default ``--platform``, or Springbok |
        | engine     | ``renode`` (under renode-test), ``spike``, ``rtl``, ``serial``; ``auto``: Renode or Spike |
        | vlen       | bits of a vector register; 0 is a chip without vectors; by default as the chip is built |
        | uart       | ``socket`` (TCP on this machine), ``pty`` (Spike), ``virtual`` (Renode: in virtual time) |
        | firmware   | path of another ELF file; by default the project's own firmware, built when it is stale |
        | port       | of a board: ``/dev/ttyUSB0`` or any URL that pyserial knows |
        | baudrate   | of a board's port |
        | sensor     | ``False`` leaves the chip's accelerometer out (simulators) |
        | core       | of the engine ``rtl``: the folder of the core; its ``chip.toml`` is the chip |
        | lockstep   | ``rtl``: ``False`` does not hold each instruction against Spike |
        | seed       | ``rtl``: try the core with stalls and interrupts by it |
        | timing     | estimates cycles too (``spike``, ``rtl``): a name of ``platforms/timing/``, a file, or ``chip`` |

        ``timing`` is by default the run's: ``--timing``, or a variable ``${TIMING}``. ``chip`` is what the chip's own
        description names.

        With Renode, ``platform`` may also be a ``.repl`` of your own, which extends ours (``using``) or stands in its
        place. What needs a simulator is skipped on a board.

        Examples:
        | Boot Chip | coralnpu_soc            |
        | Boot Chip | ${CURDIR}/my_chip.toml  | vlen=256 |
        | Boot Chip | engine=rtl | core=${CURDIR}/my_core | seed=1 |
        | Boot Chip | coralnpu_soc            | timing=chip |
        """
        if wrong := misnamed((platform, engine, uart, firmware, port, core, timing), _ARGUMENTS):
            raise EngineError(f"Boot Chip: {wrong}. Arguments: {', '.join(_ARGUMENTS)}.")
        if engine == "auto":
            engine = "renode" if renode_test.results_folder() else "spike"
        options = {"port": port, "baudrate": baudrate} if engine == "serial" else {"sensor": sensor}
        if platform is not None and str(platform).endswith(".repl"):
            if engine != "renode":
                raise EngineError(f"{platform} is a platform of Renode's, and this chip runs on {engine}.")
            options["repl"], platform = given_path(platform), None
        if engine == "rtl":
            options |= {"core": core, "lockstep": lockstep, "seed": seed}
            platform = platform or (str(given_path(core) / "chip.toml") if core else None)
        if engine == "renode" and renode_test.is_there():
            options |= {"keyword": renode_test.run_keyword, "quiet_keyword": renode_test.run_quietly}
        booting = session.current
        timing = timing or BuiltIn().get_variable_value("${TIMING}")
        running = booting.boot(
            engine, firmware=firmware, platform=platform, timing=timing, vlen=vlen, uart=uart, **options
        )
        chip = booting.description
        shown = chip.vlen if vlen is None else vlen
        logger.info(f"{running.name} {running.version}: {chip.title} with VLEN {shown}, UART at {running.uart_url}")
        firmware = f"Firmware: {booting.firmware.summary()}, for {chip.title}"
        if firmware not in self._told:
            self._told.add(firmware)
            logger.console(firmware)
        if chip.name != load().name:
            vectors = f"with VLEN {shown}" if shown else "without vectors"
            logger.console(f"Chip: {chip.title}, which the suite names, {vectors}")
        return running.uart_url

    @keyword(tags=("chip",))
    def boot_springbok(
        self,
        engine: str = "auto",
        vlen: int | None = None,
        uart: str = "socket",
        firmware: str | None = None,
        port: str | None = None,
        baudrate: int = 115200,
        sensor: bool = True,
        platform: str | None = None,
        timing: str | None = None,
    ) -> str:
        """Does what `Boot Chip` does, with ``platform`` last: Springbok, unless the run is given another chip.

        Example:
        | Boot Springbok | vlen=256 | # a narrower chip |
        """
        return self.boot_chip(platform, engine, vlen, uart, firmware, port, baudrate, sensor, timing=timing)

    @keyword(tags=("chip",))
    def reset_chip(self) -> None:
        """Restarts the chip as at power-on: registers and memory are lost, and with them a loaded model.

        Example:
        | Reset Chip |
        """
        session.current.reset()

    @keyword(tags=("chip",))
    def stop_chip(self) -> None:
        """Ends the simulator and closes the link. Harmless when none runs, so it suits a teardown.

        Example:
        | [Teardown] | Stop Chip |
        """
        session.current.shut_down()

    @keyword(tags=("chip",))
    def pause_chip(self) -> None:
        """Halts the core between two instructions. `Resume Chip` lets it go on.

        Example:
        | Pause Chip |
        | ${registers}= | Get Chip Registers |
        | Resume Chip |
        """
        session.current.need_engine().pause()

    @keyword(tags=("chip",))
    def resume_chip(self) -> None:
        """Lets a paused core go on.

        Example:
        | Resume Chip |
        """
        session.current.need_engine().resume()

    @keyword(tags=("chip",))
    def keep_failed_state(self) -> None:
        """Saves Renode's log and a snapshot of the emulation, as Renode's own teardown does for a test that failed.

        Example:
        | [Teardown] | Run Keyword If Test Failed | Keep Failed State |
        """
        robot = BuiltIn()
        robot.run_keyword("Create Snapshot Of Failed Test")
        robot.run_keyword("Save Test Log")

    @keyword(tags=("chip", "getter"))
    def get_uart_url(self) -> str:
        """Returns where the chip's UART is: a ``socket://`` URL or the path of a pty, for pyserial.

        Example:
        | ${url}= | Get Uart Url |
        """
        return session.current.need_engine().uart_url

    @keyword(tags=("chip", "getter"))
    def get_chip_counters(self) -> dict:
        """Returns the core's counters since it was started: ``instructions`` and ``cycles``.

        Example:
        | ${counters}= | Get Chip Counters |
        | Log | ${counters}[instructions] |
        """
        return session.current.need_engine().counters()

    @keyword(tags=("chip", "getter"))
    def get_chip_registers(self) -> dict:
        """Returns the core's registers by name: ``pc``, ``x0`` to ``x31``, ``mcause``, ``mepc``, ``mtval``…

        Example:
        | ${registers}= | Get Chip Registers |
        | Should Be Equal As Integers | ${registers}[mcause] | 0 |
        """
        return session.current.need_engine().registers()

    @keyword(tags=("chip", "getter"))
    def read_memory(self, address: int, count: int) -> bytes:
        """Returns ``count`` bytes of the chip's memory from ``address`` on.

        Example:
        | ${bytes}= | Read Memory | 0x34000000 | 16 |
        """
        return session.current.need_engine().read_memory(address, count)

    @keyword(tags=("chip",))
    def write_memory(self, address: int, content: bytes) -> None:
        """Writes bytes into the chip's memory from ``address`` on.

        Example:
        | Write Memory | 0x34000000 | ${bytes} |
        """
        session.current.need_engine().write_memory(address, content)

    @keyword(tags=("chip", "getter"))
    def describe_chip_state(self) -> str:
        """Returns one sentence on what the core is doing, with the cause of a trap when there was one.

        Example:
        | ${state}= | Describe Chip State |
        """
        return session.current.need_engine().diagnose()

    @keyword(tags=("chip", "getter"))
    def get_chip_console(self) -> list:
        """Returns what the firmware printed through the simulator, and the devices' warnings, a line each.

        Example:
        | ${lines}= | Get Chip Console |
        | Should Be Empty | ${lines} | # the firmware set every device up before it used it |
        """
        return session.current.need_engine().console()
