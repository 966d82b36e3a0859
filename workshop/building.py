"""Builds the site for somebody who writes: all of it, or first the pages just changed."""

import logging
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from mkdocs.commands.build import build
from mkdocs.config import load_config
from mkdocs.exceptions import Abort, ConfigurationError

from runner.process import ROOT
from workshop.hook import SERVING


def build_for_writing(folder: Path, changed: Sequence[str], kept: Path) -> str:
    """Build the site into a folder; return what is wrong if it cannot be served.

    With pages `changed`, named by their files, only these are built; the folder has the rest
    already. In the folder `kept` is what one build leaves to the next.
    """
    began = time.monotonic()
    logging.basicConfig(format="%(message)s", level=logging.ERROR, stream=sys.stderr)
    try:
        config = load_config(
            str(ROOT / "mkdocs.yml"), site_dir=str(folder), strict=False
        )
        config.extra[SERVING] = str(kept)
        config.plugins.on_startup(command="serve", dirty=bool(changed))
        index = folder / "search/search_index.json"
        words = index.read_bytes() if changed else b""
        if changed:
            config.theme.static_templates.clear()
        build(config, dirty=bool(changed))
        if changed:
            index.write_bytes(words)  # of all pages, not only of those
    except (Abort, ConfigurationError) as error:
        return str(error)
    what = ", ".join(changed) or "the site"
    print(f"built {what} in {time.monotonic() - began:.1f} s", flush=True)
    return ""
