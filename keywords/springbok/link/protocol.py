# SPDX-License-Identifier: Apache-2.0
"""The messages that a client and the firmware exchange, described once. Pure: bytes in, objects out.

A frame is ``u32 message_size | u16 message_type | payload``, little endian, where message_size counts the type
and the payload. Messages 0 to 7 are those of Kenning's UART protocol of 2023, byte for byte; 8 and above, and
the description that ERROR carries, are this project's additions (docs/protocol.md).

An extended frame has a header with a magic, a sequence number and a check of its own, and a CRC-32 behind its
payload. Its magic would be a size of 4 GB to a receiver of base frames, so neither is taken for the other.
"""

from __future__ import annotations

import math
import struct
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, Protocol

import construct as c
import numpy as np

from springbok.link import failures
from springbok.support.errors import LinkError

HEADER_BYTES = 6
EXTENDED_HEADER_BYTES = 16
CHECK_BYTES = 4
MAGIC = bytes.fromhex("5bfffefd")
PROTOCOL_VERSION = 1
MAX_PAYLOAD_BYTES = 16 << 20  # the firmware takes a larger size for noise; so does the link


class MessageType(IntEnum):
    """Types of messages. OK and ERROR are answers, the others requests; each request gets one answer."""

    OK = 0
    ERROR = 1
    DATA = 2
    MODEL = 3
    PROCESS = 4
    OUTPUT = 5
    STATS = 6
    IOSPEC = 7
    INFO = 8
    PROFILE = 9
    UNLOAD = 10
    # From here on in extended frames only
    HELLO = 11
    SIGNATURE = 12
    UPLOAD = 13
    CHUNK = 14
    LOAD = 15
    INFER = 16
    MEASURE = 17
    ABORT = 18
    RESET = 19
    SENSE = 20


class ModelState(IntEnum):
    """How far the device is with a model."""

    NONE = 0
    IOSPEC = 1
    MODEL_LOADED = 2
    INPUT_LOADED = 3
    INFERENCE_DONE = 4


class Tensor(Protocol):
    """What ``IoSpec.from_tensors`` needs of a tensor; a NumPy array has it."""

    @property
    def shape(self) -> tuple[int, ...]: ...

    @property
    def dtype(self) -> Any: ...


# The layouts

_NAME_BYTES = 20  # of entry_func and model_name, the terminating NUL included
_INPUTS, _DIMENSIONS, _OUTPUTS = 2, 4, 12


def _text(size: int) -> c.Construct:
    return c.PaddedString(size, "utf8")


HEADER = c.Struct("message_size" / c.Int32ul, "message_type" / c.Int16ul)

EXTENDED_HEADER = c.Struct(
    "magic" / c.Int32ul,
    "sequence" / c.Int16ul,  # an answer has that of its request; 0: a fault that belongs to no request
    "message_type" / c.Int16ul,
    "payload_bytes" / c.Int32ul,
    "check" / c.Int32ul,  # CRC-32 of the bytes before it
)

IO_SPEC = c.Struct(
    "num_input" / c.Int32ul,
    "num_input_dim" / c.Int32ul[_INPUTS],
    "input_shape" / c.Int32ul[_DIMENSIONS][_INPUTS],
    "input_length" / c.Int32ul[_INPUTS],  # elements
    "input_size_bytes" / c.Int32ul[_INPUTS],  # bytes an element
    "num_output" / c.Int32ul,
    "output_length" / c.Int32ul[_OUTPUTS],  # elements
    "output_size_bytes" / c.Int32ul,  # bytes an element
    "dtype" / _text(4),
    "entry_func" / _text(_NAME_BYTES),
    "model_name" / _text(_NAME_BYTES),
)

STATISTICS = c.Struct(
    "host_peak" / c.Int32ul,
    "host_allocated" / c.Int32ul,
    "host_freed" / c.Int32ul,
    "device_peak" / c.Int32ul,
    "device_allocated" / c.Int32ul,
    "device_freed" / c.Int32ul,
)

