# SPDX-License-Identifier: Apache-2.0
"""What all tests share."""

import os

# A defect of the optimizer is an error here; for users it is a line in the compile report.
os.environ.setdefault("SPRINGBOK_STRICT_OPTIMIZER", "1")
