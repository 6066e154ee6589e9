# SPDX-License-Identifier: Apache-2.0
"""This project behind Pipeline Manager's buttons: against a stub of its server, written from its documentation.

The stub listens, as Pipeline Manager does for an external application: a message is four bytes, big-endian, that say
how long the JSON after them is; parameters have the browser's session around them.
"""

import base64
import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from made_up_recordings import write_recordings

from springbok import cli
from springbok.exploring.pipeline_manager.format import dataflow_of, graph_of_dataflow, specification
from springbok.exploring.pipeline_manager.link import LARGEST_MESSAGE
from springbok.exploring.scenario_graph import graph_of
from springbok.support.errors import ScenarioError
from springbok.support.places import KEYWORDS, MODELS
from springbok.support.supervisor import descendants

SCENARIOS = Path(__file__).parent / "scenarios"
OK, ERROR = 0, 1


class PipelineManager:
    """The stub: a line to the application, and what came over it that was no answer."""

    def __init__(self):
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.line = None
        self.told = []
        self.number = 0

    def accept(self):
        if self.line is not None:
            self.line.close()
        self.line, _ = self.listener.accept()
        self.line.settimeout(900)  # a limit on waiting for ever
        self.told = []

    def send_bytes(self, data):
        self.line.sendall(data)

    def send(self, content):
        data = content if isinstance(content, bytes) else json.dumps(content).encode()
        self.send_bytes(len(data).to_bytes(4, "big") + data)

    def receive(self):
        size = int.from_bytes(self._exactly(4), "big")
        return json.loads(self._exactly(size))

    def _exactly(self, size):
        data = b""
        while len(data) < size:
            part = self.line.recv(size - len(data))
            if not part:
                raise EOFError
            data += part
        return data

    def begin(self, method, params=None, session="browser"):
        """Send a request; returns its number."""
        self.number += 1
        params = {"sid": session, "params": {} if params is None else params} if session else params
        self.send({"jsonrpc": "2.0", "id": self.number, "method": method, "params": params})
        return self.number

    def end(self, number):
        """The answer to a request; what comes before it is told."""
        while True:
            message = self.receive()
            if "method" not in message and message.get("id") == number:
                return message
            self.told.append(message)

    def ask(self, method, params=None, session="browser"):
        """What a method returns, for the session that asked."""
        answer = self.end(self.begin(method, params, session))
        content = answer["result"]
        if session is None:
            return content
        assert content["sid"] == session
        return content["result"]

    def fails(self, method, params=None):
        """The error of a request."""
        answer = self.end(self.begin(method, params))
        assert answer["error"]["sid"] == "browser"
        return answer["error"]["error"]


def scenario(name):
    content = json.loads((SCENARIOS / f"{name}.json").read_text())
    parameters = content["model_wrapper"]["parameters"]
    parameters["model_path"] = str(MODELS / Path(parameters["model_path"]).name)
    return content


@pytest.fixture(scope="module")
def application(tmp_path_factory):
    """The command, and the stub that it is to find."""
    stub = PipelineManager()
    place = tmp_path_factory.mktemp("pipeline-manager")
    command = [sys.executable, "-m", "springbok.cli", "pipeline-manager", "connect", "--port", str(stub.port)]
    command += ["--engine", "spike", "--samples", "2", "--results", str(place / "results"), "--folder", str(place)]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(KEYWORDS), os.environ.get("PYTHONPATH", "")])}
    output = (place / "output").open("w+")
    with output, subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, env=environment) as process:
        process.stub, process.place = stub, place
        try:
            yield process
        finally:
            process.send_signal(signal.SIGINT)
            process.wait()
            stub.listener.close()
            if stub.line is not None:
                stub.line.close()
    said = (place / "output").read_text()
    assert "ended by SIGINT" in said and "Traceback" not in said


@pytest.fixture
def manager(application):
    """A new line between the two."""
    application.stub.accept()
    return application.stub


def imported(manager, name):
    text = json.dumps(scenario(name))
    asked = {"external_application_dataflow": text, "mime": "application/json", "base64": False}
    answer = manager.ask("dataflow_import", asked)
    assert answer["type"] == OK, answer
    return answer["content"]


def properties(dataflow, node):
    found = next(each for each in dataflow["graphs"][0]["nodes"] if each["id"] == node)
    return {each["name"]: each for each in found["properties"]}


def exported(manager, dataflow):
    answer = manager.ask("dataflow_export", {"dataflow": dataflow})
    assert (answer["type"], answer["filename"]) == (OK, "scenario.json")
    return json.loads(base64.b64decode(answer["content"]))


