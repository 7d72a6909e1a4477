"""The largest record that Kafka accepts, and Kafka's failures as our errors."""

from kafka.errors import RetriableError

from mmrec.errors import StoreError, UnreachableError

MAX_RECORD_BYTES = 8 * 1024 * 1024
"""Catalogue items carry their picture; Kafka's own default of 1 MiB is too little for some."""


def store_error(what: str, error: BaseException) -> StoreError:
    """A failure of the library as one of our errors; UnreachableError where the broker may answer later."""
    kind = UnreachableError if isinstance(error, RetriableError) else StoreError
    return kind(f"Kafka ({what}): {type(error).__name__}: {error}")
