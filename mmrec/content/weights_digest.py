"""What an encoder's files hold, as a hash: single files, folders with all that is in them, and models of a hub.

    weights_digest(["/models/minilm"], kept=cache_folder() / "weights")

A file is read once: its digest is kept by path, length and times. The time of the last change of a file's entry
(ctime) cannot be set back, so a model that was trained in place is noticed even where its file is as long as before.
"""

import json
import os
from collections.abc import Iterator, Sequence
from hashlib import file_digest, sha256
from pathlib import Path
from typing import Final

from mmrec.disk.files import replace_file
from mmrec.errors import NotFoundError

RACY_NS: Final = 2_000_000_000
"""A digest that was kept this soon after its file changed is not believed: the clock of files may tick that slowly."""


def weights_digest(places: Sequence[str], *, kept: Path) -> str:
    """sha256 in hex over the content of `places`, whatever they are called and wherever they lie; "" where none is.

    Args:
        places: Files, folders, or hub ids ("owner/model"), which count by the commit that this machine has.
        kept: Folder for digests of files that were read.

    Raises:
        NotFoundError: there is neither a file nor a folder nor a model of that name.
    """
    if not places:
        return ""
    return sha256("\0".join(part for place in places for part in _parts(place, kept)).encode()).hexdigest()


def _parts(place: str, kept: Path) -> Iterator[str]:
    path = Path(place)
    if path.is_file():
        yield _digest_of(path, kept)
    elif path.is_dir():
        for file in sorted(each for each in path.rglob("*") if _counts(each.relative_to(path)) and each.is_file()):
            yield str(file.relative_to(path))
            yield _digest_of(file, kept)
    else:
        yield f"{place}@{_hub_commit(place)}"


def _counts(path: Path) -> bool:
    """Whether a file of a model's folder can matter: not a hidden one, and no text for people."""
    return path.suffix.lower() != ".md" and not any(part.startswith(".") for part in path.parts)


def _digest_of(path: Path, kept: Path) -> str:
    path = path.resolve()
    found = path.stat()
    state = [str(path), found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino]
    memory = kept / f"{sha256(str(path).encode()).hexdigest()[:32]}.json"
    changed_ns = max(found.st_mtime_ns, found.st_ctime_ns)
    try:
        if memory.stat().st_mtime_ns > changed_ns + RACY_NS:
            remembered = json.loads(memory.read_text(encoding="utf-8"))
            if remembered["state"] == state:
                return str(remembered["sha256"])
    except (OSError, ValueError, KeyError, TypeError):
        pass  # none was kept, or not whole: it is made again
    with path.open("rb") as file:
        digest = file_digest(file, "sha256").hexdigest()
    kept.mkdir(parents=True, exist_ok=True)
    replace_file(memory, json.dumps({"state": state, "sha256": digest}), durable=False)
    return digest


def _hub_commit(model: str) -> str:
    """The commit of a hub model on this machine; asks the hub where it has none yet."""
    from transformers.utils import cached_file

    for local in (True, bool(os.environ.get("HF_HUB_OFFLINE"))):
        try:
            config = cached_file(model, "config.json", local_files_only=local)
        except OSError as error:
            problem = str(error).partition("\n")[0]
        else:
            return Path(str(config)).parent.name
    raise NotFoundError(f"no model {model!r} on this machine or on the hub: {problem}; give a hub id or a folder")
