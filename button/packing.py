"""Packs what the Run button loads. Runs in Pyodide's own Python, when the site is built.

Python begins with few modules of its standard library. FastAPI, its packages and what they
import besides come in a second archive; the rest of both, which few programs import, is
fetched by `button.later` when a program does. What is imported at once is compiled
already, without docstrings.
"""

import compileall
import io
import tarfile
import zipfile
from collections.abc import Iterable, Iterator
from importlib import import_module
from pathlib import Path
from typing import NamedTuple

zstd = import_module("compression.zstd")  # since Python 3.14
external = import_module("importlib._bootstrap_external")

Files = dict[str, bytes]
"""Names below a folder that modules are imported from, and what is in the files."""

_NOT_IN_A_BROWSER = """
fastapi/cli anyio/_backends/_trio anyio/pytest_plugin pydantic/v1/ pydantic/mypy
recording/processes recording/shape button/packing
_pyrepl/ multiprocessing/ pydoc_data/ turtle xmlrpc/ wsgiref/
imaplib ftplib poplib smtplib nntplib pdb doctest pickletools _pyio
encodings/mac_ encodings/cp encodings/iso encodings/koi encodings/big5 encodings/euc
"""
LEFT_OUT = tuple(_NOT_IN_A_BROWSER.split())

WHOLE = ("fastapi/", "starlette/", "button/", "recording/")
"""Where each module is one that programs import."""

LATER = "later.txt"
"""The file that names the modules of the last archive."""


class Packed(NamedTuple):
    """The three archives."""

    begins: bytes
    """A zip from which Python itself begins."""
    environment: bytes
    """A tar, compressed with Zstandard."""
    later: bytes
    """A zip."""


def packages(folder: str) -> Files:
    """What is unpacked in a folder, compiled; of what is known of a package only its fields."""
    env = Path(folder)
    compileall.compile_dir(env, legacy=True, quiet=1, optimize=2, stripdir=folder)
    return dict(_packages(env))


def _packages(env: Path) -> Iterator[tuple[str, bytes]]:
    for file in sorted(each for each in env.rglob("*") if each.is_file()):
        name = file.relative_to(env).as_posix()
        of_anyio = name.startswith("anyio/__init__.")  # it reads its own source
        source = file.suffix in (".py", ".pyi") and not of_anyio
        unused = "__pycache__" in name or "/sboms/" in name or name.endswith("/RECORD")
        if source or unused or (of_anyio and file.suffix != ".py"):
            continue
        data = file.read_bytes()
        if name.endswith(".dist-info/METADATA"):
            data = data.partition(b"\n\n")[0] + b"\n"
        yield name, data


def pack(
    stdlib: bytes, packages: Files, begins: Iterable[str], used: Iterable[str]
) -> Packed:
    """Pack the zip of the standard library and the packages.

    `begins` and `used` are the names of the files that Python has imported when it has
    begun, and when it has run a program with FastAPI.
    """
    with zipfile.ZipFile(io.BytesIO(stdlib)) as archive:
        library = {name: archive.read(name) for name in archive.namelist()}
    begins, used = {*begins}, {*used}
    inside = {name.partition("/")[0] for name in begins if "/" in name}
    first, second, later = Files(), Files(), Files()
    for name, data in {**library, **packages}.items():
        unused = name.startswith(LEFT_OUT) and name not in begins
        if unused or name.endswith("/"):
            continue
        if name in library and name in used | begins:
            if name.endswith(".py"):
                name, data = f"{name}c", _compiled(name, data)
            whole = name.partition("/")[0] in inside  # a package lies in one archive
            (first if whole or name[:-1] in begins else second)[name] = data
        elif name in used or name.startswith(WHOLE) or _is_data(name, packages):
            second[name] = data
        else:
            later[name] = data
    second[LATER] = "\n".join(later).encode()
    return Packed(zipped(first), _tar(second), zipped(later))


def _is_data(name: str, packages: Files) -> bool:
    """Of a package; a folder with data of the standard library's would pass for a module."""
    return name in packages and not name.endswith((".py", ".pyc"))


def _compiled(name: str, source: bytes) -> bytes:
    drop = 1 if name.startswith("email/") else 2  # where docstrings are put together
    code = compile(source, name, "exec", dont_inherit=True, optimize=drop)
    return bytes(external._code_to_timestamp_pyc(code))


def zipped(files: Files) -> bytes:
    """A zip of them."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for name, data in files.items():
            archive.writestr(zipfile.ZipInfo(name), data, zipfile.ZIP_DEFLATED, 9)
    return packed.getvalue()


def _tar(files: Files) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for name in sorted(files, key=lambda name: (Path(name).suffix, name)):
            entry = tarfile.TarInfo(name)
            entry.size = len(files[name])
            archive.addfile(entry, io.BytesIO(files[name]))
    data = packed.getvalue()
    level = zstd.CompressionParameter.compression_level.bounds()[1]
    window = max(10, len(data).bit_length())
    options = {
        zstd.CompressionParameter.compression_level: level,
        zstd.CompressionParameter.window_log: window,
    }
    return bytes(zstd.compress(data, options=options))
