# SPDX-License-Identifier: Apache-2.0
"""What messages carry: payloads of requests made, payloads of answers read."""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from enum import IntEnum

from springbok.link import failures
from springbok.link.layouts import (
    BENCHMARK_REQUEST,
    CHIP_INFO,
    HELLO_LIMITS,
    HELLO_REQUEST,
    HELLO_REQUEST_SHORT,
    NAME_BYTES,
    PROFILE_HEADER,
    PROFILE_RECORD,
    SENSE_REQUEST,
    SIGNATURE_HEADER,
    STATISTICS,
    TENSOR_DESCRIPTION,
    UPLOAD_ANSWER,
    UPLOAD_REQUEST,
    build,
    fields_of,
    parse,
)
from springbok.support.errors import LinkError

PROTOCOL_VERSION = 2
_KNOWN_VERSIONS = (1, PROTOCOL_VERSION)  # a firmware of 1 has no part in a dialogue's identity
SESSION_OTHER = "SESSION_OTHER"  # the name of an error: another host is at work
TAKES_OVER = 1  # a flag of HELLO
_NAME_CHARACTERS = NAME_BYTES - 1  # one is the NUL behind it
#: Of an answer: reading takes some 50 us for each, within the caller's limit.
_MOST_RECORDS = 4096


class ModelState(IntEnum):
    """How far the device is with a model."""

    NONE = 0
    IOSPEC = 1
    MODEL_LOADED = 2
    INPUT_LOADED = 3
    INFERENCE_DONE = 4


@dataclass(frozen=True)
class Statistics:
    """Memory of the model's tensors, bytes: answer to STATS (24 bytes).

    A chip with one memory counts everything under ``device``.
    """

    host_peak: int
    host_allocated: int
    host_freed: int
    device_peak: int
    device_allocated: int
    device_freed: int

    @classmethod
    def decode(cls, payload: bytes) -> Statistics:
        """Read the answer's payload. Raises LinkError unless it has 24 bytes."""
        return cls(**fields_of(parse(STATISTICS, payload, "statistics")))

    def encode(self) -> bytes:
        """Return the 24 bytes."""
        return STATISTICS.build(vars(self))


@dataclass(frozen=True)
class ChipInfo:
    """What the firmware says of itself and its chip: answer to INFO (40 bytes).

    vlen_bits, elen_bits  of the vector unit; 0 on a chip without one
    max_message_size      largest frame it takes (type and payload), bytes
    arena_bytes           room for a model and all that it needs
    contains_kernels      kernels can write to nothing but their stack and the model's tensors
    serves_extension, serves_kenning  extended frames, and Kenning's protocol of 2026
    serves_mlperf         the dialogue of MLPerf Tiny's runner
    models_loaded         since power-on; 0 of a firmware that does not count them
    """

    has_vectors: bool
    marks_work: bool
    firmware_version: str
    vlen_bits: int
    elen_bits: int
    max_message_size: int
    arena_bytes: int
    bytecode_version: str
    library_version: int
    model_state: ModelState
    contains_kernels: bool = False
    serves_extension: bool = False
    serves_kenning: bool = False
    serves_mlperf: bool = False
    models_loaded: int = 0

    VERSION = 1

    @classmethod
    def decode(cls, payload: bytes) -> ChipInfo:
        """Read the answer's payload. Raises LinkError unless it has 40 bytes of a known version."""
        fields = parse(CHIP_INFO, payload, "chip information")
        if fields.struct_version != cls.VERSION:
            raise LinkError(
                f"The firmware describes itself in version {fields.struct_version} of the format; this client knows "
                f"{cls.VERSION}. Use the client and the firmware of the same release."
            )
        try:
            model_state = ModelState(fields.model_state)
        except ValueError:
            raise LinkError(f"The firmware is in model state {fields.model_state}, which is not known.") from None
        return cls(
            has_vectors=bool(fields.flags & 1),
            marks_work=bool(fields.flags & 2),
            firmware_version=_version(fields.firmware_version),
            vlen_bits=fields.vlen_bits,
            elen_bits=fields.elen_bits,
            max_message_size=fields.max_message_size,
            arena_bytes=fields.arena_bytes,
            bytecode_version=_version(fields.bytecode_version),
            library_version=fields.library_version,
            model_state=model_state,
            contains_kernels=bool(fields.flags & 4),
            # 1.1 has no flag for it, and no build without it
            serves_extension=bool(fields.flags & 8) or fields.firmware_version == _version_number("1.1"),
            serves_kenning=bool(fields.flags & 16),
            serves_mlperf=bool(fields.flags & 32),
            models_loaded=fields.models_loaded,
        )

    @property
    def tells_dialogues_apart(self) -> bool:
        """Whether HELLO may have an identity."""
        return self.serves_extension and _version_number(self.firmware_version) >= _version_number("1.2")

    def encode(self) -> bytes:
        """Return the 40 bytes."""
        return CHIP_INFO.build(
            {
                **vars(self),
                "struct_version": self.VERSION,
                "flags": self.has_vectors
                | self.marks_work << 1
                | self.contains_kernels << 2
                | self.serves_extension << 3
                | self.serves_kenning << 4
                | self.serves_mlperf << 5,
                "firmware_version": _version_number(self.firmware_version),
                "bytecode_version": _version_number(self.bytecode_version),
            }
        )


