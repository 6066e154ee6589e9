# SPDX-License-Identifier: Apache-2.0
"""ARM's PL011 UART."""
