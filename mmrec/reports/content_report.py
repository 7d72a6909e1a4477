"""The content report: one page from a catalogue, its encoders, and what trainings found (METHODS M39).

html = content_report(catalogue, encoded, trained=[read_findings(folder)])
"""

from collections.abc import Sequence
from typing import Final

from mmrec.evaluation.group_split import group_split
from mmrec.reports import page
from mmrec.reports.catalogues import ReadCatalogue
from mmrec.reports.cleaning_html import cleaning_section
from mmrec.reports.content_figures import content_findings
from mmrec.reports.data_pictures import data_findings
from mmrec.reports.encoded_catalogue import EncodedCatalogue
from mmrec.reports.findings import Findings
from mmrec.reports.findings_html import Shown, findings_section
from mmrec.reports.judged_content import alike_columns, judged_content

SEED: Final = 1
"""Of the split."""


def content_report(
    catalogue: ReadCatalogue, encoded: EncodedCatalogue, *, trained: Sequence[Findings] = (), num_lists: int = 4
) -> str:
    """The whole page: cleaning report, pictures of the data, figures of frozen encoders, sections of trained models.

    Args:
        encoded: Vectors of the catalogue's items with a picture.
        trained: Findings of trainings, in the order of their sections.
        num_lists: Top-5 lists per kind of query.
    """
    row_of = {item.item_id: row for row, item in enumerate(catalogue.items)}

    def shown_of(item_id: str) -> Shown:
        if item_id not in row_of:
            return Shown(title=item_id)
        item = catalogue.items[row_of[item_id]]
        return Shown(title=item.title, image=item.image)

    parts = group_split(*alike_columns(catalogue.items), seed=SEED)
    findings = [
        data_findings(catalogue.items, parts=parts),
        content_findings(judged_content(encoded, seed=SEED), num_lists=num_lists),
        *trained,
    ]
    sections = [cleaning_section(catalogue.report), *(findings_section(each, shown_of) for each in findings)]
    return page.page(f"Content of {catalogue.name}", sections, lead=f"{len(catalogue.items):,} items.")
