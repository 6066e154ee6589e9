# SPDX-License-Identifier: Apache-2.0
"""Versions of the compiler that need no registry: folders that hold the installed one under other numbers."""

from pathlib import Path

from springbok.compiler import iree, versions


def stand_in(version, **programs):
    """The installed compiler under another number; ``programs`` are texts of scripts in place of its own."""
    place = versions.place(version)
    installed = Path(iree._distribution(iree.COMPILER_PACKAGE).locate_file("iree"))
    place.mkdir(parents=True)
    if programs:
        libraries = place / "iree" / "compiler" / "_mlir_libs"
        libraries.mkdir(parents=True)
        for name, text in programs.items():
            (libraries / name.replace("_", "-")).write_text(text, encoding="utf-8")
            (libraries / name.replace("_", "-")).chmod(0o755)
        linker = "iree-lld"  # beside the compiler, as it is installed
        if not (libraries / linker).exists():
            (libraries / linker).symlink_to(installed / "compiler" / "_mlir_libs" / linker)
    else:
        (place / "iree").symlink_to(installed)
    for package in (iree.COMPILER_PACKAGE, iree.RUNTIME_PACKAGE):
        record = place / f"{package.replace('-', '_')}-{version}.dist-info"
        record.mkdir()
        (record / "METADATA").write_text(
            f"Metadata-Version: 2.1\nName: {package}\nVersion: {version}\n", encoding="utf-8"
        )
    return place
