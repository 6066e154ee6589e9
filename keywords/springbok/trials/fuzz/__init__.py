# SPDX-License-Identifier: Apache-2.0
"""The differential fuzzer: random small networks, compiled in every way, compared on this machine and on the chip.

``./bench trial fuzz --count 3000 --seed 1``. Each network goes through ONNX, TensorFlow Lite or StableHLO, is compiled
as stock IREE does, with every transformation of the optimizer alone, and with all together; all of these run on this
machine and on chips with VLEN 128 and 512, with inputs that hold the extremes. Stock IREE must answer as the framework
does, and every variant as stock IREE: integers to the bit, floating point within 1e-5.

What fails is shrunk to a small network that fails in the same way, and written into a folder of its own: the model
file, the network as text, and a sentence. ``--network FILE`` tries such a text again.

A network that a framework or a converter refuses in a sentence is counted, not a failure; the table at the end shows
what was drawn and what ran, by layer, type and front end.
"""

from __future__ import annotations

import argparse
import re
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from queue import SimpleQueue

from springbok.firmware import build_firmware
from springbok.support.files import build_folder
from springbok.trials.fuzz.drawing import draw
from springbok.trials.fuzz.networks import FRONT_ENDS, Network, label
from springbok.trials.fuzz.pool import LIMIT_SECONDS, Worker
from springbok.trials.fuzz.shrinking import shrink
from springbok.trials.fuzz.variants import HOST, NONE, PLACES, VARIANTS
from springbok.trials.fuzz.worker import CRASH, HANG, WRONG, Finding, Outcome, write_model

DEFAULT_OUTPUT = build_folder() / "fuzz"
#: So many networks share the starts of the compiler.
TOGETHER = 12


