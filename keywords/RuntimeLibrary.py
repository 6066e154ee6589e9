# SPDX-License-Identifier: Apache-2.0
"""Robot keywords that talk to the firmware over its UART."""

from dataclasses import asdict

import numpy as np
from robot.api import logger
from robot.api.deco import keyword, library

from results_of_keywords import CONVERTERS
from springbok import session
from springbok.compiler.compiled import CompiledModel
from springbok.link.link import Dialect
from springbok.support.progress import progress


@library(scope="GLOBAL", auto_keywords=False, converters=CONVERTERS)
class RuntimeLibrary:
    """Loads compiled models into the firmware's runtime and runs them, over a UART.

    With a chip booted by SimulatorLibrary the link opens by itself; a board is reached with `Connect Runtime`
    and any URL that pyserial knows: ``socket://host:port``, a pty, ``/dev/ttyUSB0``.

    | Connect Runtime | /dev/ttyUSB0 | baudrate=115200 |
    | Load Model      | ${model}     |
    | ${outputs}=     | Infer        | ${recording} |
    """

    @keyword(tags=("runtime",))
    def connect_runtime(
        self,
        url: str | None = None,
        baudrate: int = 115200,
        timeout: float | None = None,
        extension: bool = True,
        take_over: bool = False,
        time_limit: float | None = None,
    ) -> None:
        """Opens the link, waits until the firmware answers and finds out what it speaks.

        | =Argument= | =Meaning= |
        | url        | where the UART is; by default the booted chip's |
        | baudrate   | of a real serial line |
        | timeout    | seconds that the device may take to answer a request; by default 10, of a simulator 60 |
        | extension  | ``False`` stays with the base protocol even if the firmware speaks more |
        | take_over  | ``True`` ends another host's dialogue with the device; else it fails while there is one |
        | time_limit | seconds that the device may compute for a request; by default the firmware's, 10 minutes |

        Example:
        | Connect Runtime | socket://127.0.0.1:3456 |
        """
        limit = {} if timeout is None else {"timeout": timeout}
        options = {"extension": extension, "take_over": take_over, "time_limit": time_limit}
        link = session.current.connect(url, baudrate=baudrate, **options, **limit)
        logger.info(f"Protocol: {link.dialect.value}")
        if link.dialect is not Dialect.BASE:
            logger.info(f"Firmware: {asdict(session.current.chip)}")

    @keyword(tags=("runtime",))
    def disconnect_runtime(self) -> None:
        """Closes the link. Harmless when there is none.

        Example:
        | [Teardown] | Disconnect Runtime |
        """
        link = session.current.link
        if link is not None:
            logger.info(f"Link: {link.report}")
        session.current.disconnect()

    @keyword(tags=("runtime",))
    def load_model(self, model: CompiledModel, check: bool = True) -> None:
        """Sends a compiled model; the device verifies and loads it before it answers.

        The first time, the chip runs what the model was checked with on this machine, and fails if its answers are
        not the framework's; then the model is loaded anew. What a simulated chip answered is kept for later runs.
        ``check=False`` leaves this out.

        Examples:
        | ${model}=  | Compile Model | gestures.h5 |
        | Load Model | ${model} |
        | Load Model | ${model} | check=False |
        """
        title = f"Sending {model.name} ({model.variant}), bytes"
        session.current.load_model(model, progress=progress(title), check=check)
        profile = session.current.link.profile()
        logger.info(
            f"{model.name} ({model.variant}): {model.vmfb_bytes} bytes sent, loaded with "
            f"{profile.load_instructions} instructions, {profile.memory_peak_bytes} of "
            f"{profile.memory_capacity_bytes} bytes of memory used"
        )
        logger.info(f"Link: {session.current.link.report}")

    @keyword(tags=("runtime",))
    def send_module(self, content: bytes) -> None:
        """Sends bytes as a module, whatever they are. For tests of how the device refuses what is no good module.

        Example:
        | ${content}= | Get Binary File | ${model.vmfb} |
        | Run Keyword And Expect Error | *ARCHIVE* | Send Module | ${content[:1000]} |
        """
        session.current.send_module(content)

    @keyword(tags=("runtime",))
    def unload_model(self) -> None:
        """Drops the loaded model from the device.

        Example:
        | Unload Model |
        """
        session.current.need_link().unload()
        session.current.model = None

    @keyword(tags=("runtime",))
    def infer(self, *inputs: object, timeout: float | None = None, raw: bool = False, **named: object) -> list:
        """Runs one inference and returns the list of outputs, NumPy arrays.

        Give one value an input of the model, in their order or by their names: a NumPy array or a nested list of
        numbers, which must fit the input's shape and type. To a quantised input, floating-point numbers are real
        values, which are quantised (and clamped to the range that it can represent), and integers are raw ones.
        Quantised outputs are given as real values, with ``raw=True`` as integers.

        Example:
        | ${outputs}= | Infer | ${recording} | timeout=60 |
        | ${integers}= | Infer | ${recording} | raw=True |
        | ${outputs}= | Infer | image=${picture} | mask=${mask} |
        """
        return session.current.infer(*inputs, named=named, timeout=timeout, raw=raw)

    @keyword(tags=("runtime",))
    def feed_accelerometer(self, samples: object, per_g: float = 1.0) -> np.ndarray:
        """Moves the simulated chip's accelerometer, and returns what it will read of that: an array (samples, 3).

        ``samples`` holds x, y, z of each sample in units of which 1 g has ``per_g`` (1000: they are in mg), and so does
        what is returned: rounded to the sensor's steps of 1/256 g and clipped at 16 g. The motion waits in the sensor
        until the chip takes it (`Infer From Accelerometer`).

        Example:
        | ${read}= | Feed Accelerometer | ${recording} | per_g=1000 |
        """
        return session.current.feed_accelerometer(np.asarray(samples), per_g)

    @keyword(tags=("runtime",))
    def infer_from_accelerometer(
        self,
        samples: int | None = None,
        per_g: float = 1.0,
        wait: float | None = None,
        timeout: float | None = None,
        raw: bool = False,
    ) -> list:
        """Runs one inference of what the chip's own accelerometer measures, and returns the list of outputs.

        The firmware takes new samples from its ADXL345 into a ring of 128, and the newest, as many as the model takes,
        are the input. The host sends no data.

        | =Argument= | =Meaning= |
        | samples    | new ones to take; by default as many as the model takes |
        | per_g      | what 1 g is in the model's input: 1000 for a model of mg |
        | wait       | seconds of the chip's time for them; by default one more than they take at 100 Hz |
        | timeout    | seconds for the inference |
        | raw        | integers of a quantised output instead of real values |

        Example:
        | Feed Accelerometer | ${recording} | per_g=1000 |
        | ${outputs}= | Infer From Accelerometer | per_g=1000 |
        """
        return session.current.infer_from_accelerometer(samples, per_g, wait=wait, timeout=timeout, raw=raw)

    @keyword(tags=("runtime", "getter"))
    def get_chip_information(self) -> dict:
        """Returns what the firmware says of itself and the chip: ``vlen_bits``, ``arena_bytes``, versions and limits.

        It is asked for anew each time: ``model_state`` and ``models_loaded`` are as they are now.

        Example:
        | ${chip}= | Get Chip Information |
        | Should Be Equal As Integers | ${chip}[vlen_bits] | 512 |
        """
        return asdict(session.current.chip_now())

    @keyword(tags=("runtime", "getter"))
    def get_runtime_statistics(self) -> dict:
        """Returns the runtime's memory statistics in bytes (peak, allocated, freed; host and device).

        Example:
        | ${statistics}= | Get Runtime Statistics |
        """
        return asdict(session.current.need_link().statistics())

    @keyword(tags=("runtime", "getter"))
    def get_inference_profile(self) -> dict:
        """Returns the device's own profile of the last inference: instructions, cycles, memory, each dispatch.

        Example:
        | ${profile}= | Get Inference Profile |
        | Log | ${profile}[inference_instructions] |
        """
        return asdict(session.current.need_link().profile())

    @keyword(tags=("runtime", "getter"))
    def get_module_signature(self) -> dict:
        """Returns what the loaded module itself declares: type, shape and bytes of each input and output.

        Example:
        | ${signature}= | Get Module Signature |
        | Should Be Equal | ${signature}[inputs][0][dtype] | float32 |
        """
        return asdict(session.current.need_link().signature())

    @keyword(tags=("runtime", "getter"))
    def get_link_report(self) -> dict:
        """Returns what happened on the line since the link was opened: requests, retransmissions and their reasons.

        Example:
        | ${report}= | Get Link Report |
        | Should Be Equal As Integers | ${report}[retransmissions] | 0 |
        """
        report = session.current.need_link().report
        logger.info(f"Link: {report}")
        return asdict(report)
