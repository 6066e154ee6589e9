# SPDX-License-Identifier: Apache-2.0
"""What a run cost and how good it was: counts, instruction mix, quality, metrics.json."""
