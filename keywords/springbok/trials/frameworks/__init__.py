# SPDX-License-Identifier: Apache-2.0
"""Models of Keras in every form that people bring: ``./bench trial frameworks [MODEL…]``.

Small models of every kind of layer are written as .keras, as SavedModels and by TensorFlow Lite's converter (floating
point, dynamic range, integers of 8 and 16 bits). Each file is compiled for a chip with VLEN 512, checked on this
machine as every model is, and run on Spike; what the chip answers is held against the framework. A file ends as one of:

    right      the chip's answer is the framework's
    refused    the compilation says in a sentence what it can't do: file, part, cause, and what to do
    wrong      the chip answers something else, or a check says so
    crash      anything else: an exception of Python, a tool that ends without a message, words that are no sentence

What TensorFlow itself does not write is counted beside them.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from springbok.compiler.compiled import Target
from springbok.compiler.compiler import compile_and_check
from springbok.compiler.judgement import judge
from springbok.session import Session
from springbok.support import process
from springbok.support.errors import CompileError, LinkError, ModelError
from springbok.support.files import temporary_folder
from springbok.support.places import KEYWORDS
from springbok.trials.framework_server import FrameworkServer
from springbok.trials.operators import Verdict, tell

TARGET = Target.of("vector", 512)
FORMS = ("keras", "saved-model", "float", "dynamic", "float16", "int8", "int8-io", "uint8-io", "int16x8")
#: What the words of a refusal must not hold: they are those of a program, not of a sentence.
_NO_SENTENCE = re.compile(r"Traceback|\b\w+(?:Error|Exception): ")


@dataclass(frozen=True)
class File:
    """A model in a form; ``error`` is why TensorFlow did not write it."""

    model: str
    form: str
    path: Path | None = None
    error: str = ""


@dataclass(frozen=True)
class Result:
    """How a file ended, and why; ``verdict`` is None if TensorFlow did not write it."""

    file: File
    verdict: Verdict | None
    reason: str = ""

    def __str__(self) -> str:
        ended = self.verdict.value if self.verdict else "unwritten"
        return f"{self.file.model:26} {self.file.form:12} {ended:9} {self.reason}".rstrip()


def write(folder: Path, models: Sequence[str] = (), forms: Sequence[str] = FORMS) -> list[File]:
    """Lets TensorFlow write these models (all, if none is named) into ``folder``.

    Raises :class:`ModelError` with what it says when it can't.
    """
    (folder / "job.json").write_text(json.dumps({"models": list(models), "forms": list(forms)}), encoding="utf-8")
    command = [sys.executable, "-m", "springbok.trials.frameworks.writing", folder]
    done = process.run(command, cwd=KEYWORDS)
    if not (folder / "files.json").is_file():
        last = done.output.strip().splitlines()[-1:] or ["no message"]
        raise ModelError(f"TensorFlow can't write the models of the trial: {last[0]}")
    entries = json.loads((folder / "files.json").read_text(encoding="utf-8"))
    return [File(**entry | {"path": Path(entry["path"]) if "path" in entry else None}) for entry in entries]


def run(session: Session, file: File, folder: Path) -> Result:
    """Compiles the file and runs it on the session's chip; ``folder`` is for what is made on the way."""
    if file.path is None:
        return Result(file, None, file.error)
    try:
        model = compile_and_check(file.path, TARGET, output_dir=folder)
        session.load_model(model)
        samples = list(zip(*model.probes.inputs, strict=True))
        answers = [session.infer(*sample, raw=True) for sample in samples]
    except (ModelError, CompileError) as error:
        return _refused(file, str(error))
    except LinkError as error:
        return Result(file, Verdict.CRASH, _line(str(error)))
    except Exception as error:  # noqa: BLE001 (whatever it is, it is a finding)
        return Result(file, Verdict.CRASH, f"{type(error).__name__}: {_line(str(error))}")
    outputs = [np.stack(arrays) for arrays in zip(*answers, strict=True)]
    judgement = judge(model.outputs, outputs, model.probes.expected)
    if not judgement.passed:
        return Result(file, Verdict.WRONG, str(judgement.worst))
    return Result(file, Verdict.RIGHT, judgement.describe())


def _refused(file: File, text: str) -> Result:
    """What a refusal is: one in a sentence, of a wrong answer, or no sentence at all."""
    first = text.splitlines()[0]
    if "does not compute what the" in text:
        return Result(file, Verdict.WRONG, _line(text))
    crashed = any(words in text for words in ("crashed", "without a message", "did not end"))
    if crashed or file.path.name not in first or not first.endswith((".", "?")) or _NO_SENTENCE.search(text):
        return Result(file, Verdict.CRASH, _line(text))
    return Result(file, Verdict.REFUSED, _line(text))


def _line(text: str) -> str:
    return " ".join(re.split(r"\nThe (?:command was|flags were):", text)[0].split())


def table(results: Sequence[Result]) -> str:
    """A line for each file that is not right, and how many ended how, by form."""
    lines = [str(result) for result in results if result.verdict is not Verdict.RIGHT]
    columns = [*(verdict.value for verdict in Verdict), "unwritten"]
    lines += ["", "".join(["form".ljust(14), *(column.rjust(11) for column in columns)])]
    for form in [*dict.fromkeys(result.file.form for result in results), "all"]:
        own = [result for result in results if form in ("all", result.file.form)]
        counts = Counter(result.verdict.value if result.verdict else "unwritten" for result in own)
        lines.append("".join([form.ljust(14), *(str(counts[column]).rjust(11) for column in columns)]))
    return "\n".join(lines)


def main(arguments: list[str] | None = None) -> int:
    """Prints the table. 0 when no file is wrong or a crash."""
    parser = argparse.ArgumentParser(prog="./bench trial frameworks", description=__doc__.split("\n")[0])
    parser.add_argument("models", nargs="*", metavar="MODEL", help="models to try (default: all)")
    parser.add_argument("--forms", nargs="+", default=FORMS, choices=FORMS, help="forms to try (default: all)")
    parser.add_argument("--output", type=Path, metavar="FOLDER", help="keep the files here")
    options = parser.parse_args(arguments)

    def outcomes(session: Session) -> Iterator[Result]:
        session.boot("spike", count_opcodes=False, sensor=False)
        with temporary_folder() as temporary, FrameworkServer().serving():
            folder = options.output or Path(temporary) / "files"
            folder.mkdir(parents=True, exist_ok=True)
            for file in write(folder, options.models, options.forms):
                yield run(session, file, Path(temporary) / "built")

    return tell(outcomes, table)
