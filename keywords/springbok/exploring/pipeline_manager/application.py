# SPDX-License-Identifier: Apache-2.0
"""This project as Pipeline Manager's external application: its blocks, and what its buttons do with a scenario."""

from __future__ import annotations

import asyncio
import base64 as base64_code
import binascii
import contextlib
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from springbok.exploring.pipeline_manager.format import dataflow_of, graph_of_dataflow, is_dataflow, specification
from springbok.exploring.pipeline_manager.link import Line, LineBroken, Method
from springbok.exploring.scenario import Scenario
from springbok.exploring.scenario_file import parse
from springbok.exploring.scenario_graph import Examined, document_text, examine, graph_of
from springbok.exploring.scenario_run import ScenarioRun, Settings
from springbok.support.errors import BenchError, ScenarioError

#: Types of answers.
OK, ERROR = 0, 1
TERMINAL = "springbok-bench"
_RETRY_SECONDS = 1.0
_RUN = "dataflow_run"
# What is told when things change there, which changes nothing here.
_CHANGED = ("properties", "interfaces", "position", "nodes", "connections", "graph", "specification", "metadata")
_NEWS = (
    *(f"{each}_on_change" for each in _CHANGED),
    "frontend_on_connect",
    "viewport_on_center",
    "nodes_on_highlight",
    "terminal_read",
    "button_click",
)


async def connect(host: str, port: int, folder: Path, settings: Settings, tell: Callable[[str], None]) -> None:
    """Be there for the Pipeline Manager that listens at ``host`` and ``port``, again and again, until cancelled.

    Paths in scenarios are relative to ``folder``; ``tell`` gets a sentence when something changes.
    """
    is_waiting = False
    while True:
        try:
            reader, writer = await asyncio.open_connection(host, port)
        except UnicodeError as error:
            raise BenchError(f"'{host:.60}' is no name of a computer: --host NAME.") from error
        except OSError:
            if not is_waiting:
                tell(f"Waiting for Pipeline Manager at {host}:{port} ...")
            is_waiting = True
            await asyncio.sleep(_RETRY_SECONDS)
            continue
        is_waiting = False
        tell(f"Connected to Pipeline Manager at {host}:{port}.")
        application = Application(folder, settings)
        line = Line(reader, writer, application.methods())
        application.line = line
        try:
            await line.serve()
            tell("Pipeline Manager closed the line.")
        except LineBroken as error:
            tell(str(error))
        finally:
            application.close()
        await asyncio.sleep(_RETRY_SECONDS)


