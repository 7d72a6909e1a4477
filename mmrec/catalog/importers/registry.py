"""The forms that can be imported; the first one that recognizes a path reads it."""

from pathlib import Path
from typing import Final

from mmrec.catalog.importers.amazon import AMAZON
from mmrec.catalog.importers.fashion import FASHION
from mmrec.catalog.importers.importer import Importer
from mmrec.catalog.importers.movielens import MOVIELENS
from mmrec.catalog.importers.plain import PLAIN
from mmrec.catalog.importers.retailrocket import RETAILROCKET
from mmrec.errors import InvalidRequestError, NotFoundError

IMPORTERS: Final[tuple[Importer, ...]] = (
    FASHION,
    MOVIELENS,
    RETAILROCKET,
    AMAZON,
    PLAIN,  # takes any table, so it comes last
)


def find_importer(path: Path, form: str = "") -> Importer:
    """The importer of a path.

    Args:
        form: Its name, where the caller knows it.

    Raises:
        NotFoundError: there is no such file or folder.
        InvalidRequestError: `form` is not known, or no importer recognizes the path.
    """
    if form:
        named = [importer for importer in IMPORTERS if importer.name == form]
        if not named:
            raise InvalidRequestError(f"no form {form!r}; there are {', '.join(each.name for each in IMPORTERS)}")
        return named[0]
    if not path.exists():
        raise NotFoundError(f"no file or folder {path}")
    found = next((importer for importer in IMPORTERS if importer.recognizes(path)), None)
    if found is None:
        forms = "; ".join(f"{importer.name}: {importer.about}" for importer in IMPORTERS)
        raise InvalidRequestError(f"{path} is of no known form. Known are {forms}")
    return found
