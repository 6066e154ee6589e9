# SPDX-License-Identifier: Apache-2.0
"""Serves the page to this computer's browsers, and to nobody else.

It listens at 127.0.0.1. The first part of every path is a token that only who started it has, and a request must be
made to this address (``Host``) and, if a page makes it, by one of its own (``Origin``): so no other page of the browser
can reach it, by whatever name it calls this computer.
"""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import importlib.util
import logging
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tornado.httpserver import HTTPServer
from tornado.netutil import bind_sockets
from tornado.web import Application, HTTPError, RequestHandler
from tornado.websocket import WebSocketClosedError, WebSocketHandler

from springbok.exploring.scenario_run import Settings
from springbok.exploring.studio.answers import Answers
from springbok.exploring.studio.desk import Desk, parse_message
from springbok.support.errors import BenchError

HOST = "127.0.0.1"
_PAGE = Path(__file__).with_name("page")
_LARGEST_MESSAGE = 4_000_000
_FAREWELL_SECONDS = 5.0  # that an answer under way has, when the studio ends
_TYPES = {".html": "text/html", ".js": "text/javascript", ".css": "text/css"}
_OWN_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "frame-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
# A run's pages are files with all that they need inside; they reach nothing, this server included.
_REPORT_POLICY = (
    "sandbox allow-scripts allow-popups; default-src 'none'; script-src 'unsafe-inline' 'unsafe-eval' data: blob:; "
    "style-src 'unsafe-inline'; img-src data: blob:; font-src data:; frame-ancestors 'self'"
)
_REPORTS = ("report.html", "log.html")


class Server:
    """The page's server. ``port`` 0 takes any that is free.

    >>> server = Server(Desk(Path.cwd(), settings), 0)  # doctest: +SKIP
    >>> asyncio.run(server.serve(print))  # doctest: +SKIP
    """

    def __init__(self, folder: Path, settings: Settings, port: int = 0) -> None:
        self.token = secrets.token_urlsafe(24)
        self.pages: set[Talk] = set()
        self.desk = Desk(folder, settings, self._tell)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._answers = Answers(self.desk.answer)
        self._files = {"": _PAGE / "page.html", **{path.name: path for path in _PAGE.iterdir()}, **editor_files()}
        try:
            self._sockets = bind_sockets(port, HOST)
        except OSError as error:
            raise BenchError(f"Port {port} can't be used: {error.strerror}. Take another one: --port N.") from error
        self.port = self._sockets[0].getsockname()[1]

    @property
    def address(self) -> str:
        """What a browser opens."""
        return f"http://{HOST}:{self.port}/{self.token}/"

    async def serve(self, ready: Callable[[], None]) -> None:
        """Serve until this is cancelled; then end what runs. ``ready`` is called when pages can be loaded."""
        self._loop = asyncio.get_running_loop()
        # Requests are no news for a terminal; what is wrong here is.
        logging.getLogger("tornado.access").setLevel(logging.CRITICAL)
        application = Application(
            [(r"/[^/]*/talk", Talk, {"server": self}), (r"/.*", Files, {"server": self})],
            websocket_max_message_size=_LARGEST_MESSAGE,
            websocket_ping_interval=20,
        )
        http = HTTPServer(application, max_buffer_size=_LARGEST_MESSAGE)
        http.add_sockets(self._sockets)
        try:
            ready()
            await asyncio.Event().wait()
        finally:
            http.stop()
            for page in list(self.pages):
                page.close(1001, "the studio has ended")
            self.close()

    def close(self) -> None:
        """End the run, and everything else. An answer under way has a little time; then it is left behind."""
        for each in self._sockets:
            each.close()
        self.desk.close()
        self._answers.end(_FAREWELL_SECONDS)

    def file(self, name: str) -> Path | None:
        """The file of this name, if it is one of the page's, or a page of the run's results."""
        return self.desk.settings.results / name if name in _REPORTS else self._files.get(name)

    def check(self, request: Any) -> None:
        """Refuse what is not from a page of this server's own. Raises HTTPError."""
        hosts = {f"{HOST}:{self.port}", f"localhost:{self.port}"}
        origin = request.headers.get("Origin")
        if request.host not in hosts or (origin is not None and origin not in {f"http://{host}" for host in hosts}):
            raise HTTPError(403, reason="Not this address")
        given = request.path.split("/")[1]
        if not hmac.compare_digest(given.encode(), self.token.encode()):
            raise HTTPError(403, reason="No token: open the address that was printed")

    async def answer(self, asked: Any) -> dict[str, Any]:
        """The desk's answer, made beside the loop, which goes on to serve; only stopping does not wait its turn."""
        if isinstance(asked, dict) and asked.get("do") == "stop":
            self.desk.stop()
            return {}
        return await self._answers.to(asked)

    def _tell(self, event: dict[str, Any]) -> None:
        """An event for every page, from whichever thread."""
        if self._loop is not None:
            with contextlib.suppress(RuntimeError):  # the loop has ended
                self._loop.call_soon_threadsafe(self._send, event)

    def _send(self, event: dict[str, Any]) -> None:
        for page in list(self.pages):
            page.send(event)


