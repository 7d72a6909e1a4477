"""Libraries with private parts that mmrec uses: each may have only the version it was read and measured against.

    KAFKA = PinnedLibrary(name="kafka-python", version="3.0.12", module=__name__)
    KAFKA.check()                before the insides are used; LibraryVersionError where another version is installed

Each such library has one module, called `insides` or `<library>_insides`, that alone uses private parts. To raise the
version, read that module against the new source, measure again whether each use still gains a tenth, and then change
the number.
"""

from dataclasses import dataclass
from functools import cache
from importlib.metadata import PackageNotFoundError, version

from mmrec.errors import LibraryVersionError


@dataclass(frozen=True, kw_only=True)
class PinnedLibrary:
    """A library, and the one version of it that a module was written against."""

    name: str
    """Name under which it is installed: kafka-python, not kafka."""
    version: str
    module: str
    """Full name of the module that uses its insides."""

    def check(self) -> None:
        """Check that exactly this version is installed; looked up once per process and library.

        Raises:
            LibraryVersionError: another version is installed, or none.
        """
        found = _installed(self.name)
        if found != self.version:
            raise LibraryVersionError(
                f"{self.name} {found or 'is not installed'}: {self.module} uses insides of {self.version}; install "
                "what requirements.lock names (`make setup`), or read that module against the other version"
            )


@cache
def _installed(name: str) -> str:
    """The installed version; "" where there is none."""
    try:
        return version(name)
    except PackageNotFoundError:
        return ""
