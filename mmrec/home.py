"""Where a local deployment keeps things: a cache shared by all runs, and one home folder per stack. Read by shells.

The home holds everything one stack writes: `stack.json` (which processes run), `mmrec.toml` (the configuration they
read), `world.json` (what the state depends on), `logs/`, `status/` and the stores.
"""

import os
from dataclasses import dataclass
from pathlib import Path


def cache_folder() -> Path:
    """Folder of downloads that outlive a stack: MMREC_CACHE_DIR, else the user's cache."""
    named = os.environ.get("MMREC_CACHE_DIR", "")
    if named:
        return Path(named).expanduser().resolve()
    base = os.environ.get("XDG_CACHE_HOME", "") or "~/.cache"
    return Path(base).expanduser() / "mmrec"


def data_folder() -> str:
    """Folder of public data sets, one folder each, that MMREC_DATA_DIR names; empty where it is not set."""
    return os.environ.get("MMREC_DATA_DIR", "")


@dataclass(frozen=True, kw_only=True)
class StackHome:
    """The folder of one stack."""

    folder: Path

    @classmethod
    def from_environment(cls) -> "StackHome":
        """MMREC_HOME, else `.mmrec` under the working directory."""
        return cls(folder=Path(os.environ.get("MMREC_HOME", "") or ".mmrec").expanduser().resolve())

    @property
    def config(self) -> Path:
        """Configuration that the processes of the stack read."""
        return self.folder / "mmrec.toml"

    @property
    def record(self) -> Path:
        """Which processes run, under which stack id, on which ports."""
        return self.folder / "stack.json"

    @property
    def world(self) -> Path:
        """What the state kept here depends on; see mmrec.state.home_world."""
        return self.folder / "world.json"

    @property
    def lock(self) -> Path:
        """Held by the running stack."""
        return self.folder / "stack.lock"

    @property
    def logs(self) -> Path:
        """One log file per process."""
        return self.folder / "logs"

    @property
    def status(self) -> Path:
        """Counters of long-running processes."""
        return self.folder / "status"
