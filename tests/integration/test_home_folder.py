"""One stack a home; a killed one is cleared away by the next."""

import json
import subprocess
from pathlib import Path

import pytest

from mmrec.errors import MachineError
from mmrec.home import StackHome
from services.stack.guard import child_environment, new_stack_id, processes_of
from services.stack.occupancy import empty, end_earlier, hold, is_held

pytestmark = pytest.mark.integration


def test_a_second_stack_in_the_same_home_is_refused(tmp_path: Path):
    home = StackHome(folder=tmp_path)
    lock = hold(home)
    assert is_held(home)
    with pytest.raises(MachineError, match="already runs"):
        hold(home)
    lock.close()
    assert not is_held(home)


def test_what_a_killed_stack_left_running_is_ended(tmp_path: Path):
    home, name = StackHome(folder=tmp_path), new_stack_id()
    left = subprocess.Popen(["sleep", "600"], env=child_environment(name, program="kafka"), start_new_session=True)
    (tmp_path / "ray").mkdir()
    home.record.write_text(json.dumps({"stack_id": name, "temporary_folders": [str(tmp_path / "ray")]}))
    said: list[str] = []
    end_earlier(home, say=said.append)
    left.wait(10)
    assert processes_of(name) == []
    assert len(said) == 1
    assert "1 of its processes" in said[0]
    assert not home.record.exists()
    assert not (tmp_path / "ray").exists()


def test_nothing_is_said_where_the_last_stack_ended_well(tmp_path: Path):
    said: list[str] = []
    end_earlier(StackHome(folder=tmp_path), say=said.append)
    assert said == []


def test_a_fresh_start_forgets_all_but_the_lock(tmp_path: Path):
    home = StackHome(folder=tmp_path)
    hold(home).close()
    (tmp_path / "log").mkdir()
    (tmp_path / "log" / "part").write_text("x")
    home.config.write_text("")
    empty(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [home.lock.name]