class Application:
    """Answers requests, one method each, as Pipeline Manager's API specification has them."""

    def __init__(self, folder: Path, settings: Settings) -> None:
        self.line: Line | None = None
        self._folder, self._settings = folder, settings
        self._run: ScenarioRun | None = None
        self._is_busy = self._is_stopped = False
        self._has_terminal = False

    def methods(self) -> dict[str, Method]:
        """The methods by their names there."""
        own = (
            self.specification_get,
            self.app_capabilities_get,
            self.dataflow_import,
            self.dataflow_validate,
            self.dataflow_run,
            self.dataflow_stop,
            self.dataflow_export,
        )
        return {name: self._ignore for name in _NEWS} | {method.__name__: method for method in own}

    def close(self) -> None:
        """End the run, if there is one."""
        if self._run is not None:
            self._run.__exit__()

    async def specification_get(self) -> dict[str, Any]:
        """The blocks that there are."""
        return {"type": OK, "content": specification()}

    async def app_capabilities_get(self) -> list[dict[str, Any]]:
        """The buttons."""
        return [
            {"name": "Validate", "iconName": "Validate", "procedureName": "dataflow_validate"},
            {"name": "Run", "stopName": "Stop", "iconName": "Run", "procedureName": _RUN}
            | {"allowToRunInParallelWith": ["dataflow_validate"]},
        ]

    async def dataflow_import(
        self,
        external_application_dataflow: str,
        mime: str = "",
        base64: bool = False,  # the protocol's name
    ) -> dict[str, Any]:
        """A scenario's file, JSON or YAML, as a graph."""
        try:
            document = await asyncio.to_thread(_read, external_application_dataflow, base64, mime)
            graph = graph_of(document)
            return {"type": OK, "content": dataflow_of(graph)}
        except ScenarioError as error:
            return _sorry(error)

    async def dataflow_validate(self, dataflow: Any) -> dict[str, Any]:
        """What is wrong with the graph, at which block; or what is to be known of it."""
        try:
            found = await self._examined(dataflow)
        except ScenarioError as error:
            return _sorry(error)
        if found.scenario is None:
            return {"type": ERROR, "content": "\n".join(problem.sentence for problem in found.problems)}
        return {"type": OK, "content": "\n".join(["The scenario can be run.", *found.scenario.notes])}

    async def dataflow_export(self, dataflow: Any) -> dict[str, Any]:
        """The graph as a scenario's file, whatever is wrong with it."""
        try:
            text = document_text(graph_of_dataflow(dataflow).document(), Path("scenario.json"))
        except ScenarioError as error:
            return _sorry(error)
        return {"type": OK, "content": base64_code.b64encode(text.encode()).decode(), "filename": "scenario.json"}

    async def dataflow_run(self, dataflow: Any) -> dict[str, Any]:
        """Run the scenario; its output goes to a terminal there, its progress to the button."""
        if self._is_busy:
            return {"type": ERROR, "content": "A run is under way: stop it, or wait for its end."}
        self._is_busy, self._is_stopped = True, False
        try:
            found = await self._examined(dataflow)
            if found.scenario is None:
                return {"type": ERROR, "content": "\n".join(problem.sentence for problem in found.problems)}
            await self._open_terminal()
            return await self._follow(found.scenario)
        except ScenarioError as error:
            return _sorry(error)
        finally:
            self._is_busy = False

    async def _follow(self, scenario: Scenario) -> dict[str, Any]:
        """Run it, tell what happens, and say how it ended."""
        events: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        loop = asyncio.get_running_loop()

        def heard(event: dict[str, Any]) -> None:
            with contextlib.suppress(RuntimeError):  # the loop has ended
                loop.call_soon_threadsafe(events.put_nowait, event)

        await self._progress(-1)
        if self._is_stopped:
            return {"type": ERROR, "content": "The run was stopped before it began."}
        self._run = ScenarioRun(scenario, self._settings, heard)
        while True:
            event = await events.get()
            if event["event"] == "line":
                await self._write(event["text"])
            elif event["event"] == "progress" and event["percent"] is not None:
                await self._progress(event["percent"])
            elif event["event"] == "ended":
                await self._progress(100)
                where = f"Results: {self._settings.results}"
                content = f"The run has ended: {event['text']}. {where}"
                return {"type": OK if event["status"] == 0 else ERROR, "content": content}

    async def dataflow_stop(self, method: str = _RUN) -> dict[str, Any]:
        """Ask the run to end; a second time, at once."""
        if method != _RUN or not self._is_busy:
            return {"type": ERROR, "content": f"{str(method)[:60]} is not under way."}
        self._is_stopped = True
        if self._run is not None and not self._run.has_ended:
            self._run.stop()
        return {"type": OK, "content": "The run is asked to end."}

    async def _ignore(self, **_: Any) -> dict[str, Any]:
        """News of the editor."""
        return {}

    async def _examined(self, dataflow: Any) -> Examined:
        graph = graph_of_dataflow(dataflow)
        return await asyncio.to_thread(examine, graph, self._folder / "scenario.json", self._settings.engine)

    async def _open_terminal(self) -> None:
        assert self.line is not None
        if not self._has_terminal:
            await self.line.request("terminal_add", {"name": TERMINAL, "readonly": True})
            self._has_terminal = True
        await self.line.request("terminal_show", {"name": TERMINAL})

    async def _write(self, text: str) -> None:
        """A line to the terminal; what would command it is left out."""
        assert self.line is not None
        text = re.sub(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]", "", text)
        await self.line.request("terminal_write", {"name": TERMINAL, "message": text})

    async def _progress(self, percent: float) -> None:
        """Of the run, in per cent; -1 while nobody knows."""
        assert self.line is not None
        await self.line.notify("progress_change", {"method": _RUN, "progress": percent})


def _read(text: Any, is_base64: Any, mime: Any) -> Any:
    """The document in a file that Pipeline Manager sends. Raises ScenarioError."""
    if not isinstance(text, str):
        raise ScenarioError("The file's content must be text.")
    try:
        content = base64_code.b64decode(text, validate=True) if is_base64 else text.encode()
    except (binascii.Error, ValueError) as error:
        raise ScenarioError(f"The file is said to be base64, and is not: {error}.") from error
    is_json = "json" in str(mime) or content.lstrip()[:1] in (b"{", b"[")
    document = parse(content, Path("scenario.json" if is_json else "scenario.yml"))
    if is_dataflow(document):
        raise ScenarioError("This is a graph of Pipeline Manager already: load it as one.")
    return document


def _sorry(error: BenchError) -> dict[str, Any]:
    return {"type": ERROR, "content": str(error)}
