# SPDX-License-Identifier: Apache-2.0
"""How a store of an earlier version becomes one of this: alembic's scripts, in ``versions/`` one a version."""
