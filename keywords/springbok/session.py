# SPDX-License-Identifier: Apache-2.0
"""One chip, one link to it, one model at a time: what the Robot libraries share.

The libraries are separate so that each is useful by itself; when they are used together they meet here. A
session starts an engine, opens the link to the firmware, loads compiled models and runs data sets through them.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import numpy as np

from springbok.chips import accelerometer
from springbok.chips.chip import Chip, own_functions
from springbok.chips.description import load
from springbok.compiler.chip_check import check_on_chip
from springbok.compiler.compiled import CompiledModel
from springbok.data.dataset import Dataset
from springbok.engines import COUNT_SITES, WATCH_ADDRESSES, create_engine
from springbok.engines.base import Counts, Engine
from springbok.firmware import Firmware, build_firmware
from springbok.link.io_spec import IoSpec
from springbok.link.link import Link
from springbok.link.messages import ChipInfo, ModelState
from springbok.measuring.cycles import EstimatedCycles, estimated_cycles
from springbok.measuring.evaluation import Evaluation, Platform, WallClock
from springbok.measuring.fit import Fit
from springbok.measuring.fit import fit as measure_fit
from springbok.measuring.performance import Performance, summarise
from springbok.measuring.quality import check_answers, judged
from springbok.modules.lifetimes import tensor_memory
from springbok.support.cache import Cache
from springbok.support.errors import CompileError, DeviceError, EngineError, LinkError, ModelError
from springbok.support.places import command, document, given_path
from springbok.tensors import fit
from springbok.timing.description import Timing
from springbok.timing.loading import timing_of

BOOT_LIMIT_SECONDS = 10.0
TYPE_BYTES = 2  # of a message, beside its payload

_log = logging.getLogger(__name__)


class Session:
    """State of one run: at most one engine, one link and one loaded model.

    >>> session = Session()
    >>> session.boot("spike")                        # doctest: +SKIP
    >>> session.load_model(compile_model("m.h5"))    # doctest: +SKIP
    >>> session.infer(np.zeros((1, 100, 6, 1)))      # doctest: +SKIP
    """

    def __init__(self) -> None:
        self.engine: Engine | None = None
        self.description: Chip | None = None  # of the chip that runs
        self.firmware: Firmware | None = None
        self.link: Link | None = None
        self.model: CompiledModel | None = None
        self.timing: Timing | None = None  # by which cycles are estimated
        self._chip: ChipInfo | None = None
        self._upload_seconds = 0.0
        self._checked: set[tuple] = set()  # modules, and the chips on which their answers were right

    # The chip

    def boot(
        self,
        engine: str = "spike",
        *,
        firmware: Path | None = None,
        platform: str | Path | None = None,
        timing: str | Path | Timing | None = None,
        **options: object,
    ) -> Engine:
        """Start the engine with the firmware (built if it is stale) and release the core from reset.

        ``platform`` is the name of a chip or the path of its description, by default the run's. With ``timing``, as
        `springbok.timing.loading.timing_of` takes it, evaluations have estimated cycles too.
        """
        self.shut_down()
        description = load(platform)
        if timing is not None:
            self.timing = usable_timing(timing, description, engine, options.get("vlen"))
            options |= {"count_sites": True, **({"watched": self.timing.watched} if self.timing.regions else {})}
        own = None if firmware is None else Firmware.from_elf(given_path(firmware))
        self.firmware = own or build_firmware(chip=description)
        self.engine = create_engine(engine, self.firmware.elf, chip=description, **options)
        self.description = description
        try:
            self.engine.start()
            if not self.engine.is_simulated:
                self.connect()
                self.engine.check_vlen(self.chip.vlen_bits)
        except BaseException:
            self.shut_down()
            raise
        return self.engine

    def reset(self) -> None:
        """Restart the chip as at power-on; the link is opened again when it is next used.

        A board restarts its firmware by itself, when it is asked to over the link.
        """
        if not self.need_engine().is_simulated:
            self.need_link().reset_device()
            self.disconnect()
        else:
            self.disconnect()
            self.engine.reset()

    def shut_down(self) -> None:
        """Close the link and end the engine; nothing is left behind. Harmless when nothing runs."""
        self.disconnect()
        engine, self.engine, self.description, self.timing = self.engine, None, None, None
        if engine is not None:
            engine.close()

    def need_engine(self) -> Engine:
        """Return the engine, or say how to start one."""
        if self.engine is None:
            raise EngineError("No chip is running: boot one first (keyword 'Boot Springbok').")
        return self.engine

    # The link

    def connect(self, url: str | None = None, **options: object) -> Link:
        """Open the link: to ``url``, or to the running engine's UART. Waits until the firmware answers.

        ``extension=False`` stays with the base protocol, ``take_over=True`` ends another host's dialogue, and
        ``time_limit`` is the device's for a request: see `Link.negotiate`. Other options are those of `Link`, whose
        time limits are longer for a simulator.
        """
        self.disconnect()
        engine = self.engine
        if url is None:
            url = self.need_engine().uart_url
        if engine is not None:
            options = engine.link_options | options
        negotiation = {name: options.pop(name) for name in ("extension", "take_over", "time_limit") if name in options}
        link = Link(url, diagnose=engine.diagnose if engine else None, **options)
        try:
            self._chip = link.negotiate(timeout=max(BOOT_LIMIT_SECONDS, link.timeout), **negotiation)
        except BaseException:
            link.close()
            raise
        self.link = link
        if engine is not None and self._chip is not None:
            engine.believe(self._chip.vlen_bits)
        return link

    def disconnect(self) -> None:
        """Close the link. Harmless when there is none."""
        link, self.link, self.model, self._chip = self.link, None, None, None
        if link is not None:
            link.close()

    def need_link(self) -> Link:
        """Return the link; with an engine running and no link yet, open it."""
        if self.link is None:
            if self.engine is None:
                raise LinkError("No device is connected: use 'Connect Runtime' with its URL, or boot a chip first.")
            self.connect()
        return self.link

    @property
    def link_kind(self) -> str | None:
        """What carries the UART: ``socket``, ``pty`` or ``serial port``; None without a link."""
        if self.link is None:
            return None
        scheme, separator, _ = self.link.url.partition("://")
        if separator:
            return scheme
        return "pty" if self.link.url.startswith("/dev/pts/") else "serial port"

    @property
    def platform(self) -> Platform:
        """What runs the models now."""
        engine = self.engine
        name, version = (engine.name, engine.version) if engine else ("serial", None)
        chip = self.description or load()
        return Platform(name, version, self.chip.vlen_bits, self.link_kind, self.firmware, chip.name)

    @property
    def chip(self) -> ChipInfo:
        """What the firmware says of the chip and of itself."""
        self.need_link()
        if self._chip is None:
            raise LinkError("The device runs a firmware of 2023, which says nothing of itself and its chip.")
        return self._chip

    def chip_now(self) -> ChipInfo:
        """The same, asked for anew: whether a model is loaded, and how many were, changes."""
        link = self.need_link()
        return self.chip if self._chip is None else link.chip_info()

    def adopt(self, engine: Engine, firmware: Firmware | None, model: CompiledModel | None = None) -> None:
        """Go on with a chip that runs already, and with the model that it has loaded.

        Raises ModelError when the chip has none loaded, or another one.
        """
        self.engine, self.firmware = engine, firmware
        if model is not None:
            self.connect()
            self._find_loaded(model)
            self.model, self._upload_seconds = model, 0.0

    def _find_loaded(self, model: CompiledModel) -> None:
        """Tell the engine where the chip's kernels are, if they are those of ``model``."""
        if self.chip.model_state < ModelState.MODEL_LOADED:
            raise ModelError(
                f"The chip was said to have {model.name} loaded, but it has no model: use 'Load Model', or adopt "
                "the chip of a snapshot that was taken after it."
            )
        profile = self.need_link().profile()
        kernels = (profile.kernels_begin, profile.kernels_end)
        code = self.engine.read_memory(kernels[0], kernels[1] - kernels[0])
        if code not in model.vmfb.read_bytes():
            raise ModelError(
                f"The chip was said to have {model.name} loaded, but the {len(code)} bytes of its model's code are "
                f"not in {model.vmfb}: give the model that was loaded, compiled with the same flags."
            )
        self.engine.believe(self.chip.vlen_bits, kernels)

    def abandon(self) -> None:
        """Forget a chip whose machine something else has taken away."""
        with suppress(LinkError):
            self.disconnect()
        self.link = self.engine = None

    # The model

    def load_model(
        self, model: CompiledModel, progress: Callable[[int, int], None] | None = None, *, check: bool = True
    ) -> None:
        """Send the compiled model. The device verifies and loads it before it answers.

        A model that was checked on this machine is checked on the chip too, the first time: see
        `springbok.compiler.chip_check`. It is loaded anew after that, so that everything is counted as without the
        check; ``check=False`` leaves it out. Raises :class:`CompileError` when the chip gives wrong answers.
        """
        self._send(model, progress)
        if not check or model.probes is None:
            return
        if self._chip is None:
            _log.info("%s: not checked on the chip, which runs a firmware of 2023", model.name)
            return
        try:
            ran = self._check_on_chip(model)
        except BaseException as error:
            if isinstance(error, CompileError):
                self.need_link().unload()
            self.model = None
            raise
        if ran:
            self._send(model)

    def _send(self, model: CompiledModel, progress: Callable[[int, int], None] | None = None) -> None:
        self.model = None
        link = self.need_link()
        if IoSpec.can_describe(model.inputs, model.outputs, model.entry):
            link.send_io_spec(IoSpec.from_tensors(model.inputs, model.outputs, model.entry, model.name))
        else:
            link.unload()  # the device would hold the module against the specification of the last one
        started = time.monotonic()
        try:
            self.send_module(model.vmfb.read_bytes(), progress)
        except DeviceError as error:
            remedied = _with_remedy(error, model, self._chip)
            if remedied is None:
                raise
            raise remedied from error
        self._upload_seconds = time.monotonic() - started
        self.model = model
        if self.engine is not None:
            self.engine.know_dispatches(
                {each.ordinal: " + ".join(each.layers) or each.name for each in model.dispatches}
            )

    def _check_on_chip(self, model: CompiledModel) -> bool:
        """Check the loaded model unless it was before; returns whether it ran."""

        def run(sample: Sequence[np.ndarray]) -> tuple[list[np.ndarray], int]:
            outputs = self.infer(*sample, raw=True)
            return outputs, self.need_link().profile().inference_instructions

        engine, chip = self.engine, replace(self.chip, model_state=ModelState.NONE)
        where = engine.name if engine else self.need_link().url
        identity = (where, f"VLEN {chip.vlen_bits}", f"firmware {chip.firmware_version}", chip)
        cache = None
        if engine is not None and engine.is_simulated and self.firmware is not None:
            own = own_functions(self.description) if self.description else ()
            identity = (*identity, engine.version, self.firmware.sha256, *own)
            cache = Cache(model.vmfb.parents[1])
        checked = (model.vmfb_sha256, model.tolerance, identity)
        if checked in self._checked:
            return False
        judgement, ran = check_on_chip(model, identity, run, cache)
        self._checked.add(checked)
        earlier = "" if ran else " (earlier: taken from the cache)"
        _log.info("%s: checked on the chip: %s%s", model.name, judgement.describe(), earlier)
        return ran

    def send_module(self, content: bytes, progress: Callable[[int, int], None] | None = None) -> None:
        """Send bytes as a module, whatever they are; what is larger than the chip takes is not even sent."""
        self.model = None
        link, chip = self.need_link(), self._chip
        if chip is not None and len(content) > chip.max_message_size - TYPE_BYTES:
            raise ModelError(
                f"The module has {len(content)} bytes, but the chip takes messages of at most "
                f"{chip.max_message_size} bytes: make the model smaller, or use a chip with more memory."
            )
        place = self.engine.place_image if self.engine is not None else None
        link.load_model(content, progress=progress, place=place)

    def need_model(self) -> CompiledModel:
        """Return the loaded model, or say how to load one."""
        if self.model is None:
            raise ModelError(
                "'Load Model' has loaded no model, so that its inputs and outputs are not known: use it first."
            )
        return self.model

    def infer(
        self,
        *inputs: np.ndarray,
        named: Mapping[str, np.ndarray] | None = None,
        timeout: float | None = None,
        raw: bool = False,
    ) -> list[np.ndarray]:
        """Run one inference; one array an input of the model, with its shape. Returns one array an output.

        Inputs are given in their order, or by their names in ``named``.

        To quantised inputs floating-point numbers are real values and integers raw ones; quantised outputs are given
        as real values, or with ``raw`` as the integers that the model computed.
        """
        model = self.need_model()
        if inputs and named:
            raise ModelError(f"Give the inputs of {model.name} either in their order or by their names, not both.")
        payload = self._known_to_engine(_payload(model, named or inputs))
        answer = self.need_link().infer(payload, **({} if timeout is None else {"timeout": timeout}))
        outputs = _split_outputs(model, answer)
        return outputs if raw else _real(model, outputs)

    def feed_accelerometer(self, samples: np.ndarray, per_g: float = 1.0) -> np.ndarray:
        """Move the simulated chip's accelerometer; return what it will read of that, shape (samples, 3), float32.

        ``samples`` is x, y, z a sample, in units of which 1 g has ``per_g``; so is what is returned.
        """
        steps = accelerometer.readings(samples, per_g)
        self.need_engine().feed_accelerometer(accelerometer.counts(steps))
        return accelerometer.values(steps, per_g)

    def infer_from_accelerometer(
        self,
        samples: int | None = None,
        per_g: float = 1.0,
        *,
        wait: float | None = None,
        timeout: float | None = None,
        raw: bool = False,
    ) -> list[np.ndarray]:
        """Run one inference of what the chip's accelerometer measures. Returns one array an output, as `infer` does.

        The device takes ``samples`` new ones (as many as the model's window has, unless given), and the newest window
        is the input, in units of which 1 g has ``per_g``. ``wait`` is the device's time for them, seconds; at 100 Hz
        they take a hundredth each, so by default it is that and one second.
        """
        model = self.need_model()
        spec = model.inputs[0]
        count = spec.elements // accelerometer.AXES if samples is None else samples
        if wait is None:
            wait = count / accelerometer.SAMPLES_PER_SECOND + 1.0
        options = {"scale": spec.scale, "zero_point": spec.zero_point} if spec.is_quantised else {}
        options |= {} if timeout is None else {"timeout": timeout}
        answer = self.need_link().sense(count, wait, float(accelerometer.unit(per_g)), **options)
        outputs = _split_outputs(model, answer)
        return outputs if raw else _real(model, outputs)

    def evaluate(
        self,
        dataset: Dataset,
        host_outputs: np.ndarray | Sequence[np.ndarray],
        samples: int | None = None,
        progress: Callable[[int, int], None] | None = None,
        *,
        output: str | int = 0,
    ) -> Evaluation:
        """Infer the first ``samples`` (default: all) with the loaded model; judge and measure them.

        ``host_outputs`` are the framework's own answers: one array an output, of the shape (samples or more, \\*the
        output's), or that of the first output alone. ``output`` is what the data set's labels are for, by number or
        name. Quantised outputs, of device and host, are judged as real values.
        """
        model = self.need_model()
        self._need_marks()
        taken = dataset.first(samples)
        inputs = taken.fitted(model.name, model.inputs)
        judged_output = _output_number(model, output)
        host_outputs = [host_outputs] if isinstance(host_outputs, np.ndarray) else host_outputs
        check_answers(taken, model.inputs[0], model.outputs[judged_output])  # before minutes of work
        self._take_counts()
        answers, profiles, round_trips = [], [], []
        for number in range(len(taken)):
            started = time.monotonic()
            payload = self._known_to_engine(_payload(model, [array[number] for array in inputs]))
            answer, profile = self.need_link().measure(payload)
            round_trips.append(time.monotonic() - started)
            answers.append(_real(model, _split_outputs(model, answer)))
            profiles.append(profile)
            if progress:
                progress(number + 1, len(taken))
        counts = self._take_counts()
        performance = summarise(profiles, counts, self.chip.vlen_bits)
        pairs = [
            (np.stack(device).reshape(len(taken), -1), spec.to_real(host[: len(taken)]).reshape(len(taken), -1))
            for device, host, spec in zip(zip(*answers, strict=True), host_outputs, model.outputs, strict=False)
        ]
        device, host = pairs.pop(judged_output)
        first_input = model.inputs[0].to_real(inputs[0]).reshape(len(taken), -1)
        quality = judged(taken, first_input, device, host, pairs)
        wall_clock = WallClock(self._upload_seconds, tuple(round_trips))
        return Evaluation(
            model,
            dataset,
            quality,
            performance,
            wall_clock,
            platform=self.platform,
            output=judged_output,
            fit=self._fit(model),
            tensor_memory=tensor_memory(model.vmfb.read_bytes(), model.entry),
            estimate=self._estimate(counts),
            disturbance=self.engine.disturbance if self.engine is not None else "",
            untold_defects=self._untold_defects(performance),
        )

    def _untold_defects(self, performance: Performance) -> list[str]:
        if performance.opcodes is None or self.engine is None:
            return [each.name for each in self.description.defects]
        return self.engine.untold_defects

    def _need_marks(self) -> None:
        """Simulators count between the firmware's marks, which a chip may have no instruction for."""
        chip = self.description
        if self.engine is not None and self.engine.is_simulated and chip is not None and chip.doing("mark") is None:
            raise EngineError(
                f"{chip.title} has no instruction for the firmware's marks, between which {self.engine.name} counts: "
                f'give its description an [[instruction]] with does = "mark" ({document("chips.md")}).'
            )

    def _known_to_engine(self, payload: bytes) -> bytes:
        if self.engine is not None:
            self.engine.know_inputs(payload)
        return payload

    def _fit(self, model: CompiledModel) -> Fit | None:
        """What the model takes of the memories of the chip that was booted."""
        if self.description is None or self.firmware is None:
            return None
        return measure_fit(model, self.description, self.firmware)

    def _estimate(self, counts: Counts | None) -> EstimatedCycles | None:
        """Nothing where the chip was booted without a timing."""
        if self.timing is None or counts is None:
            return None
        return estimated_cycles(counts, self.timing, self.chip.vlen_bits, self.description)

    def _take_counts(self) -> Counts | None:
        return self.engine.take_counts() if self.engine is not None else None


