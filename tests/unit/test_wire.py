"""What every record is checked for first: bytes, ids, instants."""

import pytest

from mmrec.wire.documents import DocumentError, check_text, load_document
from mmrec.wire.ids import MAX_ID_BYTES, id_problem


@pytest.mark.parametrize(
    ("value", "reason", "said"),
    [
        (None, "not_an_object", "no value"),
        (b"[1]", "not_an_object", r"\[1\]"),
        (b'{"a": 1', "malformed_json", "delimiter"),
        (b'{"a": NaN}', "malformed_json", "NaN"),
        (b'{"a": 1, "a": 2}', "malformed_json", "'a' stands twice"),
        (b'{"a": "\xff"}', "malformed_json", "no UTF-8 at byte 7"),
        (b"\xff\xfe{}", "malformed_json", "no UTF-8 at byte 0"),
        (b"[" * 100_000, "malformed_json", "nested too deeply"),
        (b'{"a": "' + b"x" * 100_000 + b'"}', "too_large", "99000 bytes"),
        (b'{"a": ' + b"9" * 5_000 + b"}", "malformed_json", "4300 digits"),
    ],
)
def test_what_is_no_document_is_refused_with_a_reason(value: bytes | None, reason: str, said: str) -> None:
    limit = 10**6 if value and value.startswith(b"[[") else 99_000
    with pytest.raises(DocumentError, match=said) as caught:
        load_document(value, max_bytes=limit)
    assert caught.value.reason == reason


def test_a_byte_order_mark_before_a_document_is_no_part_of_it() -> None:
    assert load_document(b'\xef\xbb\xbf{"a": 1}', max_bytes=100) == {"a": 1}


def test_half_a_surrogate_pair_is_named_by_its_field_and_a_whole_one_is_taken() -> None:
    half = load_document(rb'{"title": "\ud83d"}', max_bytes=100)["title"]
    with pytest.raises(DocumentError, match="title holds half a surrogate pair"):
        check_text("title", half)
    check_text("title", load_document(rb'{"title": "\ud83d\ude00"}', max_bytes=100)["title"])


@pytest.mark.parametrize(
    "value", ["", "a", 'tv 5"', "cat\\new", "  ", "\u00e9" * 128, "\U0001f600" * 64, "x" * MAX_ID_BYTES, "'; --"]
)
def test_ids_of_any_printable_text_of_256_bytes_will_do(value: str) -> None:
    assert id_problem("item_id", value) == ""


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("x" * 3_002, "item_id has 3002 bytes; at most 256"),
        ("\u00e9" * 129, "item_id has 258 bytes; at most 256"),
        ("a\nb", "no control characters"),
        ("\x85", "no control characters"),
        ("a\ud83d", "half a surrogate pair"),
    ],
)
def test_ids_that_will_not_do_say_what_would(value: str, said: str) -> None:
    assert said in id_problem("item_id", value)
