"""An example copied to an empty folder runs there, whatever is sent to it."""

import shutil
from pathlib import Path
from signal import SIGINT

import pytest

from runner import client, serve
from tests.services import settings_of
from tests.test_examples import ONE_FILE, each
from workshop.pages import target_of

ELSEWHERE = {
    "waiting_for_a_result.py",  # answers when a worker has
    "never_started.py",  # never answers
    "start_limit.py",  # nor does this
    "news.py",  # nor does this come to an end
    "silent.py",  # answers after 17 seconds
    "torn.py",  # breaks off in the middle
    "cancelled.py",  # works for a minute
    "model.py",  # computes for minutes
    "with_procrastinate.py",  # wants its tables first
}
ALONE = [
    file
    for file in ONE_FILE
    if file.name not in ELSEWHERE and file.parent.name != "with_postgresql"
]
"""All but those, and those that want their tables first."""


@pytest.mark.slow
@each(ALONE)
@pytest.mark.filterwarnings("ignore::DeprecationWarning:schemathesis")
def test_a_copy_named_main_runs_alone_in_an_empty_folder_and_has_no_5xx(
    file: Path, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
):
    """Whatever its schema allows or forbids gets no 5xx that the schema does not declare."""
    from tests.fuzzing import faults  # its libraries take a second to import

    shutil.copy(file, tmp_path / "main.py")
    data = tmp_path_factory.mktemp("data")
    temporary = tmp_path_factory.mktemp("temporary")
    env = kept_in(data) | settings_of(target_of(file), data)
    env |= {"PYTHONDONTWRITEBYTECODE": "1", "TMPDIR": str(temporary)}
    with serve("main:app", cwd=tmp_path, env=env) as server:
        server.expect("")  # of what it says, its answers are asked
        assert faults(server.url) == []
        assert client.post(f"{server.url}/nothing-here").status_code == 404
        if "tempfile" in file.read_text():
            server.stop(SIGINT)  # as a reader does, with Ctrl-C
    assert [path.name for path in tmp_path.iterdir()] == ["main.py"]
    assert [path.name for path in temporary.iterdir()] == []


def kept_in(folder: Path) -> dict[str, str]:
    """Where an example keeps what is to be there after a restart."""
    return {
        "DATABASE": f"{folder}/db",
        "PICTURES": str(folder),
        "REPORTS": str(folder),
        "ROW": f"{folder}/row",
    }