def test_the_seeds_scenario_is_opened_changed_validated_and_saved(manager):
    assert manager.ask("specification_get") == {"type": OK, "content": specification()}
    assert {each["procedureName"] for each in manager.ask("app_capabilities_get")} == {
        "dataflow_validate",
        "dataflow_run",
    }
    dataflow = imported(manager, "seed")
    assert exported(manager, dataflow) == scenario("seed")
    answer = manager.ask("dataflow_validate", {"dataflow": dataflow})
    assert answer["type"] == OK
    assert "is called iree-llvmcpu-target-abi by now" in answer["content"]
    properties(dataflow, "runtime_protocol")["baudrate"]["value"] = "fast"
    answer = manager.ask("dataflow_validate", {"dataflow": dataflow})
    assert answer["type"] == ERROR
    assert "baudrate" in answer["content"]
    properties(dataflow, "runtime_protocol")["baudrate"]["value"] = "9600"
    assert manager.ask("dataflow_validate", {"dataflow": dataflow})["type"] == OK
    changed = scenario("seed")
    changed["runtime_protocol"]["parameters"]["baudrate"] = 9600
    assert exported(manager, dataflow) == changed


def test_the_seeds_scenario_is_run_with_progress_and_a_terminal(manager, application):
    dataflow = imported(manager, "seed")
    recordings = write_recordings(application.place / "recordings")
    properties(dataflow, "dataset")["dataset_root"]["value"] = str(recordings)
    run = manager.begin("dataflow_run", {"dataflow": dataflow})
    assert manager.ask("dataflow_validate", {"dataflow": dataflow})["type"] == OK  # meanwhile
    assert manager.ask("dataflow_run", {"dataflow": dataflow})["type"] == ERROR
    answer = manager.end(run)["result"]["result"]
    assert answer["type"] == OK, manager.told
    assert answer["content"].startswith("The run has ended: passed.")
    told = [(each["method"], each["params"]["params"]) for each in manager.told]
    assert all(each["params"]["sid"] == "browser" for each in manager.told)
    assert told[0] == ("terminal_add", {"name": "springbok-bench", "readonly": True})
    progress = [params["progress"] for method, params in told if method == "progress_change"]
    assert (progress[0], progress[-1]) == (-1, 100)
    written = "\n".join(params["message"] for method, params in told if method == "terminal_write")
    assert "Should Run The Scenario" in written
    assert (application.place / "results" / "metrics.json").is_file()


def test_a_run_is_stopped_and_nothing_of_it_is_left(manager, application):
    assert manager.ask("dataflow_stop", {"method": "dataflow_run"})["type"] == ERROR
    for has_begun in (False, True):
        run = manager.begin("dataflow_run", {"dataflow": imported(manager, "gestures")})
        while has_begun and manager.receive().get("method") != "terminal_write":
            pass
        assert manager.ask("dataflow_stop", {"method": "dataflow_run"})["type"] == OK
        answer = manager.end(run)["result"]["result"]
        assert (answer["type"], "stopped" in answer["content"]) == (ERROR, True)
    assert descendants(application.pid) == []


def test_a_line_that_is_cut_ends_its_run(application):
    application.stub.accept()
    application.stub.begin("dataflow_run", {"dataflow": imported(application.stub, "gestures")})
    while application.stub.receive().get("method") != "terminal_add":
        pass
    application.stub.accept()  # which closes the line before
    assert application.stub.ask("dataflow_stop", {"method": "dataflow_run"})["type"] == ERROR
    assert descendants(application.pid) == []


@pytest.mark.parametrize("name", ["\x1b]0;title\x07", "<b>", "a" * 100_000, "\ud800"])
def test_what_is_wrong_with_a_file_is_a_sentence(manager, name):
    for text in (name, json.dumps({"dataset": {"type": name}}), json.dumps({name: 1}), "[" * 5000):
        for base64_said in (False, True):
            asked = {"external_application_dataflow": text, "mime": "text/plain", "base64": base64_said}
            answer = manager.ask("dataflow_import", asked)
            assert answer["type"] == ERROR or answer["content"]["graphs"]


HOSTILE_REQUESTS = [
    (b"", -32700),
    (b"{", -32700),
    (b"\xff\xfe", -32700),
    (b"[" * 100_000, -32700),
    (b"3", -32600),
    (b"[]", -32600),
    (b'{"method": "specification_get", "id": true}', -32600),
    (b'{"method": "specification_get", "id": NaN}', -32600),
    (b"{}", -32600),
    (json.dumps({"method": 3, "id": 1}).encode(), -32600),
    (json.dumps({"method": "specification_get", "id": {}}).encode(), -32600),
    (json.dumps({"jsonrpc": "2.0", "method": "fly", "id": None}).encode(), -32601),
    (json.dumps({"jsonrpc": "2.0", "method": "__init__", "id": None}).encode(), -32601),
    (json.dumps({"jsonrpc": "2.0", "method": "dataflow_run", "params": [1], "id": None}).encode(), -32602),
    (json.dumps({"jsonrpc": "2.0", "method": "dataflow_run", "params": {"graph": 1}, "id": None}).encode(), -32602),
]


