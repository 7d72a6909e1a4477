"""What a training or measurement has to say to people: a file `report.json` in its output folder.

    write_findings(folder, Findings(title="Alignment", command="python -m jobs.train --task align", parts=[
        Figures(title="Held-out products", values={"recall_at_10_before": 0.09, "recall_at_10_after": 0.74}),
        Curves(title="Loss", x="epoch", y="InfoNCE", lines=[Line(name="with dropout", xs=[1, 2], ys=[4.1, 3.2])]),
        Histograms(title="Similarities, learned temperature", x="cosine", edges=[-1, 0, 1],
                   counts={"positives": [1, 9], "negatives": [8, 2]}),
    ]))
    read_findings(folder)                                    what the content report renders, any number of them

Everything is plain JSON and nothing here draws. Each part is checked as it is made and as it is read, so that what
cannot be drawn is refused where it was written. Items are named by id: the report looks up titles and photographs.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final

import msgspec

from mmrec.disk.files import replace_file
from mmrec.errors import InvalidRequestError

FILE: Final = "report.json"
MAX_POINTS: Final = 20_000
"""Of one curve or scatter."""


class Part(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind"):
    """One figure or table."""

    title: str
    note: str = ""
    """A sentence under the title: what was measured on what, and what to see."""


class Text(Part, frozen=True, kw_only=True, tag="text"):
    """A finding in words."""

    paragraphs: Sequence[str]


class Figures(Part, frozen=True, kw_only=True, tag="figures"):
    """Named numbers, shown as a table of two columns."""

    values: Mapping[str, float | str]

    def __post_init__(self) -> None:
        _finite(self, (value for value in self.values.values() if not isinstance(value, str)))


class Table(Part, frozen=True, kw_only=True, tag="table"):
    """Rows of texts and numbers, such as accuracy and macro F1 per head."""

    columns: Sequence[str]
    rows: Sequence[Sequence[float | str]]

    def __post_init__(self) -> None:
        for row in self.rows:
            _same(self, "a row", len(row), "columns", len(self.columns))
            _finite(self, (cell for cell in row if not isinstance(cell, str)))


class Line(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One curve."""

    name: str
    xs: Sequence[float]
    ys: Sequence[float]


class Curves(Part, frozen=True, kw_only=True, tag="curves"):
    """Curves over common axes, such as loss per epoch with and without regularisation."""

    x: str
    y: str
    lines: Sequence[Line]
    from_zero: bool = True
    """Whether the y axis begins at 0."""

    def __post_init__(self) -> None:
        for line in self.lines:
            _same(self, f"xs of {line.name!r}", len(line.xs), "ys", len(line.ys))
            _some(self, f"points of {line.name!r}", len(line.xs), MAX_POINTS)
            _finite(self, (*line.xs, *line.ys))


class Bars(Part, frozen=True, kw_only=True, tag="bars"):
    """One number per name, such as mean weights per technique; longest names are cut."""

    values: Mapping[str, float]

    def __post_init__(self) -> None:
        _finite(self, self.values.values())


class Histograms(Part, frozen=True, kw_only=True, tag="histograms"):
    """Distributions over the same bins, drawn over each other as shares: positives against negatives."""

    x: str
    edges: Sequence[float]
    """B + 1, ascending."""
    counts: Mapping[str, Sequence[float]]
    """Name -> B counts."""

    def __post_init__(self) -> None:
        _some(self, "bins", len(self.edges) - 1, 1_000)
        if any(high <= low for low, high in zip(self.edges, self.edges[1:], strict=False)):
            raise _refused(self, f"edges are {list(self.edges)[:4]}...; give ascending ones")
        for name, counts in self.counts.items():
            _same(self, f"counts of {name!r}", len(counts), "bins", len(self.edges) - 1)
            _finite(self, counts)
        _finite(self, self.edges)


