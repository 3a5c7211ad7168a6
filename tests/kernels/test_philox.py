"""Philox against the known answers of Random123, the authors' own implementation (kat_vectors)."""

import torch

from genet5.kernels.philox import keep_mask, philox_words, threshold

# Counter, key, result; philox4x32 10.
KNOWN = [
    ((0, 0, 0, 0), (0, 0), (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
    (
        (0xFFFFFFFF, 0xFFFFFFFF, 0xFFFFFFFF, 0xFFFFFFFF),
        (0xFFFFFFFF, 0xFFFFFFFF),
        (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD),
    ),
    (
        (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
        (0xA4093822, 0x299F31D0),
        (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1),
    ),
]


def test_known_answers():
    for counter, key, result in KNOWN:
        words = philox_words(key[0] | key[1] << 32, *(torch.tensor(c) for c in counter))
        assert tuple(int(w) for w in words) == result


def test_share_of_kept_weights_and_independence_of_neighbours():
    kept = keep_mask(7, torch.arange(8)[:, None, None], torch.arange(64)[None, :, None], torch.arange(32), 0.3).double()
    assert kept.shape == (8, 64, 128)
    # 65,536 draws: the standard deviation of the mean is 0.0018.
    assert abs(kept.mean().item() - 0.7) < 0.008
    for axis in range(3):
        pairs = torch.stack((kept.narrow(axis, 1, kept.shape[axis] - 1), kept.narrow(axis, 0, kept.shape[axis] - 1)))
        assert abs(torch.corrcoef(pairs.flatten(1))[0, 1].item()) < 0.02


def test_threshold_spans_the_words():
    assert threshold(0.0) == 0
    assert threshold(0.5) == 1 << 23
