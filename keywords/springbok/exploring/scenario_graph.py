# SPDX-License-Identifier: Apache-2.0
"""A scenario as a graph: blocks with typed ports and parameters, and the connections between them.

What can be drawn comes from ``scenario.schema.json`` alone: `kinds` are its types of blocks, with their parameters. A
scenario file says nothing of connections, they follow from its blocks: `graph_of` draws them, and `examine` tells which
are missing or wrong in a graph that somebody drew. The editor in the browser and Pipeline Manager both use this.

Example::

    graph = graph_of(json.loads(text))
    found = examine(graph, Path("magic_wand.json"))
    print([problem.sentence for problem in found.problems])
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any

from springbok.exploring.scenario import Block, Scenario, map_document
from springbok.exploring.scenario_file import YAML_SUFFIXES
from springbok.exploring.scenario_problems import Problem, schema
from springbok.support import strict_json
from springbok.support.errors import ScenarioError

#: What the blocks are called for people, in the order of the data.
TITLES = {
    "dataset": "Data set",
    "model_wrapper": "Model",
    "optimizers": "Compiler",
    "runtime": "Runtime",
    "protocol": "Protocol",
    "platform": "Platform",
}
#: Each block's inputs and outputs. A port has the type that is its name; an input takes one connection.
INPUTS = {"model_wrapper": ("dataset",), "optimizers": ("model",), "runtime": ("model", "protocol", "platform")}
OUTPUTS = {
    "dataset": ("dataset",),
    "model_wrapper": ("model",),
    "optimizers": ("model",),
    "protocol": ("protocol",),
    "platform": ("platform",),
}
# Columns and rows of the blocks: from left to right, and for narrow pages.
_PLACES = {
    "dataset": (0, 0),
    "model_wrapper": (1, 0),
    "optimizers": (2, 0),
    "runtime": (3, 0),
    "protocol": (2, 1),
    "platform": (2, 2),
}
_NARROW_PLACES = {
    "dataset": (0, 0),
    "model_wrapper": (1, 0),
    "optimizers": (0, 1),
    "runtime": (1, 1),
    "protocol": (0, 2),
    "platform": (1, 2),
}
_WIDTH, _HEIGHT = 335, 250


@dataclass(frozen=True)
class Property:
    """A parameter of a block. ``kind`` is text, integer, number, boolean, choice or list (of text, or of integers).

    A parameter that is not set takes no part in the scenario. ``note`` says why it has no effect here, if so.
    """

    name: str
    kind: str
    choices: tuple[Any, ...] = ()
    of_integers: bool = False
    is_required: bool = False
    description: str = ""
    note: str = ""


@dataclass(frozen=True)
class Kind:
    """A type of block: its place in the scenario, its name, the spellings of the type, and what it takes."""

    block: str
    name: str
    types: tuple[str, ...]
    properties: tuple[Property, ...]

    @property
    def inputs(self) -> tuple[str, ...]:
        """Names, and types, of the ports to the left."""
        return INPUTS.get(self.block, ())

    @property
    def outputs(self) -> tuple[str, ...]:
        """Names, and types, of the ports to the right."""
        return OUTPUTS.get(self.block, ())


@cache
def kinds() -> tuple[Kind, ...]:
    """Every type of block that the schema knows, in the order of the data.

    >>> [kind.name for kind in kinds() if kind.block == "optimizers"]
    ['IREECompiler']
    """
    found = []
    for block in TITLES:
        described = schema()["properties"][block]
        types: dict[str, list[str]] = {}
        for written in described.get("items", described)["properties"]["type"]["examples"]:
            types.setdefault(Block(block, written, {}).name, []).append(written)
        for name, spellings in types.items():
            definition = schema()["$defs"][Block(block, spellings[0], {}).definition]
            found.append(Kind(block, name, tuple(spellings), _properties(definition)))
    return tuple(found)


def _properties(definition: Mapping[str, Any]) -> tuple[Property, ...]:
    required = definition.get("required", ())
    return tuple(_property(name, form, name in required) for name, form in definition["properties"].items())


def _property(name: str, form: Mapping[str, Any], is_required: bool) -> Property:
    form = _resolved(form)
    types = [form["type"]] if isinstance(form.get("type"), str) else list(form.get("type", ()))
    asked = [each for each in types if each != "null"]
    choices: tuple[Any, ...] = ()
    kind = {"string": "text", "array": "list"}.get(asked[0], asked[0]) if asked else "choice"
    if not asked:
        choices = tuple(form.get("enum", [form.get("const")]))
    items = _resolved(form.get("items", {}))
    texts = (form.get("description", ""), form.get("note", ""))
    return Property(name, kind, choices, items.get("type") == "integer", is_required, *texts)


def _resolved(form: Mapping[str, Any]) -> Mapping[str, Any]:
    """A part of the schema with what it refers to, which it may add to."""
    if "$ref" not in form:
        return form
    target: Any = schema()
    for step in form["$ref"].removeprefix("#/").split("/"):
        target = target[step]
    return {**_resolved(target), **form}


@dataclass(frozen=True)
class Node:
    """A block that is drawn: ``key`` is the file's spelling of its place, ``rest`` what else stands in the block."""

    id: str
    key: str
    type: str
    parameters: Mapping[str, Any] = field(default_factory=dict)
    position: tuple[float, float] = (0.0, 0.0)
    rest: Mapping[str, Any] = field(default_factory=dict)

    @property
    def block(self) -> str:
        """Its place, as in `springbok.exploring.scenario.BLOCKS`."""
        return "protocol" if self.key == "runtime_protocol" else self.key

    @property
    def kind(self) -> Kind | None:
        """The kind that it is of; None if its type is unknown."""
        name = self.type.rpartition(".")[2]
        return next((kind for kind in kinds() if kind.block == self.block and kind.name == name), None)

    @property
    def content(self) -> dict[str, Any]:
        """The block as the file has it; parameters that are empty are left out where they may be."""
        is_needed = self.kind is not None and any(known.is_required for known in self.kind.properties)
        parameters = {"parameters": dict(self.parameters)} if self.parameters or is_needed else {}
        return {"type": self.type, **parameters, **self.rest}


