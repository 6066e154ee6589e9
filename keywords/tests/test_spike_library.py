# SPDX-License-Identifier: Apache-2.0
"""C++ of this project's own against the simulator's library."""

import ctypes
from pathlib import Path

import pytest

from springbok.engines import spike_library
from springbok.support.errors import EngineError

needs_compiler = pytest.mark.skipif(
    spike_library.what_is_missing() is not None, reason=spike_library.what_is_missing() or ""
)

ADDI_OF = """
#include <riscv/isa_parser.h>
extern "C" int xlen_of(const char *isa) { return int(isa_parser_t(isa, "m").get_max_xlen()); }
"""


@needs_compiler
def test_a_library_calls_spike_and_is_built_once(tmp_path: Path) -> None:
    source = tmp_path / "width.cpp"
    source.write_text(ADDI_OF, encoding="utf-8")
    built = spike_library.build("width", [source], cache=tmp_path / "cache")
    made = built.stat().st_mtime_ns
    library = ctypes.CDLL(str(built))
    assert [library.xlen_of(isa) for isa in (b"rv32imf", b"rv64gcv")] == [32, 64]
    assert spike_library.build("width", [source], cache=tmp_path / "cache").stat().st_mtime_ns == made
    source.write_text(ADDI_OF + "// another\n", encoding="utf-8")
    assert spike_library.build("width", [source], cache=tmp_path / "cache") != built


@needs_compiler
def test_what_does_not_compile_is_said_with_the_compilers_words(tmp_path: Path) -> None:
    source = tmp_path / "wrong.cpp"
    source.write_text("int wrong(", encoding="utf-8")
    with pytest.raises(EngineError, match=r"can't build wrong\.so:\n(.|\n)*wrong\.cpp"):
        spike_library.build("wrong", [source], cache=tmp_path / "cache")
    assert not list((tmp_path / "cache").glob("spike-*"))


def test_without_a_compiler_a_sentence_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CXX", raising=False)
    assert "There is no C++ compiler" in spike_library.what_is_missing()
    with pytest.raises(EngineError, match="apt install g"):
        spike_library.build("any", [])


def test_cxx_names_the_compiler(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "my-c++"
    program.write_text("#!/bin/sh\n", encoding="utf-8")
    program.chmod(0o755)
    monkeypatch.setenv("CXX", f"{program} -march=native")
    assert spike_library.compiler() == [str(program), "-march=native"]
