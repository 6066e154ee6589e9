# SPDX-License-Identifier: Apache-2.0
"""Make the networks for which no real data is reachable, with seeded weights: python models/make_seeded.py [NAME…]"""

import sys

import networks
import training  # makes springbok importable

for name in sys.argv[1:] or ("ds_cnn", "autoencoder", "mobilenet_vww", "resnet8_large"):
    training.make_reproducible(networks.SEED)
    model = networks.build(name)
    networks.settle(model, networks.made_up_inputs(name, 32))
    training.save(model, training.FOLDER / f"{name}.keras")
    training.report(training.FOLDER / f"{name}.keras")
