"""All modalities: one line each, in the order in which they are encoded."""

from typing import Final

from mmrec.content.modalities.attributes import ATTRIBUTES
from mmrec.content.modalities.audio import AUDIO
from mmrec.content.modalities.image import IMAGE
from mmrec.content.modalities.reviews import REVIEWS
from mmrec.content.modalities.text import TEXT
from mmrec.content.modality import Modality

MODALITIES: Final[tuple[Modality, ...]] = (
    TEXT,
    IMAGE,
    ATTRIBUTES,
    AUDIO,
    REVIEWS,
)
