"""The bake end to end: what is in the files, that only input, flags and seed decide the bytes, and bad input."""

from __future__ import annotations

import gzip
import json
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from genet5 import _core
from genet5.cli.main import run_command
from genet5.data.bake import BakeOptions, bake
from genet5.errors import InputError, UnavailableError

ROOT = Path(__file__).resolve().parent.parent
COMPLEMENT = str.maketrans("ACGT", "TGCA")
STOPS = ("TAA", "TAG", "TGA")


def reading_frame(rng, codons):
    inner = []
    while len(inner) < codons:
        codon = "".join(rng.choices("ACGT", k=3))
        if codon not in STOPS:
            inner.append(codon)
    return "ATG" + "".join(inner) + rng.choice(STOPS)


def make_species(folder, *, seed=0, lengths=(60_000, 40_000), spacing=1_500, names=("I", "II"), compress=False):
    """A made-up genome: genes with and without an intron on both strands, and a tRNA gene now and then."""
    rng = random.Random(seed)
    fasta, rows = [], ["##gff-version 3"]
    for name, length in zip(names, lengths, strict=True):
        bases = rng.choices("ACGT", k=length)
        at, number = 200, 0
        while True:
            at += rng.randrange(20, 2 * spacing)
            coding = reading_frame(rng, rng.randrange(40, 300))
            split = rng.randrange(1, len(coding)) if number % 3 == 0 else len(coding)
            intron = "GT" + "".join(rng.choices("ACGT", k=60)) + "AG" if split < len(coding) else ""
            text = coding[:split] + intron + coding[split:]
            if at + len(text) + 50 > length:
                break
            strand = rng.choice("+-")
            bases[at : at + len(text)] = text if strand == "+" else text.translate(COMPLEMENT)[::-1]
            parts = [(0, split), (split + len(intron), len(text))] if intron else [(0, len(text))]
            phases = [0, -split % 3]
            if strand == "-":
                parts = [(len(text) - b, len(text) - a) for a, b in parts]
            gene = f"{name}_{number}"
            where = f"{name}\ttest\t%s\t%d\t%d\t.\t{strand}\t%s\t%s"
            rows.append(where % ("gene", at + 1, at + len(text), ".", f"ID={gene};gene_biotype=protein_coding"))
            rows.append(where % ("mRNA", at + 1, at + len(text), ".", f"ID={gene}.t;Parent={gene}"))
            for (a, b), phase in zip(parts, phases, strict=False):
                rows.append(where % ("exon", at + a + 1, at + b, ".", f"Parent={gene}.t"))
                rows.append(where % ("CDS", at + a + 1, at + b, phase, f"ID={gene}.c;Parent={gene}.t"))
            at += len(text)
            number += 1
            if number % 5 == 0:
                rows.append(where % ("gene", at + 30, at + 100, ".", f"ID={gene}r;gene_biotype=tRNA"))
                rows.append(where % ("tRNA", at + 30, at + 100, ".", f"ID={gene}rt;Parent={gene}r"))
                rows.append(where % ("exon", at + 30, at + 100, ".", f"Parent={gene}rt"))
                at += 120
        sequence = "".join(bases)
        fasta.append(f">{name} made up\n" + "\n".join(sequence[i : i + 70] for i in range(0, length, 70)) + "\n")
    folder.mkdir(parents=True, exist_ok=True)
    texts = {"genome.fa": "".join(fasta), "genes.gff3": "\n".join(rows) + "\n"}
    for name, text in texts.items():
        if compress:
            (folder / f"{name}.gz").write_bytes(gzip.compress(text.encode()))
        else:
            (folder / name).write_text(text)
    return folder


@pytest.fixture(scope="session")
def tokenizer(data, tmp_path_factory):
    """DNABERT-2's tokenizer with the tokens of the annotation language."""
    folder = tmp_path_factory.mktemp("tokenizer")
    shutil.copy(data / "dnabert2" / "tokenizer.json", folder)
    _core.append_tokens(folder / "tokenizer.json", _core.builtin_tokens())
    return folder / "tokenizer.json"