CHIP_INFO = c.Struct(
    "struct_version" / c.Int16ul,
    "flags" / c.Int16ul,  # bit 0: vectors, bit 1: marks reach a simulator
    "firmware_version" / c.Int32ul,  # major << 16 | minor
    "vlen_bits" / c.Int32ul,
    "elen_bits" / c.Int32ul,
    "max_message_size" / c.Int32ul,
    "arena_bytes" / c.Int32ul,
    "bytecode_version" / c.Int32ul,  # major << 16 | minor
    "library_version" / c.Int32ul,
    "model_state" / c.Int32ul,
    "reserved" / c.Default(c.Int32ul, 0),
)

PROFILE_HEADER = c.Struct(
    "record_size" / c.Int32ul,
    "dispatch_count" / c.Int32ul,
    "inference_instructions" / c.Int64ul,
    "inference_cycles" / c.Int64ul,
    "load_instructions" / c.Int64ul,
    "inferences" / c.Int32ul,
    "stack_peak_bytes" / c.Int32ul,
    "memory_peak_bytes" / c.Int32ul,
    "memory_capacity_bytes" / c.Int32ul,
    "kernels_begin" / c.Int32ul,
    "kernels_end" / c.Int32ul,
    "reserved" / c.Default(c.Int64ul, 0),
)

PROFILE_RECORD = c.Struct(
    "ordinal" / c.Int32ul,
    "calls" / c.Int32ul,
    "instructions" / c.Int64ul,
    "cycles" / c.Int64ul,
    "workgroups" / c.Int32ul,
    "reserved" / c.Default(c.Int32ul, 0),
    "name" / c.Bytes(96),  # truncated by the firmware, perhaps within a character
)

HELLO_REQUEST = c.Struct("protocol_version" / c.Int32ul, "time_limit_ms" / c.Int32ul)

# Behind CHIP_INFO in the answer to HELLO
HELLO_LIMITS = c.Struct(
    "protocol_version" / c.Int32ul,
    "input_capacity" / c.Int32ul,
    "output_capacity" / c.Int32ul,
    "stack_bytes" / c.Int32ul,
    "time_limit_ms" / c.Int32ul,
    "reserved" / c.Default(c.Int32ul, 0),
)

UPLOAD_REQUEST = c.Struct("image_bytes" / c.Int32ul, "image_crc" / c.Int32ul)
UPLOAD_ANSWER = c.Struct("offset" / c.Int32ul)

SENSE_REQUEST = c.Struct(
    "samples" / c.Int32ul,
    "wait_ms" / c.Int32ul,
    "unit" / c.Float32l,
    "scale" / c.Float32l,
    "zero_point" / c.Int32sl,
)

SIGNATURE_HEADER = c.Struct("input_count" / c.Int32ul, "output_count" / c.Int32ul)
TENSOR_DESCRIPTION = c.Struct(
    "element_type" / c.Int32ul,  # IREE's: class << 24 | bits
    "rank" / c.Int32ul,
    "dims" / c.Int32ul[8],
    "bytes" / c.Int32ul,
    "reserved" / c.Default(c.Int32ul, 0),
)


# Frames


def encode_frame(message_type: int, payload: bytes = b"") -> bytes:
    """Return one whole frame.

    >>> encode_frame(MessageType.PROCESS).hex(" ")
    '02 00 00 00 04 00'
    """
    return encode_header(message_type, len(payload)) + payload


def encode_header(message_type: int, payload_bytes: int) -> bytes:
    """Return the six bytes before a payload. Raises LinkError for a payload above MAX_PAYLOAD_BYTES."""
    if payload_bytes > MAX_PAYLOAD_BYTES:
        raise LinkError(f"A message carries at most {MAX_PAYLOAD_BYTES} bytes, this one {payload_bytes}.")
    return HEADER.build({"message_size": payload_bytes + 2, "message_type": message_type})


def decode_header(header: bytes) -> tuple[int, int]:
    """Return message type and payload bytes. The type may be one that MessageType does not know.

    Raises LinkError for a size that no frame has: below 2, or a payload above MAX_PAYLOAD_BYTES.
    """
    fields = _parse(HEADER, header, "frame header")
    payload_bytes = fields.message_size - 2
    if not 0 <= payload_bytes <= MAX_PAYLOAD_BYTES:
        raise LinkError(
            f"A frame header gives the message size {fields.message_size}; it must lie in "
            f"2..{MAX_PAYLOAD_BYTES + 2}. The bytes were {bytes(header).hex(' ')}."
        )
    return fields.message_type, payload_bytes


