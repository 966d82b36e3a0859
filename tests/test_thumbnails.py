"""The statements of docs/recipes/thumbnails.md."""

import resource
import struct
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from pathlib import Path

import httpx
import psutil
import pytest
from PIL import Image

from runner import Server, client, serve
from tests.load import REQUESTS, load


def picture(colour: int, size: tuple[int, int] = (600, 300)) -> bytes:
    file = BytesIO()
    Image.new("RGB", size, (colour, 100, 100)).save(file, "PNG")
    return file.getvalue()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path


@pytest.fixture
def server(folder: Path) -> Iterator[Server]:
    settings = {"PICTURES": str(folder)}
    with serve("examples.recipes.thumbnails:app", env=settings) as server:
        yield server


def upload(server: Server, data: bytes) -> httpx.Response:
    return client.post(f"{server.url}/pictures", files={"picture": data}, timeout=30)


def test_the_thumbnail_is_there_when_the_task_has_ended(server: Server):
    """The thumbnail is at the address of `Location` when the task has ended, and fits into 200 by 200."""
    answer = upload(server, picture(1))
    server.wait_for("make_thumbnail: .* done")
    thumbnail = client.get(server.url + answer.headers["location"])
    assert answer.status_code == 202
    with Image.open(BytesIO(thumbnail.content)) as image:
        assert image.format == "JPEG"
        assert image.size == (200, 100)


def thumbnail_of(server: Server, data: bytes) -> Image.Image:
    """Upload a picture; its thumbnail."""
    location = upload(server, data).headers["location"]
    server.wait_for("make_thumbnail: .* done")
    return Image.open(BytesIO(client.get(server.url + location).content))


def test_a_photo_stands_as_it_was_taken(server: Server):
    """A photo of 600 by 300 whose EXIF data say that the camera was held upright becomes an upright thumbnail. The EXIF data, with the place where it was taken, are not in it."""
    exif = Image.Exif()
    exif[274] = 6  # Orientation: to be turned by 90 degrees
    file = BytesIO()
    Image.new("RGB", (600, 300)).save(file, "JPEG", exif=exif)
    thumbnail = thumbnail_of(server, file.getvalue())
    assert thumbnail.size == (100, 200)
    assert not thumbnail.getexif()


def test_what_is_transparent_becomes_white(server: Server):
    """What is transparent in a PNG is white in the thumbnail, not black."""
    file = BytesIO()
    Image.new("RGBA", (300, 300), (0, 0, 0, 0)).save(file, "PNG")
    thumbnail = thumbnail_of(server, file.getvalue())
    assert thumbnail.convert("L").getextrema()[0] > 250


@pytest.mark.slow
def test_the_same_picture_from_many_at_once_has_one_thumbnail(
    server: Server, folder: Path
):
    """The same picture from many clients at once has one thumbnail, a whole one."""
    data = picture(1, (6000, 6000))
    with ThreadPoolExecutor(4) as clients:
        answers = list(clients.map(lambda _: upload(server, data), range(4)))
    server.stop()
    assert {answer.status_code for answer in answers} == {202}
    assert [file.suffix for file in folder.iterdir()] == [".jpg"]


def test_the_same_picture_again_has_the_same_id_and_is_made_once(
    server: Server, folder: Path
):
    """The same picture again has the same id, and its thumbnail is not made again."""
    first = upload(server, picture(1)).json()
    server.wait_for("make_thumbnail: .* done")
    made = (folder / f"{first['id']}.jpg").stat().st_mtime_ns
    assert upload(server, picture(1)).json() == first
    server.stop()
    assert (folder / f"{first['id']}.jpg").stat().st_mtime_ns == made


def bomb() -> bytes:
    """A PNG of a few bytes that says that it is 60,000 by 60,000 pixels."""
    header = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    chunk = b"IHDR" + header
    size, check = struct.pack(">I", len(header)), struct.pack(">I", zlib.crc32(chunk))
    return b"\x89PNG\r\n\x1a\n" + size + chunk + check


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"no picture", 415),
        (picture(1)[:30], 415),
        (bomb(), 415),
        (bytes(6_000_000), 413),
    ],
    ids=["no picture", "a header cut off", "a bomb", "six megabytes"],
)
def test_what_is_no_picture_or_too_large_is_refused(
    server: Server, data: bytes, status: int
):
    """What is no picture gets `415`, and so does one whose header is cut off, and a small file that says it is a huge picture; more than five megabytes get `413`."""
    answer = upload(server, data)
    assert answer.status_code == status


@pytest.mark.slow
def test_more_than_fifty_million_pixels_are_refused(server: Server):
    """More than fifty million pixels get `422`."""
    assert upload(server, picture(1, size=(10_000, 6_000))).status_code == 422


def test_a_damaged_picture_is_reported_at_its_address(server: Server):
    """A picture that turns out to be damaged is reported at its address, and logged."""
    answer = upload(server, picture(1)[:-50])
    server.wait_for("make_thumbnail: .* failed")
    thumbnail = client.get(server.url + answer.headers["location"])
    assert answer.status_code == 202
    assert thumbnail.status_code == 422
    assert thumbnail.json() == {"detail": "No thumbnail could be made."}


def test_a_picture_that_could_not_be_written_can_be_sent_again(server: Server):
    """The disk is full: no thumbnail. The same picture, sent again when there is room, has one."""
    process = psutil.Process(server.process.pid)
    process.rlimit(psutil.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))
    location = upload(server, picture(1)).headers["location"]
    server.wait_for("make_thumbnail: .* failed")
    assert client.get(server.url + location).status_code == 422
    process.rlimit(psutil.RLIMIT_FSIZE, (resource.RLIM_INFINITY,) * 2)
    upload(server, picture(1))
    server.wait_for("make_thumbnail: .* done")
    assert client.get(server.url + location).status_code == 200


def test_an_unknown_picture_is_404(server: Server):
    """An unknown picture gets `404`, and so does one whose thumbnail is not ready."""
    answer = client.get(f"{server.url}/pictures/{'0' * 64}/thumbnail")
    assert answer.status_code == 404


@pytest.mark.slow
def test_200_pictures_become_200_thumbnails(server: Server, folder: Path):
    """200 pictures, 20 at a time, become 200 whole thumbnails."""
    answers = load(
        server.url,
        lambda client, number: client.post(
            "/pictures", files={"picture": picture(number)}
        ),
    )
    assert {answer.status_code for answer in answers} == {202}
    server.wait_for("make_thumbnail: .* done", nth=REQUESTS, timeout=100)
    files = sorted(file.name for file in folder.iterdir())
    assert files == sorted(f"{answer.json()['id']}.jpg" for answer in answers)
    for file in folder.iterdir():
        with Image.open(file) as image:
            image.load()