@pytest.fixture
def raw(tmp_path):
    make_species(tmp_path / "raw" / "unicellular" / "alpha", seed=1)
    make_species(tmp_path / "raw" / "unicellular" / "beta", seed=2, lengths=(30_000, 20_000), compress=True)
    return tmp_path / "raw"


OPTIONS = {"window_size": 4_000, "n_workers": 2}


def baked(raw, output, tokenizer, **options):
    report = bake(raw, output, tokenizer, BakeOptions(**{**OPTIONS, **options}))
    return report, files(output)


def files(output):
    return {name: (output / name).read_bytes() for name in ("training.packed", "validation.packed", "bake.json")}


def segments(path):
    """Place of every segment: species, seqid, start, length, reverse."""
    file = _core.PackedFile(path)
    table, species, seqids = file.segments(), file.species, file.seqids
    rows = zip(*(table[key].tolist() for key in ("species", "seqid", "start", "length", "reverse")), strict=True)
    return [(species[one], seqids[seqid], *place) for one, seqid, *place in rows]


def command(*arguments):
    return run_command(("bake",), [str(argument) for argument in arguments])


# --- what is in the files ---


def test_files_and_report(raw, tmp_path, tokenizer):
    output = tmp_path / "out"
    report, _ = baked(raw, output, tokenizer)
    assert sorted(path.name for path in output.iterdir()) == ["bake.json", "training.packed", "validation.packed"]
    assert report == json.loads((output / "bake.json").read_text())
    assert list(report["species"]) == ["alpha", "beta"]
    alpha = report["species"]["alpha"]
    assert alpha["genes"] == alpha["genes_told"] + sum(alpha["genes_left_out"].values())
    assert alpha["coding_genes"] == alpha["coding_genes_told"] > 30
    assert not alpha["warnings"]
    for half in ("training", "validation"):
        total = report["totals"][half]
        assert total["segments"] == sum(report["species"][name][half]["segments"] for name in report["species"])
        assert total["segments"] > 0


def test_no_base_of_a_validation_region_is_in_training(raw, tmp_path, tokenizer):
    output = tmp_path / "out"
    report, _ = baked(raw, output, tokenizer, reverse_complement=True)
    places = {name: segments(output / f"{name}.packed") for name in ("training", "validation")}
    held_out = {
        (species, region["seqid"], base)
        for species, one in report["species"].items()
        for region in one["validation_regions"]
        for base in range(region["start"], region["end"])
    }
    assert held_out

    def bases(name):
        return {
            (sp, seqid, base) for sp, seqid, start, length, _ in places[name] for base in range(start, start + length)
        }

    assert bases("validation") == held_out
    assert not bases("training") & held_out
    forward = {place[:4] for place in places["training"] if not place[4]}
    assert forward == {place[:4] for place in places["training"] if place[4]}


def test_sequences_for_validation_and_test(raw, tmp_path, tokenizer):
    (raw / "unicellular" / "beta" / "species.toml").write_text('test_seqids = ["I"]\n')
    report, _ = baked(raw, tmp_path / "out", tokenizer, validation_seqids=("II",))
    assert report["test_seqids"] == {"beta": ["I"]}
    assert {place[:2] for place in segments(tmp_path / "out" / "training.packed")} == {("alpha", "I")}
    held_out = {place[:2] for place in segments(tmp_path / "out" / "validation.packed")}
    assert held_out == {("alpha", "II"), ("beta", "II")}
    assert any("no sequence is left for training" in text for text in report["species"]["beta"]["warnings"])