# Extended frames


@dataclass(frozen=True)
class ExtendedHeader:
    """The header of an extended frame; ``check`` is also what its payload's CRC-32 goes on from."""

    sequence: int
    message_type: int
    payload_bytes: int
    check: int

    @property
    def rest_bytes(self) -> int:
        """Bytes of the frame that follow the header."""
        return self.payload_bytes + CHECK_BYTES if self.payload_bytes else 0


def encode_extended_frame(sequence: int, message_type: int, payload: bytes = b"") -> bytes:
    """Return one whole extended frame.

    >>> encode_extended_frame(7, MessageType.LOAD).hex(" ")
    '5b ff fe fd 07 00 0f 00 00 00 00 00 ec 88 a8 be'
    """
    if len(payload) > MAX_PAYLOAD_BYTES:
        raise LinkError(f"A message carries at most {MAX_PAYLOAD_BYTES} bytes, this one {len(payload)}.")
    start = MAGIC + struct.pack("<HHI", sequence, message_type, len(payload))
    check = zlib.crc32(start)
    frame = start + check.to_bytes(4, "little") + payload
    return frame + zlib.crc32(payload, check).to_bytes(4, "little") if payload else frame


def decode_extended_header(header: bytes) -> ExtendedHeader | None:
    """Read the 16 bytes; None when they are damaged."""
    magic, sequence, message_type, payload_bytes, check = struct.unpack("<4sHHII", header)
    if magic != MAGIC or zlib.crc32(header[:-CHECK_BYTES]) != check or payload_bytes > MAX_PAYLOAD_BYTES:
        return None
    return ExtendedHeader(sequence, message_type, payload_bytes, check)


def extended_payload(header: ExtendedHeader, rest: bytes) -> bytes | None:
    """Return the payload out of what follows the header; None when it is damaged."""
    payload = bytes(rest[: header.payload_bytes])
    if payload and zlib.crc32(payload, header.check) != int.from_bytes(rest[header.payload_bytes :], "little"):
        return None
    return payload


# IOSPEC

_WIRE_TYPES = {
    "int8": "i8", "uint8": "u8", "int16": "i16", "uint16": "u16", "int32": "i32", "uint32": "u32",
    "int64": "i64", "uint64": "u64", "float16": "f16", "float32": "f32", "float64": "f64",
}  # fmt: skip