def usable_timing(given: str | Path | Timing, chip: Chip, engine: str, vlen: int | None = None) -> Timing:
    """The timing, as `springbok.timing.loading.timing_of` takes it, for an engine of this name.

    Raises EngineError where the engine tells nothing to estimate from, TimingError for a timing that can't be used.
    """
    if engine not in COUNT_SITES:
        raise EngineError(
            f"Cycles are estimated from executions by address, which the engine '{engine}' does not tell: use "
            f"{' or '.join(COUNT_SITES)}, or leave the timing out."
        )
    timing = timing_of(given, chip, vlen)
    if timing.regions and engine not in WATCH_ADDRESSES:
        raise EngineError(
            f"The timing {timing.name} has regions, and which memory a program reaches is not told by the engine "
            f"'{engine}': use {' or '.join(WATCH_ADDRESSES)}."
        )
    return timing


def _with_remedy(error: DeviceError, model: CompiledModel, chip: ChipInfo | None) -> DeviceError | None:
    """An error about vectors that the chip does not have, with what to do in this project's words; None of others."""
    if error.name not in ("VLEN", "NO_VECTORS") or chip is None or chip.vlen_bits == model.vlen_bits:
        return None
    what, _, _ = error.message.partition(": compile with")
    if chip.vlen_bits:
        remedy = f"VLEN {chip.vlen_bits}: compile it for that one (vlen={chip.vlen_bits})"
    else:
        remedy = "no vectors: compile it without (variant=scalar)"
    text = (
        f"{what}. {model.name} was compiled for VLEN {model.vlen_bits}, and the chip has {remedy}, or boot a chip of "
        f"the model's VLEN (Boot Springbok    vlen={model.vlen_bits}, or "
        f"'{command('run', 'SUITE', '--vlen', model.vlen_bits)}')"
    )
    return DeviceError(error.code, error.name, text, error.request)