@dataclass(frozen=True)
class Limits:
    """What the firmware can take, beside what ChipInfo says: second part of the answer to HELLO (24 bytes).

    input_capacity, output_capacity  bytes of all inputs and of all outputs of a model
    stack_bytes                      of the firmware and the model's kernels together
    time_limit_ms                    after so long a request's computation is stopped
    nonce                            the chip's part of the dialogue's identity
    """

    protocol_version: int
    input_capacity: int
    output_capacity: int
    stack_bytes: int
    time_limit_ms: int
    nonce: int = 0

    @classmethod
    def decode(cls, payload: bytes) -> Limits:
        """Read the 24 bytes. Raises LinkError for another count or an unknown protocol."""
        limits = cls(**fields_of(parse(HELLO_LIMITS, payload, "limits")))
        if limits.protocol_version not in _KNOWN_VERSIONS:
            raise LinkError(
                f"The firmware speaks version {limits.protocol_version} of the extension; this client knows "
                f"at most {PROTOCOL_VERSION}. Use the client and the firmware of the same release."
            )
        return limits

    def encode(self) -> bytes:
        """Return the 24 bytes."""
        return HELLO_LIMITS.build(vars(self))


def decode_hello(payload: bytes) -> tuple[ChipInfo, Limits]:
    """Read the answer to HELLO."""
    size = CHIP_INFO.sizeof()
    return ChipInfo.decode(payload[:size]), Limits.decode(payload[size:])


def encode_hello(time_limit: float | None = None, identity: int | None = None, *, take_over: bool = False) -> bytes:
    """Return the payload of HELLO.

    time_limit  seconds for one request's computation; None: the firmware's own
    identity    the host's part of the dialogue's, not 0, which is that of none; None for a firmware before 1.2
    take_over   ends another host's dialogue
    """
    milliseconds = 0 if time_limit is None else max(1, min(round(time_limit * 1000), 0xFFFFFFFF))
    fields = {"protocol_version": PROTOCOL_VERSION, "time_limit_ms": milliseconds}
    if identity is None:
        return HELLO_REQUEST_SHORT.build(fields)
    return HELLO_REQUEST.build({**fields, "identity": identity, "flags": TAKES_OVER if take_over else 0})


def encode_upload(image: bytes) -> bytes:
    """Return the payload of UPLOAD: it announces an image by its size and CRC-32."""
    return UPLOAD_REQUEST.build({"image_bytes": len(image), "image_crc": zlib.crc32(image)})


def encode_sense(samples: int, wait: float, unit: float, scale: float = 1.0, zero_point: int = 0) -> bytes:
    """Return the payload of SENSE: ``samples`` new ones within ``wait`` seconds.

    ``unit`` is what a step of the accelerometer's readings (1/256 g) is in the model's real values; ``scale`` and
    ``zero_point`` are those of an int8 input.
    """
    milliseconds = max(0, min(round(wait * 1000), 0xFFFFFFFF))
    fields = {"samples": samples, "wait_ms": milliseconds, "unit": unit, "scale": scale, "zero_point": zero_point}
    return build(SENSE_REQUEST, fields, "request to sense")


