"""Altered copies of a sound: noise, time-stretch, pitch; two copies of one are a positive pair (METHODS M14).

    noisy = with_noise(samples, snr_db=20.0, draws=np.random.default_rng(seed))
    slow  = stretched(samples, rate=0.8)                as long / 0.8, at the same pitch
    high  = pitched(samples, semitones=3.0)             as long, at 2^(3/12) times the pitch

Pure: the same arguments give the same samples. Stretching is a phase vocoder (Flanagan and Golden, Bell System
Technical Journal, 1966; phases as in Laroche and Dolson, IEEE Transactions on Speech and Audio Processing, 1999).
Axes: T samples, W windows, F frequencies.
"""

from typing import Final

import numpy as np
import numpy.typing as npt
from scipy.signal import resample

from mmrec.content.waveform import FloatArray
from mmrec.errors import InvalidRequestError

WINDOW: Final = 1_024
HOP: Final = WINDOW // 4
SLOWEST: Final = 0.25
FASTEST: Final = 4.0
MAX_SEMITONES: Final = 24.0


def with_noise(samples_T: FloatArray, *, snr_db: float, draws: np.random.Generator) -> FloatArray:
    """The sound under white noise whose power lies `snr_db` decibels below the sound's own; silence stays silent.

    y = x + n * sqrt( power(x) / power(n) * 10^(-snr_db / 10) )
    """
    noise = draws.standard_normal(len(samples_T)).astype(np.float32)
    own, added = float(np.mean(samples_T**2)), float(np.mean(noise**2))
    if not own or not added:
        return samples_T.copy()
    # y = x + n * sqrt( power(x) / power(n) * 10^(-snr_db / 10) )
    scale = np.sqrt(own / added * 10.0 ** (-snr_db / 10.0))
    noisy: FloatArray = (samples_T + noise * scale).astype(np.float32)
    return noisy


def stretched(samples_T: FloatArray, *, rate: float) -> FloatArray:
    """The sound `rate` times as fast, at its own pitch: round(T / rate) samples.

    Raises:
        InvalidRequestError: `rate` is not between SLOWEST and FASTEST.
    """
    if not SLOWEST <= rate <= FASTEST:
        raise InvalidRequestError(f"rate is {rate}; give {SLOWEST:g} to {FASTEST:g}")
    length = round(len(samples_T) / rate)
    if rate == 1.0 or not length:
        return samples_T[:length].copy()
    return _sound(_at_other_times(_spectrum(samples_T), rate), length)


def pitched(samples_T: FloatArray, *, semitones: float) -> FloatArray:
    """The sound at 2^(semitones / 12) times its pitch, as long as before.

    Raises:
        InvalidRequestError: `semitones` is beyond MAX_SEMITONES up or down.
    """
    if not abs(semitones) <= MAX_SEMITONES:
        raise InvalidRequestError(f"semitones is {semitones}; give {-MAX_SEMITONES:g} to {MAX_SEMITONES:g}")
    if semitones == 0.0 or not len(samples_T):
        return samples_T.copy()
    slow = stretched(samples_T, rate=2.0 ** (-semitones / 12.0))
    found: FloatArray = resample(slow, len(samples_T)).astype(np.float32)
    return found


def _hann() -> npt.NDArray[np.float64]:
    found: npt.NDArray[np.float64] = np.hanning(WINDOW + 1)[:-1]
    return found


def _spectrum(samples_T: FloatArray) -> npt.NDArray[np.complex128]:
    # Half a window before and a window behind, so that the ends are heard as the middle is.
    padded = np.pad(samples_T.astype(np.float64), (WINDOW // 2, WINDOW + HOP))
    windows = np.lib.stride_tricks.sliding_window_view(padded, WINDOW)[::HOP]
    found: npt.NDArray[np.complex128] = np.fft.rfft(windows * _hann())
    return found


def _at_other_times(spectrum_WF: npt.NDArray[np.complex128], rate: float) -> npt.NDArray[np.complex128]:
    """Windows at every `rate`-th place: magnitudes between two neighbors, phases going on by what they differ by."""
    places = np.arange(0.0, len(spectrum_WF) - 1, rate)
    before, share = places.astype(np.int64), (places % 1.0)[:, None]
    magnitude = (1.0 - share) * np.abs(spectrum_WF[before]) + share * np.abs(spectrum_WF[before + 1])
    expected_F = 2.0 * np.pi * HOP * np.arange(spectrum_WF.shape[1]) / WINDOW
    turned = np.angle(spectrum_WF[before + 1]) - np.angle(spectrum_WF[before]) - expected_F
    advance = expected_F + turned - 2.0 * np.pi * np.round(turned / (2.0 * np.pi))
    phase = np.angle(spectrum_WF[0]) + np.concatenate([np.zeros_like(advance[:1]), np.cumsum(advance[:-1], axis=0)])
    found: npt.NDArray[np.complex128] = magnitude * np.exp(1j * phase)
    return found


def _sound(spectrum_WF: npt.NDArray[np.complex128], length: int) -> FloatArray:
    window = _hann()
    total = np.zeros(WINDOW + HOP * (len(spectrum_WF) - 1))
    weight = np.zeros_like(total)
    for number, samples in enumerate(np.fft.irfft(spectrum_WF, n=WINDOW)):
        place = slice(number * HOP, number * HOP + WINDOW)
        total[place] += samples * window
        weight[place] += window**2
    sound = (total / np.maximum(weight, 1e-8))[WINDOW // 2 :][:length]
    found: FloatArray = np.pad(sound, (0, length - len(sound))).astype(np.float32)
    return found
