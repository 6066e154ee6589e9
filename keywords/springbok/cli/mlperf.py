# SPDX-License-Identifier: Apache-2.0
"""``./bench mlperf``: MLPerf Tiny's models on the simulated chip, beside the closed division's targets.

With ``--serve`` a chip waits at a port, its model loaded, for the benchmark's own runner; for a stream with the board
beside it that plays recordings to it.
"""

from __future__ import annotations

import argparse
import json
import shlex
import time
from contextlib import ExitStack
from pathlib import Path
from typing import NoReturn

import springbok.link
from springbok.cli.arguments import add_optimize, add_platform, add_vlen, use_platform, whole
from springbok.cli.text import print_table, shown
from springbok.compiler.compiled import CompiledModel, Target
from springbok.compiler.compiler import compile_and_check
from springbok.compiler.optimizer import DEFAULT_LEVEL
from springbok.data import runner_files
from springbok.data.packaged import wake_word
from springbok.exploring import mlperf
from springbok.exploring.mlperf import Row
from springbok.exploring.search import search
from springbok.link.interface_board import InterfaceBoard
from springbok.link.runner_port import RunnerPort
from springbok.measuring.mlperf import TASKS, Task
from springbok.support.errors import BenchError
from springbok.support.files import write_in_one_step
from springbok.support.places import MODELS
from springbok.support.progress import progress
from springbok.support.suggestions import did_you_mean
from springbok.timing.description import OF_CHIP
from springbok.timing.loading import timing_of

_ANNOUNCE = Path(springbok.link.__file__).parent / "announced_port.py"  # for the runner's own Python
_SOURCE = "targets of the closed division: mlcommons/tiny, benchmark/MLPerfTiny_Rules.adoc and benchmark/README.md"
_POLL_SECONDS = 0.1
_CLOCK_MEGAHERTZ = 100  # at which a duty cycle is told
STREAM_LEAST, STREAM_MOST = 5, 3600


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument("tasks", nargs="*", metavar="TASK", help=f"of {', '.join(TASKS)} (default: all)")
    parser.add_argument(
        "--model",
        action="append",
        default=[],
        metavar="TASK=FILE",
        help="a model of your own for a task, for example the benchmark's reference; again for more",
    )
    parser.add_argument(
        "--data",
        type=Path,
        metavar="DIR",
        help="the runner's inputs, a folder a task; without it quality is not told, and --serve plays no stream",
    )
    parser.add_argument(
        "--files", type=whole(), metavar="N", help="infer at most so many files of a task (default: all)"
    )
    parser.add_argument(
        "--stream",
        type=float,
        default=0,
        metavar="SECONDS",
        help="length of the made-up recording that sww01 is judged by (default: 0, by none); with --serve and --data "
        "it is written to DIR/sww01, for the runner",
    )
    parser.add_argument(
        "--threshold",
        type=whole(-128, 127),
        default=0,
        metavar="N",
        help="the first output's integer above which sww01 has detected a word (default: 0, a probability of a half)",
    )
    parser.add_argument(
        "--timing", metavar="TIMING", help="the core's pipeline (default: the chip's own, if it has one)"
    )
    add_platform(parser)
    add_vlen(parser, None, "bits of a vector register of the chip (default: as the chip is built)")
    add_optimize(parser, DEFAULT_LEVEL, f"level of the optimizer (default: {DEFAULT_LEVEL})")
    parser.add_argument("--json", action="store_true", help="print the table as JSON")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="write the table as Markdown too")
    parser.add_argument("--serve", metavar="TASK", help="boot the chip with this task's model, and wait for a runner")
    parser.add_argument(
        "--uart", choices=("socket", "pty"), default="pty", help="what --serve opens for the runner (default: pty)"
    )


def run(options: argparse.Namespace) -> int:
    """Measure and print, or serve; 1 when a target is missed."""
    names = [options.serve] if options.serve else options.tasks or TASKS
    tasks = [_task(name).with_threshold(options.threshold) for name in names]
    if options.stream != 0 and not STREAM_LEAST <= options.stream <= STREAM_MOST:
        raise BenchError(f"--stream is 0, or from {STREAM_LEAST} to {STREAM_MOST} seconds.")
    own = dict(_own_model(each) for each in options.model)
    chip = use_platform(options)
    target = Target.of("vector" if chip.vector_extension else "scalar", options.vlen, chip)
    vlen = target.vlen if chip.vector_extension else 0
    paths = {task: own.get(task.name, MODELS / task.model) for task in tasks}
    if options.serve:
        (task,) = tasks
        sounds = _sounds(task, options)
        _serve(task, task.name in own, sounds, _compile(paths[task], target, options), vlen, options)
    timing = timing_of(options.timing or OF_CHIP, chip, vlen) if options.timing or chip.timing else None
    rows = []
    for task, path in paths.items():
        model = _compile(path, target, options)
        told = progress(f"{task.name}, files")
        recording = None
        if task.stream is not None and options.stream:
            recording = wake_word.record(options.stream, mlperf.STREAM_SEED, benchmark=task.name in own)
        rows.append(mlperf.measure(task, model, vlen, timing, options.data, options.files, recording, told))
    head = f"{chip.title}, VLEN {vlen}" if vlen else chip.title
    if timing is not None:
        head += f"; cycles estimated by {timing.name} ({timing.standing})"
    if options.json:
        print(json.dumps({"chip": chip.name, "vlen": vlen, "tasks": [row.as_json() for row in rows]}, indent=1))
    else:
        print(head)
        print_table(_table(rows), 6)
        print("\n" + "\n".join([*_duties(rows), _SOURCE]))
        print("–: not told; quality needs --data with the runner's inputs, and a model that was trained for them")
    if options.markdown:
        write_in_one_step(options.markdown, as_markdown(head, rows))
        print(f"written: {shown(options.markdown)}") if not options.json else None
    return 1 if any(row.judged and not row.judged.is_met for row in rows) else 0


