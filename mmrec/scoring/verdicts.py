"""What can become of a decoded event."""

from enum import IntEnum


class Verdict(IntEnum):
    """What *apply* decided about a decoded event."""

    ACCEPTED = 0
    """Counted in the profile and written to the log."""
    DUPLICATE = 1
    """An event with the same id of the same user was counted within the window."""
    ALREADY_APPLIED = 2
    """At or below the profile's mark for its source: seen in an earlier delivery."""
    CAPPED = 3
    """Over the user's rate cap; neither counted nor logged, and submitted again it is exempt."""
    BOT = 4
    """Of a user whom the bot rule holds for a program; as CAPPED."""
    FORGOTTEN = 5
    """Known no later than the instant its user asked to be forgotten: it changes nothing, marks included."""
