"""A reader of packed files written from docs/packed_format.md alone, without GeneT5: what the tests compare with."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import numpy as np
import xxhash


def read(path: Path) -> dict:
    """Everything in the file, as lists of samples of segments."""
    file = path.read_bytes()
    magic, version, order, size, n, unknown, width, count, prefix, table_sum, head_sum = struct.unpack_from(
        "<8sIIQIIIIQQQ", file
    )
    assert (magic, version, order, size, count) == (b"\x93GENET5\n", 1, 0x01020304, len(file), 8)
    assert head_sum == xxhash.xxh3_64_intdigest(file[:56])
    assert table_sum == xxhash.xxh3_64_intdigest(file[64:320])
    sections, sums, end = [], [], 320
    for number in range(8):
        name, zero, offset, length, checksum = struct.unpack_from("<IIQQQ", file, 64 + 32 * number)
        assert (name, zero, offset) == (number + 1, 0, -(-end // 64) * 64)
        end = offset + length
        sections.append(file[offset:end])
        sums.append(checksum)
    assert end == len(file)
    tokens, lengths, data, samples, segments, species, seqids, metadata = sections
    for number, section in enumerate(sections):
        if number != 2:
            assert sums[number] == xxhash.xxh3_64_intdigest(section)
    assert prefix == sums[0]
    token_list = tokens.decode().split("\n")[:-1]
    assert len(token_list) == n
    bases = [
        "N" if i == unknown else token if token.isascii() and token.isalpha() and token.isupper() else ""
        for i, token in enumerate(token_list)
    ]
    assert [len(word) for word in bases] == np.frombuffer(lengths, "<u2").tolist()

    def strings(section: bytes) -> list[str]:
        (many,) = struct.unpack_from("<Q", section)
        ends = struct.unpack_from(f"<{many}Q", section, 8)
        text = section[8 + 8 * many :]
        return [text[a:b].decode() for a, b in zip((0, *ends), ends, strict=False)]

    species_names, seqid_names = strings(species), strings(seqids)
    result, all_sums = [], b""
    for row in struct.iter_unpack("<QIIQIIIIQ", samples):
        offset, length, many, first, n_tokens, n_bases, n_labels, _, checksum = row
        block = data[offset : offset + length]
        assert checksum == xxhash.xxh3_64_intdigest(block)
        all_sums += struct.pack("<Q", checksum)
        held = []
        for index in range(first, first + many):
            fields = struct.unpack_from("<IIQIBBHIIIIII", segments, 48 * index)
            at, n_t, n_l, loss_end, n_i = fields[7:12]
            ids = np.frombuffer(block, f"<u{width}", n_t + n_l, at).astype(np.int64)
            at = -(-(at + (n_t + n_l) * width) // 4) * 4
            ignore = np.frombuffer(block, "<u4", 2 * n_i, at).reshape(-1, 2)
            tracks = np.frombuffer(block, "u1", n_t, at + 8 * n_i) if fields[6] & 1 else None
            held.append(
                {
                    "species": species_names[fields[0]],
                    "seqid": seqid_names[fields[1]],
                    "start": fields[2],
                    "length": fields[3],
                    "genetic_code": fields[4],
                    "reverse": bool(fields[5]),
                    "flags": fields[6],
                    "tokens": ids[:n_t],
                    "sentence": ids[n_t:],
                    "loss_end": loss_end,
                    "ignore": [tuple(pair) for pair in ignore.tolist()],
                    "tracks": tracks,
                    "dna": "".join(bases[i] for i in ids[:n_t]),
                }
            )
        assert n_tokens == sum(len(one["tokens"]) for one in held)
        assert n_bases == sum(len(one["dna"]) for one in held) == sum(one["length"] for one in held)
        assert n_labels == sum(len(one["sentence"]) for one in held)
        result.append(held)
    assert sums[2] == xxhash.xxh3_64_intdigest(all_sums)
    return {"samples": result, "tokens": token_list, "metadata": json.loads(metadata)}