class Heat(Part, frozen=True, kw_only=True, tag="heat"):
    """A matrix in colors: two attributes crossed, or a confusion (rows: truth, columns: prediction)."""

    row_name: str
    column_name: str
    rows: Sequence[str]
    columns: Sequence[str]
    values: Sequence[Sequence[float]]
    by_row: bool = False
    """Whether colors show shares of the row, as of a confusion, instead of the value itself."""

    def __post_init__(self) -> None:
        _same(self, "rows of values", len(self.values), "rows", len(self.rows))
        for row in self.values:
            _same(self, "a row of values", len(row), "columns", len(self.columns))
            _finite(self, row)


class Calibration(Part, frozen=True, kw_only=True, tag="calibration"):
    """A reliability curve, as mmrec.evaluation.content_metrics.reliability() gives it."""

    confidence: Sequence[float]
    accuracy: Sequence[float]
    counts: Sequence[int]
    error: float
    """Expected calibration error."""

    def __post_init__(self) -> None:
        _same(self, "confidence", len(self.confidence), "accuracy", len(self.accuracy))
        _same(self, "confidence", len(self.confidence), "counts", len(self.counts))
        _finite(self, (*self.confidence, *self.accuracy, self.error))


class Scatter(Part, frozen=True, kw_only=True, tag="scatter"):
    """Points with a label each, such as two principal components by category."""

    x: str
    y: str
    xs: Sequence[float]
    ys: Sequence[float]
    labels: Sequence[str]

    def __post_init__(self) -> None:
        _same(self, "xs", len(self.xs), "ys", len(self.ys))
        _same(self, "xs", len(self.xs), "labels", len(self.labels))
        _some(self, "points", len(self.xs), MAX_POINTS)
        _finite(self, (*self.xs, *self.ys))


class Strip(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A query and what was found, best first."""

    query: str
    """In words: a text, or what was asked by photo."""
    query_item_id: str = ""
    """The item whose photograph stands before the results; empty where the query has none."""
    item_ids: Sequence[str]
    captions: Sequence[str] = ()
    """One per item, such as a similarity; or none at all."""


class Strips(Part, frozen=True, kw_only=True, tag="strips"):
    """Lists of items with their photographs, such as the top 5 of queries before and after."""

    strips: Sequence[Strip]

    def __post_init__(self) -> None:
        for strip in self.strips:
            if strip.captions:
                _same(self, "captions", len(strip.captions), "item_ids", len(strip.item_ids))


AnyPart = Text | Figures | Table | Curves | Bars | Histograms | Heat | Calibration | Scatter | Strips


class Findings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A section of the report."""

    title: str
    command: str = ""
    """What makes these findings again."""
    facts: Mapping[str, str] = {}
    """What they depend on: catalogue, encoders, seed, seconds."""
    parts: Sequence[AnyPart]


def write_findings(folder: Path, findings: Findings) -> Path:
    """Replace `report.json` in the folder as a whole; returns its path."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / FILE
    replace_file(path, msgspec.json.format(msgspec.json.encode(findings), indent=1).decode("utf-8"))
    return path


def read_findings(folder: Path) -> Findings:
    """The findings of a folder, or of a file named itself.

    Raises:
        InvalidRequestError: there is none, or it holds something else; the message names the file and the place.
    """
    path = folder / FILE if folder.is_dir() else folder
    try:
        found: Findings = msgspec.json.decode(path.read_bytes(), type=Findings)
    except OSError as error:
        raise InvalidRequestError(f"{path}: {error.strerror}; give a folder with {FILE}, or the file") from None
    except (msgspec.DecodeError, ValueError) as error:
        raise InvalidRequestError(f"{path}: {error}; see mmrec.reports.findings for what a report may hold") from None
    return found


def _refused(part: Part, what: str) -> ValueError:
    return ValueError(f"{type(part).__name__} {part.title!r}: {what}")


def _same(part: Part, what: str, number: int, other: str, expected: int) -> None:
    if number != expected:
        raise _refused(part, f"{what} has {number} entries and {other} {expected}; give as many")


def _some(part: Part, what: str, number: int, most: int) -> None:
    if not 1 <= number <= most:
        raise _refused(part, f"{number} {what}; give 1 to {most:,}")


def _finite(part: Part, numbers: Iterable[float]) -> None:
    for number in numbers:
        if not math.isfinite(number):
            raise _refused(part, f"a value is {number}; give finite numbers")
