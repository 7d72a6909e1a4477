"""Where the event log, the registry of forgotten users and releases must be the same: in a folder, and in a bucket."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from mmrec.disk.objects import FolderObjects, Objects

OBJECT_PLACES = ["folder", pytest.param("bucket", marks=pytest.mark.integration)]
"""Parameters of a fixture that calls place_for()."""


def place_for(request: pytest.FixtureRequest) -> Objects:
    """An empty place of the kind that the fixture's parameter names."""
    if request.param == "folder":
        folder: Path = request.getfixturevalue("tmp_path")
        return FolderObjects(folder / "objects")
    new_bucket: Callable[[], Objects] = request.getfixturevalue("new_bucket")
    return new_bucket()


class OpenFolder(FolderObjects):
    """A folder in which, as in a bucket, nobody can be kept out."""

    keeps_out = False

    @contextmanager
    def alone(self, name: str, *, shared: bool = False) -> Iterator[None]:
        """See Objects."""
        del name, shared
        yield
