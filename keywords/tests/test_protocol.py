# SPDX-License-Identifier: Apache-2.0
"""The bytes of every message, against numbers written out by hand, and round trips of random ones."""

import re
import struct
from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from springbok.link import frames, layouts
from springbok.link.frames import MessageType
from springbok.link.io_spec import IoSpec
from springbok.link.messages import ChipInfo, DispatchProfile, ErrorAnswer, ModelState, Profile, Statistics
from springbok.support.errors import LinkError
from springbok.support.places import FIRMWARE, ROOT

U32 = st.integers(0, 2**32 - 1)
U64 = st.integers(0, 2**64 - 1)
ASCII = st.characters(min_codepoint=0x20, max_codepoint=0x7E)
NAME = st.text(ASCII, max_size=19)
DIMENSION = st.integers(1, 255)


@dataclass
class Tensor:
    shape: tuple[int, ...]
    dtype: object


MOTION = Tensor((1, 100, 6, 1), np.dtype("float32"))
SCORES = Tensor((1, 4), np.dtype("float32"))


def test_message_numbers_are_those_of_the_firmware():
    listed = FIRMWARE / "service" / "messages.def"
    rows = re.findall(r"^X\((\w+),\s*(\d+)\)", listed.read_text(), re.MULTILINE)
    assert {name: int(number) for name, number in rows} == {kind.name: kind.value for kind in MessageType}


def test_documented_table_of_messages_is_the_firmwares():
    """One row a message of all three protocols, its numbers, and the sizes of what it carries."""
    listed = (FIRMWARE / "service" / "messages.def").read_text()
    types = dict(re.findall(r"^X\((\w+),\s*(\d+)\)", listed, re.MULTILINE))
    rows = re.findall(r"^K\((\w+),\s*(\d+),\s*(\d+)", listed, re.MULTILINE)
    kenning = {name: number for name, number, _ in rows}
    done = {name: action for name, _, action in rows if name not in ("PING", "LOGS")}
    text = (ROOT / "docs" / "protocol.md").read_text()
    table = text[text.index("| message | type | 2026 |") : text.index("Every request may be answered")]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()[2:] if line]
    assert [row[0] for row in rows] == [*types, *(name for name in kenning if name not in types)]
    assert {row[0]: row[1] for row in rows if row[1] != "–"} == types
    assert {row[0]: row[2] for row in rows if row[2] != "–"} == kenning
    assert {row[0]: row[3] for row in rows if row[3] != "–"} == done
    carried = {
        "STATS": [layouts.STATISTICS],
        "IOSPEC": [layouts.IO_SPEC, layouts.KENNING_SPEC],
        "INFO": [layouts.CHIP_INFO],
        "PROFILE": [layouts.PROFILE_HEADER, layouts.PROFILE_RECORD],
        "HELLO": [layouts.HELLO_REQUEST_SHORT, layouts.HELLO_REQUEST, layouts.CHIP_INFO, layouts.HELLO_LIMITS],
        "SIGNATURE": [layouts.SIGNATURE_HEADER, layouts.TENSOR_DESCRIPTION],
        "UPLOAD": [layouts.UPLOAD_REQUEST, layouts.UPLOAD_ANSWER],
        "CHUNK": [layouts.UPLOAD_ANSWER],
        "SENSE": [layouts.SENSE_REQUEST],
        "BENCHMARK": [layouts.BENCHMARK_REQUEST],
    }
    for name, *_, request, answer in rows:
        cells = re.sub("2026:|CRC-32|HELLO's 40", "", f"{request} {answer}")
        sizes = [int(number) for number in re.findall(r"\d+", cells)]
        assert sizes == [each.sizeof() for each in carried.get(name, [])], name


# Frames


def test_frame_is_size_type_payload():
    assert frames.encode_frame(MessageType.DATA, b"\xaa\xbb\xcc").hex(" ") == "05 00 00 00 02 00 aa bb cc"


@given(st.integers(0, 2**16 - 1), st.binary(max_size=300))
def test_frame_round_trip(message_type, payload):
    frame = frames.encode_frame(message_type, payload)
    assert frames.decode_header(frame[: frames.HEADER_BYTES]) == (message_type, len(payload))
    assert frame[frames.HEADER_BYTES :] == payload


@pytest.mark.parametrize("size", [0, 1, (16 << 20) + 3, 2**32 - 1])
def test_header_with_an_impossible_size_is_refused(size):
    with pytest.raises(LinkError, match=f"message size {size}; it must lie in 2..16777218"):
        frames.decode_header(struct.pack("<IH", size, 0))


@pytest.mark.parametrize("size", [2, (16 << 20) + 2])
def test_header_with_an_extreme_size_is_read(size):
    assert frames.decode_header(struct.pack("<IH", size, 1)) == (1, size - 2)


@pytest.mark.parametrize("count", [0, 5, 7])
def test_header_of_another_length_is_refused(count):
    with pytest.raises(LinkError, match=f"has 6 bytes, but {count} came"):
        frames.decode_header(bytes(count))


