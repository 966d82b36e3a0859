"""A real nginx before a server."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from runner.process import free_port, start, wait_until_it_listens

NGINX = shutil.which("nginx", path=f"{os.environ['PATH']}:/usr/sbin")
"""The program, if it is installed."""

_CONFIGURATION = """\
daemon off;
pid {folder}/pid;
error_log stderr;
events {{}}
http {{
  access_log off;
  client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
  server {{
    listen 127.0.0.1:{port};
    location / {{ proxy_pass {url}; }}
  }}
}}
"""


@contextmanager
def behind_nginx(url: str, folder: Path) -> Iterator[str]:
    """The address of an nginx that asks the server at `url`; all but that is its default.

    Skips the test where there is none.
    """
    if not NGINX:
        pytest.skip("needs nginx (Debian: apt install nginx-light)")
    port = free_port()
    file = folder / "nginx.conf"
    file.write_text(_CONFIGURATION.format(folder=folder, port=port, url=url))
    command = [NGINX, "-e", "stderr", "-p", str(folder), "-c", str(file)]
    with start(command, ready=None):
        wait_until_it_listens(f"http://127.0.0.1:{port}")
        yield f"http://127.0.0.1:{port}"