@dataclass(frozen=True)
class IoSpec:
    """What a model takes and gives, as the protocol of 2023 describes it (160 bytes).

    input_shapes       at most 2 inputs of 1 to 4 dimensions, all of the type ``dtype``
    output_lengths     elements of each output, at most 12
    output_size_bytes  bytes of an output's element; the format names no type for outputs
    dtype              i8 u8 i16 u16 i32 u32 i64 u64 f16 f32 f64
    entry_func         function to run, at most 19 bytes; empty leaves the choice to the device
    model_name         at most 19 bytes; for people

    >>> spec = IoSpec.from_tensors([np.zeros((1, 100, 6, 1), np.float32)], [np.zeros((1, 4), np.float32)])
    >>> spec.dtype, spec.input_shapes, len(spec.encode())
    ('f32', ((1, 100, 6, 1),), 160)
    """

    input_shapes: tuple[tuple[int, ...], ...]
    output_lengths: tuple[int, ...]
    output_size_bytes: int
    dtype: str
    entry_func: str = ""
    model_name: str = ""

    @classmethod
    def from_tensors(
        cls, inputs: Sequence[Tensor], outputs: Sequence[Tensor], entry: str = "", name: str = ""
    ) -> IoSpec:
        """Describe a model by its tensors (anything with ``shape`` and ``dtype``).

        A dtype may be NumPy's or a name like ``float32`` or ``f32``. Leading dimensions of 1 do not count, so
        those beyond four dimensions are dropped. A model name that is too long is cut.

        Raises LinkError where the format has no room; ``can_describe`` tells beforehand.
        """
        problem = _why_not(inputs, outputs, entry)
        if problem:
            raise LinkError(f"IOSPEC can't describe this model: {problem}. Load it without sending IOSPEC.")
        return cls(
            input_shapes=tuple(_fit_shape(tensor.shape) for tensor in inputs),
            output_lengths=tuple(math.prod(tensor.shape) for tensor in outputs),
            output_size_bytes=_element_bytes(_wire_type(outputs[0].dtype)),
            dtype=_wire_type(inputs[0].dtype),
            entry_func=entry,
            model_name=name.encode()[: _NAME_BYTES - 1].decode(errors="ignore"),
        )

    @staticmethod
    def can_describe(inputs: Sequence[Tensor], outputs: Sequence[Tensor], entry: str = "") -> bool:
        """Tell whether the format has room for a model; without an IOSPEC the device asks the model itself."""
        return not _why_not(inputs, outputs, entry)

    def encode(self) -> bytes:
        """Return the 160 bytes. Raises LinkError when something does not fit."""
        count = len(self.input_shapes)
        try:
            return IO_SPEC.build(
                {
                    "num_input": count,
                    "num_input_dim": _fill([len(shape) for shape in self.input_shapes], _INPUTS),
                    "input_shape": _fill(
                        [_fill(shape, _DIMENSIONS) for shape in self.input_shapes], _INPUTS, [0] * _DIMENSIONS
                    ),
                    "input_length": _fill([math.prod(shape) for shape in self.input_shapes], _INPUTS),
                    "input_size_bytes": _fill([_element_bytes(self.dtype)] * count, _INPUTS),
                    "num_output": len(self.output_lengths),
                    "output_length": _fill(self.output_lengths, _OUTPUTS),
                    "output_size_bytes": self.output_size_bytes,
                    "dtype": self.dtype,
                    "entry_func": _terminated(self.entry_func),
                    "model_name": _terminated(self.model_name),
                }
            )
        except c.ConstructError as error:
            raise LinkError(f"{self} does not fit an I/O specification: {_first_line(error)}.") from error

    @classmethod
    def decode(cls, payload: bytes) -> IoSpec:
        """Read the 160 bytes. Raises LinkError when they contradict themselves."""
        fields = _parse(IO_SPEC, payload, "I/O specification")
        ranks = fields.num_input_dim[: fields.num_input]
        if fields.num_input > _INPUTS or max(ranks, default=0) > _DIMENSIONS or fields.num_output > _OUTPUTS:
            raise LinkError(
                f"An I/O specification has at most {_INPUTS} inputs of {_DIMENSIONS} dimensions and {_OUTPUTS} "
                f"outputs, not {fields.num_input} of {list(ranks)} and {fields.num_output}."
            )
        return cls(
            input_shapes=tuple(
                tuple(shape[:rank]) for shape, rank in zip(fields.input_shape[: len(ranks)], ranks, strict=True)
            ),
            output_lengths=tuple(fields.output_length[: fields.num_output]),
            output_size_bytes=fields.output_size_bytes,
            dtype=fields.dtype,
            entry_func=fields.entry_func,
            model_name=fields.model_name,
        )


def _why_not(inputs: Sequence[Tensor], outputs: Sequence[Tensor], entry: str) -> str:
    """Say why the format can't describe a model; empty when it can."""
    return next(_obstacles(inputs, outputs, entry), "")


