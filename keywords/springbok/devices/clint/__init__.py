# SPDX-License-Identifier: Apache-2.0
"""The core-local interruptor: software interrupt and timer."""
