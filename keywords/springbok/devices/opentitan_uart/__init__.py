# SPDX-License-Identifier: Apache-2.0
"""The UART of OpenTitan and lowRISC."""
