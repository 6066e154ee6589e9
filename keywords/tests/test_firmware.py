# SPDX-License-Identifier: Apache-2.0
"""The build of the firmware: its bytes, when it is built again, and what must not be in it."""

from __future__ import annotations

import importlib.metadata
import re
import shutil
import struct
from dataclasses import replace
from pathlib import Path

import pytest

from springbok import firmware as module
from springbok.compiler import compiler
from springbok.firmware import Firmware, build_firmware
from springbok.link.frames import MessageType
from springbok.link.messages import ModelState
from springbok.support.errors import FirmwareError
from springbok.support.places import FIRMWARE, ROOT

IMEM, DMEM = range(0x32000000, 0x32100000), range(0x34000000, 0x35000000)
SMALLEST_CODE_LIMIT_BYTES, CODE_LIMIT_BYTES = 40 * 1024, 52 * 1024


@pytest.fixture(scope="module")
def firmware() -> Firmware:
    return build_firmware()


@pytest.fixture(scope="module")
def elsewhere(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A copy of the sources in another place, and a folder for what is built from it."""
    place = tmp_path_factory.mktemp("elsewhere")
    return Path(shutil.copytree(FIRMWARE, place / "firmware")), place / "out"


def sections(elf: bytes) -> dict[str, tuple[int, bytes]]:
    """Name -> (address, content) of the sections that have content."""
    (table,) = struct.unpack_from("<I", elf, 32)
    size, count, names_index = struct.unpack_from("<HHH", elf, 46)
    headers = [struct.unpack_from("<10I", elf, table + size * i) for i in range(count)]
    names = headers[names_index][4]
    return {
        elf[names + h[0] : elf.index(b"\0", names + h[0])].decode(): (h[3], elf[h[4] : h[4] + h[5]]) for h in headers
    }


def symbols(elf: bytes) -> dict[str, int]:
    """Name -> address, without the compiler's own marks."""
    found = sections(elf)
    table, strings = found[".symtab"][1], found[".strtab"][1]
    values = {}
    for name, value, *_ in struct.iter_unpack("<IIIBBH", table):
        text = strings[name : strings.index(b"\0", name)].decode()
        if text and text[0] not in ".$":
            values[text] = value
    return values


def is_vector(word: int) -> bool:
    """OP-V, or a floating-point load or store whose width is one of the vector ones (bits 14 to 12)."""
    return word & 0x7F == 0x57 or (word & 0x7F in (0x07, 0x27) and (word >> 12 & 7) in (0, 5, 6, 7))


def test_models_have_as_many_tensors_as_the_firmware_takes():
    header = (FIRMWARE / "runtime" / "signature.h").read_text()
    assert f"#define MAX_TENSORS {compiler.MOST_TENSORS}\n" in header


def test_sizes(firmware):
    assert firmware.elf.is_file()
    assert 0 < firmware.text_bytes + firmware.rodata_bytes <= CODE_LIMIT_BYTES
    documented = (ROOT / "docs" / "protocol.md").read_text()
    assert f"| everything (the default) | {firmware.text_bytes + firmware.rodata_bytes:,} |" in documented
    assert firmware.data_bytes == 0, "a reset would not bring initialised data back"
    assert 0 < firmware.bss_bytes <= 16 * 1024


def test_sizes_of_builds_that_leave_something_out():
    """One of the options stands for all; ``python -m springbok.firmware`` prints each."""
    builds = module.sizes_by_option(["extension"])
    sizes = {name: build.text_bytes + build.rodata_bytes for name, build in builds.items()}
    assert 0 < sizes["the base alone"] <= SMALLEST_CODE_LIMIT_BYTES
    documented = (ROOT / "docs" / "protocol.md").read_text()
    assert f"| the base alone | {sizes['the base alone']:,} |" in documented
    assert f"| the base and the extension | {sizes['the base and extension']:,} |" in documented


def test_second_call_builds_nothing(firmware):
    again = build_firmware()
    assert not again.built
    assert (again.sha256, again.text_bytes) == (firmware.sha256, firmware.text_bytes)


def test_elf_loads_into_the_chip(firmware):
    elf = firmware.elf.read_bytes()
    entry, program_headers = struct.unpack_from("<II", elf, 24)
    size, count = struct.unpack_from("<HH", elf, 42)
    assert entry == IMEM.start
    for i in range(count):
        kind, _, virtual, physical, _, memory_bytes, flags, _ = struct.unpack_from(
            "<8I", elf, program_headers + size * i
        )
        if kind == 1:
            assert virtual == physical
            memory = IMEM if flags & 1 else DMEM
            assert virtual in memory and virtual + memory_bytes - 1 in memory


def test_code_has_vector_instructions_only_where_they_are_chosen_at_boot(firmware):
    elf = firmware.elf.read_bytes()
    base, code = sections(elf)[".text"]
    starts = sorted((value, name) for name, value in symbols(elf).items() if value in IMEM)
    users = set()
    for offset in range(0, len(code), 4):
        if is_vector(int.from_bytes(code[offset : offset + 4], "little")):
            users.add(max(s for s in starts if s[0] <= base + offset)[1])
    assert "vector_copy" in users
    assert users <= {"vector_copy", "vector_fill", "vector_configure", "vector_elen_bits"}


def test_stack_is_larger_than_the_kernels_limit(firmware):
    found = symbols(firmware.elf.read_bytes())
    assert found["__stack_top"] == DMEM.stop
    assert found["__stack_top"] - found["__stack_bottom"] >= 64 * 1024
    assert found["__arena_end"] == found["__stack_bottom"]
    assert found["__arena_start"] % 64 == 0


def test_bytes_do_not_depend_on_the_place(firmware, elsewhere):
    sources, output = elsewhere
    copy = build_firmware(sources, output)
    assert copy.sha256 == firmware.sha256
    assert str(sources.parent).encode() not in copy.elf.read_bytes()


def test_changed_source_is_built_again_and_back(firmware, elsewhere):
    sources, output = elsewhere
    build_firmware(sources, output)
    header = sources / "service" / "session.h"
    text = header.read_text()
    header.write_text(text.replace("VERSION 0x0001", "VERSION 0x0002"))
    changed = build_firmware(sources, output)
    header.write_text(text)
    restored = build_firmware(sources, output)
    assert changed.built and restored.built
    assert changed.sha256 != restored.sha256 == firmware.sha256


def test_damaged_elf_is_built_again(firmware, elsewhere):
    sources, output = elsewhere
    elf = build_firmware(sources, output).elf
    elf.write_bytes(elf.read_bytes()[:-1])
    repaired = build_firmware(sources, output)
    assert repaired.built
    assert repaired.sha256 == firmware.sha256


def test_error_shows_the_compilers_message(tmp_path):
    sources = Path(shutil.copytree(FIRMWARE, tmp_path / "firmware"))
    (sources / "service" / "main.c").write_text("int main(void) { return no_such_name; }\n")
    with pytest.raises(FirmwareError, match=r"service/main.c:1:25: error: use of undeclared identifier 'no_such_name'"):
        build_firmware(sources, tmp_path / "out")
    assert not (tmp_path / "out" / "springbok.elf").exists()


@pytest.mark.parametrize("name", ["job:3", "a\\b", "100%"])
def test_a_path_that_the_compiler_does_not_take_is_named(tmp_path, name):
    with pytest.raises(FirmwareError, match=r"takes no '[:\\%]' in a path.*XDG_CACHE_HOME"):
        build_firmware(output=tmp_path / name / "out", cache=tmp_path / name / "cache")


def test_folder_without_sources(tmp_path):
    with pytest.raises(FirmwareError, match="no firmware sources"):
        build_firmware(tmp_path, tmp_path / "out")


def test_missing_compiler_names_the_remedy(monkeypatch, tmp_path):
    def not_installed(name: str) -> str:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "version", not_installed)
    with pytest.raises(FirmwareError, match="'ziglang', which is not installed"):
        build_firmware(output=tmp_path)


