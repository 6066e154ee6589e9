# SPDX-License-Identifier: Apache-2.0
"""Scenario files as documents: JSON, or YAML, which has to say as little that can be misread.

Example::

    document = parse(read_content(path), path)
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from springbok.support import strict_json
from springbok.support.errors import ScenarioError

if TYPE_CHECKING:
    import yaml

YAML_SUFFIXES = (".yml", ".yaml")
#: Bytes of a file; real ones have some thousand.
LARGEST_FILE = 1_000_000
#: Of a scenario's document; real ones have some hundred values, six deep.
_MOST_VALUES, _MOST_DEPTH = 100_000, 60


def read_content(path: Path) -> bytes:
    """What is in the file, as far as `parse` looks at it. Raises ScenarioError that says why it can't be read."""
    try:
        with path.open("rb") as file:
            return file.read(LARGEST_FILE + 1)
    except OSError as error:
        raise ScenarioError(f"The scenario {str(path):.200} can't be read: {error.strerror}.") from error


def parse(content: bytes, path: Path) -> Any:
    """The document that is in a file: YAML when the file is named so, else JSON. Raises ScenarioError."""
    is_yaml = path.suffix.lower() in YAML_SUFFIXES
    if len(content) > LARGEST_FILE:
        raise ScenarioError(f"{path} is larger than any scenario: no more than {LARGEST_FILE:,} bytes are taken.")
    try:
        text = content.decode("utf-8-sig")
        document = _parse_yaml(text) if is_yaml else strict_json.parse(text)
    except ValueError as error:
        raise ScenarioError(f"{path} is not {'YAML' if is_yaml else 'JSON'}: {error}.") from error
    return _bounded(document, path)


def _parse_yaml(text: str) -> Any:
    """What YAML's text says. Raises ValueError, for what JSON would not say twice or at all too."""
    import yaml

    loader = None
    try:
        loader = yaml.SafeLoader(text)
        node = loader.get_single_node()
        _examine(node)
        return None if node is None else loader.construct_document(node)
    except RecursionError:
        raise ValueError("its values are nested too deeply") from None
    except UnicodeEncodeError:
        raise ValueError("a text in it holds half a character") from None
    except yaml.YAMLError as error:
        raise ValueError(f"{error}".rstrip(".")) from error
    except (LookupError, AttributeError, TypeError) as error:
        raise ValueError("a value in it is not of the kind that its tag (!!) says") from error
    finally:
        if loader is not None:
            loader.dispose()


def _examine(root: yaml.Node | None) -> None:
    """Refuse a key that is there twice, of which YAML's reader would keep the last, and text that no file can hold."""
    left, seen = [root], set()
    while left:
        node = left.pop()
        if node is None or id(node) in seen:  # an alias
            continue
        seen.add(id(node))
        if isinstance(node.value, str):
            node.value.encode()
        elif node.value and isinstance(node.value[0], tuple):
            _refuse_doubled([key.value for key, _ in node.value if isinstance(key.value, str)])
            left += [part for pair in node.value for part in pair]
        else:
            left += node.value


def _bounded(document: Any, path: Path) -> Any:
    """The document, if it is small enough to be looked through: aliases of YAML can make it endless."""
    left, seen = [(document, 0)], 0
    while left:
        value, depth = left.pop()
        seen += 1
        if seen > _MOST_VALUES or depth > _MOST_DEPTH:
            raise ScenarioError(
                f"The scenario {path} is too large: it holds more than {_MOST_VALUES:,} values, or values in values "
                f"more than {_MOST_DEPTH} deep. Aliases (*name) that refer to each other can make it so."
            )
        if isinstance(value, dict | list):
            parts = value.values() if isinstance(value, dict) else value
            left += [(part, depth + 1) for part in parts]
    return document


def _refuse_doubled(keys: list[str]) -> None:
    seen = set()
    for key in keys:
        if key in seen:
            raise ValueError(f"the key '{key:.60}' is there twice in one object")
        seen.add(key)
