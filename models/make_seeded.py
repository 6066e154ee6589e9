# SPDX-License-Identifier: Apache-2.0
"""Make the networks for which no real data is reachable, with seeded weights: python models/make_seeded.py"""

import networks
import training  # makes springbok importable

for name in ("ds_cnn", "autoencoder", "mobilenet_vww"):
    training.make_reproducible(networks.SEED)
    model = networks.build(name)
    networks.settle(model, networks.made_up_inputs(name, 32))
    training.save(model, training.FOLDER / f"{name}.keras")
    training.report(training.FOLDER / f"{name}.keras")
