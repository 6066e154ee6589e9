# SPDX-License-Identifier: Apache-2.0
"""What the page works on: one scenario at a time, examined as it changes, run once at a time, saved to one folder."""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from springbok.exploring.pipeline_manager.format import graph_of_dataflow, is_dataflow
from springbok.exploring.scenario_file import LARGEST_FILE, YAML_SUFFIXES, parse, read_content
from springbok.exploring.scenario_graph import (
    TITLES,
    Examined,
    Graph,
    PlacedProblem,
    connected,
    document_text,
    examine,
    graph_of,
    kinds,
    placed,
    read_graph,
)
from springbok.exploring.scenario_run import ENGINES, ScenarioRun, Settings
from springbok.exploring.scenario_suite import suite_text
from springbok.support.errors import BenchError, ScenarioError
from springbok.support.files import write_in_one_step

SUFFIXES = (".json", *YAML_SUFFIXES)
SUITE_SUFFIX = ".robot"
_LOG_LINES = 5000
_LONGEST_NAME = 200  # bytes; file systems take 255, and a file in the making has more than its name


class Desk:
    """The scenario that is being drawn, and its run.

    Several pages may be open, each with a scenario of its own: answers with a graph have its ``sheet``, the name and
    the digest of the file as it was opened or saved, which the page gives back with whatever it asks. A page that was
    just loaded shows what was drawn last.

    ``tell`` is called with events for every page, from any thread; ``folder`` is where scenarios are opened and saved.
    """

    def __init__(self, folder: Path, settings: Settings, tell: Callable[[dict[str, Any]], None]) -> None:
        self.folder, self.settings = folder, settings
        self._tell = tell
        self._lock = threading.RLock()
        self._name: str | None = None
        self._digest: str | None = None  # of the file as it was opened or saved
        self._graph = Graph(())
        self._is_new = False  # nobody has moved its blocks yet
        self._lines: deque[str] = deque(maxlen=_LOG_LINES)
        self._run: ScenarioRun | None = None
        self._is_closed = False
        self._ending: dict[str, Any] | None = None
        self._started = 0.0
        self._of: dict[str, Any] = {}  # which page asked for the run, and the name of its file
        self._answers: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
            "begin": self._begin,
            "examine": self._examine,
            "connect": self._connect,
            "lay out": self._lay_out,
            "new": self._new,
            "open": self._open,
            "read": self._read,
            "save": self._save,
            "run": self._start,
            "stop": self._stop,
        }

    def answer(self, asked: Any) -> dict[str, Any]:
        """The answer to a page's request, ``{"do": …}``; what can't be done is ``{"error": sentence}``."""
        try:
            do = asked.get("do") if isinstance(asked, dict) else None
            if not isinstance(do, str) or do not in self._answers:
                raise ScenarioError(f"The page asked for what there is not: {str(do)[:60]!r}.")
            with self._lock:
                if "sheet" in asked:
                    self._name, self._digest = self._sheet(asked["sheet"])
                return self._answers[do](asked)
        except BenchError as error:
            return {"error": str(error)}
        except Exception as error:  # the page waits for an answer
            logging.getLogger(__name__).exception("The studio failed to %s", do)
            return {"error": f"The studio failed: {error!r}. Its terminal says where."}

    def open(self, name: str) -> None:
        """Open a scenario of the folder. Raises ScenarioError."""
        path = self._path(name, SUFFIXES)
        content = read_content(path)
        self._take(content, path)
        if self._is_new:
            self._name, self._digest = name, hashlib.sha256(content).hexdigest()

    def _take(self, content: bytes, path: Path) -> None:
        """A file's scenario in place of what is there. It has no name yet: what is saved may be another file."""
        document = parse(content, path)
        is_drawn = is_dataflow(document)
        self._graph = graph_of_dataflow(document) if is_drawn else graph_of(document)
        self._is_new, self._name, self._digest = not is_drawn, None, None

    def stop(self) -> None:
        """Ask the run to end, if there is one."""
        if self._run is not None:
            self._run.stop()

    def close(self) -> None:
        """End what runs, and what an answer under way is still about to start; nothing of it is left."""
        self._is_closed = True
        if self._run is not None:
            self._run.__exit__()

    # Answers

    def _begin(self, asked: dict[str, Any]) -> dict[str, Any]:
        """What a page that was just loaded shows."""
        self._lay_out_new(asked)
        blocks = [
            {"title": TITLES[kind.block], "inputs": kind.inputs, "outputs": kind.outputs, **asdict(kind)}
            for kind in kinds()
        ]
        run = {"lines": list(self._lines), "runs": self._runs(), "ending": self._ending, "of": self._of}
        return {"kinds": blocks, "folder": str(self.folder), "settings": self._settings(), **run, **self._shown()}

    def _lay_out_new(self, asked: dict[str, Any]) -> None:
        """Lay out, for the page that asks, blocks that nobody has moved yet."""
        if self._is_new:
            self._graph = placed(self._graph, bool(asked.get("narrow")))

    def _settings(self) -> dict[str, Any]:
        return {"engine": self.settings.engine, "samples": self.settings.samples}

    def _shown(self) -> dict[str, Any]:
        sheet = {"name": self._name, "digest": self._digest}
        files, others = self._files()
        listed = {"files": files, "others": others}
        shown = {"name": self._name, "sheet": sheet, **listed, "graph": self._graph.as_json()}
        return {**shown, **self._found()}

    def _sheet(self, given: Any) -> tuple[str | None, str | None]:
        """Name and digest of the file that a page's graph is of; None where it is of none."""
        name, digest = (given.get(key) for key in ("name", "digest")) if isinstance(given, dict) else (0, 0)
        if not all(each is None or isinstance(each, str) for each in (name, digest)):
            raise ScenarioError("The page did not say what its scenario is.")
        if name is not None:
            self._path(name, SUFFIXES)
        return name, digest

    def _found(self) -> dict[str, Any]:
        found = self._look()
        scenario = found.scenario
        return {
            "problems": [asdict(problem) for problem in found.problems],
            "notes": list(scenario.notes) if scenario else [],
            "meanings": {block.key: block.meaning for block in scenario.blocks} if scenario else {},
            "text": self._text(),
        }

    def _text(self) -> str | None:
        """The scenario as a file has it, for a page that outlives the studio; None of what no file could hold."""
        with contextlib.suppress(ScenarioError):
            return document_text(self._graph.document(), Path("scenario.json"))
        return None

    def _look(self) -> Examined:
        """What is wrong with the graph; that it can't be told is a problem too, and no reason not to save it."""
        try:
            return examine(self._graph, self.folder / (self._name or "scenario.json"), self.settings.engine)
        except Exception as error:
            logging.getLogger(__name__).exception("The studio failed to examine the scenario")
            sentence = f"the studio failed here, and nothing is known of it: {error!r}. Its terminal says where"
            return Examined((PlacedProblem(sentence),))

    def _examine(self, asked: dict[str, Any]) -> dict[str, Any]:
        self._graph, self._is_new = read_graph(asked.get("graph")), False
        return self._found()

    def _connect(self, asked: dict[str, Any]) -> dict[str, Any]:
        self._graph = connected(read_graph(asked.get("graph")))
        return self._shown()

    def _lay_out(self, asked: dict[str, Any]) -> dict[str, Any]:
        self._graph, self._is_new = read_graph(asked.get("graph")), True
        self._lay_out_new(asked)
        return self._shown()

    def _new(self, _: dict[str, Any]) -> dict[str, Any]:
        self._graph, self._name, self._digest = Graph(()), None, None
        return self._shown()

    def _open(self, asked: dict[str, Any]) -> dict[str, Any]:
        self.open(_text(asked, "name"))
        self._lay_out_new(asked)
        return self._shown()

    def _read(self, asked: dict[str, Any]) -> dict[str, Any]:
        """A file from the browser: it is not saved anywhere yet."""
        name = Path(_text(asked, "name")).name
        path = self.folder / name
        self._take(_text(asked, "text").encode("utf-8", "replace"), path)
        self._lay_out_new(asked)
        return {**self._shown(), "proposed": path.name if path.suffix.lower() in SUFFIXES else f"{path.stem}.json"}

    def _save(self, asked: dict[str, Any]) -> dict[str, Any]:
        self._graph = read_graph(asked.get("graph"))
        name = _text(asked, "name").strip()
        path = self._path(name, (*SUFFIXES, SUITE_SUFFIX))
        if not self.folder.is_dir():
            raise ScenarioError(f"The folder {self.folder} is gone: make it again, then save. The drawing stays here.")
        is_own = name == self._name
        if path.exists() and not asked.get("overwrite"):
            now = hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""
            if not is_own or now != self._digest:
                why = "was changed by somebody else since it was opened here" if is_own else "is there already"
                return {"ask": f"{name} {why}. Overwrite it?"}
        if path.suffix.lower() == SUITE_SUFFIX:
            scenario = self._look().scenario
            if scenario is None:
                raise ScenarioError("A suite can only be written of a scenario without problems.")
            text = suite_text(replace(scenario, file=path.with_suffix(".json")), self.folder, self.settings.samples)
        else:
            text = document_text(self._graph.document(), path)
            self._name, self._digest = name, hashlib.sha256(text.encode()).hexdigest()
        write_in_one_step(path, text)
        return {"saved": str(path), **self._shown()}

    def _start(self, asked: dict[str, Any]) -> dict[str, Any]:
        if self._runs():
            raise ScenarioError("A run is under way: stop it, or wait for its end.")
        self._graph = read_graph(asked.get("graph"))
        samples, engine = asked.get("samples"), asked.get("engine", self.settings.engine)
        if samples is not None and (not isinstance(samples, int) or isinstance(samples, bool) or samples < 1):
            raise ScenarioError("Samples: how many are inferred must be a number from 1 on; empty means all.")
        if not isinstance(engine, str) or engine not in ENGINES:
            raise ScenarioError(f"Engine: choose from {', '.join(ENGINES)}.")
        self.settings = replace(self.settings, samples=samples, engine=engine)
        found = self._look()
        if found.scenario is None:
            raise ScenarioError(f"The scenario can't be run yet: {found.problems[0].sentence}.")
        if self._run is not None:
            self._run.wait()
        self._lines.clear()
        self._ending, self._started = None, time.time()
        self._of = {"page": asked.get("page"), "name": self._name}
        self._tell({"event": "began", "of": self._of})
        self._run = ScenarioRun(found.scenario, self.settings, self._heard)
        if self._is_closed:
            self._run.__exit__()
        return {"runs": True}

    def _stop(self, _: dict[str, Any]) -> dict[str, Any]:
        self.stop()
        return {}

    # The run

    def _runs(self) -> bool:
        return self._run is not None and self._ending is None

    def _heard(self, event: dict[str, Any]) -> None:
        if event["event"] == "line":
            self._lines.append(event["text"])
        elif event["event"] == "ended":
            event = {**event, "reports": self._reports(), "of": self._of}
            self._ending = event
        self._tell(event)

    def _reports(self) -> list[str]:
        """Which pages the run has written."""
        pages = (self.settings.results / name for name in ("report.html", "log.html"))
        return [page.name for page in pages if page.is_file() and page.stat().st_mtime >= self._started - 1]

    # Files

    def _path(self, name: str, suffixes: tuple[str, ...]) -> Path:
        """A file of the folder, and of no other place."""
        if not name or "/" in name or "\\" in name or name.startswith(".") or not name.isprintable():
            raise ScenarioError(f"{name!r} is no name of a file: scenarios are in {self.folder}.")
        if len(name.encode()) > _LONGEST_NAME:
            raise ScenarioError(f"{name[:30]}… is too long a name for a file.")
        path = self.folder / name
        if path.suffix.lower() not in suffixes:
            raise ScenarioError(f"{name}: the name must end in {', '.join(suffixes)}.")
        return path

    def _files(self) -> tuple[list[str], list[str]]:
        """The scenarios of the folder, and what else could be one by its name: who breaks a file finds it there."""
        try:
            named = [each for each in sorted(self.folder.iterdir()) if _may_be_one(each)]
        except OSError:  # it is gone, which who saves is told
            return [], []
        files = [path.name for path in named if _is_scenario(path)]
        return files, [path.name for path in named if path.name not in files]


def _may_be_one(path: Path) -> bool:
    return path.suffix.lower() in SUFFIXES and not path.name.startswith(".") and path.is_file()


def _is_scenario(path: Path) -> bool:
    """Whether a file looks like one, at little cost; one that can't be read, or is just gone, does not."""
    try:
        return path.stat().st_size <= LARGEST_FILE and b"model_wrapper" in read_content(path)
    except (OSError, ScenarioError):
        return False


def _text(asked: dict[str, Any], name: str) -> str:
    value = asked.get(name)
    if not isinstance(value, str):
        raise ScenarioError(f"The page asked without {name}.")
    return value


def parse_message(message: str | bytes) -> Any:
    """A page's request. Raises ScenarioError for what is no JSON."""
    try:
        return json.loads(message)
    except (ValueError, RecursionError) as error:
        raise ScenarioError("The page sent what is no JSON.") from error
