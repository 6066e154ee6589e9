# SPDX-License-Identifier: Apache-2.0
"""Where the project's own files are."""

from pathlib import Path

#: The folder that a Python needs in its path to find the package.
KEYWORDS = Path(__file__).resolve().parents[2]
ROOT = KEYWORDS.parent

FIRMWARE = ROOT / "firmware"
MODELS = ROOT / "models"
PLATFORMS = ROOT / "platforms"
SUITES = ROOT / "robot"
RESULTS = ROOT / "results"
BASELINES = RESULTS / "baselines"
REQUIREMENTS = ROOT / "requirements.txt"