def _payload(model: CompiledModel, inputs: Sequence[object] | Mapping[str, object]) -> bytes:
    one = {name: [value] for name, value in inputs.items()} if isinstance(inputs, Mapping) else [[v] for v in inputs]
    samples = fit(model.name, model.inputs, one)
    return b"".join(array.astype(array.dtype.newbyteorder("<")).tobytes() for array in samples)


def _output_number(model: CompiledModel, output: str | int) -> int:
    names = [spec.name for spec in model.outputs]
    if str(output) in names:
        return names.index(str(output))
    if str(output).isdigit() and int(output) < len(names):
        return int(output)
    raise ModelError(f"{model.name} has no output {output!r}: its outputs are {', '.join(map(repr, names))}.")


def _split_outputs(model: CompiledModel, answer: bytes) -> list[np.ndarray]:
    expected = sum(spec.nbytes for spec in model.outputs)
    if len(answer) != expected:
        raise LinkError(f"{model.name} gives {expected} bytes of output, but the device sent {len(answer)}.")
    arrays, start = [], 0
    for spec in model.outputs:
        content = answer[start : start + spec.nbytes]
        arrays.append(np.frombuffer(content, dtype=np.dtype(spec.dtype).newbyteorder("<")).reshape(spec.shape))
        start += spec.nbytes
    return arrays


def _real(model: CompiledModel, outputs: list[np.ndarray]) -> list[np.ndarray]:
    return [spec.to_real(array) for spec, array in zip(model.outputs, outputs, strict=True)]


# The session that the Robot libraries share.
current = Session()
