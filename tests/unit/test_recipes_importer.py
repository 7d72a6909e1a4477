"""The recipe of .github/CONTRIBUTING.md for an importer, followed in a copy of the package."""

from pathlib import Path

from tests.unit.test_recipes import insert, package, run

__all__ = ["package"]

IMPORTER_FILE = '''"""Cards: a folder of .card files, the title on the first line and who wants it below."""

from collections.abc import Iterator
from pathlib import Path

from mmrec.catalog.importers.event_rows import ImportedEvent
from mmrec.catalog.importers.importer import Importer, ImportSource, Part
from mmrec.catalog.importers.mapping import ImportOptions
from mmrec.catalog.importers.reading import Noticed, Reading
from mmrec.catalog.item import CatalogItem


def _open(path: Path, options: ImportOptions) -> ImportSource:
    files = tuple(sorted(path.glob("*.card")))

    def items(reading: Reading) -> Iterator[CatalogItem]:
        for file in files:
            reading.num_rows += 1
            yield CatalogItem(item_id=file.stem, title=file.read_text().splitlines()[0])

    def events(reading: Reading) -> Iterator[ImportedEvent]:
        for number, file in enumerate(files, start=1):
            for user in file.read_text().splitlines()[1:]:
                if not user:
                    reading.note(Noticed.MISSING_ID, file.name, column="user")
                    continue
                yield ImportedEvent(number, f"{file.stem}-{user}", user, file.stem, "want", None)

    return ImportSource(
        form="cards",
        path=path,
        mapping=("first line -> title", "other lines -> user_id"),
        items=Part(files=files, read=items),
        events=Part(files=files, read=events),
    )


CARDS = Importer(
    name="cards",
    about="a folder of .card files",
    recognizes=lambda path: path.is_dir() and any(path.glob("*.card")),
    open=_open,
    usual_behaviors={"want": "favorite"},
)
'''


def test_an_importer_is_one_file_and_one_line_in_the_registry(package: Path) -> None:
    room = package / "mmrec" / "catalog" / "importers"
    (room / "cards.py").write_text(IMPORTER_FILE)
    registry = room / "registry.py"
    insert(registry, "from mmrec.catalog.importers.cards import CARDS\n", before="from mmrec.catalog.importers.fashion")
    insert(registry, "    CARDS,\n", before="    PLAIN,")
    shop = package / "shop"
    shop.mkdir()
    (shop / "a.card").write_text("Chair\nann\nbob\n")
    (shop / "b.card").write_text("Table\nann\n\n")
    run(package, "-c", ASKED, str(shop))


ASKED = """
import sys
from pathlib import Path

from typer.testing import CliRunner

from mmrec.cli.main import app

said = CliRunner().invoke(app, ["import", sys.argv[1], "--dry-run"])
assert "is read as cards" in said.output, said.output
assert "2 items would be sent" in said.output, said.output
assert "3 events of shop would be sent (want 3)" in said.output, said.output
"""
