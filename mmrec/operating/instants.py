"""Instants of messages: google.protobuf.Timestamp and epoch seconds."""

import math

from google.protobuf.timestamp_pb2 import Timestamp


def stamp(time_s: float) -> Timestamp | None:
    """The message of an instant, to the microsecond; None where there is none: 0, infinite, or not a number."""
    if not math.isfinite(time_s) or time_s == 0.0:
        return None
    found = Timestamp()
    found.FromMicroseconds(round(time_s * 1e6))
    return found


def seconds_of(found: Timestamp) -> float:
    """Epoch seconds; 0 where the message is not set."""
    return float(found.seconds) + float(found.nanos) / 1e9
