# SPDX-License-Identifier: Apache-2.0
"""Many runs to choose from: sweeps, the search for flags, scenario files."""
