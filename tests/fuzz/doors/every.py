"""All ways in, by name; a door is opened when it is asked for."""

from collections.abc import Callable, Mapping
from typing import Final

from tests.fuzz.door import Door
from tests.fuzz.doors.catalogue import CatalogueDoor
from tests.fuzz.doors.codec import CodecDoor
from tests.fuzz.doors.collector import ForgetUserDoor, RecordBehaviorsDoor, UnknownBytesDoor, UpsertItemsDoor
from tests.fuzz.doors.configuration import ConfigurationDoor
from tests.fuzz.doors.embeddings import EmbeddingsDoor
from tests.fuzz.doors.files import LinesDoor, ParquetDoor
from tests.fuzz.doors.images import ImagesDoor
from tests.fuzz.doors.overlay import OverlayDoor
from tests.fuzz.doors.recommender import RecommenderDoor
from tests.fuzz.doors.resubmission import ResubmissionDoor
from tests.fuzz.doors.served import ServedListsDoor
from tests.fuzz.doors.stream import StreamDoor
from tests.fuzz.doors.whole_stream import WholeStreamDoor

DOORS: Final[Mapping[str, Callable[[], Door]]] = {
    door.name: door
    for door in (
        *(CodecDoor, StreamDoor, OverlayDoor, ResubmissionDoor, ServedListsDoor),
        *(RecordBehaviorsDoor, UpsertItemsDoor, ForgetUserDoor, UnknownBytesDoor),
        *(LinesDoor, ParquetDoor, CatalogueDoor, EmbeddingsDoor, ImagesDoor, RecommenderDoor, ConfigurationDoor),
    )
}
"""Those that need no engine: the suite has them."""
SLOW_DOORS: Final[Mapping[str, Callable[[], Door]]] = {WholeStreamDoor.name: WholeStreamDoor}
"""Those that start engines."""
