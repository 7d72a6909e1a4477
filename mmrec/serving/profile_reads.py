"""Reads of profiles that hold no request longer than it can wait, whatever the stores do.

    reads = ProfileReads(overlay=overlay, read_profiles=store.read_profiles, config=lambda: scoring)
    reads.read("ann", within_s=0.1)         a FreshProfile, or UnreachableError

A store that refuses, swallows, delays or half-opens its connections may take seconds, and a request is answered by an
event loop that all others need too. So one thread reads, a request waits for it as long as it may, and goes on without
a profile after that. A store that did not answer within READ_S counts as away: requests pass it by at once, and the
thread asks it every PROBE_S until it answers in time again. Overlay and profiles are away each for itself: a dead
overlay costs the newest events and no profile.
"""

import threading
import time
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from queue import Empty, SimpleQueue
from typing import Final

from mmrec.collecting.overlay import Overlay
from mmrec.errors import IncompatibleStateError, MmrecError, StoreError, UnreachableError
from mmrec.features.ports import ServingFeatures
from mmrec.features.values import Neighbors
from mmrec.scoring.profile import UserProfile
from mmrec.scoring.settings import ScoringConfig
from mmrec.serving.fresh_profile import FreshProfile, ReadProfiles, read_fresh_profile
from mmrec.telemetry.logs import get_logger

log = get_logger(__name__)
READ_S: Final = 0.5
"""Longest wait of a request for its profile; one with the default deadline waits half as long."""
SHARE: Final = 0.5
"""Longest share of what is left of a request's time."""
PROBE_S: Final = 0.25
"""Pause between two questions to a store that is away."""
OVERLAY_WAIT_S: Final = 0.2
"""How long the overlay's client waits for one answer: less than READ_S, so that the profile is still read in time."""
STORE_WAIT_S: Final = 1.0
"""The same for the online store's; the thread is free again after that, and no request waits for it."""
PROBED: Final = "\x01probe"
"""A key that no user has."""


@dataclass(kw_only=True, eq=False)
class _Asked:
    """One read that a request waits for."""

    user_key: str
    answer: "Future[FreshProfile]" = field(default_factory=Future)
    given_up: bool = False


@dataclass(kw_only=True)
class _Away:
    """Whether a store is away, and what it said."""

    what: str
    reason: str = ""

    def went(self, reason: str) -> None:
        """It failed."""
        if not self.reason:
            log.warning("store_away", store=self.what, reason=reason)
        self.reason = reason

    def came(self) -> None:
        """It answered in time."""
        if self.reason:
            log.info("store_back", store=self.what)
        self.reason = ""


class OpenedReads:
    """Reads a store that may be away when the replica starts: it is then opened at a later read."""

    def __init__(self, open_features: Callable[[], ServingFeatures]) -> None:
        """Open the store, if it answers.

        Raises:
            IncompatibleStateError: it answers, and its profiles are not ones that this code reads.
        """
        self._open = open_features
        self._features: ServingFeatures | None = None
        try:
            self._features = open_features()
        except IncompatibleStateError:
            raise  # waiting does not help
        except StoreError as error:
            log.warning("store_away_at_start", error=str(error))

    def __call__(self, user_keys: Iterable[str]) -> dict[str, UserProfile]:
        """As ServingFeatures.read_profiles; StoreError where the store is still away."""
        return self._opened().read_profiles(user_keys)

    def read_neighbors(self, item_ids: Iterable[str]) -> dict[str, Neighbors]:
        """As ServingFeatures.read_neighbors; StoreError where the store is still away."""
        return self._opened().read_neighbors(item_ids)

    def _opened(self) -> ServingFeatures:
        if self._features is None:
            self._features = self._open()
        return self._features