def test_tracks_show_hints_and_soft_masking(tmp_path, tokenizer):
    folder = make_species(tmp_path / "raw" / "unicellular" / "alpha", lengths=(60_000,), names=("I",))
    lines = (folder / "genome.fa").read_text().splitlines()
    lines[1:101] = [line.lower() for line in lines[1:101]]  # 7,000 bases
    (folder / "genome.fa").write_text("\n".join(lines) + "\n")
    (folder / "hints.gff").write_text("I\trnaseq\tintron\t20001\t20300\t.\t-\t.\tsrc=E\n")
    flags = {"hints": True, "hint_ratio": 1.0, "soft_masking": True, "intergenic_fraction": 10}
    report, _ = baked(tmp_path / "raw", tmp_path / "out", tokenizer, **flags, reverse_complement=True)
    assert report["totals"]["training"]["windows_with_hints"] == report["totals"]["training"]["segments"]
    lengths = [len(token) for token in _core.Vocabulary.from_file(tokenizer).tokens]
    hinted = set()
    for half in ("training", "validation"):
        file = _core.PackedFile(tmp_path / "out" / f"{half}.packed")
        for index in range(file.n_segments):
            segment, at = file.segment(index), 0
            for token, track in zip(segment["tokens"].tolist(), segment["tracks"].tolist(), strict=True):
                left = segment["length"] - at - lengths[token] if segment["reverse"] else at
                middle = segment["start"] + left + lengths[token] / 2
                at += lengths[token]
                if abs(middle - 7_000) > 32:
                    assert bool(track & 16) == (middle < 7_000)
                if track & 1 and 20_000 < middle < 20_300:
                    # The hint is of the reverse strand of the genome, so of the forward one in a reverse complement.
                    hinted.add((segment["reverse"], bool(track & 8)))
    assert (False, True) in hinted
    assert hinted <= {(False, True), (True, False)}


def test_bad_hints(tmp_path, tokenizer):
    folder = make_species(tmp_path / "raw" / "unicellular" / "alpha", lengths=(60_000,), names=("I",))
    for row, words in (
        ("I\tx\tintron\t1e3\t2000\t.\t+\t.\t.", "line 1: the start of a hint is '1e3'"),
        ("I\tx\tintron\t100\t70000\t.\t+\t.\t.", "does not lie on 'I' of 60000 bp"),
        ("II\tx\tintron\t100\t700\t.\t+\t.\t.", "no intron of these hints"),
    ):
        (folder / "hints.gff").write_text(row + "\n")
        with pytest.raises(InputError, match=words):
            baked(tmp_path / "raw", tmp_path / "out", tokenizer, hints=True)


def test_organelles_are_left_out_unless_asked_for(tmp_path, tokenizer):
    make_species(tmp_path / "raw" / "S.cerevisiae", names=("I", "chrM"))
    report, _ = baked(tmp_path / "raw", tmp_path / "out", tokenizer)
    assert report["species"]["S.cerevisiae"]["organelles_left_out"] == ["chrM"]
    assert {place[1] for place in segments(tmp_path / "out" / "training.packed")} == {"I"}
    for codes, code in (({}, 3), ({"chrM": 4}, 4)):
        report, _ = baked(tmp_path / "raw", tmp_path / "out", tokenizer, organelles=True, codes=codes)
        rows = {row["id"]: row["genetic_code"] for row in report["species"]["S.cerevisiae"]["sequences"]}
        assert rows == {"I": 1, "chrM": code}
        assert {place[1] for place in segments(tmp_path / "out" / "training.packed")} == {"I", "chrM"}


