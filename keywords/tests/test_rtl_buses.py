# SPDX-License-Identifier: Apache-2.0
"""Bus adapters: random traffic through each, against a memory with random stalls, late answers and errors."""

from __future__ import annotations

from pathlib import Path

import pytest

from springbok.engines import spike_library
from springbok.rtl import build
from springbok.support.cache import Cache, digest
from springbok.support.files import build_folder
from springbok.support.process import run

HERE = Path(__file__).with_name("rtl_buses")
ADAPTERS = ("wishbone", "axi4-lite", "axi4", "tilelink-ul")


@pytest.fixture(scope="module")
def bench() -> Path:
    if build.what_is_missing():
        pytest.skip(build.what_is_missing())
    sources = [HERE / "bench.sv", HERE / "bench.cpp", *sorted(build.BUSES.glob("*.sv"))]

    def make(folder: Path) -> None:
        program, root = build.verilator(), build.verilator_root(build.verilator())
        said = run(
            [
                program,
                "--cc",
                "-O3",
                "-Wall",
                "--top-module",
                "bench",
                "--Mdir",
                folder,
                "-y",
                build.BUSES,
                HERE / "bench.sv",
            ]
        )
        assert said.exit_code == 0, said.output
        flags = ["-std=gnu++17", "-O0", "-w", "-DVM_COVERAGE=0", "-DVM_SC=0", "-DVM_TRACE=0", f"-I{folder}"]
        flags += [f"-I{root}/include", f"-I{root}/include/vltstd", "-pthread"]
        library = [root / "include" / f"{name}.cpp" for name in ("verilated", "verilated_threads")]
        files = [*folder.glob("V*.cpp"), *filter(Path.is_file, library), HERE / "bench.cpp"]
        done = run([*spike_library.compiler(), *flags, *files, "-o", folder / "bench", "-latomic"])
        assert done.exit_code == 0, done.output

    key = digest(*(path.read_bytes() for path in sources))
    return Cache(build_folder() / "cache").entry("bus-bench", key, make)[0] / "bench"


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_what_is_written_is_read_and_errors_reach_whom_they_belong_to(bench, seed):
    done = run([bench, str(seed), "20000"])
    assert done.exit_code == 0, done.output
    assert [line.split()[0] for line in done.output.splitlines()] == list(ADAPTERS)