class BenchmarkInput(IntEnum):
    """How the bytes that MLPerf Tiny's runner sends become the model's input."""

    AS_IT_IS = 0
    UNSIGNED = 1  # 0 to 255, for an int8 input that begins at -128
    FLOAT = 2  # float32, quantised for an int8 input


class BenchmarkResults(IntEnum):
    """What the runner is given of an inference."""

    VALUES = 0
    ERROR = 1  # the mean of the squares of what the output differs from the input


@dataclass(frozen=True)
class Benchmark:
    """What MLPerf Tiny's runner is to know of the loaded model: payload of BENCHMARK (56 bytes).

    model         its name there, such as ``kws01``, at most 19 characters
    input_scale, input_zero_point, output_scale, output_zero_point  of int8 tensors
    frame_bytes   of a stream: so many of the input's bytes are new for each inference; 0: no stream
    frame_us      what a frame lasts
    threshold     of the first output's value as it is: above it something was detected
    """

    model: str
    input: BenchmarkInput = BenchmarkInput.AS_IT_IS
    results: BenchmarkResults = BenchmarkResults.VALUES
    input_scale: float = 1.0
    input_zero_point: int = 0
    output_scale: float = 1.0
    output_zero_point: int = 0
    frame_bytes: int = 0
    frame_us: int = 0
    threshold: int = 0

    def encode(self) -> bytes:
        """Return the 56 bytes."""
        if len(self.model.encode()) > _NAME_CHARACTERS:
            raise LinkError(
                f"A benchmark's model has a name of at most {_NAME_CHARACTERS} characters: '{self.model:.60}'."
            )
        return build(BENCHMARK_REQUEST, vars(self), "benchmark")


def decode_offset(payload: bytes) -> int:
    """Read the answer to UPLOAD or CHUNK: how many bytes of the image the device has."""
    return parse(UPLOAD_ANSWER, payload, "upload's offset").offset


# IREE's element types: class << 24 | bits.
_ELEMENT_CLASSES = {0x10: "int", 0x11: "int", 0x12: "uint", 0x21: "float", 0x22: "bfloat"}


@dataclass(frozen=True)
class TensorDescription:
    """One input or output as the module itself declares it."""

    dtype: str
    shape: tuple[int, ...]
    nbytes: int


