# SPDX-License-Identifier: Apache-2.0
"""``python -m springbok.support.robot_process``: ``python -m robot``, which Ctrl-C ends without a traceback.

Robot answers Ctrl-C itself once it is there; until then the process just ends by it. One that a library ends, by a bad
address or by C++, tells first where Python was.
"""

import faulthandler
import signal
import sys

if __name__ == "__main__":
    faulthandler.enable(sys.__stderr__)
    answered = signal.signal(signal.SIGINT, signal.SIG_DFL)
    from robot import run_cli

    signal.signal(signal.SIGINT, answered)
    run_cli(sys.argv[1:])
