"""The scoring matrix in a file, written part by part.

    scores.npz        CSR: data, indices, indptr, shape, user_keys (rows), item_ids (columns), as_of_s
                      scipy.sparse.csr_matrix((f["data"], f["indices"], f["indptr"]), shape=f["shape"])
    scores.parquet    user_key, item_id, score: one row per pair, as_of_s in the schema's metadata

Beside one part, memory holds the names of users and items, for .npz. The file appears whole, or not at all.
"""

import shutil
import zipfile
from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from mmrec.disk.files import DurableFiles
from mmrec.errors import InvalidRequestError
from mmrec.state.score_matrix import ScorePart

SUFFIXES: Final = (".npz", ".parquet")
_TRIPLES: Final = pa.schema(
    [
        pa.field("user_key", pa.string(), nullable=False),
        pa.field("item_id", pa.string(), nullable=False),
        pa.field("score", pa.float64(), nullable=False),
    ]
)


@dataclass(frozen=True, kw_only=True)
class WrittenScores:
    """What a file holds."""

    num_users: int
    num_items: int
    num_scores: int


def write_scores(parts: Iterable[ScorePart], path: Path, *, as_of_s: float) -> WrittenScores:
    """Write a matrix as the file's name says.

    Raises:
        InvalidRequestError: the name ends in neither .npz nor .parquet, or its folder is missing.
    """
    if path.suffix not in SUFFIXES:
        raise InvalidRequestError(f"{path} ends in {path.suffix!r}; give a name that ends in .npz or .parquet")
    if not path.absolute().parent.is_dir():
        raise InvalidRequestError(f"there is no folder {path.absolute().parent}; make it first")
    with TemporaryDirectory(dir=path.absolute().parent, prefix=f".{path.name}.") as folder:
        fresh = Path(folder) / path.name
        write = _write_npz if path.suffix == ".npz" else _write_parquet
        written = write(parts, fresh, as_of_s)
        DurableFiles().sync(fresh)
        DurableFiles().move(fresh, path)
    return written


def _write_parquet(parts: Iterable[ScorePart], path: Path, as_of_s: float) -> WrittenScores:
    num_users = num_scores = 0
    items: set[str] = set()
    schema = _TRIPLES.with_metadata({"as_of_s": repr(as_of_s)})
    with pq.ParquetWriter(path, schema, compression="zstd") as writer:
        for part in parts:
            users = pa.array(part.user_keys, pa.string()).take(
                pa.array(np.repeat(np.arange(len(part.user_keys)), np.diff(part.starts_U)))
            )
            columns = [users, pa.array(part.item_ids, pa.string()), pa.array(part.scores_P)]
            writer.write_table(pa.table(columns, schema=schema))
            num_users += len(part.user_keys)
            num_scores += len(part.item_ids)
            items.update(part.item_ids)
    return WrittenScores(num_users=num_users, num_items=len(items), num_scores=num_scores)


def _write_npz(parts: Iterable[ScorePart], path: Path, as_of_s: float) -> WrittenScores:
    column_of: dict[str, int] = {}
    users: list[str] = []
    starts, num_scores = [np.zeros(1, dtype=np.int64)], 0
    with ExitStack() as stack:
        data, indices = (stack.enter_context((path.parent / name).open("wb")) for name in ("data", "indices"))
        for part in parts:
            columns = [column_of.setdefault(item_id, len(column_of)) for item_id in part.item_ids]
            data.write(part.scores_P.astype("<f8").tobytes())
            indices.write(np.array(columns, dtype="<i4").tobytes())
            users += part.user_keys
            starts.append(part.starts_U[1:] + num_scores)
            num_scores += len(part.item_ids)
    arrays: dict[str, Any] = {
        "indptr": np.concatenate(starts),
        "shape": np.array([len(users), len(column_of)], dtype=np.int64),
        "user_keys": np.array(users, dtype=np.str_),
        "item_ids": np.array(list(column_of), dtype=np.str_),
        "as_of_s": np.array(as_of_s),
    }
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, allowZip64=True) as archive:
        for name, dtype in (("data", "<f8"), ("indices", "<i4")):
            header = {"descr": dtype, "fortran_order": False, "shape": (num_scores,)}
            with (path.parent / name).open("rb") as source, archive.open(f"{name}.npy", "w", force_zip64=True) as entry:
                np.lib.format.write_array_header_1_0(entry, header)
                shutil.copyfileobj(source, entry, 1 << 20)
        for name, array in arrays.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as entry:
                np.lib.format.write_array(entry, array, allow_pickle=False)
    return WrittenScores(num_users=len(users), num_items=len(column_of), num_scores=num_scores)
