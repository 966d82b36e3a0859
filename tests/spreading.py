"""Which tests run in one process: those of a folder, and each session of a page."""

from xdist.scheduler import LoadScopeScheduling

from runner.process import ROOT
from workshop.pages import DOCS, TESTS, claims_of


def scope_of(nodeid: str) -> str:
    """Tests of one scope run in one process, one after another.

    What lies in a folder below ``tests/`` shares a server or a browser. What lies directly
    in ``tests/`` is alone, and so is the session of a page, unless the page's claims lie in
    a folder: then it goes with them.
    """
    name, _, _ = nodeid.partition("::")
    file = ROOT / name
    if file.suffix == ".md":
        page = file.relative_to(DOCS) if file.is_relative_to(DOCS) else file
        claims = claims_of(page.with_suffix("").as_posix())
        return str(claims.parent) if claims and claims.parent != TESTS else name
    return nodeid if file.parent == TESTS else str(file.parent)


class ByFolder(LoadScopeScheduling):
    """Gives each scope to whichever process is free."""

    def _split_scope(self, nodeid: str) -> str:
        return scope_of(nodeid)
