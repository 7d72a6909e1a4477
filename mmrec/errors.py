"""What can go wrong, as one tree.

    MmrecError
    ├── ConfigurationError (ValueError)   a setting is missing, unknown or impossible
    │   └── SettingError                  the same, at a known place of a configuration
    ├── MachineError                      the machine lacks something: Java, disk, a free port, a jar
    │   └── LibraryVersionError           a library is not the version whose insides are used
    ├── NotFoundError (LookupError)       an item, user, release or behavior that does not exist
    ├── InvalidRequestError (ValueError)  a caller asked for something impossible
    ├── PreconditionError                 something must be done first, and not by asking again
    ├── StoreError                        an engine behind a port failed
    │   ├── UnreachableError              an engine does not answer now but may do so later
    │   └── IncompatibleStateError        stored bytes or a release do not fit this code or schema
    ├── DeadlineError (TimeoutError)      the caller's deadline passed
    └── ReleaseGateError                  a release did not pass its gates

Every message says what was wrong, the value, and what would be right.
"""


class MmrecError(Exception):
    """Root of all errors raised on purpose."""


class ConfigurationError(MmrecError, ValueError):
    """A setting is missing, unknown or impossible."""


class SettingError(ConfigurationError):
    """A setting is missing, unknown or impossible; says which one."""

    def __init__(self, path: tuple[str | int, ...], what: str) -> None:
        """At `path`: keys and positions in lists. `what` ends the sentence: "is 0; give a number above 0"."""
        name = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path).removeprefix(".")
        super().__init__(f"{name} {what}".strip())
        self.path = path
        self.what = what

    def __reduce__(self) -> tuple[type["SettingError"], tuple[tuple[str | int, ...], str]]:
        """Errors cross process borders pickled."""
        return SettingError, (self.path, self.what)


class MachineError(MmrecError):
    """The machine lacks something the system needs."""


class LibraryVersionError(MachineError):
    """An installed library is another version than the one whose insides the code uses."""


class NotFoundError(MmrecError, LookupError):
    """Something asked for by name does not exist."""


class InvalidRequestError(MmrecError, ValueError):
    """The caller asked for something impossible."""


class PreconditionError(MmrecError):
    """What was asked for needs something that has not been done; asking again does not help."""


class StoreError(MmrecError):
    """An engine behind a port failed."""


class UnreachableError(StoreError):
    """An engine does not answer now; the same call may succeed later."""


class IncompatibleStateError(StoreError):
    """Stored bytes or a release do not fit this code or schema."""


class BusyError(MmrecError):
    """A service has more to do than it can; ask again in a moment."""


class DeadlineError(MmrecError, TimeoutError):
    """The caller's deadline passed before there was an answer."""


class ReleaseGateError(MmrecError):
    """A release did not pass its gates and was not promoted."""
