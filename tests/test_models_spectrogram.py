"""The spectrogram layer: against scipy, at its hertz and seconds, through gradients, and what it refuses."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.signal import ShortTimeFFT, get_window

from ram.errors import ConfigError, ModelError
from ram.models.spectrogram import WINDOWS, Spectrogram, main_lobe, window_of


def levels(x, *, reference=1.0, **words):
    """Levels of one signal in float64, (frequency, frame), and the layer."""
    layer = Spectrogram(1, **{"scale": "amplitude", **words}).double()
    with torch.no_grad():
        return layer(torch.as_tensor(x)[None, None], torch.tensor([reference]))[0, 0].numpy(), layer


def scipys_amplitudes(x, layer, *, window, frames):
    """What `ShortTimeFFT` gives at the layer's frames: it counts a window from its middle, so zeros stand before x."""
    transform = ShortTimeFFT(
        get_window(window, layer.length, fftbins=False), layer.hop, layer.sample_rate_hz, mfft=layer.nfft,
        fft_mode="onesided2X", scale_to="magnitude",
    )  # fmt: skip
    begins = layer.length // 2 - (layer.length - layer.hop) // 2  # of slice 0 before that of frame 0
    first = -(-begins // layer.hop)
    moved = np.concatenate([np.zeros(first * layer.hop - begins), x, np.zeros(layer.length)])
    return np.abs(transform.stft(moved, p0=first, p1=first + frames))


@settings(max_examples=60, deadline=None)
@given(
    window=st.sampled_from(WINDOWS),
    sizes=st.tuples(st.integers(4, 65), st.floats(0.02, 1.0), st.integers(0, 40)),
    signal=st.tuples(st.integers(0, 99), st.integers(65, 300)),
    rate=st.sampled_from([1.0, 500.0, 44_100.0, 1e6]),
)
def test_amplitudes_are_those_of_scipys_short_time_fft(window, sizes, signal, rate):
    (length, share, padding), (seed, samples) = sizes, signal
    x = np.random.default_rng(seed).standard_normal(samples)
    hop = max(1, int(share * length))
    mine, layer = levels(x, sample_rate_hz=rate, length=length, hop=hop, nfft=length + padding, window=window)
    theirs = scipys_amplitudes(x, layer, window=window, frames=mine.shape[1])
    np.testing.assert_allclose(mine, theirs, atol=1e-5 * theirs.max())


def test_a_sine_has_its_amplitude_power_and_decibels():
    rate, amplitude = 8000.0, 3.0
    x = amplitude * np.sin(2 * np.pi * 1000.0 * np.arange(1600) / rate + 0.3)
    known = {"amplitude": amplitude, "power": amplitude**2, "dB": 20 * np.log10(amplitude)}
    for scale, expected in known.items():
        found, layer = levels(x, sample_rate_hz=rate, length=160, hop=40, scale=scale)
        row = int(np.argmin(np.abs(layer.frequency.centres - 1000.0)))
        np.testing.assert_allclose(found[row, 10:-10], expected, rtol=1e-5)
        in_volts, _ = levels(x / 0.01, reference=0.01, sample_rate_hz=rate, length=160, hop=40, scale=scale)
        np.testing.assert_allclose(in_volts[row, 10:-10], expected, rtol=1e-5)


@pytest.mark.parametrize("nfft", [160, 512])
@pytest.mark.parametrize("window", ["hann", "boxcar", "flattop"])
@pytest.mark.parametrize(("bands", "low"), [("linear", 0.0), ("mel", 0.0), ("log", 62.5)])
def test_a_bands_power_is_that_of_the_sine_in_it_whatever_window_and_padding(bands, low, window, nfft):
    rate, amplitude = 8000.0, 3.0
    x = amplitude * np.sin(2 * np.pi * 1234.0 * np.arange(1600) / rate)
    words = {"sample_rate_hz": rate, "length": 160, "hop": 40, "window": window, "nfft": nfft, "scale": "power"}
    found, layer = levels(x, bands=bands, count=4, low_hz=low, **words)
    np.testing.assert_allclose(found[:, 10:-10].sum(axis=0), amplitude**2, rtol=0.02)
    assert (layer.frequency.edges[0], layer.frequency.edges[-1]) == (low, rate / 2)
    peak = int(found[:, 20].argmax())
    assert layer.frequency.edges[peak] <= 1234.0 <= layer.frequency.edges[peak + 1]


def test_bands_part_white_noise_by_their_width_in_hertz():
    x = np.random.default_rng(4).standard_normal(200_000)
    words = {"sample_rate_hz": 1000.0, "length": 100, "hop": 50, "scale": "power"}
    for bands in ("linear", "mel", "log"):
        found, layer = levels(x, bands=bands, count=5, low_hz=20.0, **words)
        density = found[:, 3:-3].mean(axis=1) / np.diff(layer.frequency.edges)
        np.testing.assert_allclose(density, 2.0 * 1.0 / 500.0, rtol=0.05)  # amplitude^2 is twice the variance


@pytest.mark.parametrize("rate", [1000.0, 16_000.0, 44_100.0, 2.5e6])
@pytest.mark.parametrize(("bands", "count"), [("linear", 0), ("log", 24)])
def test_a_tone_burst_peaks_at_its_hertz_and_second_within_one_cell(rate, bands, count):
    when, tone = 0.37 * 4096 / rate, 0.21 * rate
    time = np.arange(4096) / rate
    x = np.exp(-(((time - when) * rate / 90.0) ** 2)) * np.sin(2 * np.pi * tone * time)
    found, layer = levels(
        x, sample_rate_hz=rate, length=128, hop=32, scale="dB", bands=bands, count=count, low_hz=0.02 * rate
    )
    frequency, seconds = layer.axes(4096)
    row, column = np.unravel_index(found.argmax(), found.shape)
    for axis, cell, value in ((frequency, row, tone), (seconds, column, when)):
        width = axis.edges[cell + 1] - axis.edges[cell]
        assert axis.edges[cell] - 0.5 * width <= value <= axis.edges[cell + 1] + 0.5 * width


def test_an_impulse_is_seen_by_the_frames_whose_windows_hold_it_and_loudest_in_its_own():
    rate, length, hop = 1000.0, 40, 8
    for place in (0, 7, 100, 127, 199):
        x = np.zeros(200)
        x[place] = 1.0
        found, layer = levels(x, sample_rate_hz=rate, length=length, hop=hop, window="boxcar", scale="power")
        _, time = layer.axes(200)
        seen = np.flatnonzero(found.sum(axis=0) > 1e-12)
        half = layer.reach[1] / 2
        inside = (time.edges[:-1] - half < place / rate) & (place / rate < time.edges[1:] + half)
        np.testing.assert_array_equal(seen, np.flatnonzero(inside))
        tapered, layer = levels(x, sample_rate_hz=rate, length=length, hop=hop, scale="power")
        own = int(tapered.sum(axis=0).argmax())
        assert time.edges[own] <= place / rate <= time.edges[own + 1]


def test_frames_part_the_signal_into_hops():
    layer = Spectrogram(1, sample_rate_hz=1000.0, length=41, hop=9, divisor=4)
    _, time = layer.axes(100, start_s=0.25)
    assert layer.grid(100) == (20, 12)  # 21 bins and 12 hops; four divides 20 and 12
    np.testing.assert_allclose(time.edges, 0.25 + (np.arange(13) * 9 - 0.5) / 1000.0)
    np.testing.assert_allclose(time.centres, 0.25 + (np.arange(12) * 9 + 4) / 1000.0)


def test_a_window_that_cannot_lie_in_the_middle_says_where_it_lies():
    layer = Spectrogram(1, sample_rate_hz=1.0, length=8, hop=3)
    _, time = layer.axes(30)
    np.testing.assert_allclose(time.centres, np.arange(10) * 3 - 2 + 3.5)
    np.testing.assert_allclose(time.edges, [-0.5, *(np.arange(1, 10) * 3), 29.5])


def test_a_signal_that_runs_backwards_has_the_spectrogram_that_runs_backwards():
    x = np.random.default_rng(1).standard_normal(240)
    words = {"sample_rate_hz": 1.0, "length": 26, "hop": 6, "divisor": 2, "scale": "dB"}
    forwards, layer = levels(x, **words)
    backwards, _ = levels(x[::-1].copy(), **words)
    np.testing.assert_allclose(backwards, forwards[:, ::-1], atol=1e-9)
    assert layer.reversible(240)
    assert not layer.reversible(246)  # 41 frames make 42
    assert not Spectrogram(1, sample_rate_hz=1.0, length=25, hop=6).reversible(240)  # half a sample beside


def test_frequencies_are_cut_and_filled_up_to_what_the_net_needs():
    words = {"sample_rate_hz": 1000.0, "length": 100, "hop": 25}
    for low, high, divisor, expected in (
        (0.0, math.inf, 1, (0, 500)), (0.0, math.inf, 8, (0, 470)), (100.0, 200.0, 1, (100, 200)),
        (100.0, 200.0, 8, (100, 250)), (400.0, math.inf, 8, (400, 470)),
    ):  # fmt: skip
        layer = Spectrogram(1, **words, low_hz=low, high_hz=high, divisor=divisor)
        assert (layer.frequency.centres[0], layer.frequency.centres[-1]) == pytest.approx(expected)
        assert layer.frequency.size % divisor == 0


@pytest.mark.parametrize("scale", ["dB", "amplitude", "power"])
@pytest.mark.parametrize(("bands", "count"), [("linear", 0), ("mel", 4)])
def test_gradients_reach_the_raw_signal(scale, bands, count):
    layer = Spectrogram(
        2, sample_rate_hz=1000.0, length=9, hop=4, nfft=12, scale=scale, bands=bands, count=count
    ).double()
    x = torch.randn(2, 2, 21, generator=torch.Generator().manual_seed(2), dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(layer, (x,))


@pytest.mark.parametrize("scale", ["dB", "amplitude", "power"])
def test_silence_has_finite_levels_and_gradients(scale):
    layer = Spectrogram(1, sample_rate_hz=1000.0, length=16, hop=4, scale=scale, floor_db=-60.0)
    x = torch.zeros(1, 1, 64, requires_grad=True)
    found = layer(x, torch.tensor([2.0]))
    found.sum().backward()
    assert torch.isfinite(x.grad).all()
    floor = {"dB": -60.0 + 20 * math.log10(2.0), "amplitude": 0.0, "power": 0.0}[scale]
    torch.testing.assert_close(found, torch.full_like(found, floor))


def test_half_precision_signals_are_transformed_in_single():
    layer = Spectrogram(1, sample_rate_hz=1000.0, length=16, hop=4)
    x = torch.randn(1, 1, 64, generator=torch.Generator().manual_seed(1))
    assert layer.bfloat16()(x.bfloat16()).dtype == torch.bfloat16


def test_main_lobes_are_those_of_the_books():
    known = {"boxcar": 2.0, "hann": 4.0, "hamming": 4.0, "blackman": 6.0, "blackmanharris": 8.0, "bartlett": 4.0}
    for window, bins in known.items():
        assert main_lobe(window_of(window, 1024)) == pytest.approx(bins, rel=0.01)
    layer = Spectrogram(1, sample_rate_hz=1024.0, length=1024, hop=256)
    assert layer.reach == pytest.approx((3.0, 0.75), rel=0.01)  # four bins less the cell's own; 1024 - 256 samples


GOOD = {"sample_rate_hz": 1000.0, "length": 64, "hop": 16}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ({"hop": 0}, r"model\.spectrogram\.hop: the hop must be 1 to 64 samples at 1000 Hz, .* Got 0\. Windows"),
        ({"hop": 65}, "Got 65. Windows farther apart than they are long would leave samples out"),
        ({"length": 2, "hop": 1}, "the window must be 4 samples or more at 1000 Hz. Got 2. Choose a longer window"),
        ({"nfft": 32}, "the number of points of the FFT must be 64 or more, the window's samples"),
        ({"high_hz": 600.0}, "the highest frequency must be at most 500 Hz, half the sample rate. Got 600 Hz"),
        ({"low_hz": 300.0, "high_hz": 200.0}, "the lowest frequency must be 0 or more and below 200 Hz. Got 300 Hz"),
        ({"window": "han"}, r"the window must be one of hann, .* Got 'han'\. Did you mean 'hann'\?"),
        ({"scale": "db"}, r"the scale must be one of dB, amplitude, power\. Got 'db'\."),
        ({"bands": "mell"}, r"one of linear, mel, log\. Got 'mell'\. Did you mean 'mel'\?"),
        ({"bands": "log", "count": 8}, "the lowest frequency of bands = 'log' must be above 0 Hz. Got 0 Hz"),
        ({"bands": "mel", "count": 9, "divisor": 4}, "a multiple of 4, which the net's strides divide. Got 9. Say 12"),
        ({"bands": "mel"}, r"the number of bands must be 1 or more, given for mel\. Got 0\. Such as count = 64"),
        ({"count": -1}, r"the number of bands must be 1 or more, given for linear\. Got -1"),
        ({"floor_db": -400.0}, r"the floor of levels must be -200 or more and below 0 dB, .* Got -400\. Say -80"),
        ({"floor_db": math.nan}, r"Got nan"),
        ({"low_hz": 100.0, "high_hz": 120.0, "divisor": 64}, "at least 64, which the net's strides divide. Got 1"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused_in_a_paragraph(words, message):
    with pytest.raises(ConfigError, match=message):
        Spectrogram(1, **{**GOOD, **words})


def test_a_signal_shorter_than_the_window_is_refused():
    with pytest.raises(ModelError, match=r"at least 64, the window's \(0\.064 s at 1000 Hz\)\. Got 50 \(0\.05 s\)"):
        Spectrogram(1, **GOOD).check_size(50)