@pytest.mark.parametrize(("content", "code"), HOSTILE_REQUESTS)
def test_what_is_no_request_is_answered_with_the_protocols_error(manager, content, code):
    manager.send(content)
    answer = manager.receive()
    assert (answer["id"], answer["error"]["code"]) == (None, code)
    assert answer["error"]["message"]
    assert manager.ask("specification_get", session=None)["type"] == OK  # and the line goes on


def test_errors_go_to_the_session_that_asked_and_notifications_get_no_answer(manager):
    assert manager.fails("fly")["code"] == -32601
    manager.send({"jsonrpc": "2.0", "method": "fly"})
    manager.send({"jsonrpc": "2.0", "method": "frontend_on_connect", "params": {}})
    manager.send({"jsonrpc": "2.0", "id": 7, "result": {}})  # to what was never asked
    assert manager.ask("properties_on_change", {"graph_id": "a", "node_id": "b", "properties": []}) == {}
    assert manager.told == []
    manager.send([{"jsonrpc": "2.0", "id": number, "method": "frontend_on_connect"} for number in (1, 2)])
    assert [each["id"] for each in manager.receive()] == [1, 2]


@pytest.mark.parametrize("dataflow", [None, 3, [], {}, {"graphs": []}, {"graphs": [{}]}, {"graphs": [{}, {}]}])
@pytest.mark.parametrize("method", ["dataflow_run", "dataflow_validate", "dataflow_export"])
def test_what_is_no_graph_is_a_sentence(manager, method, dataflow):
    answer = manager.ask(method, {"dataflow": dataflow})
    assert answer["type"] == ERROR
    assert len(answer["content"]) > 20


@pytest.mark.parametrize(
    "data",
    [
        (LARGEST_MESSAGE + 1).to_bytes(4, "big"),
        b"\xff\xff\xff\xff",
        b"GET / HTTP/1.1\r\n\r\n",
        b"\0\0",
        b"\0\0\0\x10{}",
        b"",
    ],
)
def test_a_line_that_makes_no_sense_is_given_up_and_a_new_one_made(application, data):
    application.stub.accept()
    application.stub.send_bytes(data)
    application.stub.line.shutdown(socket.SHUT_WR)
    with pytest.raises(EOFError):
        application.stub.receive()
    application.stub.accept()
    assert application.stub.ask("specification_get")["type"] == OK
    said = (application.place / "output").read_text()
    assert "Traceback" not in said
    assert "Connected to Pipeline Manager" in said


def test_files_are_written_and_read_by_the_command(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "seed.json").write_text(json.dumps(scenario("seed")))
    assert cli.main(["pipeline-manager", "specification", "blocks.json"]) == 0
    assert json.loads((tmp_path / "blocks.json").read_text()) == specification()
    assert cli.main(["pipeline-manager", "export", "seed.json", "graph.json"]) == 0
    assert json.loads((tmp_path / "graph.json").read_text()) == dataflow_of(graph_of(scenario("seed")), "seed")
    assert cli.main(["pipeline-manager", "import", "graph.json", "again.json"]) == 0
    assert json.loads((tmp_path / "again.json").read_text()) == scenario("seed")
    assert cli.main(["pipeline-manager", "import", "seed.json", "never.json"]) == 2
    assert "no graph of Pipeline Manager" in capsys.readouterr().err
    assert cli.main(["pipeline-manager", "export", "seed.json"]) == 2
    assert "takes SCENARIO GRAPH.json" in capsys.readouterr().err
    assert not (tmp_path / "never.json").exists()


@pytest.mark.parametrize(
    ("way", "value"),
    [(("nodes", 0, "position", "x"), each) for each in (10**400, "nan", "inf", "1e999", [])]
    + [(("additionalData", "springbok", "order"), [[1]]), (("nodes", 0, "properties", 1, "value"), "[" * 100_000)],
)
def test_what_stands_in_a_graph_is_taken_or_refused_with_a_sentence(way, value):
    graph = dataflow_of(graph_of(scenario("seed")))
    *path, last = way
    part = graph["graphs"][0]
    for step in path:
        part = part[step]
    part[last] = value
    if "properties" in way:
        assert graph_of_dataflow(graph).nodes
        return
    with pytest.raises(ScenarioError, match="no graph of Pipeline Manager"):
        graph_of_dataflow(graph)
