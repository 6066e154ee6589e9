# SPDX-License-Identifier: Apache-2.0
"""From a model file to a checked module: importers, IREE, optimizer, proof of buffers, checks on host and chip."""