def test_isoforms(tmp_path, tokenizer):
    """A second transcript of a gene is told on request, and goes where the label budget is too small."""
    folder = make_species(tmp_path / "raw" / "unicellular" / "alpha", lengths=(60_000,), names=("I",))
    path = folder / "genes.gff3"
    rows = path.read_text().splitlines()
    # The same CDS with ten bases of UTR before the leftmost exon.
    copies, leftmost = [], {}
    for row in rows:
        columns = row.split("\t")
        if len(columns) == 9 and columns[2] in ("mRNA", "exon", "CDS"):
            parent = columns[8].split("Parent=")[1]
            first = columns[2] == "mRNA" or (columns[2] == "exon" and parent.endswith(".t") and parent in leftmost)
            if columns[2] == "mRNA":
                leftmost[columns[8].split(";")[0].removeprefix("ID=")] = int(columns[3])
            if first and int(columns[3]) == leftmost.get(parent, int(columns[3])):
                columns[3] = str(int(columns[3]) - 10)
            columns[8] = columns[8].replace(".t", ".u").replace(".c;", ".d;")
            copies.append("\t".join(columns))
    path.write_text("\n".join(rows + copies) + "\n")
    (folder / "species.toml").write_text("utr = true\n")
    labels = {}
    for name, flags in {
        "canonical": {},
        "all": {"isoforms": "all"},
        "short": {"isoforms": "all", "max_target_len": 40},
    }.items():
        report, _ = baked(tmp_path / "raw", tmp_path / "out", tokenizer, **flags)
        labels[name] = report["totals"]["training"]
    assert labels["all"]["label_tokens"] > labels["canonical"]["label_tokens"]
    assert labels["all"]["isoforms_beyond_label_budget"] == 0
    assert labels["short"]["isoforms_beyond_label_budget"] > 0
    assert labels["short"]["genes_beyond_label_budget"] > 0
    assert labels["short"]["label_tokens_masked"] > 0


def as_genbank(folder):
    """The same sequences and genes as GenBank records, by sequence id."""
    sequences = {}
    for record in (folder / "genome.fa").read_text().split(">")[1:]:
        header, _, lines = record.partition("\n")
        sequences[header.split()[0]] = lines.replace("\n", "")
    features = {seqid: [] for seqid in sequences}
    coding = {}
    for line in (folder / "genes.gff3").read_text().splitlines()[1:]:
        seqid, _, kind, start, end, _, strand, _, attributes = line.split("\t")
        attributes = dict(pair.split("=") for pair in attributes.split(";"))
        place = f"{start}..{end}" if strand == "+" else f"complement({start}..{end})"
        if kind in ("gene", "tRNA"):
            tag = attributes["ID"] if kind == "gene" else attributes["Parent"]
            features[seqid].append((kind, place, tag))
        elif kind == "CDS":
            coding.setdefault((seqid, strand, attributes["Parent"].removesuffix(".t")), []).append(
                (int(start), int(end))
            )
    for (seqid, strand, tag), parts in coding.items():
        place = ",".join(f"{start}..{end}" for start, end in sorted(parts))
        place = f"join({place})" if len(parts) > 1 else place
        features[seqid].append(("CDS", place if strand == "+" else f"complement({place})", tag))
    records = {}
    for seqid, bases in sequences.items():
        lines = [f"LOCUS       {seqid}    {len(bases)} bp    DNA     linear   PLN 01-JAN-2000"]
        lines += [f"ACCESSION   {seqid}", "FEATURES             Location/Qualifiers"]
        for kind, place, tag in features[seqid]:
            lines += [f"     {kind:<16}{place}", f'                     /locus_tag="{tag}"']
        lines.append("ORIGIN")
        for at in range(0, len(bases), 60):
            row = " ".join(bases[i : i + 10].lower() for i in range(at, min(at + 60, len(bases)), 10))
            lines.append(f"{at + 1:>9} {row}")
        records[seqid] = "\n".join([*lines, "//", ""])
    return records


def test_genbank_files_give_the_same_windows(tmp_path, tokenizer):
    folder = make_species(tmp_path / "gff" / "unicellular" / "alpha", seed=4)
    records = as_genbank(folder)
    for name, files in {
        "one": {"all.gb": "".join(records.values())},
        "two": {f"{k}.gbk": v for k, v in records.items()},
    }.items():
        target = tmp_path / name / "unicellular" / "alpha"
        target.mkdir(parents=True)
        for file, text in files.items():
            (target / file).write_text(text)
    _, expected = baked(tmp_path / "gff", tmp_path / "out", tokenizer)
    for name in ("one", "two"):
        _, other = baked(tmp_path / name, tmp_path / f"out_{name}", tokenizer)
        assert other["training.packed"] == expected["training.packed"]
        assert other["validation.packed"] == expected["validation.packed"]


