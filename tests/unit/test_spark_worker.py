"""A settled worker looks into no archive again, and still imports from it."""

import subprocess
import sys
import zipfile
from pathlib import Path

LOOK = """
import importlib, sys, zipimport
import first
from jobs.spark_worker import settle
archives = lambda: [p for p, f in sys.path_importer_cache.items() if isinstance(f, zipimport.zipimporter)]
assert archives()
for _ in range(2):
    settle()
    assert not archives()
    importlib.invalidate_caches()
import second
assert second.VALUE == 2 and second.__file__.startswith(sys.argv[1])
settle()
assert not archives()
"""


def test_a_settled_worker_forgets_the_finders_of_archives_and_imports_from_them(tmp_path: Path) -> None:
    archive = tmp_path / "modules.zip"
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("first.py", "VALUE = 1")
        file.writestr("second.py", "VALUE = 2")
    program = f"import sys; sys.path.append({str(archive)!r})\n{LOOK}"
    command = [sys.executable, "-W", "ignore", "-c", program, str(archive)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
