# SPDX-License-Identifier: Apache-2.0
"""What a chip is: addresses, memories, devices."""
