# SPDX-License-Identifier: Apache-2.0
"""The picture of the rooms in docs/architecture.md is what the contract in pyproject.toml and the rooms say."""

import ast

try:
    import tomllib
except ModuleNotFoundError:  # Python 3.10
    import tomli as tomllib

from springbok.support.places import KEYWORDS, ROOT

ROOMS = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"]["contracts"][0]


def line_of(room):
    """The first line of a room's documentation."""
    folder = KEYWORDS / "springbok" / room
    file = folder / "__init__.py" if folder.is_dir() else folder.with_suffix(".py")
    return ast.get_docstring(ast.parse(file.read_text(encoding="utf-8"))).splitlines()[0].replace("``", "")


def picture():
    """Each room below those that may know it, with what it holds."""
    rows = [[(room, line_of(room)) for room in layer.split(" | ")] for layer in ROOMS["layers"]]
    width = max(len(room) for row in rows for room, _ in row)
    lines = []
    for row in rows:
        lines += [f"{room.ljust(width)}  {line}" for room, line in row]
        lines.append("  ▼")
    return "\n".join(lines[:-1])


def test_the_rooms_are_those_of_the_contract():
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    assert f"```\n{picture()}\n```" in text, f"docs/architecture.md should show:\n{picture()}"


def test_the_robot_libraries_are_above_all_rooms():
    for file in (KEYWORDS / "springbok").rglob("*.py"):
        tree = ast.parse(file.read_text(encoding="utf-8"))
        imported = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
        imported |= {name.name for node in ast.walk(tree) if isinstance(node, ast.Import) for name in node.names}
        libraries = {library.stem for library in KEYWORDS.glob("*.py")}
        assert not imported & libraries, f"{file} imports a Robot library"
