# SPDX-License-Identifier: Apache-2.0
"""The studio in a real browser: the seed's scenario opened, changed, validated, run, saved; and who may reach it."""

import asyncio
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path
from types import SimpleNamespace

import pytest
from made_up_recordings import write_recordings
from tornado.httpclient import HTTPRequest
from tornado.websocket import websocket_connect

from springbok.exploring.pipeline_manager.format import dataflow_of
from springbok.exploring.scenario import read_scenario
from springbok.exploring.scenario_graph import graph_of
from springbok.exploring.scenario_run import Settings
from springbok.exploring.studio.answers import Answers
from springbok.exploring.studio.desk import Desk
from springbok.exploring.studio.server import Server
from springbok.support.files import temporary_folder
from springbok.support.places import KEYWORDS, MODELS
from springbok.support.supervisor import descendants

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
needs_browser = pytest.mark.skipif(
    CHROMIUM is None, reason="no chromium on PATH: the studio is not opened in a browser"
)
SCENARIOS = Path(__file__).parent / "scenarios"
ENVIRONMENT = os.environ | {"PYTHONPATH": os.pathsep.join([str(KEYWORDS), os.environ.get("PYTHONPATH", "")])}


def scenario(name):
    """One of the tests' scenarios with the path of its model absolute."""
    content = json.loads((SCENARIOS / f"{name}.json").read_text())
    parameters = content["model_wrapper"]["parameters"]
    parameters["model_path"] = str(MODELS / Path(parameters["model_path"]).name)
    return content


@pytest.fixture
def folder(tmp_path):
    """A folder with the scenarios, and one file that is none."""
    return fill(tmp_path / "scenarios")


def fill(place):
    place.mkdir()
    for name in ("seed", "gestures"):
        (place / f"{name}.json").write_text(json.dumps(scenario(name), indent=2))
    (place / "other.json").write_text("{}")
    return place


# The desk, which the page works on


@pytest.fixture
def desk(folder):
    desk = Desk(folder, Settings(folder.parent / "results", engine="spike"), lambda event: None)
    yield desk
    desk.close()


def test_the_folders_scenarios_are_listed_opened_and_saved_in_each_form(desk, folder):
    begun = desk.answer({"do": "begin"})
    assert (begun["files"], begun["others"]) == (["gestures.json", "seed.json"], ["other.json"])
    opened = desk.answer({"do": "open", "name": "seed.json"})
    assert (opened["name"], opened["problems"]) == ("seed.json", [])
    for name in ("new.json", "new.yml", "new.robot"):
        assert desk.answer({"do": "save", "name": name, "graph": opened["graph"]})["saved"] == str(folder / name)
    assert json.loads((folder / "new.json").read_text()) == scenario("seed")
    assert read_scenario(folder / "new.yml").notes == read_scenario(folder / "seed.json").notes
    assert "Should Run The Scenario" in (folder / "new.robot").read_text()


def test_a_graph_of_pipeline_manager_is_opened_and_not_overwritten_by_a_scenario(desk, folder):
    drawn = json.dumps(dataflow_of(graph_of(scenario("seed"))))
    (folder / "drawn.json").write_text(drawn)
    opened = desk.answer({"do": "open", "name": "drawn.json"})
    assert (opened["name"], opened["problems"]) == (None, [])
    assert "is there already" in desk.answer({"do": "save", "name": "drawn.json", "graph": opened["graph"]})["ask"]
    assert (folder / "drawn.json").read_text() == drawn


def test_what_somebody_else_changed_is_not_overwritten_unasked(desk, folder):
    graph = desk.answer({"do": "open", "name": "seed.json"})["graph"]
    assert "saved" in desk.answer({"do": "save", "name": "seed.json", "graph": graph})
    assert "is there already" in desk.answer({"do": "save", "name": "gestures.json", "graph": graph})["ask"]
    (folder / "seed.json").write_text("{}")
    assert "changed by somebody else" in desk.answer({"do": "save", "name": "seed.json", "graph": graph})["ask"]
    assert (folder / "seed.json").read_text() == "{}"
    assert "saved" in desk.answer({"do": "save", "name": "seed.json", "graph": graph, "overwrite": True})


def test_a_file_that_is_no_scenario_is_listed_as_such_and_says_why(desk, folder):
    (folder / "broken.json").write_text('{"model_wr')
    (folder / "list.yml").write_text("- 1\n")
    (folder / "notes.txt").write_text("no scenario by its name")
    (folder / ".hidden.json").write_text("{}")
    shown = desk.answer({"do": "begin"})
    assert shown["others"] == ["broken.json", "list.yml", "other.json"]
    for name, why in (("broken.json", "broken.json"), ("list.yml", "This is no scenario")):
        assert why in desk.answer({"do": "open", "name": name})["error"]