def _obstacles(inputs: Sequence[Tensor], outputs: Sequence[Tensor], entry: str) -> Iterator[str]:
    if not 1 <= len(inputs) <= _INPUTS or not 1 <= len(outputs) <= _OUTPUTS:
        yield f"it has {len(inputs)} inputs and {len(outputs)} outputs, the format 1 to {_INPUTS} and 1 to {_OUTPUTS}"
    unknown = {str(tensor.dtype) for tensor in (*inputs, *outputs) if _wire_type(tensor.dtype) is None}
    if unknown:
        yield f"it has tensors of type {', '.join(sorted(unknown))}, the format knows {', '.join(_WIRE_TYPES)}"
    if len({_wire_type(tensor.dtype) for tensor in inputs}) > 1:
        yield "its inputs are not all of one type"
    if len({_element_bytes(_wire_type(tensor.dtype)) for tensor in outputs}) > 1:
        yield "its outputs' elements are not all of one size"
    if any(len(_fit_shape(tensor.shape)) > _DIMENSIONS for tensor in inputs):
        yield f"an input has more than {_DIMENSIONS} dimensions"
    if any(dimension < 1 for tensor in (*inputs, *outputs) for dimension in tensor.shape):
        yield "a tensor has a dimension below 1"
    if len(entry.encode()) >= _NAME_BYTES:
        yield f"the function's name '{entry}' has more than {_NAME_BYTES - 1} bytes"


def _fit_shape(shape: Sequence[int]) -> tuple[int, ...]:
    """Drop leading ones beyond four dimensions; a scalar becomes one element."""
    shape = tuple(int(dimension) for dimension in shape) or (1,)
    while len(shape) > _DIMENSIONS and shape[0] == 1:
        shape = shape[1:]
    return shape


def _wire_type(dtype: Any) -> str | None:
    # Names of the wire come first: to NumPy "i8" is an integer of 8 bytes.
    if isinstance(dtype, str) and dtype in _WIRE_TYPES.values():
        return dtype
    try:
        return _WIRE_TYPES.get(np.dtype(dtype).name)
    except TypeError:
        return None


def _element_bytes(wire_type: str) -> int:
    return int(wire_type.strip("iuf")) // 8


def _terminated(name: str) -> str:
    if len(name.encode()) >= _NAME_BYTES:
        raise LinkError(f"The name '{name}' has more than {_NAME_BYTES - 1} bytes.")
    return name


def _fill(values: Sequence, length: int, filler: Any = 0) -> list:
    return [*values, *[filler] * (length - len(values))]


