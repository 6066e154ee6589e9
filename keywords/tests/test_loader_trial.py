# SPDX-License-Identifier: Apache-2.0
"""The loader's fuzzer: it builds, its seeds pass, and with Clang it runs."""

from __future__ import annotations

import shutil

import hostile_modules
import pytest

from springbok.support import process
from springbok.support.errors import FirmwareError
from springbok.trials import loader

#: Takes each file's bytes as libFuzzer would.
PLAIN_MAIN = """
#include <stdint.h>
#include <stdio.h>
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int main(int count, char **names) {
    static uint8_t bytes[1u << 16];
    for (int each = 1; each < count; each++) {
        FILE *file = fopen(names[each], "rb");
        LLVMFuzzerTestOneInput(bytes, fread(bytes, 1, sizeof bytes, file));
        fclose(file);
    }
    printf("%d inputs\\n", count - 1);
}
"""


@pytest.mark.skipif(not shutil.which("cc"), reason="no C compiler")
def test_it_builds_and_takes_whole_and_cut_modules(tmp_path):
    (tmp_path / "main.c").write_text(PLAIN_MAIN)
    program = loader.build(tmp_path / "program", "cc", ("address", "undefined"), str(tmp_path / "main.c"))
    module = hostile_modules.double()
    files = []
    for placement in (0, 1):
        for length in (len(module), len(module) // 2, 0):
            files.append(tmp_path / f"{placement}.{length}")
            files[-1].write_bytes(bytes([placement]) + module[:length])
    done = process.run([program, *files])
    assert (done.exit_code, done.output) == (0, "6 inputs\n")


@pytest.mark.skipif(not shutil.which("clang"), reason="no Clang")
def test_a_second_of_it_finds_nothing(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(loader, "SEEDS", ())
    assert loader.main(["--seconds", "1", "--output", str(tmp_path)]) == 0
    assert capsys.readouterr().out.endswith("no finding\n")


def test_without_clang_it_says_so(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(FirmwareError, match="needs Clang"):
        loader.build(tmp_path / "program")
