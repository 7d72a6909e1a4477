"""Sound as samples: WAV files read, and samples brought to another rate.

    samples = read_wav(payload, rate=16_000)        # float32 in [-1, 1], mono

Read is PCM of 8, 16, 24 and 32 bits, of any number of channels, through the standard library. Axes: T samples.
"""

import io
import math
import wave
from typing import Final

import numpy as np
import numpy.typing as npt

from mmrec.errors import InvalidRequestError

FloatArray = npt.NDArray[np.float32]

MAX_S: Final = 120.0
"""Only the first seconds of a recording are heard, so that none costs more than others."""
MIN_RATE: Final = 4_000
MAX_RATE: Final = 192_000
MAX_CHANNELS: Final = 16
_FINEST: Final = 100
"""Rates are taken to be multiples of this many Hz where they are not: the resampling filter grows with the ratio."""


class BrokenSoundError(InvalidRequestError):
    """Bytes that are no recording we can read; the message says why."""


def read_wav(payload: bytes, *, rate: int) -> FloatArray:
    """The first MAX_S seconds of a recording, channels averaged, at `rate` samples a second; shape (T,), T >= 1.

    Raises:
        BrokenSoundError: no WAV file, one that is not PCM, cut, empty, or of a rate that no recording has.
    """
    try:
        with wave.open(io.BytesIO(payload), "rb") as file:
            width, channels, sent_rate = file.getsampwidth(), file.getnchannels(), file.getframerate()
            num_frames = file.getnframes()
            if not MIN_RATE <= sent_rate <= MAX_RATE:
                raise BrokenSoundError(f"{sent_rate} samples a second; give {MIN_RATE} to {MAX_RATE}")
            if channels > MAX_CHANNELS or width not in _FROM_WIDTH:
                raise BrokenSoundError(f"{channels} channels of {8 * width} bits; give PCM of 8, 16, 24 or 32 bits")
            wanted = min(num_frames, math.ceil(MAX_S * sent_rate))
            frames = file.readframes(wanted)
    except (wave.Error, EOFError, ValueError, RuntimeError, MemoryError) as error:
        raise BrokenSoundError(f"{len(payload)} bytes that are no WAV file of PCM: {error}") from None
    if not wanted or len(frames) < wanted * channels * width:
        raise BrokenSoundError(f"{len(frames)} of {wanted * channels * width} bytes of samples are there")
    if num_frames * channels * width > len(payload):
        raise BrokenSoundError(f"{num_frames} frames in a file of {len(payload)} bytes: it is cut")
    samples = _FROM_WIDTH[width](frames).reshape(-1, channels).mean(axis=1, dtype=np.float32)
    return resampled(samples, rate=sent_rate, to_rate=rate)


def resampled(samples_T: FloatArray, *, rate: int, to_rate: int) -> FloatArray:
    """The same sound at another rate, by a polyphase filter; ceil(T * to_rate / rate) samples."""
    if rate == to_rate:
        return samples_T
    up, down = round(to_rate / _FINEST), round(rate / _FINEST)
    common = math.gcd(up, down)
    from scipy.signal import resample_poly  # takes a second to import, and every program knows the modalities

    found: FloatArray = resample_poly(samples_T, up // common, down // common).astype(np.float32)
    return found


def _from_8(frames: bytes) -> FloatArray:
    return (np.frombuffer(frames, dtype=np.uint8).astype(np.float32) - 128.0) / np.float32(128.0)


def _from_16(frames: bytes) -> FloatArray:
    return np.frombuffer(frames, dtype="<i2").astype(np.float32) / np.float32(2**15)


def _from_24(frames: bytes) -> FloatArray:
    # Three bytes become the upper three of four.
    padded = np.zeros((len(frames) // 3, 4), dtype=np.uint8)
    padded[:, 1:] = np.frombuffer(frames, dtype=np.uint8).reshape(-1, 3)
    return _from_32(padded.tobytes())


def _from_32(frames: bytes) -> FloatArray:
    return (np.frombuffer(frames, dtype="<i4") / 2.0**31).astype(np.float32)


_FROM_WIDTH: Final = {1: _from_8, 2: _from_16, 3: _from_24, 4: _from_32}
