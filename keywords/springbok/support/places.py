# SPDX-License-Identifier: Apache-2.0
"""Where the project's own files are: in a checkout, or beside an installed package.

What a user's run reads and writes is in the user's project, see `project_of`.
"""

import shlex
from contextlib import suppress
from pathlib import Path

_PACKAGE = Path(__file__).resolve().parents[1]
#: The folder that a Python needs in its path to find the package and the Robot libraries.
KEYWORDS = _PACKAGE.parent
#: Whether this runs from a checkout, which has the launcher; else from an installed package.
IS_CHECKOUT = (KEYWORDS.parent / "bench").is_file()
ROOT = KEYWORDS.parent if IS_CHECKOUT else _PACKAGE / "files"

#: How its users call the program.
PROGRAM = "./bench" if IS_CHECKOUT else "springbok-bench"
#: What to do where a package of `REQUIREMENTS` is not installed.
INSTALL = f"{PROGRAM} run installs it" if IS_CHECKOUT else "python -m pip install springbok-bench brings it"

FIRMWARE = ROOT / "firmware"
MODELS = ROOT / "models"
PLATFORMS = ROOT / "platforms"
#: The documents, which the wheel has too: see `document`.
DOCS = ROOT / "docs"
SUITES = ROOT / "robot"
REQUIREMENTS = ROOT / "requirements.txt"


def command(*words: object) -> str:
    """A command of the program with these words, as a shell takes it: what messages tell to do, in single quotes.

    >>> command("fit", "my net.onnx") == f"{PROGRAM} fit 'my net.onnx'"
    True
    """
    return f"{PROGRAM} {shlex.join(map(str, words))}"


def document(name: str) -> Path:
    """Where a document of this project is, by its file's name: what messages point to can be opened.

    >>> document("chips.md").is_file()
    True
    """
    return DOCS / name


def given_path(given: str | Path) -> Path:
    """A path that a user gives, of which no shell may have seen ``~`` or ``~name``: that stays if nobody is called so.

    >>> given_path("~/chip.toml") == Path.home() / "chip.toml", given_path("~no one/chip.toml")
    (True, PosixPath('~no one/chip.toml'))
    """
    with suppress(RuntimeError):
        return Path(given).expanduser()
    return Path(given)


def told_path(path: Path) -> Path:
    """A path as short as it can be told from here.

    >>> told_path(Path.cwd() / "chip.toml"), told_path(Path("/a/chip.toml"))
    (PosixPath('chip.toml'), PosixPath('/a/chip.toml'))
    """
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path


def model_file(model: str | Path) -> Path:
    """A model by its path, or by its name in ``models/`` where there is no such path.

    >>> model_file("gestures.h5") == model_file(MODELS / "gestures.h5") == MODELS / "gestures.h5"
    True
    """
    own = MODELS / model
    return own if own.exists() and not Path(model).exists() else Path(model)


def project_of(*suites: Path) -> Path:
    """The folder that ``results/`` of a run is in: the checkout for suites of its own, else the working folder.

    >>> project_of(Path("/mine/suite.robot")) == Path.cwd()
    True
    """
    own = bool(suites) and all(suite.resolve().is_relative_to(ROOT) for suite in suites)
    return ROOT if IS_CHECKOUT and own else Path.cwd()


def baselines_of(suite: Path) -> Path:
    """The folder with the baselines of a suite: those of this project for its own suites, else of the user's."""
    own = suite.resolve().is_relative_to(ROOT)
    return (ROOT if own else Path.cwd()) / "results" / "baselines"
