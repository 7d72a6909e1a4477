"""Columns in a folder: `arrays.npz` holds the arrays, `manifest.json` says what they are. Read back bit for bit."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from mmrec.disk.files import replace_file
from mmrec.errors import IncompatibleStateError, NotFoundError

FORMAT = 2
"""Version of the columns; another number in a manifest is an IncompatibleStateError."""
ARRAYS, MANIFEST = "arrays.npz", "manifest.json"


def write_folder(
    folder: Path, *, kind: str, arrays: Mapping[str, npt.NDArray[Any]], manifest: Mapping[str, Any]
) -> None:
    """Write arrays, then the manifest; a folder without a manifest is no finished folder."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / MANIFEST).unlink(missing_ok=True)
    with (folder / ARRAYS).open("wb") as file:
        np.savez(file, allow_pickle=False, **arrays)
    shapes = {name: [str(array.dtype), list(array.shape)] for name, array in arrays.items()}
    document = {"kind": kind, "format": FORMAT, "arrays": shapes, **manifest}
    replace_file(folder / MANIFEST, json.dumps(document, ensure_ascii=False))


def read_folder(folder: Path, *, kind: str) -> tuple[dict[str, npt.NDArray[Any]], dict[str, Any]]:
    """(arrays, manifest) that write_folder() wrote.

    Raises:
        NotFoundError: there is no finished folder of examples.
        IncompatibleStateError: it holds another kind, or another format.
    """
    path = folder / MANIFEST
    if not path.exists():
        raise NotFoundError(f"no examples at {folder}; run `python -m jobs.build_examples --out ...` first")
    manifest: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    if manifest.get("kind") != kind or manifest.get("format") != FORMAT:
        raise IncompatibleStateError(
            f"{folder} holds {manifest.get('kind')!r} in format {manifest.get('format')}; "
            f"this code reads {kind!r} in format {FORMAT}; build the examples again"
        )
    with np.load(folder / ARRAYS, allow_pickle=False) as stored:
        return {name: stored[name] for name in stored.files}, manifest