def test_pages_have_scenarios_of_their_own(desk, folder):
    """What one opens, draws or saves is no other page's; who saves last is asked."""
    first = desk.answer({"do": "open", "name": "gestures.json"})
    second = desk.answer({"do": "open", "name": "seed.json"})
    drawn = {"do": "connect", "graph": first["graph"], "sheet": first["sheet"]}
    assert (desk.answer(drawn)["name"], desk.answer({"do": "begin"})["name"]) == ("gestures.json", "gestures.json")
    save = {"do": "save", "name": "seed.json"}
    asked = desk.answer({**save, "graph": first["graph"], "sheet": first["sheet"]})
    assert "is there already" in asked["ask"]
    third = desk.answer({"do": "open", "name": "seed.json"})
    document = json.loads((folder / "seed.json").read_text())
    (folder / "seed.json").write_text(json.dumps(document, indent=7))  # by somebody else
    desk.answer({"do": "open", "name": "seed.json"})
    for page in (second, third):
        asked = desk.answer({**save, "graph": page["graph"], "sheet": page["sheet"]})
        assert "changed by somebody else" in asked["ask"]
    saved = desk.answer({**save, "graph": second["graph"], "sheet": second["sheet"], "overwrite": True})
    assert "saved" in desk.answer({**save, "graph": second["graph"], "sheet": saved["sheet"]})


def test_two_studios_on_one_folder_overwrite_nothing_of_each_other_unasked(desk, folder):
    other = Desk(folder, Settings(folder.parent / "other results", engine="spike"), lambda event: None)
    graphs = [each.answer({"do": "open", "name": "seed.json"})["graph"] for each in (desk, other)]
    graphs[0]["nodes"][0]["parameters"]["dataset_root"] = "here"
    assert "saved" in desk.answer({"do": "save", "name": "seed.json", "graph": graphs[0]})
    kept = (folder / "seed.json").read_text()
    asked = other.answer({"do": "save", "name": "seed.json", "graph": graphs[1]})
    assert "changed by somebody else" in asked["ask"] and (folder / "seed.json").read_text() == kept
    assert "saved" in desk.answer({"do": "save", "name": "new.json", "graph": graphs[0]})
    assert "new.json" in other.answer({"do": "begin"})["files"]
    assert "is there already" in other.answer({"do": "save", "name": "new.json", "graph": graphs[1]})["ask"]
    other.close()


