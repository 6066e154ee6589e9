# SPDX-License-Identifier: Apache-2.0
"""Springbok's control block."""
