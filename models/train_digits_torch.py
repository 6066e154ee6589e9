# SPDX-License-Identifier: Apache-2.0
# ruff: noqa: E402, T201 (it makes springbok importable first, and reports by printing)
"""Train models/digits.onnx on handwritten digits with PyTorch: python models/train_digits_torch.py

Needs torch 2.13 (CPU), onnx and onnxscript, which the project itself does without.
"""

import hashlib
import sys
from pathlib import Path

import numpy as np
import torch
from torch import nn

FOLDER = Path(__file__).resolve().parent
sys.path.insert(0, str(FOLDER.parent / "keywords"))

from springbok.data import datasets
from springbok.data.dataset import Dataset


class Digits(nn.Module):
    """28x28 pixels from 0 to 255 to 10 classes."""

    def __init__(self) -> None:
        super().__init__()
        self.conv_1, self.conv_2 = nn.Conv2d(1, 8, 5), nn.Conv2d(8, 16, 5)
        self.pool = nn.MaxPool2d(2)
        self.dense = nn.Linear(256, 10)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """Probabilities of the classes."""
        x = self.pool(torch.relu(self.conv_1(image / 255)))
        x = self.pool(torch.relu(self.conv_2(x)))
        return torch.softmax(self.dense(torch.flatten(x, 1)), dim=1)


def as_images(dataset: Dataset) -> torch.Tensor:
    """The inputs as PyTorch has them: channels before rows."""
    return torch.from_numpy(np.ascontiguousarray(dataset.inputs.transpose(0, 3, 1, 2)))


torch.manual_seed(1)
torch.use_deterministic_algorithms(True)
train, test = datasets.load("mnist", "train"), datasets.load("mnist", "test")
images, labels = as_images(train), torch.from_numpy(train.labels.copy())
model = Digits()
optimizer = torch.optim.Adam(model.parameters(), 2e-3)
for _ in range(8):
    for chosen in torch.randperm(len(images)).split(32):
        optimizer.zero_grad()
        nn.functional.nll_loss(torch.log(model(images[chosen]) + 1e-9), labels[chosen]).backward()
        optimizer.step()
model.eval()
for dataset in (train, test):
    right = int((model(as_images(dataset)).argmax(1).numpy() == dataset.labels).sum())
    print(f"{dataset.name}: {right} of {len(dataset)} right, accuracy {right / len(dataset):.4f}")

path = FOLDER / "digits.onnx"
program = torch.onnx.export(
    model,
    (images[:2],),
    dynamo=True,
    input_names=["image"],
    output_names=["probabilities"],
    dynamic_shapes={"image": {0: torch.export.Dim("batch")}},
    verbose=False,
)
exported = program.model_proto
for part in [*exported.graph.node, *exported.graph.initializer, *exported.graph.value_info, exported.graph, exported]:
    # What remains tells which layer a node is of; the traces hold paths.
    for entry in [entry for entry in part.metadata_props if "name_scopes" not in entry.key]:
        part.metadata_props.remove(entry)
content = exported.SerializeToString(deterministic=True)
path.write_bytes(content)
print(f"{path.name}: {len(content)} bytes, sha256 {hashlib.sha256(content).hexdigest()}")