@pytest.mark.parametrize(
    "name",
    ["../a.json", "/tmp/a.json", "", ".json", ".a.json", "a.txt", "a\0.json", "a\\b.json", "a", "a" * 300 + ".json"],
)
def test_files_are_written_nowhere_else(desk, folder, name):
    before = {path: path.read_bytes() for path in folder.parent.rglob("*") if path.is_file()}
    graph = graph_of(scenario("seed")).as_json()
    assert "error" in desk.answer({"do": "save", "name": name, "graph": graph, "overwrite": True})
    assert "error" in desk.answer({"do": "open", "name": name})
    assert {path: path.read_bytes() for path in folder.parent.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize(
    "asked",
    [None, [], {}, {"do": 3}, {"do": "fly"}, {"do": "open"}, {"do": "open", "name": "no.json"}, {"do": "save"}]
    + [{"do": "examine", "graph": each} for each in (None, [], {"nodes": 3}, {"nodes": [{}], "connections": []})]
    + [{"do": "read", "name": "a.json", "text": text} for text in ("{", "[1]", "[" * 9000, "1e999", "[1]," * 400_000)]
    + [{"do": "run", "graph": {"nodes": [], "connections": []}, "samples": each} for each in (None, 0, True, "4")],
)
def test_whatever_a_page_asks_is_answered_with_a_sentence(desk, asked):
    answer = desk.answer(asked)
    assert len(answer["error"]) > 20
    json.dumps(answer, allow_nan=False)


@pytest.mark.parametrize("text", ["/dev/ttyUSB\ud800", "/dev/ttyUSB0\0"])
@pytest.mark.parametrize("name", ["new.json", "new.yml"])
def test_a_text_that_no_file_or_command_takes_is_a_problem_at_its_block(desk, folder, text, name):
    graph = desk.answer({"do": "open", "name": "gestures.json"})["graph"]
    node = next(each for each in graph["nodes"] if each["key"] in ("protocol", "runtime_protocol"))
    node["parameters"]["port"] = text
    (problem,) = desk.answer({"do": "examine", "graph": graph})["problems"]
    assert (problem["node"], problem["parameter"]) == (node["id"], "port")
    assert re.search(r"port holds (half a character, '.ud800'|a NUL character)", problem["sentence"])
    assert "can't be run yet" in desk.answer({"do": "run", "graph": graph})["error"]
    saved = desk.answer({"do": "save", "name": name, "graph": graph})
    assert "saved" in saved if "\0" in text else "half a character" in saved["error"]
    assert (folder / name).exists() == ("\0" in text)
    json.dumps(saved)


def test_what_can_not_be_examined_is_a_problem_and_saved_all_the_same(desk, folder, monkeypatch, caplog):
    graph = desk.answer({"do": "open", "name": "seed.json"})["graph"]
    monkeypatch.setattr("springbok.exploring.studio.desk.examine", lambda *_: 1 / 0)
    for asked in ({"do": "examine"}, {"do": "connect"}, {"do": "save", "name": "new.json"}):
        answer = desk.answer({**asked, "graph": graph})
        (problem,) = answer["problems"]
        assert "error" not in answer and "nothing is known of it: ZeroDivisionError" in problem["sentence"]
    assert (folder / "new.json").exists() and "ZeroDivisionError" in caplog.text
    assert "can't be run yet: the studio failed" in desk.answer({"do": "run", "graph": graph})["error"]


def test_a_folder_that_is_gone_is_said_and_not_made_again_unasked(desk, folder):
    graph = desk.answer({"do": "open", "name": "seed.json"})["graph"]
    shutil.rmtree(folder)
    for asked in ({"do": "begin"}, {"do": "connect", "graph": graph}):
        assert desk.answer(asked)["files"] == []
    assert "is gone" in desk.answer({"do": "save", "name": "seed.json", "graph": graph})["error"]
    assert not folder.exists()
    folder.mkdir()
    assert desk.answer({"do": "save", "name": "seed.json", "graph": graph})["files"] == ["seed.json"]


def test_a_link_stays_one_and_what_it_leads_to_is_saved(desk, folder):
    (folder.parent / "elsewhere.json").write_text(json.dumps(scenario("seed")))
    (folder / "linked.json").symlink_to("../elsewhere.json")
    graph = desk.answer({"do": "open", "name": "linked.json"})["graph"]
    node = next(each for each in graph["nodes"] if each["key"] == "dataset")
    node["parameters"]["dataset_root"] = "other"
    assert "saved" in desk.answer({"do": "save", "name": "linked.json", "graph": graph})
    assert (folder / "linked.json").is_symlink()
    found = json.loads((folder.parent / "elsewhere.json").read_text())
    assert found["dataset"]["parameters"]["dataset_root"] == "other"


# Answers beside the server's loop


def test_answers_come_in_their_order_with_what_they_raise():
    answers = Answers(lambda asked: {"half": 1 / asked})

    async def ask():
        return await asyncio.gather(*map(answers.to, (2, 0, 4)), return_exceptions=True)

    first, second, third = asyncio.run(ask())
    assert (first, third) == ({"half": 0.5}, {"half": 0.25})
    assert isinstance(second, ZeroDivisionError)
    assert answers.end(60)


def test_an_answer_that_never_comes_keeps_nobody_from_ending(tmp_path):
    script = (
        "import asyncio, threading\n"
        "from pathlib import Path\n"
        "from springbok.exploring.scenario_run import Settings\n"
        "from springbok.exploring.studio import server as studio\n"
        "studio._FAREWELL_SECONDS = 0.0\n"
        f"server = studio.Server(Path({str(tmp_path)!r}), Settings(Path({str(tmp_path)!r})))\n"
        "begun = threading.Event()\n"
        "server.desk._answers['begin'] = lambda asked: (begun.set(), threading.Event().wait())\n"
        "async def ask():\n"
        "    page = asyncio.ensure_future(server.answer({'do': 'begin'}))\n"
        "    await asyncio.to_thread(begun.wait)\n"
        "asyncio.run(ask())\n"
        "server.close()\n"
        "print('closed')\n"
    )
    # The limit only ends what would hang for ever.
    done = subprocess.run(
        [sys.executable, "-c", script], env=ENVIRONMENT, capture_output=True, text=True, check=True, timeout=600
    )
    assert (done.stdout, done.stderr) == ("closed\n", "")


def test_what_is_started_while_the_studio_ends_is_ended(desk, monkeypatch):
    ended = []
    run = SimpleNamespace(__exit__=lambda: ended.append(True))
    monkeypatch.setattr("springbok.exploring.studio.desk.ScenarioRun", lambda *_: desk.close() or run)
    opened = desk.answer({"do": "open", "name": "seed.json"})
    assert desk.answer({"do": "run", "graph": opened["graph"]}) == {"runs": True}
    assert ended == [True]


# The server


@pytest.fixture(scope="module")
def studio(tmp_path_factory):
    """The command, run for the seed's scenario; its address and its folder."""
    folder = fill(tmp_path_factory.mktemp("studio") / "scenarios")
    command = [sys.executable, "-m", "springbok.cli", "studio", str(folder / "seed.json"), "--engine", "spike"]
    command += ["--samples", "2", "--results", str(folder.parent / "results")]
    options = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True, "env": ENVIRONMENT}
    with subprocess.Popen(command, **options) as server:
        said = []
        while not (found := re.search(r"http://\S+/", "".join(said))):
            line = server.stdout.readline()
            assert line, f"the studio ended: {said}"
            said.append(line)
        server.address, server.folder = found[0], folder
        try:
            yield server
        finally:
            if server.poll() is None:
                server.send_signal(signal.SIGINT)
            server.wait()


def request(studio, path=None, host=None, origin=None, method="GET", upgrade=False):
    """The status line of a plain request; ``path`` is beside the token."""
    address, port, token = re.fullmatch(r"http://(.*):(\d+)/(.*)/", studio.address).groups()
    lines = [f"{method} {f'/{token}/' if path is None else path.replace('TOKEN', token)} HTTP/1.1"]
    lines += [f"Host: {host or f'{address}:{port}'}", "Connection: close"]
    lines += [f"Origin: {origin}"] if origin else []
    if upgrade:
        lines[-1:] = ["Upgrade: websocket", "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==", "Sec-WebSocket-Version: 13"]
        lines += [f"Origin: {origin}"] if origin else []
        lines += ["Connection: Upgrade"]
    with socket.create_connection((address, int(port))) as line:
        line.sendall("\r\n".join([*lines, "", ""]).encode())
        return line.makefile("rb").readline().decode().split()[1]