def test_payload_that_the_firmware_takes_for_noise_is_not_sent():
    with pytest.raises(LinkError, match="at most 16777216 bytes, this one 16777217"):
        frames.encode_header(MessageType.MODEL, (16 << 20) + 1)


# IOSPEC


def test_io_spec_has_each_field_where_the_firmware_reads_it():
    spec = IoSpec(((1, 100, 6, 1), (7, 9)), (4, 5), 4, "f32", "main", "gestures")
    payload = spec.encode()
    assert len(payload) == 160
    assert struct.unpack_from("<I", payload, 0) == (2,)  # num_input
    assert struct.unpack_from("<2I", payload, 4) == (4, 2)  # num_input_dim
    assert struct.unpack_from("<8I", payload, 12) == (1, 100, 6, 1, 7, 9, 0, 0)  # input_shape
    assert struct.unpack_from("<2I", payload, 44) == (600, 63)  # input_length
    assert struct.unpack_from("<2I", payload, 52) == (4, 4)  # input_size_bytes
    assert struct.unpack_from("<I", payload, 60) == (2,)  # num_output
    assert struct.unpack_from("<12I", payload, 64) == (4, 5, *[0] * 10)  # output_length
    assert struct.unpack_from("<I", payload, 112) == (4,)  # output_size_bytes
    assert payload[116:120] == b"f32\0"
    assert payload[120:140] == b"main".ljust(20, b"\0")
    assert payload[140:160] == b"gestures".ljust(20, b"\0")


@given(
    st.builds(
        IoSpec,
        input_shapes=st.lists(st.lists(DIMENSION, min_size=1, max_size=4).map(tuple), max_size=2).map(tuple),
        output_lengths=st.lists(U32, max_size=12).map(tuple),
        output_size_bytes=st.sampled_from([1, 2, 4, 8]),
        dtype=st.sampled_from(["i8", "u8", "i16", "u16", "i32", "u32", "i64", "u64", "f16", "f32", "f64"]),
        entry_func=NAME,
        model_name=NAME,
    )
)
def test_io_spec_round_trip(spec):
    assert IoSpec.decode(spec.encode()) == spec


@given(st.binary(min_size=160, max_size=160))
def test_any_160_bytes_are_read_or_refused_clearly(payload):
    try:
        IoSpec.decode(payload)
    except LinkError as error:
        assert "I/O specification" in str(error)  # noqa: PT017


def test_io_spec_of_a_model():
    spec = IoSpec.from_tensors([MOTION], [SCORES], "main", "gestures")
    assert spec == IoSpec(((1, 100, 6, 1),), (4,), 4, "f32", "main", "gestures")


@pytest.mark.parametrize(
    ("dtype", "expected"),
    [("i8", "i8"), (np.int8, "i8"), ("int8", "i8"), (np.dtype("<u2"), "u16"), ("f16", "f16"), (np.float64, "f64")],
)
def test_types_are_named_as_the_wire_names_them(dtype, expected):
    tensor = Tensor((3,), dtype)
    assert IoSpec.from_tensors([tensor], [tensor]).dtype == expected


def test_leading_ones_beyond_four_dimensions_are_dropped_and_a_scalar_is_one_element():
    inputs = [Tensor((1, 1, 128, 3, 1), "f32"), Tensor((), "f32")]
    assert IoSpec.from_tensors(inputs, [SCORES]).input_shapes == ((1, 128, 3, 1), (1,))


def test_long_model_name_is_cut_between_characters():
    assert IoSpec.from_tensors([MOTION], [SCORES], name="gestures_" + "é" * 9).model_name == "gestures_" + "é" * 5


@pytest.mark.parametrize(
    ("inputs", "outputs", "entry", "reason"),
    [
        ([], [SCORES], "", "0 inputs"),
        ([MOTION] * 3, [SCORES], "", "3 inputs"),
        ([MOTION], [SCORES] * 13, "", "13 outputs"),
        ([MOTION, Tensor((1,), "i8")], [SCORES], "", "inputs are not all of one type"),
        ([MOTION], [SCORES, Tensor((1,), "i8")], "", "outputs' elements are not all of one size"),
        ([Tensor((2, 1, 1, 1, 1), "f32")], [SCORES], "", "more than 4 dimensions"),
        ([Tensor((1, 0), "f32")], [SCORES], "", "dimension below 1"),
        ([Tensor((1,), "complex64")], [SCORES], "", "type complex64"),
        ([Tensor((1,), "bf16")], [SCORES], "", "type bf16"),
        ([MOTION], [SCORES], "x" * 20, "more than 19 bytes"),
    ],
)
def test_model_that_the_format_has_no_room_for_is_refused(inputs, outputs, entry, reason):
    assert not IoSpec.can_describe(inputs, outputs, entry)
    with pytest.raises(LinkError, match=reason):
        IoSpec.from_tensors(inputs, outputs, entry)