@dataclass
class Summary:
    """All that was tried, and what was found, smallest networks included."""

    seed: int
    outcomes: list[Outcome] = field(default_factory=list)
    seconds: float = 0.0
    processor_seconds: float = 0.0
    shrunk: list[tuple[Network, Finding, Path]] = field(default_factory=list)

    @property
    def failures(self) -> list[Outcome]:
        """The networks with a finding."""
        return [outcome for outcome in self.outcomes if outcome.findings]

    def table(self) -> str:
        """What was drawn, refused and found, by front end, type and layer; then a line a kind of finding."""
        rows = [("", "drawn", "ran", "refused", "failed")]
        groups: dict[str, list[Counter]] = {}
        for outcome in self.outcomes:
            network = outcome.network
            names = {(0, f"{network.front_end} {network.dtype}"), (1, network.layout)}
            names |= {(2, label(network, number)) for number in range(len(network.nodes))}
            verdict = "failed" if outcome.findings else "refused" if outcome.refusal else "ran"
            for name in names:
                groups.setdefault(name, Counter()).update(("drawn", verdict))
        for name in sorted(groups):
            rows.append((name[1], *(str(groups[name][column]) for column in rows[0][1:])))
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        lines = ["  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]) for row in rows]
        modules = sum(outcome.modules for outcome in self.outcomes)
        refused = sum(bool(outcome.refusal) for outcome in self.outcomes)
        head = (
            f"{len(self.outcomes)} networks of seed {self.seed}, {refused} refused, {modules} modules run, "
            f"{60 * len(self.outcomes) / max(self.seconds, 1e-9):.1f} networks a minute, "
            f"{self.processor_seconds / max(len(self.outcomes), 1):.1f} s of processor time each"
        )
        kinds = Counter(finding.kind for outcome in self.failures for finding in outcome.findings[:1])
        tail = [f"{kind}: {number} networks" for kind, number in kinds.most_common()] or ["no finding"]
        refusals = Counter(re.sub(r"[\d.]+|\(.*", "", outcome.refusal)[:90] for outcome in self.outcomes)
        refusals.pop("", None)
        tail += [f"refused {number}: {text}" for text, number in refusals.most_common(12)]
        return "\n".join([*lines, "", head, *tail])


def fuzz(
    numbers: Sequence[int],
    seed: int,
    jobs: int = 1,
    *,
    together: int = TOGETHER,
    front_ends: Sequence[str] = FRONT_ENDS,
    variants: Sequence[str] = VARIANTS,
    places: Sequence[str] = PLACES,
    limit: float = LIMIT_SECONDS,
    output: Path | None = None,
    shrink_most: int = 20,
    progress: Callable[[str], None] = lambda text: None,
) -> Summary:
    """Tries the networks of these numbers; shrinks and writes to ``output`` one network a kind of finding.

    ``together`` is how many networks are compiled at once, ``shrink_most`` how many findings are shrunk at most.
    ``progress`` gets a line now and then.
    """
    build_firmware()
    summary = Summary(seed)
    started = time.monotonic()
    workers: SimpleQueue[Worker] = SimpleQueue()
    all_workers = [Worker(limit) for _ in range(jobs)]
    for worker in all_workers:
        workers.put(worker)

    def with_worker(work: Callable[[Worker], object]) -> object:
        worker = workers.get()
        try:
            return work(worker)
        finally:
            workers.put(worker)

    finished = count(1)

    def try_some(networks: Sequence[Network]) -> list[Outcome]:
        outcomes = with_worker(lambda worker: worker.try_networks(networks, variants, places))
        for outcome in outcomes:
            for finding in outcome.findings[:1]:
                progress(f"network {outcome.network.number}: {outcome.network.describe()}\n    {finding.describe()}")
            done = next(finished)
            if done % 20 == 0:
                progress(f"{done} of {len(numbers)} networks, {time.monotonic() - started:.0f} s")
        return outcomes

    pool = ThreadPoolExecutor(jobs)
    try:
        batches = _batches([draw(seed, number, front_ends) for number in numbers], together)
        outcomes = [outcome for outcomes in pool.map(try_some, batches) for outcome in outcomes]
        summary.outcomes = sorted(outcomes, key=lambda outcome: outcome.network.number)
        summary.seconds = time.monotonic() - started
        summary.processor_seconds = sum(worker.seconds for worker in all_workers)
        kinds: dict[tuple, tuple[Outcome, Finding]] = {}
        for outcome in summary.failures:
            for finding in _leading(outcome):
                kinds.setdefault((*finding.signature, *_alike(outcome, finding)), (outcome, finding))

        def shrink_one(found: tuple[Outcome, Finding]) -> tuple[Network, Finding, Path | None]:
            return with_worker(lambda worker: _shrink(worker, *found, output))

        for smallest, finding, folder in pool.map(shrink_one, list(kinds.values())[:shrink_most]):
            summary.shrunk.append((smallest, finding, folder))
            progress(sentence(smallest, finding) + (f"\n    {folder}" if folder else ""))
    finally:
        # After an interrupt, what runs is ended first: nobody waits for its networks.
        pool.shutdown(wait=False, cancel_futures=True)
        for worker in all_workers:
            worker.end(gently=False)
        pool.shutdown()
    return summary


def _batches(networks: Sequence[Network], together: int) -> list[list[Network]]:
    """At most ``together`` networks each, of one front end: IREE compiles no mixture of input dialects."""
    batches, open_ones = [], {}
    for network in networks:
        batch = open_ones.get(network.front_end)
        if batch is None or len(batch) == together:
            batch = open_ones[network.front_end] = []
            batches.append(batch)
        batch.append(network)
    return batches


def _leading(outcome: Outcome) -> list[Finding]:
    """The findings that the others follow from: what stock IREE has, else a single transformation."""
    stock = [finding for finding in outcome.findings if finding.variant == NONE]
    alone = [finding for finding in outcome.findings if finding.variant in VARIANTS[1:-1]]
    return (stock or alone or outcome.findings)[:1]


def _alike(outcome: Outcome, finding: Finding) -> tuple[str, ...]:
    """What tells two findings of the same words apart: the layer that differs, type and front end."""
    network = outcome.network
    layer = re.search(r"layer \d+ \((\w+)\)", finding.detail)
    return (network.front_end, network.dtype, layer[1] if layer else "") if finding.kind == WRONG else ()


def _shrink(
    worker: Worker, outcome: Outcome, finding: Finding, output: Path | None
) -> tuple[Network, Finding, Path | None]:
    """The smallest network with this finding, what is then found in it, and the folder where it was written."""
    last = [finding]
    variants = tuple(dict.fromkeys((NONE, finding.variant))) if finding.variant in VARIANTS else VARIANTS
    places = (finding.place,) if finding.place in PLACES else PLACES if finding.kind in (CRASH, HANG) else (HOST,)

    def fails(candidate: Network) -> bool:
        for each in worker.try_network(candidate, variants, places).findings:
            if each.signature == finding.signature:
                last[0] = each
                return True
        return False

    smallest = shrink(outcome.network, fails)
    folder = write_finding(smallest, last[0], output, outcome.network) if output else None
    return smallest, last[0], folder


def sentence(network: Network, finding: Finding) -> str:
    """What is wrong, in a sentence."""
    return f"Network {network.number}, shrunk to {network.describe()}: {finding.describe()}"


def write_finding(network: Network, finding: Finding, output: Path, original: Network) -> Path:
    """Writes model file, network and README of a finding to a folder of its own below ``output``."""
    words = [finding.kind, finding.variant, finding.place, network.front_end, network.dtype, network.nodes[-1].kind]
    name = re.sub(r"\W+", "-", " ".join(words)).strip("-")
    folder = next(path for path in (output / f"{n:03}-{name}" for n in range(1, 10**6)) if not _taken(path))
    folder.mkdir(parents=True)
    (folder / "network.json").write_text(network.to_json() + "\n", encoding="utf-8")
    (folder / "original.json").write_text(original.to_json() + "\n", encoding="utf-8")
    try:
        model = write_model(network, folder).name
    except Exception as error:  # noqa: BLE001 (a model that its own framework refuses to write)
        model = f"no model file: {error}"
    lines = [sentence(network, finding), "", f"Model: {model}. Drawn as {original.describe()}."]
    lines += ["", f"Again: ./bench trial fuzz --network {folder / 'network.json'}"]
    (folder / "README").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder


def _taken(path: Path) -> bool:
    """Whether a folder of this number is there."""
    return any(path.parent.glob(f"{path.name[:4]}*"))


def main(arguments: Sequence[str] | None = None) -> int:
    """Print findings as they come and the table; the exit status is 1 when something was found."""
    parser = argparse.ArgumentParser(prog="./bench trial fuzz", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--count", type=int, default=100, help="networks (default: 100)")
    parser.add_argument("--seed", type=int, default=1, help="other seeds give other networks (default: 1)")
    parser.add_argument("--first", type=int, default=0, metavar="N", help="begin with this network of the seed")
    parser.add_argument("--jobs", type=int, default=2, help="processes, with two chips each (default: 2)")
    parser.add_argument(
        "--together", type=int, default=TOGETHER, metavar="N", help=f"compile so many at once (default: {TOGETHER})"
    )
    parser.add_argument("--front-ends", nargs="+", default=FRONT_ENDS, choices=FRONT_ENDS)
    parser.add_argument("--variants", nargs="+", default=VARIANTS, choices=VARIANTS, help="default: all of them")
    parser.add_argument("--on", nargs="+", default=PLACES, choices=PLACES, help="where modules run (default: all)")
    parser.add_argument(
        "--limit", type=float, default=LIMIT_SECONDS, help=f"processor time a network (default: {LIMIT_SECONDS:g} s)"
    )
    parser.add_argument("--output", type=Path, default=DEFAULT_OUTPUT, help="where findings go (default: build/fuzz)")
    parser.add_argument("--shrink-most", type=int, default=20, metavar="N", help="kinds of finding (default: 20)")
    parser.add_argument("--network", type=Path, metavar="FILE", help="try the network of this file alone")
    options = parser.parse_args(arguments)
    options.variants = tuple(dict.fromkeys((NONE, *options.variants)))
    if options.network:
        return _try_file(options)
    summary = fuzz(
        range(options.first, options.first + options.count),
        options.seed,
        options.jobs,
        together=options.together,
        front_ends=options.front_ends,
        variants=options.variants,
        places=options.on,
        limit=options.limit,
        output=options.output,
        shrink_most=options.shrink_most,
        progress=_say,
    )
    _say(summary.table())
    return int(bool(summary.failures))


def _try_file(options: argparse.Namespace) -> int:
    build_firmware()
    network = Network.from_json(options.network.read_text(encoding="utf-8"))
    with Worker(options.limit) as worker:
        outcome = worker.try_network(network, options.variants, options.on)
    _say(network.describe())
    for finding in outcome.findings:
        _say(f"    {finding.describe()}")
    _say(outcome.refusal or f"{outcome.modules} modules run, {len(outcome.findings)} findings")
    return int(bool(outcome.findings))


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()