# --- nothing but input, flags and seed decides the bytes ---


def test_same_bytes_for_any_number_of_workers(raw, tmp_path, tokenizer):
    _, expected = baked(raw, tmp_path / "one", tokenizer, n_workers=1)
    _, more = baked(raw, tmp_path / "more", tokenizer, n_workers=3, species_parallel=2)
    assert more == expected
    _, other = baked(raw, tmp_path / "other", tokenizer, seed=1)
    assert other["training.packed"] != expected["training.packed"]


def test_order_of_files_and_rows_is_irrelevant(raw, tmp_path, tokenizer):
    _, expected = baked(raw, tmp_path / "one", tokenizer)
    moved = tmp_path / "moved" / "unicellular"
    for name in ("beta", "alpha"):
        folder = moved / name
        folder.mkdir(parents=True)
        for path in sorted((raw / "unicellular" / name).iterdir(), reverse=True):
            text = (gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()).decode()
            if "gff" in path.name:
                first, *rows = text.splitlines(keepends=True)
                random.Random(5).shuffle(rows)
                text = first + "".join(rows)
            (folder / f"x{path.name.removesuffix('.gz')}").write_text(text)
    _, other = baked(tmp_path / "moved", tmp_path / "two", tokenizer)
    assert other["training.packed"] == expected["training.packed"]
    assert other["validation.packed"] == expected["validation.packed"]


def test_genomes_read_a_sequence_at_a_time_give_the_same_bytes(raw, tmp_path, tokenizer, monkeypatch):
    import genet5.data.bake

    _, expected = baked(raw, tmp_path / "kept", tokenizer)
    config = genet5.data.bake._config
    monkeypatch.setattr(genet5.data.bake, "_config", lambda *arguments: {**config(*arguments), "keep_bytes": 0})
    _, streamed = baked(raw, tmp_path / "streamed", tokenizer)
    assert streamed == expected


def test_dask_cluster_gives_the_same_bytes(raw, tmp_path, tokenizer):
    distributed = pytest.importorskip("distributed")
    _, expected = baked(raw, tmp_path / "local", tokenizer)
    with distributed.LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None, processes=True) as cluster:
        _, other = baked(raw, tmp_path / "cluster", tokenizer, scheduler=cluster.scheduler_address)
    assert other == expected


def test_resume_keeps_finished_species(raw, tmp_path, tokenizer, capsys):
    _, expected = baked(raw, tmp_path / "one", tokenizer)
    broken = raw / "unicellular" / "beta" / "genome.fa.gz"
    whole, status = broken.read_bytes(), broken.stat()
    broken.write_bytes(whole[:-500])
    output = tmp_path / "out"
    with pytest.raises(InputError):
        baked(raw, output, tokenizer)
    assert not (output / "training.packed").exists()
    broken.write_bytes(whole)
    os.utime(broken, ns=(status.st_atime_ns, status.st_mtime_ns))
    capsys.readouterr()
    _, resumed = baked(raw, output, tokenizer, resume=True)
    assert "alpha: kept from the earlier run" in capsys.readouterr().err
    assert resumed == expected


