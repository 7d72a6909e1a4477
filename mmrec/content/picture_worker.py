"""Pictures are tried in a process of their own, which bounds the time and memory that one can cost.

    with PictureWorker(timeout_s=10) as worker:
        clean_item(item, CleaningPolicy(picture_problem=worker.problem))

A decoder is native code: nothing stops one that goes on for ever (a JPEG of ten thousand scans), and one that crashes
takes its process along. Here that process is not the feed. The system ends the worker at its limits, the picture gets
a reason, and the next picture a new worker. What passed here is decoded again by the encoder, by the same code.

Wire: 8 bytes of length and the file, towards the worker; 4 bytes of length and the problem in UTF-8, back.
"""

import os
import resource
import signal
import struct
import subprocess
import sys
import threading
from typing import BinaryIO

from mmrec.catalog.pictures import picture_problem
from mmrec.errors import MachineError

MEMORY_BYTES = 4 * 2**30
"""Address space of a worker: several times what MAX_PIXELS needs, threads' stacks included."""
_TO_WORKER, _TO_PARENT = struct.Struct("<Q"), struct.Struct("<I")
_READY = b"ready"


class PictureWorker:
    """Tries pictures, one at a time, for any number of threads. Starts its process with the first one.

    Args:
        timeout_s: Seconds of processor time for one picture; a busy machine breaks none.
        memory_bytes: Address space of the process.
    """

    def __init__(self, *, timeout_s: float, memory_bytes: int = MEMORY_BYTES) -> None:
        self._timeout_s, self._memory_bytes = timeout_s, memory_bytes
        self._process: subprocess.Popen[bytes] | None = None
        self._turn = threading.Lock()

    def __enter__(self) -> "PictureWorker":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def pid(self) -> int:
        """The process that waits for the next picture; 0 where there is none yet."""
        return self._process.pid if self._process is not None else 0

    def problem(self, payload: bytes) -> str:
        """Why the picture cannot be read; empty where it can.

        Raises:
            MachineError: no worker can be started.
        """
        with self._turn:
            return self._ask(payload)

    def close(self) -> None:
        """End the process."""
        with self._turn:
            if self._process is not None:
                self._process.kill()
                self._bury()

    def _ask(self, payload: bytes) -> str:
        process = self._running()
        assert process.stdin is not None and process.stdout is not None
        try:
            process.stdin.write(_TO_WORKER.pack(len(payload)))
            process.stdin.write(payload)
            process.stdin.flush()
        except OSError:
            pass  # it died before it had read all; the empty answer says so
        head = process.stdout.read(_TO_PARENT.size)
        if len(head) == _TO_PARENT.size:
            return process.stdout.read(_TO_PARENT.unpack(head)[0]).decode("utf-8")
        return self._obituary()

    def _running(self) -> "subprocess.Popen[bytes]":
        if self._process is not None and self._process.poll() is not None:
            self._bury()  # ended between two pictures: neither is to blame
        if self._process is None:
            command = [sys.executable, "-m", __name__, str(self._timeout_s), str(self._memory_bytes)]
            # Threads of numeric libraries take address space and are of no use here.
            environment = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
            self._process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment, start_new_session=True
            )
            assert self._process.stdout is not None
            if self._process.stdout.read(len(_READY)) != _READY:
                raise MachineError(f"no process to try pictures in: {' '.join(command)} ended: {self._obituary()}")
        return self._process

    def _obituary(self) -> str:
        code = self._bury()
        if code == -signal.SIGPROF:
            return f"takes more than {self._timeout_s:g} s to decode"
        if code < 0:
            return f"the decoder was ended by {signal.Signals(-code).name}"
        return f"the decoder ended with exit status {code}"

    def _bury(self) -> int:
        assert self._process is not None
        process, self._process = self._process, None
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                try:
                    pipe.close()
                except OSError:
                    continue  # what it did not read any more
        return process.wait()


def _serve(source: BinaryIO, sink: BinaryIO, timeout_s: float) -> None:
    sink.write(_READY)
    sink.flush()
    while len(head := source.read(_TO_WORKER.size)) == _TO_WORKER.size:
        payload = source.read(_TO_WORKER.unpack(head)[0])
        signal.setitimer(signal.ITIMER_PROF, timeout_s)  # its signal is not handled: the system ends the process
        problem = picture_problem(payload).encode("utf-8", errors="replace")
        signal.setitimer(signal.ITIMER_PROF, 0)
        sink.write(_TO_PARENT.pack(len(problem)) + problem)
        sink.flush()


def main(timeout_s: str, memory_bytes: str) -> None:
    """The process: limits first, then pictures until its input ends."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_AS, (int(memory_bytes), int(memory_bytes)))
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)  # its parent ends it
    # What a library prints must not come between the answers.
    sink = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    _serve(sys.stdin.buffer, sink, float(timeout_s))


if __name__ == "__main__":
    main(*sys.argv[1:])
