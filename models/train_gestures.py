# SPDX-License-Identifier: Apache-2.0
"""Train models/gestures.h5 on BasicMotions: python models/train_gestures.py"""

import training  # makes springbok importable, so it comes first
from springbok.data import datasets

train, test = datasets.load("basic_motions", "train"), datasets.load("basic_motions", "test")
training.make_reproducible(1)
model = training.gesture_network(100, 6, 4, scale=0.1, name="gestures")
training.fit(model, train.inputs, train.labels, epochs=60, batch=8)
training.save(model, training.FOLDER / "gestures.h5")
training.report(training.FOLDER / "gestures.h5", train, test)
