# SPDX-License-Identifier: Apache-2.0
"""What draws charts within a page: Vega, Vega-Lite and vega-embed, as vl-convert brings them. No network is asked."""

from __future__ import annotations

from functools import lru_cache
from importlib.metadata import version
from pathlib import Path

from markupsafe import Markup

from springbok.report.charts import VEGA_LITE
from springbok.support.cache import Cache, digest
from springbok.support.files import build_folder

_FILE = "vega.js"


@lru_cache(maxsize=1)
def bundle() -> Markup:
    """The text of a script that sets ``vegaEmbed``, ``vega`` and ``vegaLite``, with their licences; for a ``<script>``.

    Made once a version of vl-convert: that takes seconds. A page that forbids ``eval`` embeds with ``{ast: true}``.
    """
    licences = Path(__file__).with_name("templates") / "vega_licences.txt"
    key = digest("vega in a function", version("vl-convert-python"), VEGA_LITE)
    folder, _ = Cache(build_folder() / "cache").entry("vega", key, _make)
    return Markup(f"/*\n{licences.read_text(encoding='utf-8')}*/\n{(folder / _FILE).read_text(encoding='utf-8')}")


def _make(folder: Path) -> None:
    import vl_convert

    # In a function of its own: its names are not the page's. What would end the script is no JavaScript but text.
    text = vl_convert.javascript_bundle(vl_version=VEGA_LITE).replace("</script", "<\\/script")
    (folder / _FILE).write_text(f"(() => {{\n{text}\n}})();\n", encoding="utf-8")
