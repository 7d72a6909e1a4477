"""`mmrec search`: what is typed becomes the parts of a query."""

import pytest

from mmrec.cli.search_parts import query_parts
from mmrec.errors import InvalidRequestError


def test_words_pictures_and_items_are_wanted_and_the_rest_is_not(tmp_path):
    photo = tmp_path / "photo.jpg"
    photo.write_bytes(b"bytes")
    parts = query_parts("red dress", images=[photo], item_ids=["i1"], unwanted=["stripes"])
    assert [part.WhichOneof("what") for part in parts] == ["text", "image", "item_id", "text"]
    assert [part.weight for part in parts] == [0.0, 0.0, 0.0, -1.0]
    assert parts[1].image.content == b"bytes"


def test_nothing_to_look_for_and_a_missing_picture_are_refused(tmp_path):
    with pytest.raises(InvalidRequestError, match="nothing to look for"):
        query_parts("", images=[], item_ids=[], unwanted=["stripes"])
    with pytest.raises(InvalidRequestError, match="No such file"):
        query_parts("", images=[tmp_path / "absent.jpg"], item_ids=[], unwanted=[])
