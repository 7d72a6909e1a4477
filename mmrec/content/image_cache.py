"""Fetched pictures on disk, by URI: encoding the catalogue again asks nobody again.

    <folder>/<first two digits>/<sha256 of the URI>      one line of JSON (ImageMarks), then the picture

Any number of processes may use one folder: files are written aside and renamed.
"""

import json
import threading
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path

from mmrec.disk.files import replace_file

_KEPT_AFTER_PRUNING = 0.9


@dataclass(frozen=True, kw_only=True)
class ImageMarks:
    """What tells whether a kept picture is still the one at its URI."""

    update_time_s: float
    """Of the item it was fetched for."""
    fetched_s: float
    """Epoch seconds at which its host last said that this is the picture."""
    etag: str = ""
    last_modified: str = ""


@dataclass(frozen=True, kw_only=True)
class KeptImage:
    """A picture and its marks."""

    body: bytes
    marks: ImageMarks


class ImageCache:
    """Pictures by URI, the oldest dropped where they are too many.

    Args:
        folder: Made at the first write.
        max_bytes: Bound of all files together, up to what other processes add meanwhile.
    """

    def __init__(self, folder: Path, *, max_bytes: int) -> None:
        self._folder, self._max_bytes = folder, max_bytes
        self._num_bytes: int | None = None
        self._pruning = threading.Lock()

    def read(self, uri: str) -> KeptImage | None:
        """The picture kept for this URI; None where there is none or its file is damaged."""
        try:
            head, _, body = self._path(uri).read_bytes().partition(b"\n")
            return KeptImage(body=body, marks=ImageMarks(**json.loads(head)))
        except (OSError, ValueError, TypeError):
            return None

    def write(self, uri: str, image: KeptImage) -> None:
        """Keep a picture in place of the one before."""
        path = self._path(uri)
        path.parent.mkdir(parents=True, exist_ok=True)
        replace_file(path, json.dumps(asdict(image.marks)).encode("utf-8") + b"\n" + image.body, durable=False)
        with self._pruning:
            if self._num_bytes is None:
                self._num_bytes = sum(size for _, size, _ in self._files())
            else:
                self._num_bytes += len(image.body)
            if self._num_bytes > self._max_bytes:
                self._prune()

    def _path(self, uri: str) -> Path:
        name = sha256(uri.encode("utf-8", errors="surrogatepass")).hexdigest()
        return self._folder / name[:2] / name

    def _files(self) -> list[tuple[float, int, Path]]:
        found = []
        for path in self._folder.glob("??/*"):
            try:
                state = path.stat()
            except OSError:
                continue  # another process dropped it
            found.append((state.st_mtime, state.st_size, path))
        return found

    def _prune(self) -> None:
        files = sorted(self._files())
        num_bytes = sum(size for _, size, _ in files)
        for _, size, path in files:
            if num_bytes <= self._max_bytes * _KEPT_AFTER_PRUNING:
                break
            path.unlink(missing_ok=True)
            num_bytes -= size
        self._num_bytes = num_bytes
