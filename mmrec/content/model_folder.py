"""The folder of a trained model: files with weights, and one that describes them, written last.

with described_model(folder, "alignment.json", format_number=1, what="alignment", task="align") as described: ...
"""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mmrec.disk.files import replace_file
from mmrec.errors import IncompatibleStateError


def describe_model(folder: Path, name: str, described: Mapping[str, Any], *, format_number: int) -> None:
    """Write the description. Weights come before it, so that a folder with one is whole."""
    replace_file(folder / name, json.dumps({"format": format_number, **described}, indent=1))


@contextmanager
def described_model(
    folder: Path, name: str, *, format_number: int, what: str, task: str
) -> Iterator[Mapping[str, Any]]:
    """The description, while a model is read.

    Args:
        name: Of the file.
        what: The kind of model, as it is called in errors.
        task: `jobs/train.py --task` that makes one.

    Raises:
        IncompatibleStateError: a file is missing or damaged, or of another format: whatever reading the description
            or the weights raises.
    """
    try:
        described = json.loads((folder / name).read_text(encoding="utf-8"))
        if described["format"] != format_number:
            raise IncompatibleStateError(f"it has format {described['format']}, this code reads {format_number}")
        yield described
    except Exception as error:  # JSON, NumPy and safetensors raise what they like over a damaged file
        raise IncompatibleStateError(
            f"no usable {what} in {folder}: {type(error).__name__}: {error}; `python -m jobs.train --task {task}` "
            "makes one"
        ) from None
