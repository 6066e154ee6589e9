# SPDX-License-Identifier: Apache-2.0
"""Drawn ONNX models against two references: ``./bench trial references [OPERATOR…]``.

What ONNX models compute is decided by the reference implementation of the package `onnx`, which has faults of its own.
This trial holds it, and what we compile, against onnxruntime. Models of one node or a short chain are drawn from a
seed, over all operators that the importer takes: attributes, versions, types, ranks, ways to pad, edge sizes, scalars,
negative axes, inputs left out, constants as inputs. Each is compiled for this machine as the check of `Compile Model`
has it. A model ends as one of:

    right       the module answers as onnxruntime does (as the reference alone, where onnxruntime has no answer)
    refused     the compilation says in a sentence what it can't do
    told wrong  the check on this machine says that the module is wrong
    wrong       the module answers something else, and nothing has been said
    crash       anything else: an exception of Python, a compiler that crashes or does not end, words of a program

Where the reference is not onnxruntime's, that is told too, with the side that the module is on. Answers of onnxruntime
that are not what ONNX specifies are listed in `departures`, each with its reason.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence

from springbok.support import packages
from springbok.trials.fuzz.pool import Worker
from springbok.trials.references.answers import Result, Verdict, serve
from springbok.trials.references.drawing import OPERATORS, Case, draw, draw_of

#: So many models are compiled at once.
TOGETHER = 12
#: Processor time that a model may take: some hundred times the usual.
LIMIT_SECONDS = 120.0


def tried(cases: Sequence[Case], together: int = TOGETHER, limit: float = LIMIT_SECONDS) -> Iterator[Result]:
    """How each of the models ends. A crash or a hang of the process that tries it is the model's."""
    with Worker(limit, target=serve) as worker:
        for first in range(0, len(cases), together):
            some = cases[first : first + together]
            for case, outcome in zip(some, worker.try_networks(some, (), ()), strict=True):
                if isinstance(outcome, Result):
                    yield outcome
                else:
                    yield Result(case, Verdict.CRASH, outcome.findings[0].describe())


def table(results: Sequence[Result]) -> str:
    """How many models of each operator ended how, without those of which all are right; and of all."""
    verdicts = list(Verdict)
    by_operator: dict[str, list[Result]] = {}
    for result in results:
        by_operator.setdefault(result.case.operator, []).append(result)
    lines = [f"{'':26}" + "".join(f"{verdict.value:>12}" for verdict in verdicts)]
    for operator, own in sorted(by_operator.items()):
        counts = Counter(result.verdict for result in own)
        if counts[Verdict.RIGHT] < len(own):
            lines.append(f"{operator:26}" + "".join(f"{counts[verdict]:12}" for verdict in verdicts))
    counts = Counter(result.verdict for result in results)
    apart = [result for result in results if result.reference]
    ours = sum(result.verdict is Verdict.RIGHT for result in apart)
    alone = sum(bool(result.oracle) for result in results)
    return "\n".join(
        [
            *lines,
            f"{len(results)} models of {len(by_operator)} operators: "
            + ", ".join(f"{counts[verdict]} {verdict.value}" for verdict in verdicts),
            f"the reference is not onnxruntime's in {len(apart)}, of which the module answers as onnxruntime in {ours}",
            f"onnxruntime has no answer to {alone}",
        ]
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Prints what is not right, and the table; 1 where a model is wrong without a word, or a crash."""
    parser = argparse.ArgumentParser(prog="./bench trial references", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("operators", nargs="*", metavar="OPERATOR", help="operators to draw (default: all known ones)")
    parser.add_argument("--count", type=int, default=2 * len(OPERATORS), help="models (default: two an operator)")
    parser.add_argument("--seed", type=int, default=1, help="other seeds give other models (default: 1)")
    parser.add_argument("--first", type=int, default=0, metavar="N", help="begin with this model of the seed")
    parser.add_argument("--case", action="append", default=[], metavar="OPERATOR:N", help="this model; may be repeated")
    parser.add_argument("--together", type=int, default=TOGETHER, metavar="N", help=f"at once (default: {TOGETHER})")
    parser.add_argument("--refusals", action="store_true", help="print what is refused too")
    options = parser.parse_args(arguments)
    unknown = [each for each in (*options.operators, *_operators(options.case)) if each not in OPERATORS]
    if unknown:
        parser.error(f"there are no models of {', '.join(unknown)}; known are {', '.join(OPERATORS)}")
    try:
        packages.provide("onnxruntime", "for the trial of references")
    except ImportError as error:
        sys.stderr.write(f"springbok-bench: {error}\n")
        return 2
    chosen = [each.partition(":") for each in options.case]
    cases = [draw_of(options.seed, int(number), operator) for operator, _, number in chosen]
    numbers = range(options.first, options.first + options.count)
    cases = cases or [draw(options.seed, number, options.operators or OPERATORS) for number in numbers]
    results = []
    for result in tried(cases, options.together):
        results.append(result)
        shown = result.verdict not in (Verdict.RIGHT, Verdict.REFUSED) or result.reference
        if shown or (options.refusals and result.verdict is Verdict.REFUSED):
            _say(str(result))
    _say(table(results))
    return int(any(result.verdict in (Verdict.WRONG, Verdict.CRASH) for result in results))


def _operators(names: Sequence[str]) -> list[str]:
    return [name.partition(":")[0] for name in names]


def _say(text: str, write: Callable[[str], int] | None = None) -> None:
    (write or sys.stdout.write)(text + "\n")
    sys.stdout.flush()
