"""Modules that few programs import: fetched when the first of them is imported."""

import io
import zipfile
from collections.abc import Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import spec_from_file_location
from pathlib import Path
from types import ModuleType

import js
from pyodide.ffi import JsException

FOLDER = Path("/lib/later")
_NAMES = Path(__file__).parents[1] / "later.txt"


class Finder(MetaPathFinder):
    """Finds the modules of ``later.zip``, which lies beside the worker's script."""

    def __init__(self) -> None:
        paths = map(Path, _NAMES.read_text().split())
        self._files = {_module(path): path for path in paths}

    def find_spec(
        self,
        name: str,
        path: Sequence[str] | None,
        target: ModuleType | None = None,
    ) -> ModuleSpec | None:
        """The module, if it is one of them. Nothing is fetched before it is loaded."""
        if name not in self._files:
            return None
        spec = spec_from_file_location(name, FOLDER / self._files[name])
        if spec and spec.loader:
            spec.loader = _Fetching(spec.loader)
        return spec


class _Fetching(Loader):
    """Loads a module when it has fetched them all. Raises `ImportError` if it cannot."""

    def __init__(self, loader: Loader) -> None:
        self._loader = loader

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        if not FOLDER.exists():
            _fetch(spec.name)
        return self._loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        self._loader.exec_module(module)


def _module(path: Path) -> str:
    parts = path.with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _fetch(name: str) -> None:
    request = js.XMLHttpRequest.new()
    request.open("GET", js.URL.new("later.zip", js.location.href).href, False)
    request.responseType = "arraybuffer"
    try:
        request.send()
        with zipfile.ZipFile(io.BytesIO(request.response.to_bytes())) as archive:
            archive.extractall(FOLDER)
    except (JsException, zipfile.BadZipFile):
        raise ImportError(f"{name} could not be loaded", name=name) from None
