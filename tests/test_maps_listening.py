"""Parts of signals that carry predictions: the windows put together again, masks that hold a share, sounds."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.signal import ShortTimeFFT

from ram.axes import Axis
from ram.data.layout import write_dataset
from ram.errors import ConfigError
from ram.maps.carrying import carrying
from ram.maps.listening import heard
from ram.maps.regression_map import RegressionMap
from ram.models.filtering import masked_signal
from ram.models.spectrogram import Spectrogram
from ram.runs.listening import listen
from ram.runs.run import open_run
from ram.training.train import train
from ram.views.listening import listening_picture

RATE = 16_000.0
GRIDS = [
    (64, 16, 0, "hann"),
    (64, 32, 128, "hann"),
    (61, 20, 0, "blackman"),
    (60, 60, 0, "boxcar"),
    (50, 7, 61, "hamming"),
]


def front_of(length: int, hop: int, nfft: int = 0, window: str = "hann", **words: float) -> Spectrogram:
    return Spectrogram(2, sample_rate_hz=RATE, length=length, hop=hop, nfft=nfft, window=window, **words)


def ones(front: Spectrogram, samples: int) -> np.ndarray:
    return np.ones((1, front.nfft // 2 + 1, front.frames(samples)))


@pytest.mark.parametrize(("length", "hop", "nfft", "window"), GRIDS)
@pytest.mark.parametrize("samples", [64, 401, 512])
def test_a_mask_of_ones_gives_the_signal_back(length: int, hop: int, nfft: int, window: str, samples: int) -> None:
    front = front_of(length, hop, nfft, window)
    signal = np.random.default_rng(1).normal(size=(2, samples))
    np.testing.assert_allclose(masked_signal(front, signal, ones(front, samples)), signal, atol=1e-11)


@pytest.mark.parametrize(("length", "hop", "nfft"), [(64, 16, 64), (64, 32, 128), (48, 12, 60)])
def test_masks_filter_as_scipys_least_squares_inverse(length: int, hop: int, nfft: int) -> None:
    front, samples = front_of(length, hop, nfft), 512
    signal = np.random.default_rng(2).normal(size=(1, samples))
    mask = np.random.default_rng(3).uniform(size=ones(front, samples).shape)
    # Its slice q begins at sample q * hop - length // 2: shifted so that ours are among them.
    shift = hop + (length - hop) // 2 - length // 2
    theirs = ShortTimeFFT(front.window.double().numpy(), hop, RATE, mfft=nfft, phase_shift=None)
    shifted = np.concatenate([np.zeros(shift), signal[0], np.zeros(2 * length)])
    spectra = theirs.stft(shifted)
    whole = np.ones(spectra.shape)
    first = 1 - theirs.p_min
    whole[:, first : first + mask.shape[2]] = mask[0]
    expected = theirs.istft(spectra * whole, k1=shifted.size)[shift : shift + samples]
    inside = slice(length, samples - length)  # at the ends it has frames that the net does not see
    np.testing.assert_allclose(masked_signal(front, signal, mask)[0, inside], expected[inside], atol=1e-10)


def test_a_band_keeps_its_tone_and_leaves_the_other() -> None:
    front, time = front_of(128, 32), np.arange(1024) / RATE
    low, high = 0.7 * np.sin(2 * np.pi * 1000 * time), 0.3 * np.sin(2 * np.pi * 5000 * time)
    mask = ones(front, time.size) * (np.arange(65) * RATE / 128 < 3000)[:, None]
    kept = masked_signal(front, (low + high)[None], mask)[0]
    inside = slice(128, -128)
    np.testing.assert_allclose(kept[inside], low[inside], atol=1e-4)


def test_windows_that_do_not_overlap_are_refused() -> None:
    front = front_of(64, 64)
    with pytest.raises(
        ConfigError, match=r"model.spectrogram: window and hop must be such that windows overlap .*Got a win"
    ):
        masked_signal(front, np.ones((1, 512)), ones(front, 512))


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.floats(-5, 5).map(lambda value: round(value, 2)), min_size=1, max_size=12),
    st.floats(0.01, 1.0),
    st.sampled_from(["both", "raises", "lowers"]),
)
def test_the_mask_holds_the_share_with_the_fewest_cells(values: list[float], share: float, sign: str) -> None:
    contributions = np.array([values])
    mask = carrying(contributions, share=share, sign=sign)[0]
    size = {"both": np.abs, "raises": lambda c: c.clip(0), "lowers": lambda c: (-c).clip(0)}[sign](contributions[0])
    assert (size * mask).sum() == pytest.approx(share * size.sum(), abs=1e-9)
    assert ((mask >= 0) & (mask <= 1)).all()
    assert (mask[size == 0] == 0).all()
    assert ((mask > 0) & (mask < 1)).sum() <= 1
    fewer = np.sort(size)[::-1][: max(0, int((mask > 0).sum()) - 1)].sum()
    assert fewer <= share * size.sum() + 1e-9


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ({"share": 0.0}, r"share: the share must be above 0 and at most 1. Got 0. Such as 0.8"),
        ({"share": 1.5}, r"must be above 0 and at most 1. Got 1.5"),
        ({"share": 0.8, "sign": "raise"}, r"must be one of both, raises, lowers. Got 'raise'. Did you mean 'raises'"),
    ],
)
def test_shares_and_signs_that_are_none(words: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        carrying(np.ones((1, 3)), **words)


def plane(front: Spectrogram, samples: int) -> tuple[Axis, ...]:
    """Cells of 4 frequencies by 2 frames."""
    frequency, time = front.axes(samples)
    return tuple(
        Axis(axis.name, axis.unit, axis.centres[of // 2 :: of], axis.edges[::of])
        for axis, of in ((frequency, 4), (time, 2))
    )


def test_each_channel_has_its_own_mask_where_they_are_apart() -> None:
    front, samples = front_of(62, 16), 512
    cells = plane(front, samples)
    sizes = tuple(axis.size for axis in cells)
    parts = np.zeros((1, 2, *sizes))
    parts[0, 0, 2, 5], parts[0, 1, 6, 9] = 3.0, -2.0
    maps = RegressionMap(
        parts.sum(axis=1), np.zeros(1), np.ones(1), "f", "Hz", cells, front.axes(samples), part_contributions=parts,
        part_names=("a", "b"), part_kind="channel",
    )  # fmt: skip
    signal = np.random.default_rng(4).normal(size=(2, samples))
    words = {"channels": {"a": "V", "b": "V"}, "start_s": 0.0}
    both = heard(maps, signal, front, share=1.0, sign="both", **words)
    assert both.mask.shape == (2, *sizes)
    assert [tuple(place) for place in np.argwhere(both.mask)] == [(0, 2, 5), (1, 6, 9)]
    assert both.carried == pytest.approx(1.0)
    np.testing.assert_allclose(both.kept + both.rest, signal, atol=1e-12)
    lowers = heard(maps, signal, front, share=1.0, sign="lowers", **words)
    assert not lowers.kept[0].any()
    assert lowers.energy[0] == 0 < lowers.energy[1] < 1
    # What is kept lies at its own time: two frames and the windows around them.
    far = np.abs(np.arange(samples) - 10 * 32 + 16) > 62
    assert np.abs(lowers.kept[1][far]).max() < 1e-12
    sizes_of = np.outer(*(np.diff(axis.edges) for axis in cells))
    assert lowers.area == pytest.approx(0.5 * sizes_of[6, 9] / sizes_of.sum())


def test_what_is_heard_of_a_run(burst_run: Path) -> None:
    run = open_run(burst_run)
    test = run.data().subset("test")[:2]
    maps = run.explain(test, target="frequency")
    x = run.data().subset("test")[:2].x()
    for row, one in enumerate(listen(run, test, share=0.9)):
        assert one.id == test.ids[row]
        size = np.abs(maps.contributions[row])
        assert (size * one.mask[0]).sum() == pytest.approx(0.9 * size.sum())
        assert one.carried == pytest.approx((maps.contributions[row] * one.mask[0]).sum())
        mean = run.regressor.input_mean.numpy()[:, None]
        np.testing.assert_allclose(one.signal, x[row] - mean, atol=1e-5)
        energy = (one.kept**2).sum(axis=1) / (one.signal**2).sum(axis=1)
        np.testing.assert_allclose(one.energy, energy)
        # The net sees 500 Hz to 6 kHz alone.
        spectrum = np.abs(np.fft.rfft(one.kept, axis=1))
        beyond = np.fft.rfftfreq(x.shape[-1], 1 / RATE) > 6600
        assert spectrum[:, beyond].max() < 0.01 * spectrum.max()


def test_a_padded_signal_is_heard_as_far_as_it_goes(bursts, tmp_path: Path) -> None:
    lengths = [512 if row % 2 else 300 + row for row in range(40)]
    records = []
    for record, length in zip(bursts.records(40), lengths, strict=True):
        x = record.x.copy()
        x[:, length:] = 99.0
        records.append(replace(record, x=x, length=length))
    path = write_dataset(tmp_path / "bursts.h5", bursts.spec(lengths=True), records)
    run = train(bursts.experiment, data=path, output=tmp_path / "run", progress=False)
    test = run.data().subset("test")
    mean = run.regressor.input_mean.numpy()[:, None]
    for one, sample in zip(listen(run, test, share=1.0), test, strict=True):
        assert one.signal.shape == one.kept.shape == (2, sample.length)
        np.testing.assert_allclose(one.signal, sample.x[:, : sample.length] - mean, atol=1e-5)
        np.testing.assert_allclose(one.kept + one.rest, one.signal, atol=1e-9)
        assert np.abs(one.kept).max() < 10
        assert one.area == pytest.approx(1.0, abs=0.2)
        listening_picture(one, run.explained_inputs(test)[0], label="acc")


def test_sounds_and_pictures_of_the_shell(shell, burst_run: Path, tmp_path: Path) -> None:
    words = ["listen", burst_run, "--samples", "2", "--sign", "raises", "--share", "0.5"]
    code, out, _ = shell(*words, "--output", tmp_path / "a", "--json")
    assert code == 0
    first = json.loads(out)["samples"][0]
    assert first["rate_hz"] == 16_000
    (one, _) = listen(open_run(burst_run), open_run(burst_run).data().subset("test")[:2], share=0.5, sign="raises")
    for path, values, full in zip(first["files"], (one.signal, one.kept, one.rest), first["full_scale"], strict=False):
        sound, rate = soundfile.read(path)
        assert rate == 16_000
        np.testing.assert_allclose(full * sound.T, values, atol=2e-6)
    assert first["full_scale"][0] == max(np.abs(part).max() for part in (one.signal, one.kept, one.rest)) / 0.9
    assert Path(first["files"][3]).read_bytes().startswith(b"\x89PNG")
    code, out, _ = shell(*words, "--output", tmp_path / "b", "--slower", "40", "--loud")
    assert code == 0
    assert "cells that hold 50 % of what raises it" in out
    assert "400 samples a second; full scale is" in out
    for path in sorted((tmp_path / "b").glob("*_kept.wav")):
        sound, rate = soundfile.read(path)
        assert rate == 400
        assert np.abs(sound).max() == pytest.approx(0.9, abs=1e-6)
    shell(*words, "--output", tmp_path / "c", "--slower", "40", "--loud")
    for path in (tmp_path / "b").iterdir():
        assert path.read_bytes() == (tmp_path / "c" / path.name).read_bytes()


def test_what_cannot_be_listened_to(shell, disc_run: Path, burst_run: Path, tmp_path: Path) -> None:
    code, _, err = shell("listen", disc_run, "--output", tmp_path / "a")
    assert code == 2
    assert (
        "the net must be one that begins with a spectrogram, to be listened to. Got one that is given the input" in err
    )
    code, _, err = shell("listen", burst_run, "--output", tmp_path / "a", "--slower", "0")
    assert code == 2
    assert "--slower: the factor must be above 0. Got 0." in err
    assert not (tmp_path / "a").exists()
