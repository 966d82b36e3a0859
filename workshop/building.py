"""Builds the site for somebody who writes: all of it, or first the pages just changed."""

import logging
import sys
import time
import traceback
from collections.abc import Sequence
from pathlib import Path

from mkdocs.commands.build import build
from mkdocs.config import load_config
from mkdocs.exceptions import Abort, ConfigurationError

from runner.process import ROOT
from workshop.hook import SERVING


def build_for_writing(folder: Path, changed: Sequence[str], told: Path) -> None:
    """Build the site into a folder, and write what went wrong, if anything, to `told`.

    With pages `changed`, named by their files, only these are built; the folder has the rest
    already. What `told` says is empty if the folder can be served.
    """
    began = time.monotonic()
    logging.basicConfig(format="%(message)s", level=logging.ERROR, stream=sys.stderr)
    try:
        config = load_config(
            str(ROOT / "mkdocs.yml"), site_dir=str(folder), strict=False
        )
        config.extra[SERVING] = str(told.parent)
        config.plugins.on_startup(command="serve", dirty=bool(changed))
        if changed:
            config.theme.static_templates.clear()
        index = folder / "search/search_index.json"
        words = index.read_bytes() if changed else b""
        build(config, dirty=bool(changed))
        if changed:
            index.write_bytes(words)  # of all pages, not only of those
    except (Abort, ConfigurationError) as error:
        told.write_text(str(error))
    except Exception:
        told.write_text(traceback.format_exc())
    else:
        told.write_text("")
        what = ", ".join(changed) or "the site"
        print(f"built {what} in {time.monotonic() - began:.1f} s", flush=True)
