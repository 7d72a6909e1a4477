"""What a Python worker of Spark does once, before its first rows.

Spark has a worker look again at everything it may import before each task. With Python 3.11 that reads the directories
of Spark's own archives anew (thousands of files, .13 CPU-seconds a task), which do not change while a stream runs; and
after each task it looks for garbage among all that was ever imported.
"""

import gc
import zipimport
from functools import lru_cache


@lru_cache(maxsize=1)
def settle() -> None:
    """Keep what is known of archives, and take what is imported for permanent."""
    zipimport.zipimporter.invalidate_caches = _stay  # type: ignore[method-assign]
    gc.freeze()


def _stay(self: zipimport.zipimporter) -> None:
    """Nothing to look at again."""