@dataclass(frozen=True)
class Connection:
    """From an output of a node to an input of another, each a node's id and a port's name."""

    source: str
    output: str
    target: str
    input: str


@dataclass(frozen=True)
class Graph:
    """A scenario that is drawn. ``others`` is what of its file is no block; it is kept as it is."""

    nodes: tuple[Node, ...]
    connections: tuple[Connection, ...] = ()
    others: Mapping[str, Any] = field(default_factory=dict)

    def document(self) -> dict[str, Any]:
        """The scenario as its file has it. Of blocks that can only be there once the first is taken."""
        found: dict[str, Any] = {}
        taken = set()
        for node in self.nodes:
            if node.block == "optimizers":
                found.setdefault(node.key, []).append(node.content)
            elif node.block not in taken:
                found[node.key] = node.content
            taken.add(node.block)
        return {**found, **{key: value for key, value in self.others.items() if key not in found}}

    def as_json(self) -> dict[str, Any]:
        """As the browser has it; `read_graph` reads it."""
        return {
            "nodes": [
                {"id": node.id, "key": node.key, "type": node.type, "parameters": dict(node.parameters)}
                | {"position": list(node.position), "rest": dict(node.rest)}
                for node in self.nodes
            ],
            "connections": [vars(connection).copy() for connection in self.connections],
            "others": dict(self.others),
        }


@dataclass(frozen=True)
class PlacedProblem:
    """A problem at a node (empty: of the whole) and at one of its parameters (empty: of the block)."""

    sentence: str
    node: str = ""
    parameter: str = ""


@dataclass(frozen=True)
class Examined:
    """What is wrong with a graph, each problem with its place; without any, the scenario that it is."""

    problems: tuple[PlacedProblem, ...]
    scenario: Scenario | None = None


def graph_of(document: Any) -> Graph:
    """The graph of a scenario, however much is wrong in it. Raises ScenarioError if it is no object at all."""
    if not isinstance(document, dict):
        raise ScenarioError(f"This is no scenario: it is {_short(document)}, but must be an object with blocks.")
    try:
        json.dumps(document, allow_nan=False, ensure_ascii=False).encode()
    except (TypeError, ValueError, RecursionError) as error:  # YAML has dates, and more
        raise ScenarioError(f"This is no scenario: it holds what JSON has no form for ({error}).") from error
    nodes: list[Node] = []
    others: dict[str, Any] = {}
    for key, content in document.items():
        blocks = content if isinstance(content, list) and key == "optimizers" else [content]
        block = "protocol" if key == "runtime_protocol" else key
        if block not in TITLES or not blocks or not all(map(_is_block, blocks)):
            others[str(key)] = content
            continue
        nodes += [_node(key, each, number) for number, each in enumerate(blocks)]
    return placed(Graph(tuple(nodes), (), others))