def test_only_pages_of_its_own_reach_it(studio):
    port = studio.address.split(":")[2].split("/")[0]
    own = f"http://127.0.0.1:{port}"
    assert request(studio) == "200"
    assert request(studio, "/TOKEN/flow.js", origin=own) == "200"
    for path in ("/", "/page.html", "/talk", "/x/studio.js", "/TOKENx/", "/%54OKEN/", "//TOKEN/"):
        assert request(studio, path) == "403", path
    for host in (
        "evil.example",
        f"evil.example:{port}",
        "127.0.0.1",
        f"127.0.0.1.evil.example:{port}",
        f"[::1]:{port}",
    ):
        assert request(studio, host=host) == "403", host
    for origin in ("http://evil.example", "null", f"http://localhost.evil.example:{port}", f"https://127.0.0.1:{port}"):
        assert request(studio, origin=origin) == "403", origin
        assert request(studio, "/TOKEN/talk", origin=origin, upgrade=True) == "403", origin
    assert request(studio, "/TOKEN/talk", origin=own, upgrade=True) == "101"
    assert request(studio, "/TOKEN/talk", upgrade=True) == "403"
    assert request(studio, "/x/talk", origin=own, upgrade=True) == "403"
    for path in (
        "/TOKEN/../desk.py",
        "/TOKEN/..%2fdesk.py",
        "/TOKEN/etc/passwd",
        "/TOKEN//etc/passwd",
        "/TOKEN/metrics.json",
    ):
        assert request(studio, path) == "404", path
    assert request(studio, method="POST") == "405"


def test_it_listens_on_this_computer_alone(studio):
    port = int(studio.address.split(":")[2].split("/")[0])
    table = Path("/proc/net/tcp").read_text() + Path("/proc/net/tcp6").read_text()
    listening = [
        line.split()[1] for line in table.splitlines()[1:] if len(line.split()) > 3 and line.split()[3] == "0A"
    ]
    assert [each for each in listening if each.endswith(f":{port:04X}")] == [f"0100007F:{port:04X}"]


def test_a_slow_answer_keeps_nothing_else_waiting(folder, monkeypatch):
    go_on = threading.Event()
    monkeypatch.setattr(Desk, "answer", lambda self, asked: {"waited": go_on.wait(60)})
    server = Server(folder, Settings(folder.parent / "results", engine="spike"))

    async def talk():
        serving = asyncio.create_task(server.serve(lambda: None))
        address = f"ws://127.0.0.1:{server.port}/{server.token}/talk"
        line = await websocket_connect(HTTPRequest(address, headers={"Origin": f"http://127.0.0.1:{server.port}"}))
        for number, do in enumerate(("read", "examine", "stop")):
            line.write_message(json.dumps({"number": number, "do": do}))
        answers = [json.loads(await line.read_message())]
        go_on.set()
        answers += [json.loads(await line.read_message()) for _ in range(2)]
        line.close()
        serving.cancel()
        await asyncio.gather(serving, return_exceptions=True)
        return answers

    answers = asyncio.run(talk())
    assert answers == [{"number": 2}, {"waited": True, "number": 0}, {"waited": True, "number": 1}]


# The browser


@pytest.fixture(scope="module")
def browser():
    """Chromium, with a profile of its own."""
    from playwright.sync_api import sync_playwright

    with temporary_folder() as profile, sync_playwright() as browsers:
        options = {"executable_path": CHROMIUM, "args": ["--no-sandbox"], "env": os.environ | {"HOME": str(profile)}}
        browser = browsers.chromium.launch(**options)
        yield browser
        browser.close()


@pytest.fixture
def page(studio, browser):
    """A page of the studio with the seed's scenario; it may reach nothing else, and no error comes up in it."""
    faults, asked = [], []
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    page.set_default_timeout(900_000)  # a limit on waiting for ever, on the slowest computer
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.on("console", lambda said: faults.append(said.text) if said.type == "error" else None)
    page.on("request", lambda each: asked.append(each.url))
    page.goto(studio.address)
    page.locator("#kind option").first.wait_for(state="attached")
    page.get_by_role("button", name="New").click()
    wait_for_count(page, ".react-flow__node", 0)
    page.locator("#open").select_option("seed.json")
    wait_for_count(page, ".react-flow__edge", 4)
    yield page
    page.close(run_before_unload=False)
    assert faults == []
    own = (studio.address, studio.address.replace("http", "ws"), "data:", "blob:")
    assert [each for each in asked if not each.startswith(own)] == []


def wait_for_count(page, selector, count):
    from playwright.sync_api import expect

    expect(page.locator(selector)).to_have_count(count, timeout=900_000)


def wait_for_text(page, selector, text):
    page.locator(selector, has_text=text).first.wait_for()


