"""Where tests and benchmarks find the public data sets."""

from pathlib import Path

from mmrec.home import data_folder

FALLBACK = Path(__file__).resolve().parents[2] / "shared" / "data"


def public_data() -> Path:
    """Folder of the data sets: MMREC_DATA_DIR, else ../shared/data beside the checkout; it need not be there."""
    return Path(data_folder() or FALLBACK).expanduser()
