# SPDX-License-Identifier: Apache-2.0
"""Train models/gru.keras and models/conv1d on eight people's exercises: python models/train_watch.py [gru|conv1d]"""

import sys

import networks
import training  # makes springbok importable
from springbok.data import datasets

train, test = datasets.load("watch", "train"), datasets.load("watch", "test")
for name, epochs in (("gru", 30),):
    if name in (sys.argv[1:] or [name]):
        training.make_reproducible(1)
        model = networks.build(name)
        training.fit(model, train.inputs[..., 0], train.labels, epochs=epochs, batch=32)
        path = training.FOLDER / (f"{name}.keras" if name == "gru" else name)
        training.save(model, path)
        training.report(path, train, test)
