# SPDX-License-Identifier: Apache-2.0
"""A core's build is taken again only while everything that Verilator read for it, or would read now, is as it was."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from springbok.rtl import build, read_files
from springbok.rtl.core import load
from springbok.support.errors import RtlError

#: Every way in which a file list leads to a file, beside the words of its own.
LIST = """
-f {lists}/outer.f   // a list in a list
-I{core}/by_letter
+incdir+{core}/first
+incdir+{core}/second
-y {core}/modules
+libext+.vlib
"""
TREE = {
    "lists/outer.f": "/* and one in that */ -f {lists}/inner.f\n+incdir+{core}/third\n",
    "lists/inner.f": "{core}/listed.v\n",
    "core.sv": '`include "one.h"\n`include "deep/two.svh"\n`include "three.inc"\n`include "four"\n'
    "module springbok_core (output [31:0] y); wire [31:0] a, b; wire [31:0] c;\n"
    "listed l (a); found f (b); other o (c); assign y = a ^ b ^ c ^ `ONE ^ `TWO ^ `THREE ^ `FOUR; endmodule\n",
    "listed.v": "module listed (output [31:0] y); assign y = 32'h1; endmodule\n",
    "modules/found.v": "module found (output [31:0] y); assign y = 32'h1; endmodule\n",
    "modules/other.vlib": "module other (output [31:0] y); assign y = 32'h1; endmodule\n",
    "by_letter/one.h": "`define ONE 32'h1\n",
    "second/deep/two.svh": "`define TWO 32'h1\n",
    "third/three.inc": "`define THREE 32'h1\n",
    "second/four": "`define FOUR 32'h1\n",
}
READ = [name for name in TREE if name != "core.sv"]
#: Files that would be found before one that was read.
BEFORE = ["first/deep/two.svh", "by_letter/deep/two.svh", "first/three.inc", "first/four", "by_letter/found.v"]


def lay(folder: Path) -> Path:
    """The tree in a core's folder, with the lists beside it."""
    core, lists = folder / "core", folder / "lists"
    for name, text in {**TREE, "files.f": LIST, "core.toml": "", "first/none": ""}.items():
        path = lists / Path(name).name if name.startswith("lists/") else core / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text.replace("{core}", str(core)).replace("{lists}", str(lists)), encoding="utf-8")
    return core


def place_of(core: Path, name: str) -> Path:
    return core.parent / name if name.startswith("lists/") else core / name


class Verilated:
    """In place of the compiler: what was compiled is the C++ that Verilator made, and nothing of it is run."""

    def __init__(self, core: Path, monkeypatch) -> None:
        self.core, self.times = core, 0
        monkeypatch.setattr(build, "what_is_missing", lambda: None)
        monkeypatch.setattr(build.spike_library, "compiler", lambda: ["c++"])
        monkeypatch.setattr(build, "_compile", self._compile)

    def _compile(self, program, compiler, core, wave, made, target) -> None:
        self.times += 1
        target.write_text("".join(path.read_text() for path in sorted(made.glob("Vcore*.cpp"))), encoding="utf-8")

    def build(self) -> tuple[bool, str]:
        built = build.build(load(self.core), cache=self.core.parent / "cache")
        return built.was_there, built.library.read_text(encoding="utf-8")


needs_verilator = pytest.mark.skipif(build.verilator() is None, reason="needs Verilator")


@needs_verilator
def test_a_build_is_made_anew_for_each_file_that_verilator_read_or_would_find_before(tmp_path, monkeypatch):
    core = lay(tmp_path)
    verilated = Verilated(core, monkeypatch)
    assert [verilated.build()[0] for _ in range(2)] == [False, True]
    for name in READ:
        path = place_of(core, name)
        text = path.read_text(encoding="utf-8")
        path.write_text(text.replace("32'h1", "32'h7") if "32'h1" in text else f"{text}\n", encoding="utf-8")
        assert verilated.build()[0] is False, name
        path.write_text(text, encoding="utf-8")
        assert verilated.build()[0] is True, name  # what was made of this content is there still
    for name in BEFORE:
        path = core / name
        path.parent.mkdir(exist_ok=True, parents=True)
        path.write_text("".join(TREE[at] for at in READ if at.endswith(name.split("/", 1)[1])) + "\n")
        assert verilated.build()[0] is False, name
        path.unlink()
        assert verilated.build()[0] is True, name
    (core / "first" / "unread.sv").write_text("nothing of it", encoding="utf-8")
    assert verilated.build()[0] is True
    assert verilated.times == 1 + len(READ) + len(BEFORE)


