# SPDX-License-Identifier: Apache-2.0
"""Train models/resnet8.keras on handwritten digits as colour images: python models/train_resnet8.py"""

import networks
import training  # makes springbok importable
from springbok.data import datasets

train, test = datasets.load("mnist_colour", "train"), datasets.load("mnist_colour", "test")
training.make_reproducible(1)
model = networks.build("resnet8")
training.fit(model, train.inputs, train.labels, epochs=6, batch=32)
training.save(model, training.FOLDER / "resnet8.keras")
training.report(training.FOLDER / "resnet8.keras", train, test)