@pytest.mark.parametrize(
    "spec",
    [
        IoSpec(((1,),) * 3, (1,), 4, "f32"),
        IoSpec(((1,) * 5,), (1,), 4, "f32"),
        IoSpec(((1,),), (2**32,), 4, "f32"),
        IoSpec(((-1,),), (1,), 4, "f32"),
        IoSpec(((1,),), (1,), 4, "f32", entry_func="x" * 20),
    ],
)
def test_specification_that_does_not_fit_is_not_encoded(spec):
    with pytest.raises(LinkError, match=r"does not fit|more than 19 bytes"):
        spec.encode()


# Answers


def test_statistics_are_six_numbers():
    payload = struct.pack("<6I", 1, 2, 3, 4, 5, 6)
    assert Statistics.decode(payload) == Statistics(1, 2, 3, 4, 5, 6)
    assert Statistics.decode(payload).encode() == payload


def test_chip_info_has_each_field_where_the_firmware_writes_it():
    payload = struct.pack("<2H9I", 1, 0b111, 0x00010002, 512, 32, 16000002, 16000000, 0x00110000, 6, 3, 0)
    assert len(payload) == 40
    assert ChipInfo.decode(payload) == ChipInfo(
        True, True, "1.2", 512, 32, 16000002, 16000000, "17.0", 6, ModelState.INPUT_LOADED, True
    )
    assert ChipInfo.decode(payload).encode() == payload


def test_chip_info_of_another_version_or_state_is_refused():
    with pytest.raises(LinkError, match="version 2 of the format"):
        ChipInfo.decode(struct.pack("<H38x", 2))
    with pytest.raises(LinkError, match="model state 5"):
        ChipInfo.decode(struct.pack("<H30xI4x", 1, 5))


def test_profile_has_each_field_where_the_firmware_writes_it():
    header = struct.pack("<2I3Q6IQ", 128, 1, 1000, 2000, 3000, 4, 5, 6, 7, 8, 9, 0)
    record = struct.pack("<2I2Q2I96s", 2, 3, 600, 700, 12, 0, b"main_dispatch_2")
    assert (len(header), len(record)) == (64, 128)
    expected = Profile(1000, 2000, 3000, 4, 5, 6, 7, 8, 9, (DispatchProfile(2, 3, 600, 700, 12, "main_dispatch_2"),))
    assert Profile.decode(header + record) == expected
    assert expected.encode() == header + record


DISPATCHES = st.lists(st.builds(DispatchProfile, U32, U32, U64, U64, U32, st.text(ASCII, max_size=96)), max_size=5)


@given(st.builds(Profile, U64, U64, U64, U32, U32, U32, U32, U32, U32, DISPATCHES.map(tuple)))
def test_profile_round_trip(profile):
    assert Profile.decode(profile.encode()) == profile


@given(st.binary(max_size=400))
def test_any_bytes_are_a_profile_or_refused_clearly(payload):
    try:
        Profile.decode(payload)
    except LinkError as error:
        assert "profile" in str(error)  # noqa: PT017


@pytest.mark.parametrize(("count", "size", "following"), [(1, 128, 0), (0, 128, 128), (2, 128, 255)])
def test_profile_of_another_size_than_announced_is_refused(count, size, following):
    payload = struct.pack("<2I56x", size, count) + bytes(following)
    with pytest.raises(LinkError, match=f"announces {count} records of {size} bytes, but {following} bytes follow"):
        Profile.decode(payload)


@pytest.mark.parametrize("size", [0, 64, 129])
def test_profile_with_records_of_another_size_is_refused(size):
    with pytest.raises(LinkError, match=f"records have 128 bytes, but this one says {size}: it is damaged, or"):
        Profile.decode(struct.pack("<2I56x", size, 0))


@pytest.mark.parametrize("answer", [Statistics, ChipInfo, Profile])
@pytest.mark.parametrize("count", [0, 1, 23, 25, 39, 41, 63])
def test_answer_of_another_size_is_refused(answer, count):
    with pytest.raises(LinkError, match=f"bytes, but {count} came"):
        answer.decode(bytes(count))


def test_error_has_code_name_message():
    payload = struct.pack("<BB3I", 147, 3, MessageType.DATA, 3, 4)  # MESSAGE_INPUT of failures.def
    assert ErrorAnswer.decode(payload) == ErrorAnswer(0x0204, "SESSION_INPUT", "DATA of 3 bytes, the model takes 4")


@pytest.mark.parametrize(
    ("payload", "message"),
    [(b"", "the firmware gives no reason"), (b"\x01\x02", "can't be read: 01 02"), (b"\xfe\0", "of another version")],
)
def test_error_without_a_description_is_still_an_error(payload, message):
    error = ErrorAnswer.decode(payload)
    assert (error.code, error.name) == (0, "UNKNOWN")
    assert message in error.message


@given(st.binary(max_size=200))
def test_decoding_an_error_never_fails(payload):
    assert isinstance(ErrorAnswer.decode(payload), ErrorAnswer)