class ProfileReads:
    """A thread that reads for requests. Safe to use from several threads."""

    def __init__(
        self,
        *,
        overlay: Overlay | None,
        read_profiles: ReadProfiles,
        config: Callable[[], ScoringConfig],
        in_thread: bool = True,
        timer: Callable[[], float] = time.monotonic,
    ) -> None:
        """Start the thread.

        Args:
            overlay: None where nobody writes one.
            config: Gives the scoring that applies now.
            in_thread: False where both stores are files of this machine: those cannot be away, and handing a read to
                another thread costs a busy process more than the read.
            timer: Seconds of a clock that only goes forward.
        """
        self._overlay, self._read_profiles, self._config, self._timer = overlay, read_profiles, config, timer
        self._in_thread = in_thread
        self._overlay_away, self._profiles_away = _Away(what="overlay"), _Away(what="profiles")
        self._asked: SimpleQueue[_Asked | None] = SimpleQueue()
        self._busy_since_s: float | None = None
        self._num_given_up = self._num_passed_by = 0
        self._thread = threading.Thread(target=self._serve, name="profile-reads", daemon=True)
        self._thread.start()

    def read(self, user_key: str, *, within_s: float = READ_S) -> FreshProfile:
        """The profile with every acknowledged event, as read_fresh_profile() gives it.

        Args:
            within_s: How long to wait, READ_S at most.

        Raises:
            UnreachableError: the profiles are away, or did not come in time.
            StoreError: the online store failed.
        """
        if not self._in_thread:
            return read_fresh_profile(
                user_key, overlay=self._overlay, read_profiles=self._read_profiles, config=self._config()
            )
        if reason := self._profiles_away.reason or self._stuck():
            self._num_passed_by += 1
            raise UnreachableError(f"the profile of this request was not read: {reason}")
        asked = _Asked(user_key=user_key)
        self._asked.put(asked)
        try:
            return asked.answer.result(min(within_s, READ_S))
        except TimeoutError:
            asked.given_up = True
            self._num_given_up += 1
            raise UnreachableError(f"the profile of this request did not come within {within_s:.3f} s") from None

    def figures(self) -> dict[str, int]:
        """For the status: what is away, and how many requests gave a read up or passed it by."""
        return {
            "profiles_away": int(bool(self._profiles_away.reason)),
            "overlay_away": int(bool(self._overlay_away.reason)),
            "num_reads_given_up": self._num_given_up,
            "num_reads_passed_by": self._num_passed_by,
        }

    def close(self) -> None:
        """End the thread, once it has the answer it may be waiting for."""
        self._asked.put(None)
        self._thread.join(2 * STORE_WAIT_S)

    def _stuck(self) -> str:
        """What to say where the thread has waited longer for a store than any request does; empty where it has not."""
        since_s = self._busy_since_s
        if since_s is None or self._timer() - since_s < READ_S:
            return ""
        return f"the stores have not answered for {READ_S} s"

    def _serve(self) -> None:
        while True:
            is_away = bool(self._profiles_away.reason or self._overlay_away.reason)
            try:
                asked = self._asked.get(timeout=PROBE_S if is_away else None)
            except Empty:
                self._probe()
                continue
            if asked is None:
                return
            if not asked.given_up:
                self._answer(asked)

    def _answer(self, asked: _Asked) -> None:
        self._busy_since_s = began_s = self._timer()
        overlay = None if self._overlay_away.reason else self._overlay
        try:
            found = read_fresh_profile(
                asked.user_key, overlay=overlay, read_profiles=self._read_profiles, config=self._config()
            )
        except StoreError as error:
            self._profiles_away.went(str(error))
            asked.answer.set_exception(error)
        except Exception as error:  # whatever it is, the request has to hear of it, and the thread must live
            asked.answer.set_exception(error)
        else:
            if not found.overlay_available:
                self._overlay_away.went("it failed; its log line says how")
            elif self._timer() - began_s > READ_S:
                self._profiles_away.went(f"a read took longer than {READ_S} s")
            is_passed_by = overlay is None and self._overlay is not None
            asked.answer.set_result(replace(found, overlay_available=False) if is_passed_by else found)
        finally:
            self._busy_since_s = None

    def _probe(self) -> None:
        """Ask the stores that are away, each by itself."""
        if self._overlay_away.reason and self._overlay is not None:
            overlay = self._overlay
            self._ask(self._overlay_away, lambda: overlay.read([PROBED]), limit_s=OVERLAY_WAIT_S)
        if self._profiles_away.reason:
            self._ask(self._profiles_away, lambda: self._read_profiles([PROBED]), limit_s=READ_S)

    def _ask(self, away: _Away, ask: Callable[[], object], *, limit_s: float) -> None:
        began_s = self._timer()
        try:
            ask()
        except MmrecError as error:
            away.went(str(error))
        except Exception as error:  # the thread must live; requests find out what it is
            log.warning("probe_failed", store=away.what, error=repr(error))
            away.came()
        else:
            took_s = self._timer() - began_s
            if took_s <= limit_s:
                away.came()
            else:
                away.went(f"an answer took {took_s:.3f} s, and {limit_s} s is the limit")
