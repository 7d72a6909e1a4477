"""The process that turns queries into vectors: torch, large weights and other people's pictures stay out of serving.

    python -m mmrec.content.query_worker '{"text": "minilm", "image": "efficientnet-lite0"}' 10

The second argument is the processor time one picture may take. Encoders are loaded at once, each in a thread of its own
that afterwards answers what is asked of it, so that a text never waits for a picture; each runs on one processor and
gives way to the recommender, pictures more than texts. A picture is tried by a PictureWorker before it is encoded.
The process ends with its input. Wire: 4 bytes of length and a message in msgpack, both ways.
"""

import io
import json
import os
import queue
import signal
import struct
import sys
import threading
import time
from collections.abc import Mapping
from typing import IO, Final

import msgspec
import numpy as np

from mmrec.content.encoder import Encoder
from mmrec.content.picture_worker import PictureWorker
from mmrec.content.registry import LazyEncoder
from mmrec.telemetry.logs import configure_logging, get_logger

log = get_logger(__name__)
NICENESS: Final = {"image": 10}
"""By modality, above the recommender's own."""
USUAL_NICENESS: Final = 5
_NICEST: Final = 19
MAX_BATCH: Final = 8
"""Queries that wait are encoded together, at most so many."""
_LENGTH: Final = struct.Struct("<I")


class Asked(msgspec.Struct, frozen=True, array_like=True):
    """One payload to encode."""

    number: int
    modality: str
    payload: bytes


class Told(msgspec.Struct, frozen=True, array_like=True):
    """An answer. With number 0: an encoder is loaded, or cannot be."""

    number: int
    modality: str
    encoder: str = ""
    fingerprint: str = ""
    values: bytes = b""
    """float32, little-endian; empty where there is a problem."""
    problem: str = ""
    """What is wrong with the payload."""
    seconds: float = 0.0
    """Time of encoding."""


def write_message(sink: IO[bytes], message: Asked | Told) -> None:
    """Send one message."""
    body = msgspec.msgpack.encode(message)
    sink.write(_LENGTH.pack(len(body)) + body)
    sink.flush()


def read_body(source: IO[bytes]) -> bytes | None:
    """The next message's bytes; None where the other side has ended."""
    head = source.read(_LENGTH.size)
    if len(head) < _LENGTH.size:
        return None
    length = _LENGTH.unpack(head)[0]
    body = source.read(length)
    return body if len(body) == length else None


class _Answering:
    """One modality: its encoder, in a thread that answers what is asked of it."""

    def __init__(self, encoder: LazyEncoder, *, pictures: PictureWorker, sink: IO[bytes], turn: threading.Lock) -> None:
        self._encoder, self._pictures, self._sink, self._turn = encoder, pictures, sink, turn
        self.asked: queue.Queue[Asked] = queue.Queue()
        self._thread = threading.Thread(target=self._run, name=encoder.modality, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        modality = self._encoder.modality
        give_way(NICENESS.get(modality, USUAL_NICENESS))
        try:
            payload = _warm_up(modality)
            if modality == "image":
                self._pictures.problem(payload)
            self._encoder.encode([payload])
        except Exception as error:  # whatever a library raises; the other modalities go on
            log.error("encoder_not_loaded", modality=modality, error=repr(error))
            self._tell(Told(number=0, modality=modality, problem=repr(error)))
            return
        self._tell(
            Told(number=0, modality=modality, encoder=self._encoder.name, fingerprint=fingerprint(self._encoder))
        )
        while True:
            asked = [self.asked.get()]
            while len(asked) < MAX_BATCH and not self.asked.empty():
                asked.append(self.asked.get())
            self._answer(asked)

    def _answer(self, asked: list[Asked]) -> None:
        began_s = time.monotonic()
        problems = [self._pictures.problem(each.payload) if each.modality == "image" else "" for each in asked]
        sound = [each for each, problem in zip(asked, problems, strict=True) if not problem]
        values: dict[int, bytes] = {}
        try:
            encodings = self._encoder.encode([each.payload for each in sound])
            for row, each in enumerate(sound):
                if not encodings.reasons_N[row]:
                    values[each.number] = encodings.values_ND[row].astype("<f4").tobytes()
        except Exception as error:  # an encoder says of bad bytes that they are; this is its own failure
            log.error("query_not_encoded", modality=self._encoder.modality, error=repr(error))
            problems = [problem or "the encoder failed; the recommender's log says why" for problem in problems]
        seconds = time.monotonic() - began_s
        for each, problem in zip(asked, problems, strict=True):
            found = values.get(each.number, b"")
            self._tell(
                Told(
                    number=each.number,
                    modality=each.modality,
                    encoder=self._encoder.name,
                    fingerprint=fingerprint(self._encoder),
                    values=found,
                    problem=problem or ("" if found else "holds nothing that can be encoded"),
                    seconds=seconds,
                )
            )

    def _tell(self, told: Told) -> None:
        with self._turn:
            write_message(self._sink, told)


def give_way(niceness: int) -> None:
    """Make this thread nicer than it is; never less nice, which only the superuser may."""
    own = os.getpriority(os.PRIO_PROCESS, 0)
    os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), min(own + niceness, _NICEST))


def fingerprint(encoder: Encoder) -> str:
    """What an encoder's vectors may be compared with, beside its name."""
    return str(getattr(encoder, "fingerprint", ""))


def _warm_up(modality: str) -> bytes:
    """A payload that makes an encoder load whatever it loads at first use."""
    if modality != "image":
        return b"warm"
    from PIL import Image

    sink = io.BytesIO()
    Image.fromarray(np.zeros((8, 8, 3), dtype=np.uint8)).save(sink, format="PNG")
    return sink.getvalue()


def serve(encoders: Mapping[str, str], picture_timeout_s: float, source: IO[bytes], sink: IO[bytes]) -> None:
    """Answer until `source` ends.

    Args:
        encoders: Modality -> name of its encoder.
    """
    turn = threading.Lock()
    with PictureWorker(timeout_s=picture_timeout_s) as pictures:
        answering = {
            modality: _Answering(LazyEncoder(modality, name, num_threads=1), pictures=pictures, sink=sink, turn=turn)
            for modality, name in encoders.items()
        }
        while (body := read_body(source)) is not None:
            asked = msgspec.msgpack.decode(body, type=Asked)
            answering[asked.modality].asked.put(asked)


def main() -> None:
    """The process."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)  # it ends with its input
    # What a library prints must not come between the answers.
    sink = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    configure_logging()
    serve(json.loads(sys.argv[1]), float(sys.argv[2]), sys.stdin.buffer, sink)
    os._exit(0)  # threads of libraries may still hang


if __name__ == "__main__":
    main()
