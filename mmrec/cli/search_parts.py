"""Parts of a search, as a command line gives them."""

from collections.abc import Sequence
from pathlib import Path

from mmrec.errors import InvalidRequestError
from mmrec.v1 import catalog_pb2, recommender_pb2


def query_parts(
    text: str, *, images: Sequence[Path], item_ids: Sequence[str], unwanted: Sequence[str]
) -> list[recommender_pb2.QueryPart]:
    """The parts of a query, each of weight 1, or -1 for what is unwanted.

    Raises:
        InvalidRequestError: nothing is wanted, or a picture's file cannot be read.
    """
    wanted = [recommender_pb2.QueryPart(text=text)] if text else []
    wanted += [recommender_pb2.QueryPart(image=catalog_pb2.Image(content=_bytes(path))) for path in images]
    wanted += [recommender_pb2.QueryPart(item_id=item_id) for item_id in item_ids]
    if not wanted:
        raise InvalidRequestError('nothing to look for; give words, such as "red dress", --image FILE or --like ITEM')
    return [*wanted, *(recommender_pb2.QueryPart(text=each, weight=-1.0) for each in unwanted)]


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise InvalidRequestError(f"--image {path} cannot be read: {error.strerror}; give a picture file") from None
