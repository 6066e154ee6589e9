# SPDX-License-Identifier: Apache-2.0
"""Train models/wake_word.keras on made-up speech: python models/train_wake_word.py"""

import networks
import training  # makes springbok importable
from springbok.data import datasets

train, test = datasets.load("wake_word", "train"), datasets.load("wake_word", "test")
training.make_reproducible(1)
model = networks.build("wake_word")
training.fit(model, train.inputs, train.labels, epochs=6, batch=64)
training.save(model, training.FOLDER / "wake_word.keras")
training.report(training.FOLDER / "wake_word.keras", train, test)