@pytest.mark.parametrize(("sent", "code"), [(signal.SIGINT, 130), (signal.SIGKILL, -signal.SIGKILL)])
def test_a_bake_that_was_stopped_goes_on(raw, tmp_path, tokenizer, capsys, sent, code):
    make_species(raw / "unicellular" / "omega", seed=3, lengths=(1_200_000,), names=("I",), spacing=20_000)
    _, expected = baked(raw, tmp_path / "one", tokenizer, window_size=None, n_workers=1)
    output = tmp_path / "out"
    command = [sys.executable, ROOT / "bin" / "bake_data", "--raw_dir", raw, "--output_dir", output, "--n_workers", "1"]
    stopped = subprocess.Popen([*command, "--tokenizer", tokenizer], stderr=subprocess.PIPE, text=True)
    try:
        while not (output / ".parts" / "beta.json").exists():
            assert stopped.poll() is None
            time.sleep(0.001)
        stopped.send_signal(sent)
        _, errors = stopped.communicate(timeout=60)
    finally:
        stopped.kill()
    assert stopped.returncode == code
    assert ("--resume goes on from there" in errors) == (sent == signal.SIGINT)
    assert "Traceback" not in errors
    assert not (output / "training.packed").exists()
    capsys.readouterr()
    _, resumed = baked(raw, output, tokenizer, window_size=None, n_workers=1, resume=True)
    assert "beta: kept from the earlier run" in capsys.readouterr().err
    assert resumed == expected
    assert sorted(path.name for path in output.iterdir()) == ["bake.json", "training.packed", "validation.packed"]


def test_two_runs_do_not_bake_into_one_folder(raw, tmp_path, tokenizer):
    from genet5.data.bake import _claimed

    with _claimed(tmp_path / "out"), pytest.raises(InputError, match="another bake writes there"):
        baked(raw, tmp_path / "out", tokenizer)
    baked(raw, tmp_path / "out", tokenizer)


def test_genes_beyond_the_label_budget_are_told(raw, tmp_path, tokenizer, capsys):
    report, _ = baked(raw, tmp_path / "wide", tokenizer)
    assert "--max_target_len" not in capsys.readouterr().err
    report, _ = baked(raw, tmp_path / "narrow", tokenizer, max_target_len=20)
    for name, species in report["species"].items():
        beyond = sum(species[half]["genes_beyond_label_budget"] for half in ("training", "validation"))
        assert beyond > 0, name
    assert f"{beyond} genes, counted once a window, do not fit" in capsys.readouterr().err


def test_a_killed_process_is_one_sentence():
    from genet5.data.bake import _executor, _Log

    with (
        pytest.raises(UnavailableError, match="--resume"),
        _executor(BakeOptions(species_parallel=2), 2, _Log(sys.stderr)) as executor,
    ):
        executor.submit(os._exit, 1).result()


def test_other_flags_and_input_are_not_resumed(raw, tmp_path, tokenizer, capsys):
    broken = raw / "unicellular" / "beta" / "genome.fa.gz"
    whole = broken.read_bytes()
    broken.write_bytes(whole[:-500])
    with pytest.raises(InputError):
        baked(raw, tmp_path / "out", tokenizer)
    broken.write_bytes(whole)
    shutil.copytree(tmp_path / "out", tmp_path / "changed")
    baked(raw, tmp_path / "out", tokenizer, resume=True, seed=3)
    genome = raw / "unicellular" / "alpha" / "genome.fa"
    genome.write_text(genome.read_text() + ">III\nACGT\n")
    baked(raw, tmp_path / "changed", tokenizer, resume=True)
    assert "kept from" not in capsys.readouterr().err


def test_dry_run_writes_nothing(raw, tmp_path, tokenizer, capsys):
    output = tmp_path / "out"
    assert command("--raw_dir", raw, "--output_dir", output, "--tokenizer", tokenizer, "--dry_run") == 0
    assert not output.exists()
    text = capsys.readouterr().err
    assert "alpha (unicellular)" in text
    assert "nothing was written" in text


# --- tokens ---


def test_new_biotypes_stop_with_the_commands_that_fix_it(raw, tmp_path, tokenizer, capsys):
    path = raw / "unicellular" / "alpha" / "genes.gff3"
    path.write_text(
        path.read_text().replace("gene_biotype=tRNA", "gene_biotype=vault_thing").replace("\ttRNA\t", "\tvault_thing\t")
    )
    mine = tmp_path / "mine"
    mine.mkdir()
    shutil.copy(tokenizer, mine / "tokenizer.json")
    arguments = ("--raw_dir", raw, "--output_dir", tmp_path / "out", "--tokenizer", mine, "--window_size", 4000)
    assert command(*arguments) == 1
    assert (tmp_path / "out" / "new_tokens.txt").read_text() == "<vault_thing>\n"
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["new_tokens.txt"]
    text = capsys.readouterr().err
    assert "append_tk.py" in text
    assert "resize_model.py" in text
    assert command(*arguments, "--extend_tokenizer") == 0
    assert "<vault_thing>" in (mine / "tokenizer.json").read_text()
    assert command(*arguments) == 0


