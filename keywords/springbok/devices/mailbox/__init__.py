# SPDX-License-Identifier: Apache-2.0
"""Memory that the core and a host share, in the place of a UART."""
