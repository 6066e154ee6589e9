# SPDX-License-Identifier: Apache-2.0
"""``./bench lint``: check style and formatting of Python, Robot and C; with --fix mend what can be mended."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from springbok.cli.running import call
from springbok.support.places import ROOT, SUITES


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument("--fix", action="store_true", help="mend what can be mended")


def run(options: argparse.Namespace) -> int:
    """Run every tool; the worst exit status."""
    return lint(options.fix)


def lint(fix: bool = False) -> int:
    """Check the checkout's style, or mend it."""
    python = [str(ROOT / name) for name in ("bench", "keywords", "models")]
    c_files = sorted(
        str(path)
        for folder in ("firmware", "platforms", "keywords")
        for path in (ROOT / folder).rglob("*")
        if path.suffix in (".c", ".h", ".cpp")
    )
    scripts = Path(sys.executable).parent
    commands = [
        [scripts / "ruff", "check", *(["--fix"] if fix else []), *python],
        [scripts / "ruff", "format", *([] if fix else ["--check"]), *python],
        [scripts / "lint-imports", "--no-logo", "--no-cache", str(ROOT / "pyproject.toml")],
        [scripts / "robocop", "check", str(SUITES)],
        [scripts / "robocop", "format", *([] if fix else ["--check", "--no-overwrite"]), str(SUITES)],
        [scripts / "clang-format", *(["-i"] if fix else ["--dry-run", "--Werror"]), *c_files],
    ]
    return max(call(list(map(str, command))) for command in commands)
