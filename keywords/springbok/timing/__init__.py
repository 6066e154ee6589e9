# SPDX-License-Identifier: Apache-2.0
"""Cycles of what a core executed, estimated by a description of its pipeline: never mixed with counts."""
