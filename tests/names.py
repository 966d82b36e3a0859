"""An app with names of its own: APP is its module, NAMES what each look-up of a name finds.

The addresses of a name are given as JSON, a list for each look-up; the last is found ever
after. A name without a list is never found out. All others are looked up as usual.
"""

import json
import os
import socket
import time
from importlib import import_module
from typing import Any

_names: dict[str, list[list[str]]] = json.loads(os.environ["NAMES"])
_look_up = socket.getaddrinfo


def _find(host: Any, port: Any, *further: Any, **named: Any) -> Any:
    name = host.decode() if isinstance(host, bytes) else host
    if name not in _names:
        return _look_up(host, port, *further, **named)
    if not _names[name]:
        time.sleep(600)
    found, *later = _names[name]
    _names[name] = later or [found]
    return [a for one in found for a in _look_up(one, port, *further, **named)]


socket.getaddrinfo = _find
app = import_module(os.environ["APP"]).app