def _is_block(content: Any) -> bool:
    return (
        isinstance(content, dict)
        and isinstance(content.get("type"), str)
        and isinstance(content.get("parameters", {}), dict)
    )


def _node(key: str, content: Mapping[str, Any], number: int) -> Node:
    rest = {name: value for name, value in content.items() if name not in ("type", "parameters")}
    identity = key if not number else f"{key}-{number + 1}"
    return Node(identity, key, content["type"], content.get("parameters", {}), (0.0, 0.0), rest)


def placed(graph: Graph, narrow: bool = False) -> Graph:
    """The graph with its nodes laid out, and the connections that follow from its blocks.

    They lie from left to right; in two columns if the page is ``narrow``.
    """
    numbers: dict[str, int] = {}
    nodes = []
    for node in graph.nodes:
        number = numbers[node.block] = numbers.get(node.block, -1) + 1
        column, row = (_NARROW_PLACES if narrow else _PLACES)[node.block]
        nodes.append(replace(node, position=(float(_WIDTH * column), float(_HEIGHT * (row + 3 * number)))))
    return connected(replace(graph, nodes=tuple(nodes)))


def connected(graph: Graph) -> Graph:
    """The graph with the connections that follow from its blocks, in place of its own."""
    return replace(graph, connections=tuple(_expected(graph.nodes)))


def _expected(nodes: Iterable[Node]) -> list[Connection]:
    """The connections that a scenario of these blocks has."""
    by_block: dict[str, list[str]] = {}
    for node in nodes:
        by_block.setdefault(node.block, []).append(node.id)
    path = [(each, "model") for block in ("model_wrapper", "optimizers", "runtime") for each in by_block.get(block, ())]
    pairs = [(source, target, port) for (source, port), (target, _) in zip(path, path[1:], strict=False)]
    pairs += [
        (source, target, port)
        for source_block, target_block, port in (
            ("dataset", "model_wrapper", "dataset"),
            ("protocol", "runtime", "protocol"),
            ("platform", "runtime", "platform"),
        )
        for source, target in zip(by_block.get(source_block, ()), by_block.get(target_block, ()), strict=False)
    ]
    return [Connection(source, port, target, port) for source, target, port in pairs]


def examine(graph: Graph, path: Path, engine: str = "auto", port: str | None = None) -> Examined:
    """What is wrong with the graph, if it were saved as the file ``path``: as `map_document` says, and how it is drawn.

    >>> found = examine(Graph((Node("dataset", "dataset", "springbok.datasets.watch"),)), Path("scenario.json"))
    >>> found.problems[0].sentence
    "the file: 'model_wrapper' is missing"
    """
    problems = _drawing_problems(graph)
    scenario = None
    try:
        document = graph.document()
        digest = hashlib.sha256(_written(document, path).encode("utf-8", "surrogatepass")).hexdigest()
        scenario = map_document(document, path, digest, engine, port)
    except ScenarioError as error:
        problems = [*(_placed(graph, problem) for problem in error.problems), *problems]
    return Examined(tuple(problems), None if problems else scenario)


def _placed(graph: Graph, problem: Problem) -> PlacedProblem:
    of_block = [node.id for node in graph.nodes if node.block == problem.block]
    node = of_block[min(problem.number, len(of_block) - 1)] if of_block else ""
    return PlacedProblem(problem.sentence, node, problem.parameter)


def _drawing_problems(graph: Graph) -> list[PlacedProblem]:
    """Blocks that are there twice, and connections that are missing, or are not those of a scenario."""
    problems = []
    first: dict[str, Node] = {}
    for node in graph.nodes:
        if node.block != "optimizers" and first.setdefault(node.block, node) is not node:
            sentence = f"there is another {TITLES[node.block].lower()}, but a scenario has one: keep one of them"
            problems.append(PlacedProblem(f"{node.key}: {sentence}", node.id))
    if problems:
        return problems
    expected, drawn = set(_expected(graph.nodes)), set(graph.connections)
    by_id = {node.id: node for node in graph.nodes}
    for missing in sorted(expected - drawn, key=_order):
        source = by_id[missing.source].key
        sentence = f"{by_id[missing.target].key}: its input {missing.input} is not connected to the {source}"
        problems.append(PlacedProblem(sentence, missing.target))
    for wrong in sorted(drawn - expected, key=_order):
        ends = f"{by_id[wrong.source].key} and {by_id[wrong.target].key}"
        sentence = f"{by_id[wrong.target].key}: {ends} are connected, but the path of a model leads through every block"
        problems.append(PlacedProblem(sentence, wrong.target))
    return problems


