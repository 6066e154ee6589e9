# SPDX-License-Identifier: Apache-2.0
"""The versions of the store, from the first on."""
