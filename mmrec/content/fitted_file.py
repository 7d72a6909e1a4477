"""What an encoder was fitted to, as a file: one JSON object, written whole."""

from pathlib import Path
from typing import TypeVar

import msgspec

from mmrec.disk.files import replace_file
from mmrec.errors import InvalidRequestError, NotFoundError

Fitted = TypeVar("Fitted", bound=msgspec.Struct)


def read_fitted(path: str | Path, kind: type[Fitted]) -> Fitted:
    """The fitted state of a file.

    Raises:
        NotFoundError: there is no such file.
        InvalidRequestError: it holds something else.
    """
    try:
        return msgspec.json.decode(Path(path).read_bytes(), type=kind)
    except OSError as error:
        raise NotFoundError(f"{path}: {error.strerror}; make it with python -m jobs.fit_encoder") from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        what = f"{path} is no {kind.__name__}: {error}"
        raise InvalidRequestError(f"{what}; make it with python -m jobs.fit_encoder") from None


def write_fitted(path: str | Path, fitted: msgspec.Struct) -> None:
    """Write or replace the file."""
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    replace_file(Path(path), msgspec.json.encode(fitted))