def test_firmware_built_elsewhere(firmware, tmp_path):
    copy = Path(shutil.copy(firmware.elf, tmp_path / "mine.elf"))
    described = Firmware.from_elf(copy)
    assert described == replace(firmware, elf=copy, built=False)


@pytest.mark.parametrize("cut", [0, 5, 40, 60, -1000])
def test_damaged_elf_is_refused(firmware, tmp_path, cut):
    (tmp_path / "cut.elf").write_bytes(firmware.elf.read_bytes()[:cut])
    with pytest.raises(FirmwareError, match="cut.elf is not a little-endian ELF file, or it is damaged"):
        Firmware.from_elf(tmp_path / "cut.elf")


def test_missing_elf_is_refused(tmp_path):
    with pytest.raises(FirmwareError, match="Can't read the firmware .*none.elf: No such file"):
        Firmware.from_elf(tmp_path / "none.elf")


def defined(path: Path, pattern: str) -> dict[str, int]:
    return {name: int(value, 0) for name, value in re.findall(pattern, path.read_text(), re.MULTILINE)}


def test_messages_are_the_clients():
    messages = defined(FIRMWARE / "service/messages.def", r"^X\((\w+), +(\d+)\)")
    assert messages == {message.name: message.value for message in MessageType}


def test_model_states_are_the_clients():
    text = (FIRMWARE / "service/requests.c").read_text()
    states = re.findall(r"^    STATE_(\w+),", text, re.MULTILINE)
    assert states == [state.name for state in sorted(ModelState)]


def test_status_codes_are_unique_and_fit_the_answer():
    text = (FIRMWARE / "runtime/status.def").read_text()
    rows = re.findall(r'^X\((\w+), +(0x[0-9a-f]{4}), "(.+)"\)$', text, re.MULTILINE)
    assert len(rows) == len(re.findall(r"^X\(", text, re.MULTILINE)) > 20
    assert len({code for _, code, _ in rows}) == len({name for name, _, _ in rows}) == len(rows)
    assert all(len(name) < 32 for name, _, _ in rows)


def test_summary(firmware):
    summary = replace(
        firmware, elf=Path("x/a.elf"), sha256="0123456789abcdef", text_bytes=30, rodata_bytes=7, built=True
    )
    assert summary.summary() == (
        f"a.elf built, 37 bytes (text 30, rodata 7) and {firmware.bss_bytes} bytes of bss, sha256 0123456789ab"
    )


def test_table(firmware, capsys, monkeypatch):
    monkeypatch.setattr(module, "sizes_by_option", lambda: {"everything": firmware})
    assert module.main() == 0
    shown = capsys.readouterr().out
    assert firmware.sha256 in shown
    assert f"{firmware.text_bytes + firmware.rodata_bytes} bytes (text + rodata)" in shown
    assert f"{firmware.text_bytes + firmware.rodata_bytes} bytes with everything" in shown