def _order(connection: Connection) -> tuple[str, ...]:
    return (connection.source, connection.output, connection.target, connection.input)


# Graphs from outside


def read_graph(content: Any) -> Graph:
    """The graph of `Graph.as_json`. Raises ScenarioError for what is none."""
    try:
        nodes = tuple(
            Node(
                _text(each["id"]),
                _text(each["key"]),
                _text(each["type"]),
                _mapping(each["parameters"]),
                place_of(each.get("position", (0, 0))),
                _mapping(each.get("rest", {})),
            )
            for each in content["nodes"]
        )
        ends = ("source", "output", "target", "input")
        connections = tuple(Connection(*(_text(each[end]) for end in ends)) for each in content["connections"])
        others = _mapping(content.get("others", {}))
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        raise ScenarioError(f"This is no graph of a scenario: {lacking(error)}.") from error
    return checked(Graph(nodes, connections, others))


def lacking(error: Exception) -> str:
    """What is wrong with a graph that could not be taken apart, in words."""
    return f"it lacks {error}" if isinstance(error, LookupError) else "a part of it is of another kind"


def checked(graph: Graph) -> Graph:
    """The graph, if its blocks are such of a scenario and its connections join ports of theirs. Else ScenarioError."""
    ids = [node.id for node in graph.nodes]
    doubled = sorted({each for each in ids if ids.count(each) > 1})
    if doubled:
        raise ScenarioError(f"This is no graph of a scenario: two blocks are called {doubled[0]}.")
    by_id = {node.id: node for node in graph.nodes}
    for node in graph.nodes:
        if node.block not in TITLES:
            raise ScenarioError(f"A scenario has no block {_short(node.key)}; its blocks are {', '.join(TITLES)}.")
    for each in graph.connections:
        source, target = by_id.get(each.source), by_id.get(each.target)
        if source is None or target is None:
            raise ScenarioError(f"A connection joins {_short(each.source)} and {_short(each.target)}: one is no block.")
        if each.output not in OUTPUTS.get(source.block, ()) or each.input not in INPUTS.get(target.block, ()):
            raise ScenarioError(
                f"A connection joins {source.key}.{_short(each.output)} and {target.key}.{_short(each.input)}: "
                "there is no such port."
            )
        if each.output != each.input:
            raise ScenarioError(f"{source.key} gives a {each.output}, but {target.key} takes a {each.input} there.")
    return graph


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{_short(value)} must be text")
    return value


def _mapping(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise TypeError(f"{_short(value)} must be an object")
    return value


def place_of(value: Sequence[Any]) -> tuple[float, float]:
    """Where a block is, across and down. Raises ValueError or TypeError for what is no place."""
    try:
        across, down = map(float, value)
    except OverflowError:
        across = down = math.inf
    if not (math.isfinite(across) and math.isfinite(down)):
        raise ValueError(f"{_short(value)} is no place")
    return across, down


def _short(value: Any) -> str:
    """A value from outside in a sentence."""
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= 60 else f"{text[:57]}..."


def document_text(document: Mapping[str, Any], path: Path) -> str:
    """The scenario as the text of a file that is called so: YAML or JSON.

    Raises ScenarioError for what could not be opened again: halves of characters, numbers that are too large or none.

    >>> document_text({"dataset": {"type": "springbok.datasets.watch"}}, Path("a.yml"))
    'dataset:\\n  type: springbok.datasets.watch\\n'
    """
    try:
        strict_json.parse(json.dumps(document, default=str))  # YAML has dates too
    except ValueError as error:
        raise ScenarioError(f"The scenario could not be opened again: {error}.") from error
    return _written(document, path)


def _written(document: Mapping[str, Any], path: Path) -> str:
    if path.suffix.lower() in YAML_SUFFIXES:
        import yaml

        text = yaml.safe_dump(dict(document), sort_keys=False, allow_unicode=True)
        # PyYAML writes some line ends as they are, and reads them as spaces.
        return text if yaml.safe_load(text) == document else yaml.safe_dump(dict(document), sort_keys=False)
    return json.dumps(document, indent=4, ensure_ascii=False) + "\n"
