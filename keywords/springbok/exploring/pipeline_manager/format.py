# SPDX-License-Identifier: Apache-2.0
"""Pipeline Manager's files: the specification of the blocks, and scenarios as its graphs (dataflows).

As https://antmicro.github.io/kenning-pipeline-manager/ describes them (specification format, dataflow format).

A property of a node there always has a value, so one that a scenario leaves out has an empty one: no text, no list, and
`NOT_SET` of a choice. What a scenario has goes there and back unchanged, its order, its spellings of types and what is
wrong in it included; what Pipeline Manager has no place for is in the graph's ``additionalData``.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from springbok.exploring.scenario_graph import (
    TITLES,
    Connection,
    Graph,
    Kind,
    Node,
    Property,
    checked,
    kinds,
    lacking,
    place_of,
)
from springbok.support import strict_json
from springbok.support.errors import ScenarioError

#: Of the formats of the specification and of graphs.
VERSION = "20250623.14"
NOT_SET = "not set"
_TYPE = "type"
# Of connections, by the type of port: legible on a dark and on a light ground.
_COLOURS = {"dataset": "#1f78b4", "model": "#b15928", "protocol": "#6a3d9a", "platform": "#33a02c"}


def specification() -> dict[str, Any]:
    """Every kind of block with its properties and interfaces."""
    return {
        "version": VERSION,
        "metadata": {
            "interfaces": {name: {"interfaceColor": colour} for name, colour in _COLOURS.items()},
            "allowLoopbacks": False,
            "twoColumn": True,
            "layout": "CytoscapeEngine - dagre",
            "movementStep": 15,
            "collapseSidebar": False,
            "newGraphNode": False,
            "toggleableEditableTypes": False,
        },
        "nodes": [_described(kind) for kind in kinds()],
    }


def _described(kind: Kind) -> dict[str, Any]:
    interfaces = [
        {"name": name, "type": name, "direction": "input", "maxConnectionsCount": 1} for name in kind.inputs
    ] + [{"name": name, "type": name, "direction": "output", "maxConnectionsCount": 0} for name in kind.outputs]
    spellings = {"name": _TYPE, "type": "select", "values": list(kind.types), "default": kind.types[0]}
    spellings |= {"description": "The type as the scenario's file has it."}
    properties = [spellings, *map(_described_property, kind.properties)]
    return {
        "name": kind.name,
        "layer": kind.block,
        "category": TITLES[kind.block],
        "interfaces": interfaces,
        "properties": properties,
    }


def _described_property(known: Property) -> dict[str, Any]:
    text = ". ".join(filter(None, (known.description.rstrip("."), known.note and f"No effect here: {known.note}")))
    described = {"name": known.name, "description": text}
    if known.kind == "list":
        return {**described, "type": "list", "dtype": "integer" if known.of_integers else "string", "default": []}
    if known.kind in ("choice", "boolean"):
        values = [NOT_SET, *map(_label, _choices(known))]
        return {**described, "type": "select", "values": values, "default": NOT_SET}
    return {**described, "type": "text", "default": ""}


def _choices(known: Property) -> tuple[Any, ...]:
    return (True, False) if known.kind == "boolean" else known.choices


def _label(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


# Graphs


def dataflow_of(graph: Graph, name: str = "scenario") -> dict[str, Any]:
    """The scenario as a file that Pipeline Manager opens. Raises ScenarioError for a block that it can't show."""
    unknown = [f"{node.key}: {node.type}" for node in graph.nodes if node.kind is None]
    if unknown:
        raise ScenarioError(f"There is no block for {', '.join(unknown)}; known: {_known_names()}.")
    drawn = {
        "id": "scenario",
        "name": name,
        "nodes": [_node_there(node) for node in graph.nodes],
        "connections": [
            {
                "id": f"{each.source}.{each.output}-{each.target}.{each.input}",
                "from": _interface(each.source, "output", each.output),
                "to": _interface(each.target, "input", each.input),
            }
            for each in graph.connections
        ],
        "additionalData": {
            "springbok": {
                "others": dict(graph.others),
                "order": [node.id for node in graph.nodes],
                "keys": {node.id: node.key for node in graph.nodes},
                "rest": {node.id: dict(node.rest) for node in graph.nodes if node.rest},
                "parameters": {node.id: dict(node.parameters) for node in graph.nodes},
            }
        },
    }
    return {"version": VERSION, "entryGraph": "scenario", "graphs": [drawn]}


def _known_names() -> str:
    return ", ".join(kind.name for kind in kinds())


def _interface(node: str, direction: str, port: str) -> str:
    return f"{node}.{direction}.{port}"


def _node_there(node: Node) -> dict[str, Any]:
    kind = node.kind
    assert kind is not None
    ports = [("input", port) for port in kind.inputs] + [("output", port) for port in kind.outputs]
    shown = {_TYPE: node.type} | {
        known.name: _shown(known, node.parameters.get(known.name)) for known in kind.properties
    }
    return {
        "id": node.id,
        "name": kind.name,
        "position": {"x": node.position[0], "y": node.position[1]},
        "width": 300,
        "interfaces": [
            {"id": _interface(node.id, direction, port), "name": port, "direction": direction}
            for direction, port in ports
        ],
        "properties": [{"id": f"{node.id}.{name}", "name": name, "value": value} for name, value in shown.items()],
    }


