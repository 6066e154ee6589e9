# SPDX-License-Identifier: Apache-2.0
"""National Semiconductor's 16550 UART."""
