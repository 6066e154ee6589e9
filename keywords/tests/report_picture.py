# SPDX-License-Identifier: Apache-2.0
"""Makes docs/report.png anew, in Chromium, of the results of a run: the first screens of its report.

``PYTHONPATH=keywords .venv/bin/python keywords/tests/report_picture.py results``
"""

import sys
from pathlib import Path

from browser import opened, running

from springbok.support.places import ROOT

HEIGHT = 1400


def take(browser, report, picture):
    """The picture of a report, which must load without a fault."""
    with opened(browser, report) as (page, problems):
        page.set_viewport_size({"width": 1280, "height": HEIGHT})
        page.screenshot(path=picture)
        assert problems == []


if __name__ == "__main__":
    with running() as started:
        take(started, Path(sys.argv[1]).resolve() / "report.html", ROOT / "docs" / "report.png")
