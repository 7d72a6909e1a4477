"""Files in the IDX form of MNIST and Fashion-MNIST: pictures and labels, gzipped or not.

    read_idx(folder / "train-images-idx3-ubyte.gz")         uint8 (N, H, W)
    read_labelled_pictures(folder)                          pictures and labels of train-* and t10k-*

Form: two zero bytes, a type (0x08: unsigned bytes), the number of axes, each axis' length as big-endian 32 bits, then
the bytes (Y. LeCun's page on MNIST; Xiao et al., Fashion-MNIST, 2017).
"""

import gzip
import struct
from math import prod
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from mmrec.errors import ConfigurationError

UNSIGNED_BYTES: Final = 8
PARTS: Final = ("train", "t10k")
MAX_BYTES: Final = 4 * 1024**3
"""Longest content; a damaged length is refused before it is allocated."""


def read_idx(path: Path) -> npt.NDArray[np.uint8]:
    """The array of a file.

    Raises:
        ConfigurationError: it is not there, or no IDX file of unsigned bytes, or cut.
    """
    try:
        content = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    except (OSError, EOFError) as error:
        raise ConfigurationError(f"{path} cannot be read: {error}") from None
    if len(content) < 4 or content[:2] != b"\0\0" or content[2] != UNSIGNED_BYTES or not 1 <= content[3] <= 4:
        raise ConfigurationError(
            f"{path} begins with {content[:4]!r}; an IDX file of bytes begins 00 00 08 and 01 to 04"
        )
    start = 4 + 4 * content[3]
    if len(content) < start:
        raise ConfigurationError(f"{path} ends within its first {start} bytes, which say how long its axes are")
    shape = struct.unpack(f">{content[3]}I", content[4:start])
    if prod(shape) > MAX_BYTES or len(content) - start != prod(shape):
        raise ConfigurationError(f"{path} has {len(content) - start} bytes for the shape {shape}; it is cut or damaged")
    return np.frombuffer(content, dtype=np.uint8, offset=start).reshape(shape)


def read_labelled_pictures(folder: Path) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]:
    """Pictures (N, H, W) and labels (N,) of all parts of a folder that are there.

    Raises:
        ConfigurationError: no part is there, a part has one file of two, or their lengths differ.
    """
    pictures, labels = [], []
    for part in PARTS:
        images = _found(folder, f"{part}-images-idx3-ubyte")
        if images is None:
            continue
        named = _found(folder, f"{part}-labels-idx1-ubyte")
        if named is None:
            raise ConfigurationError(f"{images} is there and {part}-labels-idx1-ubyte[.gz] is not; give both")
        pictures.append(read_idx(images))
        labels.append(read_idx(named))
        if pictures[-1].ndim != 3 or labels[-1].ndim != 1 or len(pictures[-1]) != len(labels[-1]):
            raise ConfigurationError(
                f"{images} has the shape {pictures[-1].shape} and {named} {labels[-1].shape}; give one label a picture"
            )
    if not pictures:
        raise ConfigurationError(f"{folder} has no train-images-idx3-ubyte, with or without .gz")
    return np.concatenate(pictures), np.concatenate(labels)


def _found(folder: Path, name: str) -> Path | None:
    return next((path for path in (folder / name, folder / f"{name}.gz") if path.is_file()), None)
