# SPDX-License-Identifier: Apache-2.0
"""``python -m springbok.cli``: what ``./bench`` starts."""

import sys

from springbok.cli import main

if __name__ == "__main__":
    sys.exit(main())
