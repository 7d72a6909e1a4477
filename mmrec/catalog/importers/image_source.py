"""Pictures that belong to rows: files of a folder, members of a tar, or URLs that the encoder fetches later.

with_pictures = find_pictures("images.tar", beside=path)
with_pictures.of("10001")            bytes of images/10001.jpg, None where there is none
"""

import re
import tarfile
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from mmrec.errors import InvalidRequestError, NotFoundError

SUFFIXES: Final = {
    **{".jpg": "image/jpeg", ".jpeg": "image/jpeg", ".png": "image/png", ".webp": "image/webp", ".gif": "image/gif"},
    **{".avif": "image/avif", ".bmp": "image/bmp", ".tif": "image/tiff", ".tiff": "image/tiff"},
}
"""Media type by the end of a name."""
URL: Final = re.compile(r"[a-z][a-z0-9+.-]*://\S+|data:\S+", re.IGNORECASE)
BESIDE: Final = ("images", "images.tar", "posters", "posters.tar")
"""Names under which pictures are looked for beside a table."""
MAX_BYTES: Final = 5 * 1024 * 1024
"""Of one picture; in base64 and with its texts it must fit into a record of the topic."""


@dataclass(frozen=True, kw_only=True)
class Picture:
    """One picture as a file holds it."""

    name: str
    """Of the file."""
    content: bytes
    """Empty where the file has more than MAX_BYTES."""
    media_type: str


@dataclass(frozen=True, kw_only=True)
class ImageSource:
    """Where pictures are looked up, by item id or by the name that a row gives."""

    path: Path
    names: Mapping[str, str]
    """Name of the file by itself, and by itself without its suffix; both without folders."""
    num_pictures: int
    read: Callable[[str, int], bytes]
    """read(name, n): the first n bytes of the file of one of those names."""

    def of(self, name: str) -> Picture | None:
        """The picture of a name, with or without folders and suffix; None where there is none, or an empty file."""
        found = self.names.get(name.replace("\\", "/").rpartition("/")[2])
        if found is None:
            return None
        content = self.read(found, MAX_BYTES + 1)
        if not content:
            return None
        media_type = SUFFIXES.get(Path(found).suffix.lower(), "")
        return Picture(name=found, content=content if len(content) <= MAX_BYTES else b"", media_type=media_type)


def _names(files: Iterable[str]) -> dict[str, str]:
    stems = {name.rpartition(".")[0]: name for name in files}
    return {**stems, **{name: name for name in files}}


def find_pictures(given: str, *, beside: Path) -> ImageSource | None:
    """Pictures of a folder or tar.

    Args:
        given: The folder or tar; empty looks beside the table, and finds None where there are none.
        beside: Folder of the table.

    Raises:
        NotFoundError: `given` is not there.
        InvalidRequestError: it is neither a folder nor an uncompressed tar.
    """
    if given:
        path = Path(given).expanduser()
        if not path.exists():
            raise NotFoundError(f"no folder or tar {path} of pictures")
        return _folder(path) if path.is_dir() else _tar(path)
    found = next((beside / name for name in BESIDE if (beside / name).exists()), None)
    return None if found is None else _folder(found) if found.is_dir() else _tar(found)


def _folder(path: Path) -> ImageSource:
    places = {each.name: each for each in path.rglob("*") if each.suffix.lower() in SUFFIXES and each.is_file()}

    def read(name: str, num_bytes: int) -> bytes:
        with places[name].open("rb") as file:
            return file.read(num_bytes)

    return ImageSource(path=path, names=_names(places), num_pictures=len(places), read=read)


def _tar(path: Path) -> ImageSource:
    try:
        with tarfile.open(path, "r:") as archive:
            places = {
                member.name.rpartition("/")[2]: (member.offset_data, member.size)
                for member in archive
                if member.isfile() and Path(member.name).suffix.lower() in SUFFIXES
            }
    except (tarfile.TarError, OSError) as error:
        raise InvalidRequestError(
            f"{path} is no tar of pictures: {error}; give a folder or an uncompressed tar"
        ) from None

    def read(name: str, num_bytes: int) -> bytes:
        offset, size = places[name]
        with path.open("rb") as file:
            file.seek(offset)
            return file.read(min(size, num_bytes))

    return ImageSource(path=path, names=_names(places), num_pictures=len(places), read=read)
