# SPDX-License-Identifier: Apache-2.0
"""One page of all keywords of all libraries, with an index and a search; and the same as a list for the documents."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from springbok.report.page import render
from springbok.support.files import write_in_one_step
from springbok.support.places import KEYWORDS


@dataclass(frozen=True)
class Keyword:
    """A keyword: its arguments as Robot writes them, its documentation as HTML, and that in a line of plain text."""

    name: str
    arguments: tuple[str, ...]
    documentation: str
    line: str
    tags: tuple[str, ...]


@dataclass(frozen=True)
class Library:
    """A Robot library or resource: how it is imported, its introduction as HTML and in a line, and its keywords."""

    name: str
    source: str
    documentation: str
    line: str
    keywords: tuple[Keyword, ...]


def libraries() -> tuple[Library, ...]:
    """All libraries and the resource, read by Robot's own libdoc.

    >>> [library.name for library in libraries()][:2]                                        # doctest: +SKIP
    ['bench.resource', 'CompilerLibrary']
    """
    sources = [KEYWORDS / "springbok" / "bench.resource", *sorted(KEYWORDS.glob("*Library.py"))]
    return tuple(map(_read, sources))


def _read(source: Path) -> Library:
    from robot.libdocpkg import LibraryDocumentation

    found = LibraryDocumentation(str(source))
    is_resource = source.suffix == ".resource"
    line = _first_line(found.doc)
    lines = {keyword.name: _first_line(keyword.doc) for keyword in found.keywords}
    found.convert_docs_to_html()
    return Library(
        name=source.name if is_resource else found.name,
        source=f"Resource    springbok/{source.name}" if is_resource else f"Library    {found.name}",
        documentation=found.doc,
        line=line,
        keywords=tuple(
            Keyword(each.name, tuple(map(str, each.args)), each.doc, lines[each.name], tuple(sorted(each.tags)))
            for each in found.keywords
        ),
    )


def _first_line(documentation: str) -> str:
    paragraph = " ".join(documentation.strip().partition("\n\n")[0].split())
    return re.split(r"(?<=[.:])\s(?=[A-Z`|])", paragraph.replace("``", "`"))[0].rstrip(":")


def write(folder: Path) -> Path:
    """Writes ``keywords.html`` into ``folder``; returns its path."""
    return write_in_one_step(folder / "keywords.html", render("keywords.html.j2", libraries=libraries()))


def as_markdown() -> str:
    """The list for docs/keywords.md."""
    found = libraries()
    lines = ["# Keywords", "", "All keywords by library, a line each; `./bench keywords` makes a page of the whole"]
    lines += ["documentation, with a search.", ""]
    for library in found:
        lines += [f"## {library.name}", "", f"`{library.source}`: {library.line}", ""]
        lines += ["| keyword | what it does |", "|---|---|"]
        lines += [f"| `{each.name}` | {each.line.replace('|', chr(92) + '|')} |" for each in library.keywords]
        lines.append("")
    return "\n".join(lines)
