# SPDX-License-Identifier: Apache-2.0
"""A chip that runs already: the session asks it for what it measures by."""

import numpy as np
import pytest
from tiny_models import DENSE

from springbok.compiler.compiled import Target
from springbok.compiler.compiler import compile_model
from springbok.engines.spike import SpikeEngine
from springbok.session import Session
from springbok.support.errors import ModelError

VLEN = 256


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """A network for this chip, and another one."""
    folder = tmp_path_factory.mktemp("models")
    made = []
    for name, text in (("dense", DENSE), ("other", DENSE.replace("stablehlo.add", "stablehlo.multiply"))):
        (folder / f"{name}.mlir").write_text(text)
        made.append(compile_model(folder / f"{name}.mlir", Target(vlen=VLEN), optimize="none", output_dir=folder))
    return made


@pytest.fixture
def running():
    session = Session()
    session.boot("spike", vlen=VLEN)
    yield session
    session.shut_down()


def adopt(session, model):
    """Another session goes on with the chip."""
    session.disconnect()
    other = Session()
    try:
        other.adopt(session.engine, session.firmware, model)
    except ModelError:
        other.disconnect()
        raise
    return other


def test_the_chip_tells_the_engine_its_vlen_and_its_kernels(running, models, monkeypatch):
    running.load_model(models[0])
    told = []
    monkeypatch.setattr(SpikeEngine, "believe", lambda self, *words: told.append(words))
    other = adopt(running, models[0])
    profile = other.need_link().profile()
    assert told == [(VLEN,), (VLEN, (profile.kernels_begin, profile.kernels_end))]
    assert profile.kernels_begin < profile.kernels_end
    assert other.infer(np.ones((1, 16), np.float32))[0].shape == (1, 8)
    assert other.platform.vlen_bits == VLEN
    other.disconnect()


def test_another_model_than_the_chips_is_refused(running, models):
    running.load_model(models[0])
    with pytest.raises(
        ModelError, match="was said to have other loaded, but the .* bytes of its model's code are not in"
    ):
        adopt(running, models[1])


def test_a_chip_without_a_model_has_none_to_go_on_with(running, models):
    with pytest.raises(ModelError, match="said to have dense loaded, but it has no model: use 'Load Model'"):
        adopt(running, models[0])
