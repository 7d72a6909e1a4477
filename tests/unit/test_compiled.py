"""Compiled functions give what their Python gives, are kept between processes, and do without where nothing is kept."""

import numpy as np
import pytest

from mmrec.compiled import BOOL, FLOAT, INT, compile_all, compiled, formula, reads, reads_stored, writes
from mmrec.serving import replica


def halves(unit: float):
    """A formula and a compiled function, made anew, that halves by units."""

    @formula
    def halved(value: float) -> float:
        return value / 2.0 if unit else value

    @formula
    def quarter(value: float) -> float:
        return halved(halved(value))

    @compiled(reads(FLOAT, 1), (BOOL, INT), writes(FLOAT, 1))
    def fill(values_N, parts, out_N) -> None:
        """Quarters where asked for."""
        for n in range(len(values_N)):
            out_N[n] = 0.25 * values_N[n] if parts[0] else values_N[n] + parts[1]

    return quarter, fill


@pytest.mark.parametrize("can_be_kept", [True, False])
def test_compiled_code_equals_its_python_whether_it_can_be_kept_or_not(tmp_path, monkeypatch, can_be_kept) -> None:
    folder = tmp_path / "cache"
    if not can_be_kept:
        folder.write_text("a file, not a folder")
    monkeypatch.setenv("MMREC_CACHE_DIR", str(folder))
    quarter, fill = halves(1.0)
    values_N, out_N, plain_N = np.arange(8.0)[::2], np.zeros(4), np.zeros(4)
    values_N.flags.writeable = False
    fill(values_N, (True, 3), out_N)
    fill.plain(values_N, (True, 3), plain_N)
    assert out_N.tolist() == plain_N.tolist() == [quarter(value) for value in values_N.tolist()]
    assert fill.__doc__ == "Quarters where asked for."
    assert bool(list((tmp_path / "cache").rglob("*.nbi")) if can_be_kept else []) == can_be_kept
    assert fill.compile() is fill.compile()


def test_arguments_that_a_function_was_not_compiled_for_are_refused() -> None:
    _, fill = halves(1.0)
    read_only_N = np.zeros(2)
    read_only_N.flags.writeable = False
    for wrong in (
        (np.zeros(2, dtype=np.float32), (True, 3), np.zeros(2)),
        (np.zeros((2, 2)), (True, 3), np.zeros(2)),
        (np.zeros(2), (True, 3), read_only_N),
        (np.zeros(2), (True, 3)),
    ):
        with pytest.raises(TypeError):
            fill(*wrong)


def test_numbers_at_any_address_are_read() -> None:
    @compiled(reads_stored(FLOAT, 1))
    def total(values_N) -> float:
        found = 0.0
        for n in range(len(values_N)):
            found += values_N[n]
        return found

    stored = b"\0" + np.array([1.0, 2.5]).tobytes()
    assert total(np.frombuffer(stored, dtype=np.float64, count=2, offset=1)) == 3.5


def test_all_that_requests_run_is_compiled_at_once() -> None:
    assert replica.compile_all is compile_all
    assert compile_all() >= 15
