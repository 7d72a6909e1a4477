"""What was noticed while a file was read: counts by reason, with the first examples of each. Nothing is passed over.

    reading = Reading()
    for item in source.items.read(reading): ...
    reading.count(Noticed.REJOINED_CELLS), reading.lines()

Empty values, duplicates and broken pictures are what cleaning finds (mmrec.catalog.cleaning_report); these counts join
its report. A reader that alters, drops or cannot understand a value notes it here and goes on; it raises what it cannot
go on from.
"""

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from mmrec.wire.shown import shown

MAX_EXAMPLES: Final = 5
"""Kept of each reason and column."""


class Noticed(StrEnum):
    """Why something is not as the file has it, or as it should have it."""

    REJOINED_CELLS = "rejoined_cells"
    """A row had more cells than the header; they were put back into the text that commas had cut."""
    LONG_ROW = "long_row"
    """A row had more cells than the header, and no text column to put them into; they were dropped."""
    SHORT_ROW = "short_row"
    """A row had fewer cells than the header; the rest is empty."""
    OPEN_QUOTE = "open_quote"
    """A quote was opened and never closed; its line was read without, and the lines behind it as rows."""
    UNREADABLE_ROW = "unreadable_row"
    """A row could not be read and was left out."""
    JUNK_COLUMN = "junk_column"
    """A column without a name, or with nothing but a spreadsheet's, was not read."""
    ENCODING = "encoding"
    """A line was no UTF-8 and was read as Windows-1252."""
    PYTHON_LITERAL = "python_literal"
    """A line was no JSON but a Python literal, as in the Amazon files of 2014."""
    MISSING_ID = "missing_id"
    """A row without an id of its item or user was left out."""
    MISSING_FILE = "missing_file"
    """The picture that belongs to the row is not there; the item stays."""
    LARGE_FILE = "large_file"
    """The picture that belongs to the row has more bytes than a record may hold; the item stays."""
    BAD_PRICE = "bad_price"
    """A price was no number of 0 or more; the price is unknown."""
    PRICE_RANGE = "price_range"
    """A price was a range; its lower end is taken."""
    AMBIGUOUS_NUMBER = "ambiguous_number"
    """A number has one separator before three digits, and no other number of the column says what it means."""
    BAD_NUMBER = "bad_number"
    """A number could not be read and was left out."""
    BAD_TIME = "bad_time"
    """A time could not be read: of an item it is unknown, an event is left out."""
    DAY_ONLY = "day_only"
    """A time was a day; it stands at noon of it."""
    UNKNOWN_AVAILABILITY = "unknown_availability"
    """A text about availability that nobody understands; the item is hidden."""
    HTML = "html"
    """Tags were taken out of a text."""
    LIST = "list"
    """A list became values with "|" between them."""
    SEPARATOR_IN_VALUE = "separator_in_value"
    """A value of a list held "|", which separates values; it became "/"."""
    NO_BEHAVIOR = "no_behavior"
    """A row meets no condition of --behavior and gives no event."""
    LONG_VALUE = "long_value"
    """A value of an event was too long for its context and was left out."""
    NO_METADATA = "no_metadata"
    """Rows say something of an item that the catalogue does not have."""


@dataclass(kw_only=True)
class Reading:
    """Counts of one pass over a source."""

    num_rows: int = 0
    """Rows read, those left out among them."""
    num_items: int = 0
    num_events: int = 0
    counts: Counter[tuple[Noticed, str]] = field(default_factory=Counter)
    """By reason and column; the column is empty where the whole row is meant."""
    examples: dict[tuple[Noticed, str], list[str]] = field(default_factory=lambda: defaultdict(list))
    """The first of each: place and value, fit to be printed."""

    def note(self, reason: Noticed, place: str, value: object = "", *, column: str = "") -> None:
        """Count one case.

        Args:
            place: Such as "line 7" or an item id.
            value: What stood there; shown shortened.
        """
        key = (reason, column)
        self.counts[key] += 1
        if len(self.examples[key]) < MAX_EXAMPLES:
            self.examples[key].append(place if value == "" else f"{place}: {shown(value)}")

    def count(self, reason: Noticed, column: str | None = None) -> int:
        """Cases of a reason, in one column or in all."""
        return sum(n for (found, name), n in self.counts.items() if found == reason and column in (None, name))

    def each(self) -> list[tuple[str, str, int, list[str]]]:
        """(reason, column, count, examples), the most frequent first."""
        found = sorted(self.counts.items(), key=lambda entry: (-entry[1], entry[0]))
        return [(str(reason), column, number, self.examples[reason, column]) for (reason, column), number in found]

    def lines(self) -> list[str]:
        """A line for each reason and column, the most frequent first, with examples."""
        return [
            f"{reason}{f' of {column}' if column else ''}: {number:,} ({'; '.join(examples)})"
            for reason, column, number, examples in self.each()
        ]
