# SPDX-License-Identifier: Apache-2.0
"""How the messages lie on the wire, little endian: what firmware/service/messages.h says in C, byte for byte."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from typing import Any

import construct as c

from springbok.support.errors import LinkError

_OF_DATA = (c.ConstructError, struct.error, ValueError, TypeError, ArithmeticError, AttributeError, LookupError)

NAME_BYTES = 20  # of entry_func and model_name, the terminating NUL included
INPUTS, DIMENSIONS, OUTPUTS = 2, 4, 12


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
    "num_input_dim" / c.Int32ul[INPUTS],
    "input_shape" / c.Int32ul[DIMENSIONS][INPUTS],
    "input_length" / c.Int32ul[INPUTS],  # elements
    "input_size_bytes" / c.Int32ul[INPUTS],  # bytes an element
    "num_output" / c.Int32ul,
    "output_length" / c.Int32ul[OUTPUTS],  # elements
    "output_size_bytes" / c.Int32ul,  # bytes an element
    "dtype" / _text(4),
    "entry_func" / _text(NAME_BYTES),
    "model_name" / _text(NAME_BYTES),
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
    "models_loaded" / c.Int32ul,  # since power-on
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

KENNING_HEADER = c.Struct(
    "type" / c.Int8ul,
    "type_above" / c.Int8ul[3],
    "flow" / c.Int8ul,
    "checksum" / c.Int8ul,
    "flags" / c.Int16ul,
    "payload_bytes" / c.Int32ul,
)

KENNING_TYPE = c.Struct("code" / c.Int8ul, "bits" / c.Int8ul)

KENNING_SPEC = c.Struct(
    "num_input" / c.Int32ul,
    "num_input_dim" / c.Int32ul[INPUTS],
    "input_shape" / c.Int32ul[INPUTS * DIMENSIONS],
    "input_type" / KENNING_TYPE[INPUTS],
    "num_output" / c.Int32ul,
    "num_output_dim" / c.Int32ul[OUTPUTS],
    "output_shape" / c.Int32ul[OUTPUTS * DIMENSIONS],
    "output_type" / KENNING_TYPE[OUTPUTS],
    "entry_func" / _text(NAME_BYTES),
    "model_name" / _text(NAME_BYTES),
)

HELLO_REQUEST_SHORT = c.Struct("protocol_version" / c.Int32ul, "time_limit_ms" / c.Int32ul)
HELLO_REQUEST = c.Struct(*HELLO_REQUEST_SHORT.subcons, "identity" / c.Int32ul, "flags" / c.Int32ul)

# Behind CHIP_INFO in the answer to HELLO
HELLO_LIMITS = c.Struct(
    "protocol_version" / c.Int32ul,
    "input_capacity" / c.Int32ul,
    "output_capacity" / c.Int32ul,
    "stack_bytes" / c.Int32ul,
    "time_limit_ms" / c.Int32ul,
    "nonce" / c.Int32ul,  # the chip's part of the dialogue's identity, which is the exclusive or of both
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

BENCHMARK_REQUEST = c.Struct(
    "model" / _text(NAME_BYTES),
    "input" / c.Int32ul,
    "results" / c.Int32ul,
    "input_scale" / c.Float32l,
    "input_zero_point" / c.Int32sl,
    "output_scale" / c.Float32l,
    "output_zero_point" / c.Int32sl,
    "frame_bytes" / c.Int32ul,  # of a stream; 0: none
    "frame_us" / c.Int32ul,
    "threshold" / c.Int32sl,
)

SIGNATURE_HEADER = c.Struct("input_count" / c.Int32ul, "output_count" / c.Int32ul)
TENSOR_DESCRIPTION = c.Struct(
    "element_type" / c.Int32ul,  # IREE's: class << 24 | bits
    "rank" / c.Int32ul,
    "dims" / c.Int32ul[8],
    "bytes" / c.Int32ul,
    "reserved" / c.Default(c.Int32ul, 0),
)


def parse(layout: c.Construct, data: bytes, what: str) -> c.Container:
    """Parse bytes that must have exactly the layout's size."""
    if len(data) != layout.sizeof():
        raise LinkError(f"The {what} has {layout.sizeof()} bytes, but {len(data)} came.")
    try:
        return layout.parse(data)
    except c.ConstructError as error:
        _raise_interruption(error)
        raise LinkError(f"The {what} can't be read: {first_line(error)}.") from error


def build(layout: c.Construct, values: Mapping[str, Any], what: str) -> bytes:
    """The bytes of ``values``. Raises LinkError for what has no place there."""
    try:
        return layout.build(values)
    except (c.ConstructError, OverflowError) as error:
        _raise_interruption(error)
        raise LinkError(f"The {what} can't be sent: {first_line(error)}.") from error


def _raise_interruption(error: Exception) -> None:
    """Construct takes whatever is raised amid its work for an error of the data: a signal's handler may raise too."""
    cause = error.__context__
    if cause is not None and not isinstance(cause, _OF_DATA):
        raise cause


def fields_of(container: c.Container) -> dict[str, Any]:
    """What a layout's container holds, without what is reserved."""
    return {name: value for name, value in container.items() if name not in ("_io", "reserved")}


def first_line(error: Exception) -> str:
    """What an error of Construct's says, without its path."""
    lines = [line for line in str(error).splitlines() if line.strip() and not line.startswith("Error in path")]
    return lines[0] if lines else type(error).__name__
