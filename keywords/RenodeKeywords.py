# SPDX-License-Identifier: Apache-2.0
"""Renode's own Robot keywords as a library, for plain ``robot``."""

import renode_test
from springbok.engines.renode_server import find_renode


class RenodeKeywords:
    """Renode's own keywords, such as ``Execute Command``, in suites that plain ``robot`` runs.

    Importing it starts Renode's Robot server, which ends with the run. `Boot Springbok` with ``engine=renode`` uses the
    same Renode. Under renode-test, which has these keywords already, it adds none.

    | Library         | RenodeKeywords           |
    | Execute Command | include @my_machine.resc |
    """

    ROBOT_LIBRARY_SCOPE = "GLOBAL"

    def get_keyword_names(self) -> list[str]:
        if renode_test.results_folder() is not None or find_renode() is None:
            return []
        return renode_test.server().names

    def run_keyword(self, name: str, arguments: list, named: dict | None = None) -> object:
        del named  # Renode's server knows arguments by their places
        return renode_test.server().keyword(name, *arguments)
