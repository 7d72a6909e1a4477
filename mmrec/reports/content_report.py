"""The content report: one page from a catalogue, its encoders, and what trainings found.

    html = content_report(catalogue, encoders, store=store, trained=[read_findings(folder)], tell=log.info)

Steps: cleaning report; pictures of the data; vectors of every item with a picture, from the cache where it has them;
figures of the frozen encoders; sections of trained models.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from mmrec.catalog.item import CatalogItem
from mmrec.content.encode import encode_items
from mmrec.content.encoder import Encoder
from mmrec.content.store import ContentStore
from mmrec.evaluation.group_split import group_split
from mmrec.reports import page
from mmrec.reports.catalogues import ReadCatalogue
from mmrec.reports.cleaning_html import cleaning_section
from mmrec.reports.content_figures import content_findings
from mmrec.reports.data_pictures import data_findings
from mmrec.reports.findings import Findings
from mmrec.reports.findings_html import Shown, findings_section
from mmrec.reports.judged_content import FloatArray, alike_columns, judged_content
from mmrec.wire.portions import portions

PORTION: Final = 512
"""Items encoded between two lines of the log."""
SEED: Final = 1
Tell = Callable[..., None]


@dataclass(frozen=True, kw_only=True)
class ReportEncoders:
    """What reads pictures and texts."""

    images: Sequence[Encoder]
    """The first makes lists and retrieval; the others stand beside it."""
    text: Encoder


def content_report(
    catalogue: ReadCatalogue,
    encoders: ReportEncoders,
    *,
    store: ContentStore,
    trained: Sequence[Findings] = (),
    tell: Tell,
    num_lists: int = 4,
) -> str:
    """The whole page.

    Args:
        trained: Findings of trainings, in the order of their sections.
        tell: Says what happened: tell(event, **figures).
        num_lists: Top-5 lists per kind of query.
    """
    shown = {item.item_id: Shown(title=item.title, image=item.image) for item in catalogue.items}
    sections = [cleaning_section(catalogue.report)]
    parts = group_split(*alike_columns(catalogue.items), seed=SEED)
    findings = [data_findings(catalogue.items, parts=parts)]
    tell("data_drawn", items=len(catalogue.items))
    findings.append(frozen_findings(catalogue.items, encoders, store=store, tell=tell, num_lists=num_lists))
    tell("frozen_encoders_judged")

    def shown_of(item_id: str) -> Shown:
        return shown.get(item_id, Shown(title=item_id))

    sections += [findings_section(each, shown_of) for each in [*findings, *trained]]
    return page.page(f"Content of {catalogue.name}", sections, lead=f"{len(catalogue.items):,} items.")


def frozen_findings(
    items: Sequence[CatalogItem], encoders: ReportEncoders, *, store: ContentStore, tell: Tell, num_lists: int = 4
) -> Findings:
    """Figures of the frozen encoders, over the items that each of them has a picture of."""
    pictured = [item for item in items if item.image is not None]
    images: dict[str, FloatArray] = {}
    present = np.ones(len(pictured), dtype=np.bool_)
    for each in encoders.images:
        images[each.name], found = vectors(pictured, "image", each, store=store, tell=tell)
        present &= found
    texts, _ = vectors(pictured, "text", encoders.text, store=store, tell=tell)
    judged = judged_content(
        [item for item, there in zip(pictured, present, strict=True) if there],
        {name: values[present] for name, values in images.items()},
        texts[present],
        text_encoder=encoders.text.name,
        seed=SEED,
    )
    return content_findings(judged, num_lists=num_lists)


def vectors(
    items: Sequence[CatalogItem], modality: str, encoder: Encoder, *, store: ContentStore, tell: Tell
) -> tuple[FloatArray, np.ndarray]:
    """Vectors of one modality, aligned with the items, and whether each is there; zeros where it is not."""
    rows, flags = [], []
    num_encoded = 0
    for portion in portions(items, PORTION):
        encoded = encode_items(portion, {modality: encoder}, store)
        matrix = encoded.matrix.select(item.item_id for item in portion)
        rows.append(matrix.values[modality])
        flags.append(matrix.present[modality])
        num_encoded += encoded.num_encoded[modality]
        tell("encoded", modality=modality, encoder=encoder.name, items=sum(map(len, flags)), new=num_encoded)
    return np.concatenate(rows), np.concatenate(flags)
