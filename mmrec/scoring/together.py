"""Who is one person: which user an anonymous id's events belong to, and which profile keys logins tie together.

    history = LoginHistory.of([(known_s, user_key), ...])     in any order
    history.owner_at(known_s)                                 the user that an event known at this instant belongs to
    one_person("ann", linked)                                 keys that a request to forget Ann concerns
    one_person("~tablet", linked, owner=...)                  and whoever is the tablet's user by then
    all_linked(["ann"], linked)                               keys whose profiles may hold events of one another

    owner of an event = user of the newest login known at or before the event, else of the first login

So the owner depends on known times alone, not on the order of reading or on where batches end. Of two logins known at
the same instant, the one with the greater user key counts as the later.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from math import inf
from typing import Final

Login = tuple[float, str]
"""(known time in epoch seconds, user key)."""
Link = tuple[str, str]
"""(user key, anonymous key) of a login, whenever it was."""
Linked = Callable[[Collection[str]], Iterable[Link]]
"""Gives the links that name one of these keys on either side. It may give others; all_linked() follows those, too."""
MAX_RUNS: Final = 4_096
"""Changes of user that a history remembers: the first one and the newest, some 50 bytes each. Where some were dropped,
an event of that time which arrives late, or is counted anew, counts for the first user."""


@dataclass(frozen=True, slots=True)
class LoginHistory:
    """Logins of one anonymous id, in runs of logins as the same user; never empty."""

    users: tuple[str, ...]
    """User of each run; adjacent runs have different users."""
    first_s: tuple[float, ...]
    """Known time of each run's first login, ascending."""
    last_s: tuple[float, ...]
    """Known time of each run's last login."""

    @classmethod
    def of(cls, logins: Iterable[Login]) -> "LoginHistory":
        """The history of these logins, at least one, in any order; repeats change nothing."""
        ordered = sorted(logins)
        known_s, user = ordered[0]
        history = cls((user,), (known_s,), (known_s,))
        for login in ordered[1:]:
            history = history.with_newest(login)
        return history

    @property
    def newest(self) -> Login:
        """The last login."""
        return self.last_s[-1], self.users[-1]

    @property
    def owner(self) -> str:
        """The user that the id belongs to now."""
        return self.users[-1]

    def owner_at(self, known_s: float) -> str:
        """The user that an event known at this instant belongs to."""
        if len(self.users) == 1:
            return self.users[0]
        return self.users[max(bisect_right(self.first_s, known_s) - 1, 0)]

    def newest_up_to(self, time_s: float) -> Login | None:
        """The last login known up to an instant, within its run of logins no later than that; None where none was."""
        place = bisect_right(self.first_s, time_s) - 1
        return (min(self.last_s[place], time_s), self.users[place]) if place >= 0 else None

    def owner_before(self, time_s: float) -> str | None:
        """The user just before an instant; None where nobody had logged in."""
        place = bisect_left(self.first_s, time_s) - 1
        return self.users[place] if place >= 0 else None

    def holds(self, login: Login) -> bool:
        """Whether a login lies within a run of its user, so that it changes no owner."""
        known_s, user = login
        return any(
            name == user and first_s <= known_s <= last_s
            for name, first_s, last_s in zip(self.users, self.first_s, self.last_s, strict=True)
        )

    def with_newest(self, login: Login) -> "LoginHistory":
        """The history with one more login, which is later than all others.

        Raises:
            ValueError: it does not.
        """
        if login < self.newest:
            raise ValueError(f"login {login} comes before {self.newest}; give logins in order")
        known_s, user = login
        if user == self.users[-1]:
            return LoginHistory(self.users, self.first_s, (*self.last_s[:-1], known_s))
        users, first_s, last_s = (*self.users, user), (*self.first_s, known_s), (*self.last_s, known_s)
        if len(users) > MAX_RUNS:
            users, first_s, last_s = ((column[0], *column[2:]) for column in (users, first_s, last_s))  # type: ignore[assignment]
        return LoginHistory(users, first_s, last_s)


def logins_by_guest(logins: Iterable[tuple[str, str, float]]) -> dict[str, list[Login]]:
    """Logins by anonymous key, in the order given. A row is (user key, anonymous key, known time in epoch seconds)."""
    found: dict[str, list[Login]] = {}
    for user, guest, known_s in logins:
        found.setdefault(guest, []).append((known_s, user))
    return found


def user_by(history: LoginHistory | None, logins: Iterable[Login], *, until_s: float = inf) -> str | None:
    """The user an anonymous id is by an instant: of the newest login known up to it; None where nobody has logged in.

    Args:
        history: What its stub holds.
        logins: Of this id, which the stub may lack.
    """
    known = history.newest_up_to(until_s) if history is not None else None
    found = [login for login in logins if login[0] <= until_s]
    return max([*found, *([known] if known is not None else [])], default=(0.0, None))[1]


def one_person(key: str, linked: Linked, *, owner: str | None = None) -> list[str]:
    """Keys of the person that a key belongs to, each once; `key` itself comes last.

        users  = the key, and its owner where it is an anonymous id
        guests = all anonymous ids that ever logged in as one of these users

    An anonymous id's earlier users, and the guests' other users, are other people: who shares a device is not one
    person with those who asked for nothing.

    Args:
        owner: The user an anonymous id is, see user_by(); None where nobody has logged in, and of users.
    """
    users = dict.fromkeys([key] if owner is None else [key, owner])
    guests = [guest for user, guest in linked(users) if user in users]
    return [*(name for name in dict.fromkeys((*guests, *users)) if name != key), key]


def all_linked(keys: Iterable[str], linked: Linked) -> set[str]:
    """The keys, and all keys that links connect to them, directly or through others.

    Events of an anonymous id are in the profiles of all its users, so all of these must be counted anew together.
    """
    together: set[str] = set()
    fresh = set(keys)
    while fresh:
        together |= fresh
        fresh = {name for link in linked(fresh) for name in link} - together
    return together
