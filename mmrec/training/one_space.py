"""An encoder that brings pictures and texts into one space by itself (CLIP, SigLIP), beside a trained alignment.

    one_space_findings(encoded, settings)        of every image encoder whose folder reads the texts, too

Measured as it is: cosines of its own vectors, on the items, parts and gallery that the recipe "align" takes with the
same options. How figures are counted: mmrec.training.alignment_figures. Axes: I items, N pairs.
"""

from argparse import Namespace
from dataclasses import replace

import numpy as np

from mmrec.config import Settings
from mmrec.content.alignment import IMAGE, TEXT, unit
from mmrec.content.matrix import FloatArray
from mmrec.errors import ConfigurationError
from mmrec.reports.encoded_catalogue import EncodedCatalogue
from mmrec.reports.findings import Figures, Findings, Text
from mmrec.reports.judged_content import class_attribute
from mmrec.training.align_recipe import ALIGN, AlignOptions, pairs_of
from mmrec.training.alignment_data import AlignmentPairs
from mmrec.training.alignment_figures import DEPTH, gallery_rows, label_accuracy, recalls, similarity_histogram
from mmrec.training.content_trainings import catalogue_data
from mmrec.training.recipe import chosen_options


class AsItIs:
    """Vectors of a common space, of length one."""

    def embed(self, modality: str, vectors_NX: FloatArray) -> FloatArray:
        """The same vectors, shape (N, D)."""
        del modality
        return unit(vectors_NX)


def one_space_encoders(encoded: EncodedCatalogue) -> list[str]:
    """Image encoders that read the texts as well: of one name, which is a folder's or a hub's, and of one width."""
    width = encoded.texts_ID.shape[1]
    return [n for n, values in encoded.images.items() if n == encoded.text_encoder and values.shape[1] == width]


def one_space_findings(encoded: EncodedCatalogue, settings: Settings) -> list[Findings]:
    """A section for each such encoder; none where there is none.

    Args:
        settings: Options of the table [training.align] say which items are looked for.

    Raises:
        SettingError: such an option is refused.
    """
    names = one_space_encoders(encoded)
    if not names:
        return []
    asked = Namespace(label_attribute=class_attribute(encoded.items))
    options: AlignOptions = chosen_options(ALIGN, settings, asked)
    try:
        pairs = pairs_of(options, catalogue_data(encoded, settings))
    except ConfigurationError as error:
        why = Text(title="Not measured", paragraphs=[str(error)])
        return [Findings(title=f"One space of pictures and texts: {name}", parts=[why]) for name in names]
    row_of = {item.item_id: row for row, item in enumerate(encoded.items)}
    rows = np.array([row_of[item_id] for item_id in pairs.item_ids])
    return [_findings(name, replace(pairs, inputs=_inputs(encoded, name, rows)), options) for name in names]


def _inputs(encoded: EncodedCatalogue, name: str, rows: np.ndarray) -> dict[str, FloatArray]:
    return {IMAGE: encoded.images[name][rows], TEXT: encoded.texts_ID[rows]}


def _findings(name: str, pairs: AlignmentPairs, options: AlignOptions) -> Findings:
    rows = gallery_rows(pairs, gallery=options.gallery, seed=options.seed)
    images = pairs.inputs[IMAGE]
    figures = {
        **recalls(AsItIs(), pairs, rows),
        "chance": min(1.0, DEPTH / len(rows)),
        "gallery": float(len(rows)),
        "knn5": label_accuracy(pairs, images, images),
    }
    return Findings(
        title=f"One space of pictures and texts: {name}",
        facts={"items": f"{len(pairs):,}", "seed": str(options.seed)},
        parts=[
            Figures(
                title="Retrieval and neighbors on held-out items, nothing trained",
                note="as of the alignment: the same items, parts and gallery",
                values=figures,
            ),
            similarity_histogram("Similarities as the encoder gives them", AsItIs(), pairs),
        ],
    )
