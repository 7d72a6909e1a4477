"""Audio: WAV files, mel bands, and the three augmentations, by the laws of sound."""

import io
import struct
import wave

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmrec.catalog.item import CatalogItem, Media
from mmrec.content.audio_augment import pitched, stretched, with_noise
from mmrec.content.modalities.audio import NUM_BANDS, RATE, LogMelEncoder, log_mel, mel_filters
from mmrec.content.payloads import payloads
from mmrec.content.waveform import BrokenSoundError, FloatArray, read_wav, resampled
from mmrec.errors import InvalidRequestError

ENCODER = LogMelEncoder()


def sine(hertz: float, *, seconds: float = 0.5, rate: int = RATE, loud: float = 0.5) -> FloatArray:
    return (loud * np.sin(2 * np.pi * hertz * np.arange(round(seconds * rate)) / rate)).astype(np.float32)


def wav(samples: FloatArray, *, bits: int = 16, rate: int = RATE, channels: int = 1) -> bytes:
    whole = np.round(samples.astype(np.float64) * (2 ** (bits - 1) - 1)).astype(np.int64)
    if bits == 8:
        whole += 128
    frames = np.repeat(whole, channels).astype("<i8").view(np.uint8).reshape(-1, 8)[:, : bits // 8].tobytes()
    file = io.BytesIO()
    with wave.open(file, "wb") as out:
        out.setnchannels(channels)
        out.setsampwidth(bits // 8)
        out.setframerate(rate)
        out.writeframes(frames)
    return file.getvalue()


def loudest_hertz(samples: FloatArray, *, rate: int = RATE) -> float:
    power = np.abs(np.fft.rfft(samples * np.hanning(len(samples))))
    return float(power.argmax() * rate / len(samples))


def centers_hz() -> FloatArray:
    bins = np.arange(mel_filters().shape[1]) * RATE / 512
    return (mel_filters() * bins).sum(1) / mel_filters().sum(1)


@settings(max_examples=25, deadline=None)
@given(st.floats(150.0, 7_000.0))
def test_a_sine_is_loudest_in_the_band_of_its_frequency(hertz: float) -> None:
    found = centers_hz()[log_mel(sine(hertz)).mean(0).argmax()]
    assert abs(found - hertz) <= max(40.0, 0.06 * hertz)


def test_every_band_hears_something_and_lies_above_the_one_before() -> None:
    assert mel_filters().shape == (NUM_BANDS, 257)
    assert (mel_filters().max(1) > 0.3).all()
    assert (np.diff(mel_filters().argmax(1)) >= 0).all()


def test_twice_the_amplitude_is_six_decibels_more() -> None:
    gain = log_mel(sine(1_000, loud=0.8)).max() - log_mel(sine(1_000, loud=0.4)).max()
    assert gain == pytest.approx(20 * np.log10(2), abs=1e-3)


@pytest.mark.parametrize("bits", [8, 16, 24, 32])
def test_a_sound_is_the_same_at_any_depth_rate_and_number_of_channels(bits: int) -> None:
    plain = ENCODER.encode([wav(sine(440))]).values_ND[0]
    for rate, channels in ((RATE, 1), (RATE, 2), (44_100, 2), (8_000, 1), (22_050, 1)):
        encodings = ENCODER.encode([wav(sine(440, rate=rate), bits=bits, rate=rate, channels=channels)])
        assert encodings.reasons_N == ("",)
        assert float(encodings.values_ND[0] @ plain) > 0.9


def test_samples_are_read_as_they_were_written() -> None:
    for bits in (8, 16, 24, 32):
        np.testing.assert_allclose(
            read_wav(wav(sine(300), bits=bits), rate=RATE), sine(300), atol=2.0 ** (1 - bits) + 1e-6
        )


def test_silence_is_a_vector_the_same_at_any_length_and_unlike_sound() -> None:
    short, long, tone, empty = ENCODER.encode(
        [wav(np.zeros(n, np.float32)) for n in (10, 40_000)] + [wav(sine(440)), wav(np.zeros(0, np.float32))]
    ).values_ND
    np.testing.assert_allclose(short, long, atol=1e-6)
    np.testing.assert_allclose(np.linalg.norm([short, long, tone], axis=1), 1.0, atol=1e-5)
    assert float(short @ tone) < 0.75
    assert not empty.any()


WHOLE = wav(sine(440))
BROKEN = {
    "no bytes": b"",
    "another format": b"\xff\xfb\x90\x00" * 100,
    "a picture": b"\x89PNG\r\n\x1a\n" + bytes(100),
    "half of a file": WHOLE[: len(WHOLE) // 2],
    "its head alone": WHOLE[:44],
    "four gigabytes in its head": WHOLE[:40] + struct.pack("<I", 0xFFFFFFFE) + WHOLE[44:],
    "no channels": WHOLE[:22] + struct.pack("<H", 0) + WHOLE[24:],
    "65,535 channels": WHOLE[:22] + struct.pack("<H", 65_535) + WHOLE[24:],
    "one sample a second": WHOLE[:24] + struct.pack("<I", 1) + WHOLE[28:],
    "four billion samples a second": WHOLE[:24] + struct.pack("<I", 0xFFFFFFFF) + WHOLE[28:],
    "floats": WHOLE[:20] + struct.pack("<H", 3) + WHOLE[22:],
}


@pytest.mark.parametrize("kind", list(BROKEN))
def test_what_is_no_recording_is_broken_with_a_reason_and_the_others_are_encoded(kind: str) -> None:
    encodings = ENCODER.encode([WHOLE, BROKEN[kind], WHOLE])
    assert encodings.reasons_N == ("", "broken", "")
    assert not encodings.values_ND[1].any()
    with pytest.raises(BrokenSoundError, match=r"[a-z]"):
        read_wav(BROKEN[kind], rate=RATE)


@settings(max_examples=25, deadline=None)
@given(st.binary(max_size=200), st.integers(0, 60))
def test_any_bytes_are_a_recording_or_broken(noise: bytes, place: int) -> None:
    found = ENCODER.encode([noise, WHOLE[:place] + noise + WHOLE[place + len(noise) :]])
    assert np.isfinite(found.values_ND).all()


def test_only_the_first_two_minutes_are_heard() -> None:
    rate = 4_000
    long = np.concatenate([np.zeros(120 * rate, np.float32), sine(300, seconds=30, rate=rate)])
    found = ENCODER.encode([wav(long, rate=rate, bits=8), wav(long[: 60 * rate], rate=rate, bits=8)]).values_ND
    np.testing.assert_allclose(found[0], found[1], atol=1e-6)


@pytest.mark.parametrize(("rate", "to_rate"), [(44_100, 16_000), (8_000, 16_000), (11_025, 16_000), (48_000, 16_000)])
def test_resampling_keeps_duration_and_pitch(rate: int, to_rate: int) -> None:
    found = resampled(sine(700, rate=rate, seconds=1), rate=rate, to_rate=to_rate)
    assert len(found) == pytest.approx(to_rate, rel=0.005)
    assert loudest_hertz(found, rate=to_rate) == pytest.approx(700, rel=0.01)


@settings(max_examples=25, deadline=None)
@given(st.floats(0.5, 2.0), st.floats(200.0, 3_000.0))
def test_stretching_changes_the_duration_and_keeps_the_pitch(rate: float, hertz: float) -> None:
    found = stretched(sine(hertz), rate=rate)
    assert len(found) == round(len(sine(hertz)) / rate)
    assert loudest_hertz(found) == pytest.approx(hertz, abs=2 * RATE / len(found) + 0.01 * hertz)


@settings(max_examples=25, deadline=None)
@given(st.floats(-12.0, 12.0), st.floats(200.0, 1_500.0))
def test_shifting_the_pitch_keeps_the_duration(semitones: float, hertz: float) -> None:
    found = pitched(sine(hertz), semitones=semitones)
    assert len(found) == len(sine(hertz))
    wanted = hertz * 2 ** (semitones / 12)
    assert loudest_hertz(found) == pytest.approx(wanted, abs=2 * RATE / len(found) + 0.01 * wanted)


@settings(max_examples=25, deadline=None)
@given(st.floats(-10.0, 40.0), st.integers(0, 2**32 - 1))
def test_noise_lies_the_asked_decibels_below_the_sound(snr_db: float, seed: int) -> None:
    noisy = with_noise(sine(440), snr_db=snr_db, draws=np.random.default_rng(seed))
    added = noisy.astype(np.float64) - sine(440)
    found = 10 * np.log10(np.mean(sine(440).astype(np.float64) ** 2) / np.mean(added**2))
    assert found == pytest.approx(snr_db, abs=0.05)
    np.testing.assert_array_equal(noisy, with_noise(sine(440), snr_db=snr_db, draws=np.random.default_rng(seed)))


def test_augmentation_leaves_the_sound_alone_where_it_asks_for_nothing() -> None:
    sound, silence = sine(440), np.zeros(2_000, np.float32)
    for same in (stretched(sound, rate=1.0), pitched(sound, semitones=0.0)):
        np.testing.assert_array_equal(same, sound)
    for still in (
        with_noise(silence, snr_db=3.0, draws=np.random.default_rng(1)),
        pitched(silence, semitones=3.0),
        stretched(silence, rate=1.25),
    ):
        assert not still.any()
    assert len(stretched(sound[:0], rate=2.0)) == len(pitched(sound[:0], semitones=1.0)) == 0


def test_an_amount_that_no_ear_would_know_again_is_refused() -> None:
    for rate in (0.0, -1.0, 9.0, float("nan")):
        with pytest.raises(InvalidRequestError, match=r"rate is .*; give 0.25 to 4"):
            stretched(sine(440), rate=rate)
    for semitones in (25.0, float("nan"), float("-inf")):
        with pytest.raises(InvalidRequestError, match=r"semitones is .*; give -24 to 24"):
            pitched(sine(440), semitones=semitones)


def test_the_first_recording_of_an_item_is_its_audio() -> None:
    sounds = tuple(Media(modality="audio", content=wav(sine(hertz))) for hertz in (300, 600))
    assert payloads(CatalogItem(item_id="a", title="x", media=sounds))["audio"] == sounds[0].content
    assert "audio" not in payloads(CatalogItem(item_id="a", title="x"))
