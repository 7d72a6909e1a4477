"""The program that tends the event log: compacts, keeps what is young enough, says how it is."""

import threading
from collections.abc import Callable
from typing import Any

import pytest

from jobs.tend_log import run
from mmrec.telemetry.logs import read_status
from mmrec.wiring import open_event_log, open_forgotten_users
from tests.contract.test_event_log import events, ids

pytestmark = pytest.mark.integration
DAY_S = 86_400.0


def test_one_turn_compacts_drops_what_is_past_the_idle_horizon_and_removes_users(settings: Callable[..., Any]) -> None:
    made = settings(extra=f"[scoring]\nidle_horizon_s = {2 * DAY_S}").settings
    log = open_event_log(made)
    for number in range(5):
        log.append(events(number, step_s=DAY_S), batch_key=str(number))
    run(made, follow_s=0.0, stop=threading.Event())
    figures = read_status(made.stores.status)["tend_log"]
    assert figures["ready"] is False
    assert figures["events"] | {"num_rows_written": 0} == {
        "num_appends": 5,
        "num_rows_written": 0,
        "num_expired": 2,
        "num_forgotten": 0,
        "num_files": 3,
        "num_waiting": 0,
    }
    assert ids(open_event_log(made).read()) == ["t-0-2", "t-0-3", "t-0-4"]
    open_forgotten_users(made).forget("", known_time_s=1.0)  # the rows' user key and known time
    run(made, follow_s=0.0, stop=threading.Event())
    assert read_status(made.stores.status)["tend_log"]["events"]["num_forgotten"] == 3


def test_it_goes_on_until_it_is_told_to_stop(settings: Callable[..., Any]) -> None:
    made = settings().settings
    log, stop = open_event_log(made), threading.Event()
    thread = threading.Thread(target=run, args=(made,), kwargs={"follow_s": 0.05, "stop": stop})
    thread.start()
    for number in range(8):
        log.append(events(number), batch_key=str(number))
    for _ in range(200):
        if not [each for each in log._events.objects.entries("manifest") if each.name.startswith("manifest/0")]:
            break
        stop.wait(0.05)
    assert read_status(made.stores.status)["tend_log"]["ready"] is True
    stop.set()
    thread.join(20)
    assert not thread.is_alive()
    assert read_status(made.stores.status)["tend_log"]["ready"] is False
    assert log.read().num_rows == 8