def editor_files() -> dict[str, Path]:
    """React Flow's module and styles, where pip put them, by the names that the page has for them."""
    found = importlib.util.find_spec("panel_reactflow")  # which is not imported: it would want Panel
    if found is None or not found.submodule_search_locations:
        raise BenchError("The package panel-reactflow is missing: python -m pip install --no-deps panel-reactflow")
    folder = Path(found.submodule_search_locations[0]) / "dist"
    return {
        "flow.js": folder / "panel-reactflow.bundle.js",
        "flow.css": folder / "panel-reactflow.bundle.css",
        "flow-nodes.css": folder / "css" / "reactflow.css",
    }


class _Guarded:
    """Handlers of a server, which checks each request of theirs before anything else."""

    def initialize(self, server: Server) -> None:
        self.server = server

    def prepare(self) -> None:
        self.server.check(self.request)


class Files(_Guarded, RequestHandler):
    """The page's files, and those of the run's results."""

    SUPPORTED_METHODS = ("GET",)

    def set_default_headers(self) -> None:
        """Nothing of it is kept, leads elsewhere, or is shown within another page."""
        self.clear_header("Server")
        self.set_header("Cache-Control", "no-store")
        self.set_header("Referrer-Policy", "no-referrer")
        self.set_header("X-Content-Type-Options", "nosniff")
        self.set_header("Content-Security-Policy", _OWN_POLICY)

    def get(self) -> None:
        """The file that the path names."""
        _, _, name = self.request.path[1:].partition("/")
        path = self.server.file(name)
        if path is None or not path.is_file():
            raise HTTPError(404)
        if name in _REPORTS:
            self.set_header("Content-Security-Policy", _REPORT_POLICY)
        self.set_header("Content-Type", f"{_TYPES[path.suffix]}; charset=utf-8")
        self.finish(path.read_bytes())

    def write_error(self, status_code: int, **_: Any) -> None:
        """The reason, in words."""
        self.set_header("Content-Type", "text/plain; charset=utf-8")
        self.finish(f"{status_code}: {self._reason}\n")


class Talk(_Guarded, WebSocketHandler):
    """A page's questions, ``{"number": n, "do": …}``, and their answers with the same number; events between them."""

    def initialize(self, server: Server) -> None:
        """A page's."""
        super().initialize(server)
        self._under_way: set[asyncio.Future[None]] = set()

    def prepare(self) -> None:
        """A browser always says whose page it is."""
        super().prepare()
        if "Origin" not in self.request.headers:
            raise HTTPError(403, reason="No origin")

    def check_origin(self, origin: str) -> bool:
        """It was checked with the request."""
        return bool(origin)

    def open(self, *_: str) -> None:
        """A page that was loaded."""
        self.server.pages.add(self)

    def on_message(self, message: str | bytes) -> None:
        """A question, answered while the next are heard: Tornado reads on when this returns."""
        task = asyncio.ensure_future(self._answer(message))
        self._under_way.add(task)  # the loop itself does not keep it
        task.add_done_callback(self._under_way.discard)

    async def _answer(self, message: str | bytes) -> None:
        number = None
        try:
            asked = parse_message(message)
            number = asked.get("number") if isinstance(asked, dict) else None
            answer = await self.server.answer(asked)
        except BenchError as error:
            answer = {"error": str(error)}
        self.send({**answer, "number": number})

    def on_close(self) -> None:
        """The page was left."""
        self.server.pages.discard(self)

    def send(self, content: dict[str, Any]) -> None:
        """To the page, if it is still there."""
        with contextlib.suppress(WebSocketClosedError):
            self.write_message(content)
