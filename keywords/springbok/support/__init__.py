# SPDX-License-Identifier: Apache-2.0
"""Errors, cache, files and folders, other programs, progress: what everybody needs."""
