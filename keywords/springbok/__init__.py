# SPDX-License-Identifier: Apache-2.0
"""springbok-bench: compile models for RISC-V vectors, run them on a simulated chip, measure and judge."""

from springbok.support import packages

packages.make_available()