def _shown(known: Property, value: Any) -> Any:
    """A parameter's value as Pipeline Manager's property has it."""
    if value is None and not (known.kind == "choice" and None in known.choices):
        return {"list": [], "text": "", "integer": "", "number": ""}.get(known.kind, NOT_SET)
    if known.kind == "list":
        return value if isinstance(value, list) else [_label(value)]
    return _label(value)


def _meant(known: Property | None, shown: Any) -> Any:
    """The parameter's value that a property's stands for; None if it is not set."""
    if shown in ("", [], NOT_SET, None):
        return None
    if known is None or not isinstance(shown, str):
        return shown
    if known.kind in ("choice", "boolean"):
        return next((choice for choice in _choices(known) if _label(choice) == shown), shown)
    if known.kind in ("integer", "number"):
        try:
            number = strict_json.parse(shown)
        except ValueError:
            return shown
        return number if isinstance(number, int | float) and not isinstance(number, bool) else shown
    return shown


def graph_of_dataflow(dataflow: Any) -> Graph:
    """The scenario that a graph of Pipeline Manager is. Raises ScenarioError that says what it can't be."""
    try:
        graphs = dataflow["graphs"]
        if len(graphs) != 1:
            raise ScenarioError(f"The file has {len(graphs)} graphs, but a scenario is one without graphs inside it.")
        drawn = graphs[0]
        kept = _kept(drawn)
        nodes, interfaces = [], {}
        for each in drawn["nodes"]:
            node = _node_here(each, kept)
            nodes.append(node)
            for port in each["interfaces"]:
                interfaces[port["id"]] = (node.id, port["name"], port["direction"])
        connections = [_connection(each, interfaces) for each in drawn["connections"]]
        order = {identity: number for number, identity in enumerate(kept["order"])}
    except (LookupError, TypeError, AttributeError, ValueError) as error:
        raise ScenarioError(f"This is no graph of Pipeline Manager {VERSION}: {lacking(error)}.") from error
    nodes.sort(key=lambda node: order.get(node.id, len(order)))
    return checked(Graph(tuple(nodes), tuple(connections), kept["others"]))


def _kept(drawn: Mapping[str, Any]) -> dict[str, Any]:
    """What this project put beside the graph, as far as it is still there."""
    data = drawn.get("additionalData")
    given = data.get("springbok") if isinstance(data, dict) else None
    given = given if isinstance(given, dict) else {}
    kept: dict[str, Any] = {"others": {}, "order": [], "keys": {}, "rest": {}, "parameters": {}}
    return {name: given[name] if isinstance(given.get(name), type(empty)) else empty for name, empty in kept.items()}


def _node_here(each: Mapping[str, Any], kept: Mapping[str, Any]) -> Node:
    kind = next((kind for kind in kinds() if kind.name == each["name"]), None)
    if kind is None:
        raise ScenarioError(f"There is no block {each['name']!r}; known: {_known_names()}.")
    identity = str(each.get("id") or each["name"])
    shown = {entry["name"]: entry["value"] for entry in each.get("properties", ())}
    written = str(shown.pop(_TYPE, None) or kind.types[0])
    before = kept["parameters"].get(identity)
    before = before if isinstance(before, dict) else {}
    known = {known.name: known for known in kind.properties}
    parameters = {}
    for name in [*before, *(name for name in shown if name not in before)]:
        if name not in known:
            parameters[name] = before.get(name, shown.get(name))
            continue
        unchanged = name in before and (name not in shown or _shown(known[name], before[name]) == shown[name])
        value = before[name] if unchanged else _meant(known[name], shown[name])
        if value is not None or unchanged:
            parameters[name] = value
    place = each.get("position", {"x": 0, "y": 0})
    key = kept["keys"].get(identity, kind.block)
    node = Node(identity, key if isinstance(key, str) else kind.block, written, parameters)
    if node.block != kind.block:
        node = replace(node, key=kind.block)
    rest = kept["rest"].get(identity)
    node = replace(node, rest=rest if isinstance(rest, dict) else {})
    return replace(node, position=place_of((place["x"], place["y"])))


def _connection(each: Mapping[str, Any], interfaces: Mapping[str, tuple[str, str, str]]) -> Connection:
    """A connection, which may have been drawn from either end."""
    ends = [interfaces[each["from"]], interfaces[each["to"]]]
    if ends[0][2] == "input":
        ends.reverse()
    (source, output, _), (target, port, _) = ends
    return Connection(source, output, target, port)


def is_dataflow(document: Any) -> bool:
    """Whether a file is a graph of Pipeline Manager, and no scenario."""
    return isinstance(document, dict) and isinstance(document.get("graphs"), list)
