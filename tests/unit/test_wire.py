"""What every record is checked for first: bytes, ids, instants."""

import pytest

from mmrec.wire.documents import DocumentError, check_text, load_document
from mmrec.wire.ids import MAX_ID_BYTES, id_problem
from mmrec.wire.instants import log_time, parse_time
from mmrec.wire.portions import portions


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


@pytest.mark.parametrize(
    "text", ["9999-12-31T23:59:59-23:59", "0001-01-01T00:00:00+00:01", "9999-12-31T23:59:59.9999Z"]
)
def test_an_instant_that_could_not_be_written_again_is_none(text: str) -> None:
    assert parse_time(text) is None
    assert parse_time("9999-12-31T23:59:59Z") == 253_402_300_799


@pytest.mark.parametrize(("num_rows", "sizes"), [(0, []), (1, [1]), (6, [3, 3]), (7, [3, 3, 1])])
def test_portions_hold_every_row_once_in_order(num_rows: int, sizes: list[int]) -> None:
    found = list(portions(range(num_rows), 3))
    assert [len(portion) for portion in found] == sizes
    assert [row for portion in found for row in portion] == list(range(num_rows))


def test_a_portion_takes_no_row_before_it_is_asked_for() -> None:
    rows = iter(range(10))
    taken = portions(rows, 3)
    assert next(taken) == [0, 1, 2]
    assert next(rows) == 3


def test_times_of_log_lines_sort_as_texts() -> None:
    times_s = [1769860799.9994, 1769860800.0, 1769860800.001, 1769860800.25, 1769860801.0]
    lines = [log_time(time_s) for time_s in times_s]
    assert lines == sorted(lines)
    assert lines[:2] == ["2026-01-31T11:59:59.999Z", "2026-01-31T12:00:00.000Z"]
    assert [parse_time(line) for line in lines[1:]] == times_s[1:]
