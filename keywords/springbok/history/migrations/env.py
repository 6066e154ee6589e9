# SPDX-License-Identifier: Apache-2.0
"""What alembic executes to change a store: within the transaction of who opened it (see `springbok.history.store`)."""

from alembic import context

from springbok.history.tables import VERSION_TABLE

context.configure(connection=context.config.attributes["connection"], version_table=VERSION_TABLE)
context.run_migrations()
