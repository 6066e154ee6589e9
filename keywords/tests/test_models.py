# SPDX-License-Identifier: Apache-2.0
"""The committed models are those that models/README.md describes. Their accuracy is a matter of the Robot suites."""

import hashlib
import json
import re

import h5py
import pytest

from springbok.support.places import MODELS

README = (MODELS / "README.md").read_text(encoding="utf-8")
LAYERS = "motion rescale conv_1 pool_1 dropout_1 conv_2 pool_2 dropout_2 flatten dense_1 dropout_3 dense_2"


def row(title):
    """Return the two models' cells of a row of the table."""
    cells = re.search(rf"^\| {title} \|(.*)\|(.*)\|$", README, re.MULTILINE).groups()
    return dict(zip(("gestures", "magic_wand"), (cell.strip() for cell in cells), strict=True))


@pytest.mark.parametrize("name", ["gestures", "magic_wand"])
def test_model_is_the_one_that_the_readme_describes(name):
    path = MODELS / f"{name}.h5"
    assert row("sha256")[name] == f"`{hashlib.sha256(path.read_bytes()).hexdigest()}`"
    assert row("file")[name] == f"{path.stat().st_size:,} bytes"
    with h5py.File(path) as file:
        config = json.loads(file.attrs["model_config"])["config"]
        assert set(file) == {"model_weights"}, "the optimizer's state is not needed"
        parameters = []
        file.visititems(lambda _, item: parameters.append(item.size) if isinstance(item, h5py.Dataset) else None)
    assert [layer["config"]["name"] for layer in config["layers"]] == LAYERS.split()
    assert row("parameters")[name] == f"{sum(parameters):,}"
    steps, channels, _ = config["layers"][0]["config"]["batch_shape"][1:]
    assert f"float32 {steps} x {channels} x 1" in row("input")[name]
    assert config["layers"][-1]["config"]["activation"] == "softmax"