@needs_browser
def test_the_seeds_scenario_is_opened_changed_validated_run_and_saved(page, studio):
    folder = studio.folder
    wait_for_count(page, ".react-flow__node", 5)
    wait_for_count(page, ".react-flow__edge", 4)
    wait_for_text(page, "#panel-problems", "No problem")
    # What is wrong is said at the block and at the field, as one types.
    page.get_by_role("button", name="Protocol").click()
    page.get_by_label("baudrate").fill("fast")
    wait_for_text(page, ".react-flow__node.block-protocol .problem", "must be of type integer")
    assert page.get_by_label("baudrate").get_attribute("aria-invalid") == "true"
    assert "must be of type integer" in page.locator("#problem-baudrate").inner_text()
    page.get_by_label("baudrate").fill("9600")
    wait_for_text(page, "#panel-problems", "No problem")
    page.get_by_role("button", name="Data set").click()
    page.get_by_label("dataset_root").fill(str(write_recordings(folder / "recordings")))
    wait_for_text(page, ".react-flow__node.block-dataset .block-meaning", "recordings")
    page.locator("#name").fill("wand.yml")
    page.get_by_role("button", name="Save", exact=True).click()
    wait_for_text(page, "#status", "Saved")
    assert read_scenario(folder / "wand.yml").baudrate == 9600
    page.get_by_role("button", name="Run", exact=True).click()
    # The log may be behind the report already: the run can end before this looks.
    page.locator("#log", has_text="Should Run The Scenario").wait_for(state="attached")
    wait_for_text(page, "#status", "The run has ended: passed")
    report = page.frame_locator("#panel-report iframe")
    report.locator("body", has_text="magic_wand").first.wait_for()
    assert page.get_by_role("tab", name="Report").get_attribute("aria-selected") == "true"
    page.locator("#format").select_option(".robot")
    assert page.locator("#name").input_value() == "wand.robot"
    page.get_by_role("button", name="Save", exact=True).click()
    wait_for_text(page, "#status", "Saved")
    assert "variant=vector" in (folder / "wand.robot").read_text()
    assert json.loads((folder.parent / "results" / "metrics.json").read_text())["models"][0]["samples"] == 2
    assert len(list((folder.parent / "results").glob("*.robot"))) == 1  # what the history says was run is there
    page.goto(f"{studio.address}log.html")
    page.get_by_text("Should Run The Scenario").first.wait_for()


@needs_browser
def test_two_pages_draw_two_scenarios(page, studio, browser):
    other = browser.new_page()
    other.set_default_timeout(900_000)
    other.goto(studio.address)
    other.locator("#open").select_option("gestures.json")
    wait_for_text(other, "#status", "Opened gestures.json")
    page.get_by_role("button", name="Protocol").click()
    page.get_by_label("baudrate").fill("9600")
    wait_for_text(page, ".react-flow__node.block-protocol", "9600")
    for each, name in ((page, "seed.json"), (other, "gestures.json")):
        before = read_scenario(studio.folder / name)
        each.get_by_role("button", name="Save", exact=True).click()
        wait_for_text(each, "#status", f"Saved {studio.folder / name}")
        assert read_scenario(studio.folder / name).baudrate == (9600 if name == "seed.json" else before.baudrate)
    other.close(run_before_unload=False)


@needs_browser
def test_blocks_are_added_removed_connected_and_changes_taken_back_by_keyboard(page, studio):
    page.get_by_role("button", name="New").focus()
    page.keyboard.press("Enter")
    wait_for_text(page, "#empty", "No block yet")
    for name in ("watch", "Model", "IREECompiler"):
        page.locator("#kind").select_option(label=name)
        page.get_by_role("button", name="Add block").focus()
        page.keyboard.press("Enter")
        wait_for_text(page, ".react-flow__node", name)
    wait_for_count(page, ".react-flow__edge", 2)
    page.get_by_role("button", name=re.compile("^Model")).click()
    page.get_by_label("model_path").fill(str(MODELS / "gestures.h5"))
    wait_for_text(page, "#panel-problems", "No problem")
    # A connection is a choice in the form too.
    page.get_by_label("Input dataset").select_option("")
    wait_for_text(page, "#panel-problems", "its input dataset is not connected to the dataset")
    page.get_by_label("Input dataset").select_option("dataset")
    wait_for_text(page, "#panel-problems", "No problem")
    # Delete removes the block that has the focus; what is taken back is as before.
    node = page.locator(".react-flow__node.block-optimizers")
    node.focus()
    page.keyboard.press("Enter")
    page.keyboard.press("Delete")
    node.wait_for(state="detached")
    page.keyboard.press("Control+z")
    node.wait_for()
    wait_for_count(page, ".react-flow__edge", 2)
    page.keyboard.press("Control+s")
    wait_for_text(page, "#status", "Saved")
    saved = json.loads((studio.folder / "scenario.json").read_text())
    assert list(saved) == ["dataset", "model_wrapper", "optimizers"]


@needs_browser
def test_a_change_leaves_the_focus_where_it_is(page):
    protocol = page.locator(".react-flow__node.block-protocol")
    model = page.locator(".react-flow__node.block-model_wrapper")
    page.get_by_role("button", name="Protocol").click()
    page.get_by_label("baudrate").fill("fast")
    protocol.locator(".problem").wait_for()
    page.evaluate(
        """() => {
          window.hidden = [];
          const look = () => hidden.push(...[...document.querySelectorAll(".react-flow__node")]
            .filter((node) => node.style.visibility === "hidden").map((node) => node.dataset.id));
          new MutationObserver(look).observe(document.getElementById("graph"), { subtree: true, attributes: true });
        }"""
    )
    model.focus()
    page.keyboard.press("Control+z")
    protocol.locator(".problem").wait_for(state="detached")
    page.keyboard.press("Enter")
    wait_for_text(page, ".react-flow__node.selected", "Model")
    assert model.evaluate("element => element === document.activeElement")
    assert page.evaluate("hidden") == []


