# SPDX-License-Identifier: Apache-2.0
"""A core's own RTL as an engine: simulated by Verilator, each retired instruction held against Spike."""