# Answers


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
        return cls(**_fields(_parse(STATISTICS, payload, "statistics")))

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

    VERSION = 1

    @classmethod
    def decode(cls, payload: bytes) -> ChipInfo:
        """Read the answer's payload. Raises LinkError unless it has 40 bytes of a known version."""
        fields = _parse(CHIP_INFO, payload, "chip information")
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
        )

    def encode(self) -> bytes:
        """Return the 40 bytes."""
        return CHIP_INFO.build(
            {
                **vars(self),
                "struct_version": self.VERSION,
                "flags": self.has_vectors | self.marks_work << 1 | self.contains_kernels << 2,
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
    """

    protocol_version: int
    input_capacity: int
    output_capacity: int
    stack_bytes: int
    time_limit_ms: int

    @classmethod
    def decode(cls, payload: bytes) -> Limits:
        """Read the 24 bytes. Raises LinkError for another count or an unknown protocol."""
        limits = cls(**_fields(_parse(HELLO_LIMITS, payload, "limits")))
        if limits.protocol_version != PROTOCOL_VERSION:
            raise LinkError(
                f"The firmware speaks version {limits.protocol_version} of the extension; this client knows "
                f"{PROTOCOL_VERSION}. Use the client and the firmware of the same release."
            )
        return limits

    def encode(self) -> bytes:
        """Return the 24 bytes."""
        return HELLO_LIMITS.build(vars(self))


def decode_hello(payload: bytes) -> tuple[ChipInfo, Limits]:
    """Read the answer to HELLO."""
    size = CHIP_INFO.sizeof()
    return ChipInfo.decode(payload[:size]), Limits.decode(payload[size:])


def encode_hello(time_limit: float | None = None) -> bytes:
    """Return the payload of HELLO. ``time_limit``: seconds for one request's computation; None: the firmware's own."""
    milliseconds = 0 if time_limit is None else max(1, min(round(time_limit * 1000), 0xFFFFFFFF))
    return HELLO_REQUEST.build({"protocol_version": PROTOCOL_VERSION, "time_limit_ms": milliseconds})


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
    return SENSE_REQUEST.build(fields)


def decode_offset(payload: bytes) -> int:
    """Read the answer to UPLOAD or CHUNK: how many bytes of the image the device has."""
    return _parse(UPLOAD_ANSWER, payload, "upload's offset").offset


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
        header = _parse(SIGNATURE_HEADER, payload[: SIGNATURE_HEADER.sizeof()], "signature's header")
        records, size = payload[SIGNATURE_HEADER.sizeof() :], TENSOR_DESCRIPTION.sizeof()
        if len(records) != size * (header.input_count + header.output_count):
            raise LinkError(
                f"A signature announces {header.input_count} inputs and {header.output_count} outputs of {size} bytes "
                f"each, but {len(records)} bytes follow."
            )
        tensors = tuple(_decode_tensor(records[at : at + size]) for at in range(0, len(records), size))
        return cls(tensors[: header.input_count], tensors[header.input_count :])


def _decode_tensor(record: bytes) -> TensorDescription:
    fields = TENSOR_DESCRIPTION.parse(record)
    if fields.rank > len(fields.dims):
        raise LinkError(f"A tensor of the signature has rank {fields.rank}, at most {len(fields.dims)} are possible.")
    kind, bits = fields.element_type >> 24, fields.element_type & 0xFF
    name = "bool" if kind == 0x13 else f"{_ELEMENT_CLASSES.get(kind, 'unknown')}{bits}"
    return TensorDescription(name, tuple(fields.dims[: fields.rank]), fields.bytes)


def decode_measured(payload: bytes) -> tuple[Profile, bytes]:
    """Read the answer to MEASURE: the profile, then the outputs."""
    header = _parse(PROFILE_HEADER, payload[: PROFILE_HEADER.sizeof()], "profile header")
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
        header = _parse(PROFILE_HEADER, payload[: PROFILE_HEADER.sizeof()], "profile header")
        records = payload[PROFILE_HEADER.sizeof() :]
        size = PROFILE_RECORD.sizeof()
        if header.record_size != size or len(records) != header.dispatch_count * size:
            raise LinkError(
                f"A profile announces {header.dispatch_count} records of {header.record_size} bytes, but "
                f"{len(records)} bytes follow; a record has {size}."
            )
        fields = _fields(header)
        del fields["record_size"], fields["dispatch_count"]
        starts = range(0, len(records), size)
        return cls(**fields, dispatches=tuple(_decode_dispatch(records[at : at + size]) for at in starts))

    def encode(self) -> bytes:
        """Return header and records."""
        header = {**vars(self), "record_size": PROFILE_RECORD.sizeof(), "dispatch_count": len(self.dispatches)}
        records = ({**vars(dispatch), "name": _padded(dispatch.name, 96)} for dispatch in self.dispatches)
        return PROFILE_HEADER.build(header) + b"".join(map(PROFILE_RECORD.build, records))


def _decode_dispatch(record: bytes) -> DispatchProfile:
    fields = _fields(PROFILE_RECORD.parse(record))
    return DispatchProfile(**{**fields, "name": _unpadded(fields["name"])})


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
            message = f"the firmware's reason can't be read: {payload.hex(' ')}"
        return cls(*failures.cause(payload), message)


def _padded(text: str, size: int) -> bytes:
    return text.encode()[:size].ljust(size, b"\0")


def _unpadded(text: bytes) -> str:
    return text.split(b"\0")[0].decode("utf8", "backslashreplace")


def _parse(layout: c.Construct, data: bytes, what: str) -> c.Container:
    """Parse bytes that must have exactly the layout's size."""
    if len(data) != layout.sizeof():
        raise LinkError(f"The {what} has {layout.sizeof()} bytes, but {len(data)} came.")
    try:
        return layout.parse(data)
    except c.ConstructError as error:
        raise LinkError(f"The {what} can't be read: {_first_line(error)}.") from error


def _fields(container: c.Container) -> dict[str, Any]:
    return {name: value for name, value in container.items() if name not in ("_io", "reserved")}


def _first_line(error: Exception) -> str:
    lines = [line for line in str(error).splitlines() if line.strip() and not line.startswith("Error in path")]
    return lines[0] if lines else type(error).__name__