FOCUSED = "({ id }) => document.activeElement?.dataset.id === id || document.activeElement?.id === id"


def wait_for_focus(page, name):
    """On a block or a connection by its id, or on a control by its."""
    page.wait_for_function(FOCUSED, arg={"id": name})


@needs_browser
def test_the_focus_goes_to_what_is_next_where_something_goes_or_comes_back(page):
    edges = [each.get_attribute("data-id") for each in page.locator(".react-flow__edge").all()]
    page.locator(f'.react-flow__edge[data-id="{edges[1]}"]').focus()
    page.keyboard.press("Delete")
    wait_for_focus(page, edges[2])
    page.keyboard.press("Control+z")
    wait_for_focus(page, edges[1])
    blocks = [each.get_attribute("data-id") for each in page.locator(".react-flow__node").all()]
    for gone, following in ((1, 2), (4, 3)):  # behind the last comes the one before it
        page.locator(f'.react-flow__node[data-id="{blocks[gone]}"]').focus()
        page.keyboard.press("Delete")
        wait_for_focus(page, blocks[following])
        wait_for_count(page, ".react-flow__node", 4)
        page.keyboard.press("Control+z")
        wait_for_focus(page, blocks[gone])
        wait_for_count(page, ".react-flow__node", 5)
    # The same by the form's own button; what is taken back by the toolbar's leaves the focus there.
    page.get_by_role("button", name="Protocol", exact=True).focus()
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.textContent") == "Protocol"
    page.locator("#remove").focus()
    page.keyboard.press("Enter")
    wait_for_count(page, ".react-flow__node", 4)
    assert page.evaluate("document.activeElement.dataset.id") in blocks
    page.locator("#undo").focus()
    page.keyboard.press("Enter")
    wait_for_count(page, ".react-flow__node", 5)
    while page.locator("#undo").is_enabled():
        page.keyboard.press("Enter")
    wait_for_focus(page, "redo")  # what is switched off leaves it to its neighbour


@needs_browser
def test_a_forms_controls_keep_the_focus_where_the_form_is_made_anew(page):
    page.get_by_role("button", name=re.compile("^Model")).click()
    for name in ("input-dataset", "field-type"):
        page.locator(f"#{name}").focus()
        page.keyboard.press("ArrowDown" if name == "field-type" else "ArrowUp")
        wait_for_focus(page, name)
    page.locator(".react-flow__node").first.focus()
    page.keyboard.press("Enter")
    page.locator("#panel-problems button").first.focus()
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement !== document.body")


@needs_browser
@pytest.mark.parametrize("written", ["/", ".", "//"])
def test_a_models_path_of_no_name_is_a_problem_and_no_old_verdict_stays(page, written):
    page.get_by_role("button", name=re.compile("^Model")).click()
    field = page.get_by_label("model_path")
    before = field.input_value()
    field.fill(written)
    wait_for_text(page, "#panel-problems", f"{written} is a folder, and no SavedModel")
    assert "No problem" not in page.locator("#panel-problems").inner_text()
    field.fill(before)
    wait_for_text(page, "#panel-problems", "No problem")
    assert "fail" not in page.locator("#status").inner_text()


@needs_browser
def test_a_question_to_overwrite_begins_at_the_safe_answer(page, studio):
    kept = (studio.folder / "gestures.json").read_text()
    page.locator("#name").fill("gestures.json")
    page.keyboard.press("Control+s")
    page.locator("#ask[open]").wait_for()
    assert page.evaluate("document.activeElement.id") == "no"
    page.keyboard.press("Enter")
    wait_for_text(page, "#status", "Not saved")
    assert (studio.folder / "gestures.json").read_text() == kept


@needs_browser
def test_a_question_stands_beside_no_sentence_of_before(page):
    page.locator("#name").fill("a.txt")
    page.keyboard.press("Control+s")
    wait_for_text(page, "#status", "the name must end in")
    page.locator("#name").fill("gestures.json")
    page.keyboard.press("Control+s")
    page.locator("#ask[open]").wait_for()
    assert page.locator("#status").inner_text() == ""
    page.keyboard.press("Escape")


@needs_browser
@pytest.mark.parametrize("key", ["Delete", "Backspace"])
def test_a_key_let_go_at_once_removes_what_has_the_focus_or_is_chosen(page, key):
    tap = """(element, key) => {
      for (const type of ["keydown", "keyup"]) {
        element.dispatchEvent(new KeyboardEvent(type, { key, code: key, bubbles: true }));
      }
    }"""
    edge, node = page.locator(".react-flow__edge.port-protocol"), page.locator(".react-flow__node.block-protocol")
    edge.evaluate(tap, key)
    edge.wait_for(state="detached")
    page.get_by_role("button", name="Protocol", exact=True).click()
    page.get_by_label("baudrate").evaluate(tap, key)  # is typed there
    page.get_by_role("button", name="Undo").click()
    edge.wait_for(state="attached")
    page.get_by_role("button", name="Protocol", exact=True).evaluate(tap, key)
    node.wait_for(state="detached")
    page.locator("body").evaluate(tap, key)  # nothing is chosen any more
    page.get_by_role("button", name="Undo").click()
    node.wait_for()
    edge.wait_for(state="attached")