@needs_verilator
def test_the_same_core_elsewhere_is_the_same_and_a_broken_build_is_made_anew(tmp_path, monkeypatch):
    core = tmp_path / "here" / "mine"
    core.mkdir(parents=True)
    (core / "core.toml").write_text("", encoding="utf-8")
    (core / "files.f").write_text("+incdir+@core@/sub\n", encoding="utf-8")
    (core / "core.sv").write_text('`include "x.h"\nmodule springbok_core; endmodule\n', encoding="utf-8")
    (core / "sub").mkdir()
    (core / "sub" / "x.h").write_text("// nothing\n", encoding="utf-8")
    verilated = Verilated(core, monkeypatch)
    cache = tmp_path / "cache"
    first = build.build(load(core), cache=cache)
    other = tmp_path / "there" / "mine"
    shutil.copytree(core, other)
    again = build.build(load(other), cache=cache)
    assert again == build.Built(first.library, first.verilator, True)
    first.library.write_text("broken", encoding="utf-8")
    assert build.build(load(other), cache=cache).was_there is False
    assert first.library.read_text(encoding="utf-8") != "broken"
    (other / "sub" / "x.h").write_text("// something\n", encoding="utf-8")
    assert build.build(load(other), cache=cache).was_there is False
    assert build.build(load(core), cache=cache).was_there is True
    assert verilated.times == 3


def test_a_list_in_a_list_may_not_name_places_that_files_f_knows(tmp_path, monkeypatch):
    core = lay(tmp_path)
    Verilated(core, monkeypatch)
    monkeypatch.setattr(build, "verilator", lambda: "verilator")
    monkeypatch.setattr(build, "_version", lambda program: "5.006")
    (tmp_path / "lists" / "inner.f").write_text("+incdir+@core@/third", encoding="utf-8")
    with pytest.raises(RtlError, match=r"\+incdir\+@core@/third: in a list that -f names, no place stands for @core@"):
        build.build(load(core), cache=tmp_path / "cache")


NAMES = st.sampled_from(("a.v", "sub/a.vh", "b", "sub/c.inc"))
FOLDERS = st.lists(st.sampled_from(("one", "two", "three/four", ".")), min_size=1, unique=True)


@given(folders=FOLDERS, at=st.integers(0, 3), name=NAMES, style=st.sampled_from(("-I{}", "+incdir+{}", "-y {}", "-f")))
def test_a_file_of_its_name_in_any_folder_that_is_searched_is_watched(folders, at, name, style, tmp_path_factory):
    made = tmp_path_factory.mktemp("searched")
    places = [os.path.normpath(made / folder) for folder in folders]
    lines = " ".join((style if style != "-f" else "-I{}").format(place) for place in places)
    if style == "-f":
        (made / "list.f").write_text(f"// -I/nowhere\n{lines}\n", encoding="utf-8")
        lines = f"-f {made}/list.f"
    read = f"{places[at % len(places)]}/{name}"
    watched = {*read_files.others([read], lines.split())}
    assert {f"{place}/{name}" for place in places} <= watched
    assert name in watched  # in the folder that Verilator runs in
    kept = read_files.states({read, *watched}, made)
    assert read_files.same(kept, made)
    chosen = Path(places[-1]) / name
    chosen.parent.mkdir(parents=True, exist_ok=True)
    chosen.write_text("now there is one", encoding="utf-8")
    assert not read_files.same(kept, made)


def test_the_list_that_verilator_writes_is_read_with_blanks_in_names(tmp_path):
    with pytest.raises(RtlError, match="did not say which files it read"):
        read_files.listed(tmp_path)
    lines = '# DESCRIPTION\nC "--cc \\"x\\""\nT 1 2 3 4 5 6 "/made/Vcore.h"\nS 48 1 2 3 4 5 "/a b/c.v"\n'
    (tmp_path / read_files.LIST).write_text(lines + 'S 9 1 2 3 4 5 "00ff" "/d.f"\n', encoding="utf-8")
    assert read_files.listed(tmp_path) == ["/a b/c.v", "/d.f"]


def test_a_file_that_changes_while_it_is_read_gives_no_build(tmp_path):
    source = tmp_path / "a.v"
    source.write_text("module a; endmodule", encoding="utf-8")
    (tmp_path / read_files.LIST).write_text(f'S 1 2 3 4 5 6 "{source}"\n', encoding="utf-8")
    written = source.stat().st_ctime_ns
    assert str(source) in read_files.after(tmp_path, [], tmp_path / "core", written)
    with pytest.raises(RtlError, match=r"a\.v changed while Verilator read it: run this again"):
        read_files.after(tmp_path, [], tmp_path / "core", written - 1)
