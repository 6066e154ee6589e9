# SPDX-License-Identifier: Apache-2.0
"""Pipeline Manager's line to an external application: JSON-RPC 2.0 messages over TCP, each after its length.

As https://antmicro.github.io/kenning-pipeline-manager/external-app-communication.html says: four bytes, big-endian and
unsigned, say how many bytes of JSON follow. Pipeline Manager listens; the application connects to it and is asked.

Pipeline Manager puts the session of the browser that asks (``sid``) around parameters, results and errors:
``"params": {"sid": …, "params": {…}}``. An answer goes to the session that asked, anything else to the one that asked
last.
"""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import itertools
import json
import math
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from springbok.support.errors import BenchError

#: Messages that say that they are longer are refused: the largest graph is a small part of it.
LARGEST_MESSAGE = 16_000_000
PARSE_ERROR, INVALID_REQUEST, METHOD_NOT_FOUND, INVALID_PARAMS = -32700, -32600, -32601, -32602
#: Pipeline Manager's own code for a method that failed.
EXCEPTION_RAISED = -1
_ABSENT = object()

Method = Callable[..., Awaitable[Any]]


class LineBroken(BenchError):
    """What comes over the line can't be read any further."""


class Line:
    """One connection: answers what is asked by ``methods``, and tells what happens.

    ``methods`` are coroutine functions by the names that Pipeline Manager has for them; their arguments are its
    parameters. Several requests may be under way at once.
    """

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, methods: Mapping[str, Method]
    ) -> None:
        self._reader, self._writer, self._methods = reader, writer, methods
        self._numbers = itertools.count(1)
        self._session: str | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def serve(self) -> None:
        """Answer until the other end closes the line. Raises LineBroken for a line that makes no sense any more."""
        try:
            while (content := await self._receive()) is not None:
                task = asyncio.create_task(self._take(content))
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)
        finally:
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)
            self._writer.close()
            with contextlib.suppress(OSError):
                await self._writer.wait_closed()

    async def notify(self, method: str, params: Mapping[str, Any]) -> None:
        """Tell Pipeline Manager something; it gives no answer."""
        await self._send({"jsonrpc": "2.0", "method": method, "params": _wrapped("params", params, self._session)})

    async def request(self, method: str, params: Mapping[str, Any]) -> None:
        """Ask Pipeline Manager to do something, without waiting for its answer."""
        params = _wrapped("params", params, self._session)
        await self._send({"jsonrpc": "2.0", "id": next(self._numbers), "method": method, "params": params})

    async def _receive(self) -> bytes | None:
        """The next message's bytes; None at the line's end. Raises LineBroken."""
        try:
            head = await self._reader.readexactly(4)
            size = int.from_bytes(head, "big")
            if size > LARGEST_MESSAGE:
                raise LineBroken(
                    f"Pipeline Manager announces a message of {size:,} bytes; no more than {LARGEST_MESSAGE:,} are "
                    "taken. Is that port really Pipeline Manager's for external applications (9000 by default)?"
                )
            return await self._reader.readexactly(size)
        except asyncio.IncompleteReadError as error:
            if error.partial or error.expected != 4:
                raise LineBroken("Pipeline Manager closed the line within a message.") from error
            return None
        except OSError as error:
            raise LineBroken(f"The line to Pipeline Manager broke: {error.strerror or error}.") from error

    async def _send(self, content: Any) -> None:
        data = json.dumps(content, ensure_ascii=False).encode("utf-8", "replace")
        with contextlib.suppress(OSError):  # `serve` says that the line is broken
            self._writer.write(len(data).to_bytes(4, "big") + data)
            await self._writer.drain()

    async def _take(self, content: bytes) -> None:
        """Answer a message, if it asks for an answer."""
        try:
            message = json.loads(content)
        except (ValueError, RecursionError):
            await self._send(_failed(None, None, PARSE_ERROR, "The message is no JSON."))
            return
        if isinstance(message, dict) and "method" not in message and ("result" in message or "error" in message):
            return  # an answer to what was asked of Pipeline Manager
        if isinstance(message, list) and message:
            answers = [answer for each in message if (answer := await self._answer(each)) is not None]
            if answers:
                await self._send(answers)
            return
        answer = await self._answer(message)
        if answer is not None:
            await self._send(answer)

    async def _answer(self, message: Any) -> dict[str, Any] | None:
        """The answer to a request; None to a notification."""
        is_request = isinstance(message, dict) and isinstance(message.get("method"), str)
        if not is_request or not _is_id(message.get("id")):
            return _failed(None, None, INVALID_REQUEST, "The message is no request of JSON-RPC 2.0.")
        identity = message.get("id", _ABSENT)
        session, params = _unwrapped(message.get("params"))
        self._session = session or self._session
        try:
            result = await self._call(message["method"], params)
        except RequestFailed as error:
            answer = _failed(identity, session, error.code, str(error))
        else:
            answer = {"jsonrpc": "2.0", "id": identity, "result": _wrapped("result", result, session)}
        return None if identity is _ABSENT else answer

    async def _call(self, name: str, params: Any) -> Any:
        """What a method returns. Raises RequestFailed."""
        method = self._methods.get(name)
        if method is None:
            raise RequestFailed(METHOD_NOT_FOUND, f"There is no method {name[:60]!r}.")
        if not isinstance(params, dict):
            raise RequestFailed(INVALID_PARAMS, f"{name}: its parameters must be an object.")
        try:
            inspect.signature(method).bind(**params)
        except TypeError as error:
            raise RequestFailed(INVALID_PARAMS, f"{name}: {error}.") from error
        try:
            return await method(**params)
        except BenchError as error:
            raise RequestFailed(EXCEPTION_RAISED, str(error)) from error
        except Exception as error:  # whoever asks waits for an answer
            raise RequestFailed(EXCEPTION_RAISED, f"{name} failed: {error!r}.") from error


class RequestFailed(Exception):
    """A request that is answered with an error."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code


def _is_id(identity: Any) -> bool:
    """Numbers that are none can be read, but not be said again."""
    if isinstance(identity, bool) or (isinstance(identity, float) and not math.isfinite(identity)):
        return False
    return isinstance(identity, str | int | float | None)


def _failed(identity: Any, session: str | None, code: int, message: str) -> dict[str, Any]:
    error = _wrapped("error", {"code": code, "message": message}, session)
    return {"jsonrpc": "2.0", "id": None if identity is _ABSENT else identity, "error": error}


def _wrapped(key: str, content: Any, session: str | None) -> Any:
    """What is said with the session that it is for around it.

    >>> _wrapped("result", {"type": 0}, "a")
    {'sid': 'a', 'result': {'type': 0}}
    """
    return content if session is None else {"sid": session, key: content}


def _unwrapped(params: Any) -> tuple[str | None, Any]:
    """The session, if one is named, and the parameters; none are an empty object.

    >>> _unwrapped({"sid": "a", "params": {"dataflow": {}}})
    ('a', {'dataflow': {}})
    """
    session = None
    if isinstance(params, dict) and isinstance(params.get("sid"), str) and set(params) <= {"sid", "params"}:
        session, params = params["sid"], params.get("params")
    return session, {} if params is None else params