@needs_browser
def test_connections_are_drawn_from_port_to_port_of_one_type(page):
    edge = page.locator(".react-flow__edge.port-protocol")
    edge.focus()
    page.keyboard.press("Enter")
    page.keyboard.press("Delete")
    wait_for_text(page, "#panel-problems", "its input protocol is not connected to the runtime_protocol")

    def drag(source, target):
        for place, press in ((source, page.mouse.down), (target, page.mouse.up)):
            box = page.locator(place).bounding_box()
            page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2, steps=5)
            press()

    protocol = ".react-flow__node[data-id=runtime_protocol] .react-flow__handle.source"
    drag(protocol, ".react-flow__node[data-id=runtime] .react-flow__handle[data-handleid=platform]")
    assert edge.count() == 0
    drag(protocol, ".react-flow__node[data-id=runtime] .react-flow__handle[data-handleid=protocol]")
    edge.wait_for(state="attached")
    wait_for_text(page, "#panel-problems", "No problem")


CONTRAST = """() => {
  const number = (colour) => colour.match(/[\\d.]+/g).map(Number);
  const light = (rgb) => rgb.slice(0, 3).map((c) => c / 255)
    .map((c) => (c <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4))
    .reduce((sum, c, i) => sum + c * [0.2126, 0.7152, 0.0722][i], 0);
  const ground = (each) => {
    for (; each; each = each.parentElement) {
      const rgb = number(getComputedStyle(each).backgroundColor);
      if (rgb.length < 4 || rgb[3] > 0.99) return rgb;
    }
    return [255, 255, 255];
  };
  const poor = [];
  for (const each of document.querySelectorAll("body *")) {
    const own = [...each.childNodes].some((child) => child.nodeType === 3 && child.textContent.trim());
    if (!own || !each.checkVisibility()) continue;
    if (getComputedStyle(each).opacity < 1) poor.push(`${each.tagName}: opacity`);
    const [a, b] = [light(number(getComputedStyle(each).color)), light(ground(each))].sort((x, y) => y - x);
    if ((a + 0.05) / (b + 0.05) < 4.5) poor.push(`${each.tagName} ${each.className}: ${each.textContent.slice(0, 30)}`);
  }
  return poor;
}"""
FITS = """() => {
  const [graph, ...blocks] = [...document.querySelectorAll("#graph, .react-flow__node")]
    .map((each) => each.getBoundingClientRect());
  const isWithin = (each) => each.left >= graph.left && each.right <= graph.right && each.bottom <= graph.bottom;
  return blocks.length === 5 && blocks.every(isWithin);
}"""
# What of React Flow's own lies on a block.
COVERED = """() => {
  const boxes = [...document.querySelectorAll(".react-flow__node")].map((each) => each.getBoundingClientRect());
  return [...document.querySelectorAll(".react-flow__controls, .react-flow__attribution")].filter((panel) => {
    const own = panel.getBoundingClientRect();
    return own.width === 0 || boxes.some((box) => own.left < box.right && own.right > box.left && own.top < box.bottom
      && own.bottom > box.top);
  }).map((each) => each.className);
}"""
# Names of ports that reach out of what hides what is outside.
CUT = """() => {
  const cut = [];
  for (const port of document.querySelectorAll(".react-flow__handle")) {
    const box = port.getBoundingClientRect(), name = getComputedStyle(port, "::before");
    const zoom = box.width / 12, wide = parseFloat(name.width) * zoom;
    const left = port.matches(".react-flow__handle-right") ? box.left + 11 * zoom : box.right - 11 * zoom - wide;
    for (let each = port; (each = each.parentElement); ) {
      const hider = each.getBoundingClientRect();
      if (getComputedStyle(each).overflowX === "visible") continue;
      const isWhole = left >= hider.left - 1 && left + wide <= hider.right + 1;
      if (!isWhole) cut.push(`${port.dataset.tooltip} by ${each.className}`);
    }
  }
  return cut;
}"""
# Wires that lead behind a block.
BEHIND = """() => {
  const blocks = [...document.querySelectorAll(".react-flow__node")].map((each) => each.getBoundingClientRect());
  const inside = ({x, y}) => blocks.some(
    (box) => x > box.left + 4 && x < box.right - 4 && y > box.top + 4 && y < box.bottom - 4);
  return [...document.querySelectorAll(".react-flow__edge")].filter((edge) => {
    const path = edge.querySelector(".react-flow__edge-path");
    const places = [...Array(101).keys()].map((part) => path.getPointAtLength((path.getTotalLength() * part) / 100));
    return places.some((place) => inside(place.matrixTransform(path.getScreenCTM())));
  }).map((edge) => edge.getAttribute("aria-label"));
}"""
UNNAMED = """() => [...document.querySelectorAll("button, input, select, textarea, iframe, [role=tab], [tabindex='0']")]
  .filter((each) => each.checkVisibility() && !each.closest(".react-flow__panel"))
  .filter((each) => !(each.labels?.length || each.ariaLabel || each.title || each.textContent.trim()
    || each.getAttribute("aria-labelledby")))
  .map((each) => each.outerHTML.slice(0, 90))"""


