# SPDX-License-Identifier: Apache-2.0
"""Limits, baselines and verdicts."""