def test_a_plain_dna_tokenizer_lacks_the_language(raw, tmp_path, data, capsys):
    plain = data / "dnabert2" / "tokenizer.json"
    assert command("--raw_dir", raw, "--output_dir", tmp_path / "out", "--tokenizer", plain) == 1
    assert (tmp_path / "out" / "new_tokens.txt").read_text().splitlines() == _core.builtin_tokens()


# --- bad input: one sentence, exit code 1, nothing half-written ---


def spoil(text, before, after):
    assert before in text
    return text.replace(before, after, 1)


BAD = {
    "no genome": (lambda f: (f / "genome.fa").unlink(), "genome"),
    "empty genome": (lambda f: (f / "genome.fa").write_text(""), r"genome\.fa"),
    "binary genome": (lambda f: (f / "genome.fa").write_bytes(b">I\n" + bytes(range(256)) * 40), r"genome\.fa"),
    "truncated gzip": (
        lambda f: (
            (f / "genome.fa.gz").write_bytes(gzip.compress((f / "genome.fa").read_bytes())[:-2000]),
            (f / "genome.fa").unlink(),
        ),
        r"genome\.fa\.gz",
    ),
    "other sequence ids": (
        lambda f: (f / "genome.fa").write_text((f / "genome.fa").read_text().replace(">I", ">chr")),
        "none of|no sequence",
    ),
    "past the end": (
        lambda f: (f / "genes.gff3").write_text(
            (f / "genes.gff3").read_text() + "I\tx\tgene\t59000\t99000\t.\t+\t.\tID=far;gene_biotype=protein_coding\n"
            "I\tx\tmRNA\t59000\t99000\t.\t+\t.\tID=far.t;Parent=far\nI\tx\tCDS\t59000\t99000\t.\t+\t0\tParent=far.t\n"
        ),
        r"genes\.gff3, line \d+.*99000",
    ),
    "eight columns": (
        lambda f: (f / "genes.gff3").write_text((f / "genes.gff3").read_text() + "I\tx\tgene\t1\t9\t.\t+\t.\n"),
        r"genes\.gff3, line \d+.*8 ",
    ),
    "a number that is none": (
        lambda f: (f / "genes.gff3").write_text(
            (f / "genes.gff3").read_text() + "I\tx\tgene\t1e2\t900\t.\t+\t.\tID=q\n"
        ),
        r"genes\.gff3, line \d+.*1e2",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input(case, tmp_path, tokenizer, capsys):
    spoil_folder, words = BAD[case]
    folder = make_species(tmp_path / "raw" / "unicellular" / "alpha", lengths=(60_000,), names=("I",))
    spoil_folder(folder)
    output = tmp_path / "out"
    code = command("--raw_dir", tmp_path / "raw", "--output_dir", output, "--tokenizer", tokenizer)
    text = capsys.readouterr().err
    assert code == 1, text
    errors = [line for line in text.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1
    import re

    assert re.search(words, errors[0]), errors
    assert not list(output.glob("*.packed"))
    assert not (output / "bake.json").exists()


def test_lenient_counts_malformed_lines(tmp_path, tokenizer, capsys):
    folder = make_species(tmp_path / "raw" / "unicellular" / "alpha")
    path = folder / "genes.gff3"
    path.write_text(path.read_text() + "I\tx\tgene\t1\t9\t.\t+\t.\n")
    report, _ = baked(tmp_path / "raw", tmp_path / "out", tokenizer, lenient=True)
    assert "warning: malformed line: 1, such as line " in capsys.readouterr().err
    assert sum(row["count"] for row in report["species"]["alpha"]["reading"].values()) >= 1


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--raw_dir", "/nowhere"], "does not exist"),
        (["--tokenizer", "/nowhere"], "there is no tokenizer"),
        (["--test_seqids", "I,XX"], "no species has a sequence 'XX'"),
        (["--code_for", "XX=3"], "no species has a sequence 'XX'"),
        (["--code_for", "I=77"], "no genetic code 77"),
        (["--test_seqids", "I", "--validation_seqids", "I"], "name it once"),
        (["--target", "6000"], "target is 6000"),
        (["--window_size", "80"], "margin"),
        (["--species", "gamma"], "no species 'gamma'"),
        (["--limits", "/nowhere.toml"], "nowhere.toml"),
        (["--hints"], "no species of .* has a hints file"),
        (["--scheduler", "nonsense"], "Dask|scheduler"),
    ],
)
def test_bad_flags(flags, words, raw, tmp_path, tokenizer, capsys):
    arguments = ["--raw_dir", raw, "--output_dir", tmp_path / "out", "--tokenizer", tokenizer]
    assert command(*arguments, *flags) == 1
    import re

    assert re.search(words, capsys.readouterr().err)
    assert not list((tmp_path / "out").glob("*.packed"))


@pytest.mark.parametrize("flags", [["--n_workers", "0"], ["--validation_fraction", "0.9"], ["--code_for", "chrM"], []])
def test_wrong_usage(flags, capsys):
    with pytest.raises(SystemExit) as caught:
        command(*flags)
    assert caught.value.code == 2


def test_output_that_cannot_be_written(raw, tmp_path, tokenizer, capsys):
    (tmp_path / "file").write_text("")
    assert command("--raw_dir", raw, "--output_dir", tmp_path / "file" / "out", "--tokenizer", tokenizer) == 1
    assert "file" in capsys.readouterr().err
    if os.geteuid() != 0:
        (tmp_path / "locked").mkdir(mode=0o500)
        assert command("--raw_dir", raw, "--output_dir", tmp_path / "locked", "--tokenizer", tokenizer) == 1


def test_full_disk(raw, tmp_path, tokenizer):
    """A file size limit stands for a full disk: the write fails in the middle, and nothing appears."""
    output = tmp_path / "out"
    code = (
        "import resource, signal, sys; signal.signal(signal.SIGXFSZ, signal.SIG_IGN);"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (20000, 20000));"
        "from genet5.cli.main import run_command; sys.exit(run_command(('bake',), sys.argv[1:]))"
    )
    arguments = ["--raw_dir", raw, "--output_dir", output, "--tokenizer", tokenizer, "--window_size", "4000"]
    done = subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert "error: " in done.stderr
    assert "Traceback" not in done.stderr
    assert not list(output.glob("*.packed"))
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] == resource.RLIM_INFINITY


def test_an_old_file_survives_a_failed_bake(raw, tmp_path, tokenizer):
    output = tmp_path / "out"
    _, expected = baked(raw, output, tokenizer)
    (raw / "unicellular" / "beta" / "genes.gff3.gz").write_bytes(b"\x1f\x8b\x08 cut")
    with pytest.raises(InputError):
        baked(raw, output, tokenizer)
    assert files(output) == expected


def test_baking_imports_neither_torch_nor_transformers(raw, tmp_path, tokenizer):
    code = (
        "import sys; from genet5.cli.main import run_command;"
        "code = run_command(('bake',), sys.argv[1:]);"
        "heavy = {'torch', 'transformers', 'tokenizers', 'numpy'} & set(sys.modules);"
        "sys.exit(f'imported {heavy}' if heavy else code)"
    )
    arguments = ["--raw_dir", raw, "--output_dir", tmp_path / "out", "--tokenizer", tokenizer, "--window_size", "4000"]
    done = subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
