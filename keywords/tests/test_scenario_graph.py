# SPDX-License-Identifier: Apache-2.0
"""Scenarios as graphs, here and in Pipeline Manager: nothing is lost, and problems are where they belong."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from springbok.exploring.pipeline_manager.format import VERSION, dataflow_of, graph_of_dataflow, specification
from springbok.exploring.scenario_file import parse
from springbok.exploring.scenario_graph import (
    INPUTS,
    OUTPUTS,
    Connection,
    Graph,
    document_text,
    examine,
    graph_of,
    kinds,
    placed,
    read_graph,
)
from springbok.exploring.scenario_problems import schema
from springbok.support.errors import ScenarioError
from springbok.support.places import MODELS

SCENARIOS = Path(__file__).parent / "scenarios"
SEED = SCENARIOS / "seed.json"


def seed():
    return json.loads(SEED.read_text())


def draw(document, path=SEED):
    graph = graph_of(document)
    return graph, examine(graph, path)


def places(found):
    return [(problem.node, problem.parameter) for problem in found.problems]


def test_the_seed_is_five_connected_blocks_without_a_problem():
    graph, found = draw(seed())
    assert [node.id for node in graph.nodes] == list(seed())
    assert [(each.source, each.target) for each in graph.connections] == [
        ("model_wrapper", "optimizers"),
        ("optimizers", "runtime"),
        ("dataset", "model_wrapper"),
        ("runtime_protocol", "runtime"),
    ]
    assert found.problems == ()
    assert found.scenario.model.name == "magic_wand.h5"
    assert len({node.position for node in graph.nodes}) == 5


def test_every_type_and_parameter_of_the_schema_can_be_drawn():
    for kind in kinds():
        names = {each.rpartition(".")[2] for each in kind.types}
        assert names == {kind.name}
        assert set(kind.inputs) | set(kind.outputs)
        for known in kind.properties:
            assert known.kind in ("text", "integer", "number", "boolean", "choice", "list"), known
            assert known.kind != "choice" or known.choices
    definitions = {name for name in schema()["$defs"] if name[0].isupper()}
    drawn = {len(kind.properties) for kind in kinds()}
    assert drawn >= {len(schema()["$defs"][name]["properties"]) for name in definitions}
    assert {port for ports in INPUTS.values() for port in ports} == {
        port for ports in OUTPUTS.values() for port in ports
    }


@pytest.mark.parametrize(
    ("change", "place", "says"),
    [
        (lambda s: s["dataset"].update(type="MagicWandDatset"), ("dataset", ""), "did you mean"),
        (lambda s: s["dataset"]["parameters"].update(window=3), ("dataset", "window"), "'window' is unknown"),
        (lambda s: s["model_wrapper"].update(parameters={}), ("model_wrapper", "model_path"), "is missing"),
        (
            lambda s: s["model_wrapper"]["parameters"].update(model_path="no.h5"),
            ("model_wrapper", "model_path"),
            "no.h5",
        ),
        (
            lambda s: s["optimizers"][0]["parameters"].update(compiler_args=["iree-nonsense=1"]),
            ("optimizers", "compiler_args"),
            "has no flag",
        ),
        (
            lambda s: s["runtime_protocol"]["parameters"].update(baudrate="fast"),
            ("runtime_protocol", "baudrate"),
            "must be of type integer",
        ),
        (lambda s: s.pop("model_wrapper"), ("", ""), "'model_wrapper' is missing"),
        (lambda s: s.update(accuracy=3), ("", ""), "'accuracy' is unknown"),
        (lambda s: s.update(runtime=None), ("", ""), "runtime is null"),
    ],
)
def test_a_problem_is_at_its_block_and_parameter(change, place, says):
    document = seed()
    change(document)
    _, found = draw(document)
    assert place in places(found)
    assert says in " ".join(problem.sentence for problem in found.problems)


def test_two_blocks_of_a_kind_and_wrong_connections_are_problems():
    graph = graph_of(seed())
    second = replace(graph.nodes[0], id="dataset-2")
    found = examine(replace(graph, nodes=(*graph.nodes, second)), SEED)
    assert places(found) == [("dataset-2", "")]
    past = Connection("model_wrapper", "model", "runtime", "model")
    rest = tuple(each for each in graph.connections if each.target not in ("runtime", "optimizers"))
    found = examine(replace(graph, connections=(*rest, past)), SEED)
    sentences = " ".join(problem.sentence for problem in found.problems)
    assert "optimizers: its input model is not connected to the model_wrapper" in sentences
    assert "leads through every block" in sentences
    assert found.scenario is None


INTEGERS = st.integers(-(2**63), 2**63 - 1)
JSON = st.recursive(
    st.none() | st.booleans() | INTEGERS | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=8,
)
KEYS = st.sampled_from([*schema()["properties"], "other"])


@st.composite
def documents(draw):
    """Scenarios with blocks of known kinds, with any values, and with what is no block at all."""
    found = {}
    for key in draw(st.lists(KEYS, unique=True, max_size=5)):
        block = "protocol" if key == "runtime_protocol" else key
        fitting = [kind for kind in kinds() if kind.block == block]
        if not fitting or draw(st.integers(0, 5)) == 0:
            found[key] = draw(JSON)
            continue
        kind = draw(st.sampled_from(fitting))
        names = st.sampled_from([known.name for known in kind.properties])
        content = {"type": draw(st.sampled_from(kind.types))}
        parameters = draw(st.dictionaries(names, JSON, max_size=4))
        is_needed = any(known.is_required for known in kind.properties)
        content |= {"parameters": parameters} if parameters or is_needed else {}
        found[key] = [content] if key == "optimizers" else content
    if "protocol" in found:
        found.pop("runtime_protocol", None)
    return found


@given(documents())
@settings(max_examples=40, deadline=None)
def test_nothing_is_lost_on_the_way_to_the_editors_and_back(document):
    graph = graph_of(document)
    assert graph.document() == document
    assert read_graph(json.loads(json.dumps(graph.as_json()))) == graph
    assert graph_of_dataflow(json.loads(json.dumps(dataflow_of(graph)))).document() == document
    for path in (Path("a.json"), Path("a.yml")):
        assert parse(document_text(document, path).encode(), path) == document


@pytest.mark.parametrize("value", [2**63, float("nan"), "\ud800"])
@pytest.mark.parametrize("name", ["a.json", "a.yml"])
def test_what_could_not_be_opened_again_becomes_no_file(value, name):
    with pytest.raises(ScenarioError, match="could not be opened again: .*(too large|no number|half a character)"):
        document_text({"protocol": {"parameters": {"port": value}}}, Path(name))


def test_order_and_spelling_survive_both_editors():
    graph = graph_of(seed())
    back = graph_of_dataflow(dataflow_of(graph))
    assert json.dumps(back.document()) == json.dumps(seed())
    assert set(back.connections) == set(graph.connections)


@given(JSON)
@settings(max_examples=40, deadline=None)
def test_whatever_comes_from_outside_is_a_graph_or_an_error(content):
    for read in (read_graph, graph_of_dataflow):
        for wrapped in (content, {"nodes": [content], "connections": []}, {"graphs": [content]}):
            try:
                assert isinstance(read(wrapped), Graph)
            except ScenarioError as error:
                assert "no" in str(error)


def test_a_graph_that_joins_what_can_not_be_joined_is_refused():
    content = graph_of(seed()).as_json()
    content["connections"].append({"source": "dataset", "output": "dataset", "target": "runtime", "input": "model"})
    with pytest.raises(ScenarioError, match="gives a dataset, but runtime takes a model"):
        read_graph(content)
    content["connections"][-1] |= {"target": "nobody"}
    with pytest.raises(ScenarioError, match='"nobody": one is no block'):
        read_graph(content)


def test_the_specification_describes_what_graphs_have():
    nodes = {node["name"]: node for node in specification()["nodes"]}
    assert len(nodes) == len(kinds())
    for name in ("seed", "gestures"):
        flow = dataflow_of(graph_of(json.loads((SCENARIOS / f"{name}.json").read_text())))
        assert flow["version"] == specification()["version"] == VERSION
        interfaces = {}
        for node in flow["graphs"][0]["nodes"]:
            described = nodes[node["name"]]
            assert {each["name"] for each in node["properties"]} == {each["name"] for each in described["properties"]}
            for each in node["interfaces"]:
                interfaces[each["id"]] = next(
                    known["type"]
                    for known in described["interfaces"]
                    if (known["name"], known["direction"]) == (each["name"], each["direction"])
                )
            for each in node["properties"]:
                known = next(known for known in described["properties"] if known["name"] == each["name"])
                assert known["type"] != "select" or each["value"] in known["values"]
        for each in flow["graphs"][0]["connections"]:
            assert interfaces[each["from"]] == interfaces[each["to"]]


def test_what_is_changed_in_pipeline_manager_is_changed_in_the_scenario():
    flow = dataflow_of(graph_of(seed()))
    properties = {
        (node["id"], each["name"]): each for node in flow["graphs"][0]["nodes"] for each in node["properties"]
    }
    properties["dataset", "download_dataset"]["value"] = "false"
    properties["runtime_protocol", "baudrate"]["value"] = "9600"
    properties["runtime_protocol", "port"]["value"] = ""
    properties["optimizers", "compiler_args"]["value"] = ["iree-opt-data-tiling=false"]
    document = graph_of_dataflow(flow).document()
    assert document["dataset"]["parameters"]["download_dataset"] is False
    assert document["runtime_protocol"]["parameters"] == {"baudrate": 9600, "endianness": "little"}
    assert document["optimizers"][0]["parameters"]["compiler_args"] == ["iree-opt-data-tiling=false"]


def test_a_graph_that_was_begun_in_pipeline_manager_is_a_scenario():
    """Without what this project puts beside its graphs, and with interfaces and identities of its own."""
    flow = dataflow_of(graph_of(json.loads((SCENARIOS / "gestures.json").read_text())))
    del flow["graphs"][0]["additionalData"]
    flow["graphs"][0]["connections"][0] = {
        "id": "1",
        "from": flow["graphs"][0]["connections"][0]["to"],
        "to": flow["graphs"][0]["connections"][0]["from"],
    }
    graph = graph_of_dataflow(flow)
    assert graph.document() == json.loads((SCENARIOS / "gestures.json").read_text())
    assert examine(graph, SCENARIOS / "gestures.json").problems == ()


def test_a_new_graph_is_laid_out_and_connected():
    document = {
        "dataset": {"type": "springbok.datasets.basic_motions"},
        "model_wrapper": {
            "type": "springbok.models.Model",
            "parameters": {"model_path": str(MODELS / "gestures.h5")},
        },
    }
    graph = placed(Graph(graph_of(document).nodes))
    assert graph.connections == (Connection("dataset", "dataset", "model_wrapper", "dataset"),)
    assert examine(graph, Path("new.json")).problems == ()
