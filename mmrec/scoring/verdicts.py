"""What can become of a decoded event."""

from enum import IntEnum


class Verdict(IntEnum):
    """What *apply* decided about a decoded event."""

    ACCEPTED = 0
    """Counted in the profile and written to the log."""
    DUPLICATE = 1
    """An event of the same user with the same id was counted within the window."""
    ALREADY_APPLIED = 2
    """At or below the profile's mark for its source: seen in an earlier delivery."""
    CAPPED = 3
    """Over the user's rate cap: neither counted nor logged. If it is resubmitted, no cap applies to it."""
    BOT = 4
    """User flagged as a bot; treated like CAPPED."""
    FORGOTTEN = 5
    """Known at or before the instant its user asked to be forgotten: it changes nothing, not even marks."""