@needs_browser
def test_the_page_is_legible_and_its_controls_have_names_at_each_width_and_colour(page):
    page.get_by_role("button", name="Protocol").click()
    page.get_by_label("baudrate").fill("fast")
    wait_for_text(page, ".react-flow__node .problem", "must be of type integer")
    for width in (1280, 600):
        page.set_viewport_size({"width": width, "height": 900})
        page.wait_for_function(FITS)
        assert page.evaluate(CUT) == []
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), width
        for colour in ("light", "dark"):
            page.emulate_media(color_scheme=colour)
            assert page.evaluate(CONTRAST) == [], (width, colour)
        assert page.evaluate(UNNAMED) == []
        assert page.get_by_label("baudrate").is_visible()


@needs_browser
@pytest.mark.parametrize(("width", "height"), [(1280, 900), (1280, 1600), (600, 900)])
def test_nothing_lies_on_a_block_of_a_scenario_that_was_just_opened(page, width, height):
    page.set_viewport_size({"width": width, "height": height})
    page.get_by_role("button", name="New").click()
    wait_for_count(page, ".react-flow__node", 0)
    page.locator("#open").select_option("seed.json")
    wait_for_count(page, ".react-flow__edge", 4)
    for below in ("auto", "80vh"):  # as a report takes room from the graph
        page.evaluate(f"document.getElementById('below').style.minHeight = '{below}'")
        for _ in range(600):  # the page's policy forbids what Playwright itself would wait by
            if page.evaluate(FITS) and not page.evaluate(COVERED):
                break
            page.wait_for_timeout(100)
        else:
            raise AssertionError(f"{below}: {page.evaluate(COVERED)}, fits: {page.evaluate(FITS)}")
        assert page.evaluate(BEHIND) == []


@needs_browser
def test_blocks_of_one_kind_have_names_of_their_own(page):
    """In the list, in the graph, in the form, and wherever another block is chosen."""
    for _ in range(2):
        page.locator("#kind").select_option(label="IREECompiler")
        page.get_by_role("button", name="Add block").click()
    wait_for_count(page, "#blocks button", 7)
    names = page.locator("#blocks button").all_inner_texts()
    assert len({*names}) == 7 and {"Compiler 1", "Compiler 2"} <= {each.partition(" (")[0] for each in names}
    labels = [each.get_attribute("aria-label") for each in page.locator(".react-flow__node").all()]
    assert len({*labels}) == 7 and any(each.startswith("Compiler 2: IREECompiler") for each in labels)
    page.get_by_role("button", name="Compiler 2").first.click()
    assert page.locator("#form h2").inner_text() == "Compiler 2"


@needs_browser
def test_a_number_that_no_form_can_keep_is_a_problem_and_stays_as_it_was_typed(page):
    page.get_by_role("button", name="Protocol").click()
    page.get_by_label("baudrate").fill("9007199254740993")
    wait_for_text(page, "#panel-problems", "baudrate is 9007199254740993: a number is exact to 9007199254740991 only")
    assert page.get_by_label("baudrate").input_value() == "9007199254740993"


@needs_browser
def test_a_run_is_stopped_and_nothing_of_it_is_left(page, studio, browser):
    """Every page hears of it, and each but the one that asked for it that it is another's."""
    other = browser.new_page()
    other.set_default_timeout(900_000)
    other.goto(studio.address)
    other.locator("#kind option").first.wait_for(state="attached")
    page.locator("#open").select_option("gestures.json")
    wait_for_text(page, ".react-flow__node", "basic_motions")
    page.get_by_role("button", name="Run", exact=True).focus()
    for key, control in (("Enter", "stop"), ("Enter", "run")):  # each takes the place of the other
        page.keyboard.press(key)
        wait_for_focus(page, control)
    wait_for_text(page, "#status", "The run has ended: stopped")
    wait_for_text(other, "#status", "Another page's run (gestures.json) has ended: stopped")
    assert "not of what is drawn here" in other.locator("#panel-report").text_content()
    other.close(run_before_unload=False)
    page.reload()
    wait_for_text(page, "#status", "The run has ended: stopped")  # it is its own still
    assert page.get_by_role("button", name="Run", exact=True).is_enabled()
    assert descendants(studio.pid) == []


@needs_browser
def test_ctrl_c_ends_the_studio_with_its_run_and_the_drawing_can_be_kept(page, studio, tmp_path):
    """The last test: the others share this studio."""
    page.locator("#open").select_option("gestures.json")
    wait_for_text(page, ".react-flow__node", "basic_motions")
    page.get_by_role("button", name="Protocol").click()
    page.get_by_label("baudrate").fill("4800")
    wait_for_text(page, ".react-flow__node.block-protocol", "4800")
    page.get_by_role("button", name="Run", exact=True).click()
    page.get_by_role("button", name="Stop", exact=True).wait_for()
    ours = descendants(studio.pid)
    studio.send_signal(signal.SIGINT)
    assert studio.wait() == 130
    assert "ended by SIGINT" in studio.stdout.read()
    wait_for_text(page, "#status", "The studio has ended")
    assert not page.locator("#progress").is_visible()
    with page.expect_download() as kept:
        page.get_by_role("link", name="download gestures.json").click()
    kept.value.save_as(tmp_path / "gestures.json")
    assert read_scenario(tmp_path / "gestures.json").baudrate == 4800
    assert [pid for pid in ours if Path(f"/proc/{pid}").exists()] == []
