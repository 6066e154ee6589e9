# SPDX-License-Identifier: Apache-2.0
"""Files that are downloaded once: bounded in time and size, held against their checksum, never kept in part."""

from __future__ import annotations

import hashlib
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from http.client import HTTPException
from pathlib import Path

from springbok.support.errors import DatasetError
from springbok.support.files import StorageError, write_in_one_step

_MAX_DOWNLOAD_BYTES = 64 << 20
_CHUNK_BYTES = 64 << 10
_STALL_SECONDS = 30.0  # longest wait for the next bytes of a download
_DOWNLOAD_SECONDS = 300.0  # and for all of it


def download_once(
    url: str, sha256: str | None, target: Path, advice: str, progress: Callable[[int, int], None] | None = None
) -> Path:
    """Return ``target``; unless it is there and good, download it. A partial file is never left to be used.

    ``sha256`` is what it must have, None to take any; ``progress`` is called with (bytes so far, bytes in all or 0 when
    unknown). Raises DatasetError that ends with ``advice``.
    """
    if target.exists() and (sha256 is None or hashlib.sha256(target.read_bytes()).hexdigest() == sha256):
        return target
    try:
        content = _fetch(url, progress)
    except (urllib.error.URLError, HTTPException, OSError, ValueError) as error:
        if isinstance(error, urllib.error.HTTPError):
            error.close()  # it holds the connection
        raise DatasetError(f"{url} can't be downloaded: {getattr(error, 'reason', error)}. {advice}") from error
    actual = hashlib.sha256(content).hexdigest()
    if sha256 not in (None, actual):
        raise DatasetError(
            f"{url} gave another file ({len(content)} bytes) than expected: its sha256 is {actual}, "
            f"expected {sha256}. {advice}"
        )
    try:
        write_in_one_step(target, content)
    except StorageError as error:
        raise DatasetError(f"The download can't be kept in {target.parent}: {error}") from error
    return target


def _fetch(url: str, progress: Callable[[int, int], None] | None) -> bytes:
    """Return what the URL holds. Bounded in time (each read, and in all) and size."""
    deadline = time.monotonic() + _DOWNLOAD_SECONDS
    content = bytearray()
    with urllib.request.urlopen(url, timeout=_STALL_SECONDS) as response:
        total = int(response.headers.get("Content-Length") or 0)
        while chunk := response.read1(_CHUNK_BYTES):
            content += chunk
            if progress:
                progress(len(content), total)
            if len(content) > _MAX_DOWNLOAD_BYTES:
                raise OSError(f"more than {_MAX_DOWNLOAD_BYTES} bytes came")
            if time.monotonic() > deadline:
                raise TimeoutError(f"not complete after {_DOWNLOAD_SECONDS:g} s ({len(content)} bytes came)")
    if total and len(content) != total:
        raise OSError(f"truncated, {len(content)} of {total} bytes came")
    return bytes(content)
