"""Changed profiles on a worker's own disk, kept from when they are judged until the log has their events.

    with ProfileKeeper(folder, batch="17", part="3") as keeper:
        keeper.put(profiles)                                   some at a time; all of them are kept or none
    kept_profiles(folder, batch="17", part="3")                None where this machine does not have them

They are several times the size of the events, so they are not sent to the driver. There is one micro-batch at a time:
keeping its profiles removes what is left of earlier ones.
"""

import uuid
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType

import pyarrow as pa

from mmrec.features.values import PackedProfile
from mmrec.wire.portions import portions

PORTION = 1_000
"""Profiles read at a time."""
_SCHEMA = pa.schema([pa.field("key", pa.string()), pa.field("packed", pa.binary()), pa.field("clear", pa.string())])


class ProfileKeeper:
    """Writes the profiles of one part of a micro-batch."""

    def __init__(self, folder: Path, *, batch: str, part: str) -> None:
        """Remove what is left of earlier micro-batches.

        Args:
            folder: The worker's own; made where it is absent.
            batch: Names the micro-batch; no "-" in it.
            part: Names the part; keeping it again replaces it.
        """
        folder.mkdir(parents=True, exist_ok=True)
        for path in folder.iterdir():
            if path.name.partition("-")[0] != batch:
                with suppress(FileNotFoundError):  # another worker was quicker
                    path.unlink()
        self._target = _file(folder, batch, part)
        self._arriving = self._target.with_suffix(f".{uuid.uuid4().hex}")  # an earlier attempt may still write its own
        self._sink = pa.OSFile(str(self._arriving), "wb")
        self._writer = pa.ipc.new_file(self._sink, _SCHEMA)

    def put(self, profiles: Mapping[str, PackedProfile]) -> None:
        """Keep more profiles."""
        for chunk in portions(profiles.items(), PORTION):
            keys, values = zip(*chunk, strict=True)
            packed, clear = zip(*values, strict=True)
            arrays = [pa.array(keys, pa.string()), pa.array(packed, pa.binary()), pa.array(clear, pa.string())]
            self._writer.write_batch(pa.record_batch(arrays, schema=_SCHEMA))

    def __enter__(self) -> "ProfileKeeper":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, failure: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._writer.close()
        self._sink.close()
        if failure is None:
            self._arriving.replace(self._target)


def kept_profiles(folder: Path, *, batch: str, part: str) -> Iterator[dict[str, PackedProfile]] | None:
    """The kept profiles of one part, a portion at a time."""
    path = _file(folder, batch, part)
    return _read(path) if path.is_file() else None


def _read(path: Path) -> Iterator[dict[str, PackedProfile]]:
    with pa.memory_map(str(path)) as source, pa.ipc.open_file(source) as reader:
        for number in range(reader.num_record_batches):
            keys, packed, clear = (column.to_pylist() for column in reader.get_batch(number).columns)
            yield dict(zip(keys, map(PackedProfile, packed, clear), strict=True))


def _file(folder: Path, batch: str, part: str) -> Path:
    return folder / f"{batch}-{part}.arrow"
