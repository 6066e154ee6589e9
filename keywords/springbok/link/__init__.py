# SPDX-License-Identifier: Apache-2.0
"""The line to the chip: frames, requests, the client, what a failure means, faults on purpose."""