def as_markdown(head: str, rows: list[Row]) -> str:
    """The table under its heading."""
    header, *lines = _table(rows)
    table = [header, ["---"] * 6 + ["---:"] * (len(header) - 6), *lines]
    notes = [f"{note}." for note in (*_duties(rows), _SOURCE)]
    return "\n".join([f"{head}.", "", *("| " + " | ".join(line) + " |" for line in table), "", *notes, ""])


def _duties(rows: list[Row]) -> list[str]:
    """How busy a stream keeps the core."""
    return [
        f"{row.task.name}: {row.task.stream[1] // 1000} ms of a stream take {row.cycles:,} cycles: duty cycle "
        f"{row.busy_megahertz / _CLOCK_MEGAHERTZ:.1%} at {_CLOCK_MEGAHERTZ} MHz"
        for row in rows
        if row.busy_megahertz is not None
    ]


def _table(rows: list[Row]) -> list[list[str]]:
    table = [
        ["task", "", "model", "quality", "target", "met", "instructions", "cycles", "memory, bytes", "module, bytes"]
    ]
    for row in rows:
        judged = row.judged
        quality = f"{judged.text} ({judged.samples})" if judged else "–"
        met = ("yes" if judged.is_met else "no") if judged else "–"
        cycles = "–" if row.cycles is None else f"{row.cycles:,}"
        target = f"{row.task.target_text} ({row.task.metric})"
        costs = [f"{row.instructions:,}", cycles, f"{row.memory_bytes:,}", f"{row.module_bytes:,}"]
        table.append([row.task.name, row.task.title, row.model, quality, target, met, *costs])
    return table


def _task(name: str) -> Task:
    if name not in TASKS:
        raise BenchError(f"MLPerf Tiny has no task '{name}'{did_you_mean(name, TASKS)}: {', '.join(TASKS)}.")
    return TASKS[name]


def _own_model(text: str) -> tuple[str, Path]:
    name, separator, file = text.partition("=")
    if not separator or not file:
        raise BenchError(f"--model is TASK=FILE, for example kws01=kws_ref_model.tflite, not '{text}'.")
    return _task(name).name, Path(file)


def _compile(path: Path, target: Target, options: argparse.Namespace) -> CompiledModel:
    return compile_and_check(path, target, optimize=options.optimize, choose=search)


def _serve(
    task: Task, is_own: bool, sounds: Path | None, model: CompiledModel, vlen: int, options: argparse.Namespace
) -> NoReturn:
    """Until the chip ends, or this is interrupted."""
    mlperf.check_fits(task, model)
    with mlperf.loaded(model, vlen=vlen, uart="socket", count_opcodes=False) as session:
        session.need_link().introduce(task.introduction(model.inputs[0], model.outputs[0]))
        session.disconnect()
        engine = session.need_engine()
        if options.uart == "socket":
            print(f"{task.name} ({model.name}) waits at {engine.uart_url}; Ctrl-C ends it.", flush=True)
            while True:  # fails when the chip has ended, and is interrupted otherwise
                engine.console()
                time.sleep(_POLL_SECONDS)
        with ExitStack() as open_ports:
            board = None
            if sounds:
                board = open_ports.enter_context(InterfaceBoard(sounds, model.inputs[0], task.stream[1], is_own))
            port = open_ports.enter_context(RunnerPort(engine.uart_url, listen=board and board.listen))
            print(f"{task.name} ({model.name}) waits at {port.path}; Ctrl-C ends it.", flush=True)
            print(f"The runner, from its folder: {_runners_command(task, port, board, options.data)}", flush=True)
            while True:
                engine.console()
                port.serve(_POLL_SECONDS)
                if board:
                    board.serve(port)


def _sounds(task: Task, options: argparse.Namespace) -> Path | None:
    """The folder of what a stream's board plays, filled if need be; None without one."""
    if task.stream is None or options.data is None:
        return None
    folder = options.data / task.inputs
    if options.stream:
        runner_files.write_stream(folder, wake_word.record(options.stream, mlperf.STREAM_SEED))
    elif not folder.is_dir():
        raise BenchError(f"{folder} is no folder: the runner's truth files and their WAV files belong there.")
    return folder


def _runners_command(task: Task, port: RunnerPort, board: InterfaceBoard | None, data: Path | None) -> str:
    """As `announced_port` takes it. The runner's script of accuracy can't stream."""
    ports = f"--interface {board.path} {port.path}" if board else port.path
    mode = "a" if task.stream is None else "p"
    inputs = shlex.quote(str(data.resolve())) if data else "DATASETS"
    return f"python {_ANNOUNCE} {ports} main.py --device_list={task.devices} --dataset_path={inputs} --mode={mode}"
