"""Pictures of items for pages: decoded and made anew, so that a browser never gets a stranger's bytes."""

import io
import threading
from collections import OrderedDict
from typing import Final

from PIL import Image

from mmrec.catalog.pictures import read_picture
from mmrec.console.services import Services
from mmrec.v1 import admin_pb2

SIDE: Final = 240
MAX_KEPT: Final = 500
"""Pictures that are kept, of about 15 kB each."""


class Pictures:
    """Thumbnails by item; the newest are kept."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._kept: OrderedDict[str, bytes] = OrderedDict()
        self._lock = threading.Lock()

    def jpeg(self, item_id: str) -> bytes:
        """A square JPEG of the item's picture.

        Raises:
            NotFoundError: the item has none.
            BrokenPictureError: it is none that can be read.
            StoreError: the administrative service does not answer.
        """
        with self._lock:
            if item_id in self._kept:
                self._kept.move_to_end(item_id)
                return self._kept[item_id]
        answer = self._services.desk.ask("GetPicture", admin_pb2.GetPictureRequest(item_id=item_id))
        made = io.BytesIO()
        Image.fromarray(read_picture(answer.content, size=SIDE)).save(made, format="JPEG", quality=82)
        with self._lock:
            self._kept[item_id] = made.getvalue()
            while len(self._kept) > MAX_KEPT:
                self._kept.popitem(last=False)
        return made.getvalue()
