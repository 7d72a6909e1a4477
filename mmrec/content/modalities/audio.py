"""Audio: loudness of mel bands over time, its mean and spread (METHODS M15).

    e_tb = 10 log10( max( sum_f  mel_bf * |STFT_tf|^2,  1e-6 ) )        b: 64 bands between 60 and 7,600 Hz
    x    = norm( [ 1 + mean_t(e) / 60 ; spread_t(e) / 60 ] )            from 0, at the floor of -60 dB, to 1

Windows of 25 ms every 10 ms. Mel scale: 2595 log10(1 + f / 700), O'Shaughnessy, Speech Communication, 1987.
"""

from collections.abc import Sequence
from functools import cache
from typing import Final

import numpy as np
import numpy.typing as npt

from mmrec.catalog.item import CatalogItem
from mmrec.content.encoder import BROKEN, Encodings
from mmrec.content.modality import Clean, Modality
from mmrec.content.waveform import BrokenSoundError, FloatArray, read_wav

RATE: Final = 16_000
WINDOW: Final = 400
HOP: Final = 160
NUM_BINS: Final = 512
NUM_BANDS: Final = 64
LOWEST_HZ: Final = 60.0
HIGHEST_HZ: Final = 7_600.0
FLOOR: Final = 1e-6
"""Of power: -60 decibels of full scale, above the noise of 8 bits."""
_RANGE_DB: Final = 60.0
_SILENCE: Final = 1e-3
"""What silence has in place of zeros, so that it is a vector, too."""


class LogMelEncoder:
    """The encoder of name log-mel."""

    name = "log-mel"
    modality = "audio"
    embedding_dim = 2 * NUM_BANDS

    def encode(self, payloads: Sequence[bytes]) -> Encodings:
        """Unit-norm vectors of WAV files; what is none is broken."""
        values = np.zeros((len(payloads), self.embedding_dim), dtype=np.float32)
        reasons = []
        for row, payload in enumerate(payloads):
            try:
                loudness_TB = log_mel(read_wav(payload, rate=RATE))
            except BrokenSoundError:
                reasons.append(BROKEN)
                continue
            pooled = np.concatenate([_SILENCE + 1.0 + loudness_TB.mean(0) / _RANGE_DB, loudness_TB.std(0) / _RANGE_DB])
            values[row] = pooled / np.linalg.norm(pooled)
            reasons.append("")
        return Encodings(values_ND=values, reasons_N=tuple(reasons))


def log_mel(samples_T: FloatArray) -> FloatArray:
    """Decibels of each band in each window, shape (windows, NUM_BANDS); a shorter sound is padded to one window.

    Args:
        samples_T: At RATE samples a second, 1.0 is full scale.
    """
    padded = np.pad(samples_T, (0, max(0, WINDOW - len(samples_T))))
    windows = np.lib.stride_tricks.sliding_window_view(padded, WINDOW)[::HOP]
    hann = np.hanning(WINDOW + 1)[:-1].astype(np.float32)
    # A sine of full scale has power 1 in its bin, whatever the window.
    power_TF = np.abs(np.fft.rfft(windows * hann, n=NUM_BINS) / (hann.sum() / 2.0)) ** 2
    decibels: FloatArray = (10.0 * np.log10(np.maximum(power_TF @ mel_filters().T, FLOOR))).astype(np.float32)
    return decibels


@cache
def mel_filters() -> FloatArray:
    """Triangles of height 1 on the mel scale, shape (NUM_BANDS, NUM_BINS / 2 + 1)."""
    edges_hz = _hertz(np.linspace(_mel(LOWEST_HZ), _mel(HIGHEST_HZ), NUM_BANDS + 2))
    bins_hz = np.arange(NUM_BINS // 2 + 1) * RATE / NUM_BINS
    low, middle, high = edges_hz[:-2, None], edges_hz[1:-1, None], edges_hz[2:, None]
    rising, falling = (bins_hz - low) / (middle - low), (high - bins_hz) / (high - middle)
    filters: FloatArray = np.maximum(0.0, np.minimum(rising, falling)).astype(np.float32)
    # A low band may lie between two bins: it takes the nearer one, else it would be silent for ever.
    for band in np.flatnonzero(filters.max(axis=1) == 0.0):
        filters[band, np.abs(bins_hz - middle[band]).argmin()] = 1.0
    return filters


def _mel(hertz: float) -> float:
    return float(2595.0 * np.log10(1.0 + hertz / 700.0))


def _hertz(mels: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    found: npt.NDArray[np.float64] = 700.0 * (10.0 ** (mels / 2595.0) - 1.0)
    return found


def _payload(item: CatalogItem, clean: Clean) -> bytes:
    del clean
    return next((each.content for each in item.media if each.modality == "audio"), b"")


AUDIO = Modality(name="audio", payload=_payload, encoders={"log-mel": LogMelEncoder}, default_encoder="log-mel")
