"""What a Python worker of Spark does once per task, before its first rows.

Spark has a worker look again at everything it may import before each task (importlib.invalidate_caches). With Python
3.11 that reads the directories of Spark's own archives anew (thousands of files, .09 CPU-seconds a task), which do not
change while a stream runs; and after each task it looks for garbage among all that was ever imported.
"""

import gc
import sys
import zipimport
from functools import cache


def settle() -> None:
    """Let go of the finders of archives, and take what is imported for permanent.

    Only finders in sys.path_importer_cache are asked to look again. What imports from an archive later gets a new one,
    which knows the archive as it was.
    """
    for path, finder in list(sys.path_importer_cache.items()):
        if isinstance(finder, zipimport.zipimporter):
            sys.path_importer_cache.pop(path, None)
    _freeze()


@cache
def _freeze() -> None:
    gc.freeze()