@dataclass(frozen=True)
class Signature:
    """What the loaded module takes and gives: answer to SIGNATURE (8 bytes and 48 a tensor)."""

    inputs: tuple[TensorDescription, ...]
    outputs: tuple[TensorDescription, ...]

    @classmethod
    def decode(cls, payload: bytes) -> Signature:
        """Read the answer's payload. Raises LinkError unless its size is what its header says."""
        header = parse(SIGNATURE_HEADER, payload[: SIGNATURE_HEADER.sizeof()], "signature's header")
        records, size = payload[SIGNATURE_HEADER.sizeof() :], TENSOR_DESCRIPTION.sizeof()
        if len(records) != size * (header.input_count + header.output_count):
            raise LinkError(
                f"A signature announces {header.input_count} inputs and {header.output_count} outputs of {size} bytes "
                f"each, but {len(records)} bytes follow."
            )
        _check_count(len(records) // size, "signature")
        tensors = tuple(_decode_tensor(records[at : at + size]) for at in range(0, len(records), size))
        return cls(tensors[: header.input_count], tensors[header.input_count :])


def _check_count(records: int, what: str) -> None:
    if records > _MOST_RECORDS:
        raise LinkError(
            f"A {what} has {records:,} records, at most {_MOST_RECORDS:,} are read: it is damaged, or of another "
            "firmware."
        )


def _decode_tensor(record: bytes) -> TensorDescription:
    fields = parse(TENSOR_DESCRIPTION, record, "tensor's description")
    if fields.rank > len(fields.dims):
        raise LinkError(f"A tensor of the signature has rank {fields.rank}, at most {len(fields.dims)} are possible.")
    kind, bits = fields.element_type >> 24, fields.element_type & 0xFF
    name = "bool" if kind == 0x13 else f"{_ELEMENT_CLASSES.get(kind, 'unknown')}{bits}"
    return TensorDescription(name, tuple(fields.dims[: fields.rank]), fields.bytes)


def decode_measured(payload: bytes) -> tuple[Profile, bytes]:
    """Read the answer to MEASURE: the profile, then the outputs."""
    header = parse(PROFILE_HEADER, payload[: PROFILE_HEADER.sizeof()], "profile header")
    end = PROFILE_HEADER.sizeof() + header.dispatch_count * PROFILE_RECORD.sizeof()
    return Profile.decode(payload[:end]), payload[end:]


def _version(number: int) -> str:
    return f"{number >> 16}.{number & 0xFFFF}"


def _version_number(version: str) -> int:
    major, minor = map(int, version.split("."))
    return major << 16 | minor


@dataclass(frozen=True)
class DispatchProfile:
    """One kernel of the model in the last inference: all its calls together."""

    ordinal: int
    calls: int
    instructions: int
    cycles: int
    workgroups: int
    name: str


@dataclass(frozen=True)
class Profile:
    """What the last inference and the model's load cost: answer to PROFILE (64 bytes and 128 a dispatch).

    load_instructions      of the load, the upload left out
    inferences             completed since the load
    stack_peak_bytes       deepest stack since boot
    memory_peak_bytes      most memory in use since the load began, the model's image included
    kernels_begin, _end    addresses of the model's own code
    dispatches             those that were called, by ordinal
    """

    inference_instructions: int
    inference_cycles: int
    load_instructions: int
    inferences: int
    stack_peak_bytes: int
    memory_peak_bytes: int
    memory_capacity_bytes: int
    kernels_begin: int
    kernels_end: int
    dispatches: tuple[DispatchProfile, ...]

    @classmethod
    def decode(cls, payload: bytes) -> Profile:
        """Read the answer's payload. Raises LinkError unless its size is what its header says."""
        header = parse(PROFILE_HEADER, payload[: PROFILE_HEADER.sizeof()], "profile header")
        records = payload[PROFILE_HEADER.sizeof() :]
        size = PROFILE_RECORD.sizeof()
        if header.record_size != size:
            raise LinkError(
                f"A profile's records have {size} bytes, but this one says {header.record_size}: it is damaged, or of "
                "another firmware. Check that the device runs springbok-bench's, of this version."
            )
        if len(records) != header.dispatch_count * size:
            raise LinkError(
                f"A profile announces {header.dispatch_count} records of {size} bytes, but {len(records)} bytes follow"
                ": it is damaged, or answers another request. Ask again."
            )
        _check_count(header.dispatch_count, "profile")
        values = fields_of(header)
        del values["record_size"], values["dispatch_count"]
        starts = range(0, len(records), size)
        return cls(**values, dispatches=tuple(_decode_dispatch(records[at : at + size]) for at in starts))

    def encode(self) -> bytes:
        """Return header and records."""
        header = {**vars(self), "record_size": PROFILE_RECORD.sizeof(), "dispatch_count": len(self.dispatches)}
        records = ({**vars(dispatch), "name": _padded(dispatch.name, 96)} for dispatch in self.dispatches)
        return PROFILE_HEADER.build(header) + b"".join(map(PROFILE_RECORD.build, records))


def _decode_dispatch(record: bytes) -> DispatchProfile:
    values = fields_of(parse(PROFILE_RECORD, record, "profile's record"))
    return DispatchProfile(**{**values, "name": _unpadded(values["name"])})


#: Bytes of a reason that can't be read.
_MOST_TOLD = 160


@dataclass(frozen=True)
class ErrorAnswer:
    """What ERROR carries. A firmware of 2023 sends nothing: then the code is 0 and the name ``UNKNOWN``."""

    code: int
    name: str
    message: str

    @classmethod
    def decode(cls, payload: bytes) -> ErrorAnswer:
        """Read the answer's payload. Never fails, since it must not hide that there was an error."""
        if not payload:
            return cls(0, "UNKNOWN", "the firmware gives no reason")
        message = failures.sentence(payload)
        if message is None:
            rest = f" … ({len(payload):,} bytes)" if len(payload) > _MOST_TOLD else ""
            message = f"the firmware's reason can't be read: {payload[:_MOST_TOLD].hex(' ')}{rest}"
        return cls(*failures.cause(payload), message)


def _padded(text: str, size: int) -> bytes:
    return text.encode()[:size].ljust(size, b"\0")


def _unpadded(text: bytes) -> str:
    name = text.split(b"\0")[0].decode("utf8", "backslashreplace")
    return "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in name)
