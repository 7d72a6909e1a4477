"""What a Python worker of Spark does once per task, before its first rows.

Before each task, Spark makes a worker forget what it knows about importable modules (importlib.invalidate_caches). With
Python 3.11, the directories of Spark's own archives are then read again (thousands of files, .09 CPU-seconds per task),
although they do not change while a stream runs. After each task, the worker collects garbage among everything that was
ever imported.
"""

import gc
import sys
import zipimport
from functools import cache


def settle() -> None:
    """Drop the finders of archives, and exempt everything imported from garbage collection.

    Only finders in sys.path_importer_cache are asked to read again. A later import from an archive gets a new finder,
    which still knows the archive's directory.
    """
    for path, finder in list(sys.path_importer_cache.items()):
        if isinstance(finder, zipimport.zipimporter):
            sys.path_importer_cache.pop(path, None)
    _freeze()


@cache
def _freeze() -> None:
    gc.freeze()
