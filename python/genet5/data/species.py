"""Finds the species below a folder of raw data: their files, taxon and genetic codes."""

# Annotations are evaluated here: a NamedTuple compiles those that are text, each time that it is imported.

import zlib
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

from genet5.data.taxa import DEFAULT_TAXON, Taxon, find_species, read_toml
from genet5.errors import FormatError, InputError

SETTINGS = "species.toml"
SNIFFED = 64 * 1024  # bytes of a file that tell its kind
LAYOUT = (
    "a species is a folder RAW/TAXON/SPECIES or RAW/SPECIES that holds one FASTA file and one GFF3 or GTF file, "
    "or GenBank files"
)


class Species(NamedTuple):
    """A species to bake.

    ``genome`` and ``annotation`` name the same files where these are GenBank files. Codes are NCBI translation tables;
    None leaves the choice to the annotation (``transl_table``), then to the table of species, then to the taxon.
    """

    name: str
    folder: Path
    taxon: str
    genome: tuple[Path, ...]
    annotation: tuple[Path, ...]
    hints: Path | None = None
    genetic_code: int | None = None
    known_genetic_code: int | None = None
    mitochondrial_code: int | None = None
    codes: Mapping[str, int] = MappingProxyType({})
    utr: bool | None = None
    noncoding: bool | None = None
    validation_seqids: tuple[str, ...] = ()
    test_seqids: tuple[str, ...] = ()
    exclude_seqids: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()

    @property
    def files(self) -> list[Path]:
        """Every input file, each once."""
        hints = (self.hints,) if self.hints else ()
        return list(dict.fromkeys((*self.genome, *self.annotation, *hints)))


def discover(
    raw_dir: str | Path,
    taxa: Mapping[str, Taxon],
    *,
    names: Collection[str] = (),
    only_taxa: Collection[str] = (),
    exclude: Collection[str] = (),
) -> list[Species]:
    """The species below `raw_dir`, sorted by name: all, or those of the given names and taxa without the excluded.

    Folders named as a taxon hold species; every other folder is one. A folder that cannot be understood and a name that
    no species has raise :class:`InputError` or :class:`FormatError` with what to change.
    """
    raw_dir = Path(raw_dir)
    if not raw_dir.is_dir():
        reason = "is not a folder" if raw_dir.exists() else "does not exist"
        raise InputError(f"{raw_dir}: the folder of raw data {reason}; {LAYOUT}")
    by_lower = {name.lower(): name for name in taxa}
    folders: dict[str, tuple[Path, str | None]] = {}
    for outer in _folders(raw_dir):
        taxon = by_lower.get(outer.name.lower())
        for folder in [outer] if taxon is None else _folders(outer):
            if folder.name in folders:
                raise InputError(f"{folder} and {folders[folder.name][0]} have the same name; rename one of them")
            folders[folder.name] = (folder, taxon)
    if not folders:
        loose = " (its files lie directly in it: move them into a folder named for the species)"
        kinds = {_kind(path) for path in _files(raw_dir)} - {None}
        raise InputError(f"{raw_dir}: no species found{loose if kinds else ''}; {LAYOUT}")
    for name in (*names, *exclude):
        if name not in folders:
            raise InputError(f"{raw_dir}: no species '{name}'; there are {', '.join(sorted(folders))}")
    for name in only_taxa:
        if name not in taxa:
            raise InputError(f"no taxon '{name}'; there are {', '.join(taxa)}")
    chosen = [
        _species(folder, taxon, taxa)
        for name, (folder, taxon) in sorted(folders.items())
        if (not names or name in names) and name not in exclude
    ]
    chosen = [one for one in chosen if not only_taxa or one.taxon in only_taxa]
    if not chosen:
        raise InputError(f"{raw_dir}: no species is left after --species, --taxa and --exclude")
    return chosen


def with_sequences(
    species: Sequence[Species],
    *,
    validation: Collection[str] = (),
    test: Collection[str] = (),
    codes: Mapping[str, int] | None = None,
) -> list[Species]:
    """The species with sequences named by flags added to those of their ``species.toml``."""
    return [
        one._replace(
            validation_seqids=tuple(dict.fromkeys((*one.validation_seqids, *validation))),
            test_seqids=tuple(dict.fromkeys((*one.test_seqids, *test))),
            codes={**one.codes, **(codes or {})},
        )
        for one in species
    ]


def _folders(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))


def _files(folder: Path) -> list[Path]:
    return sorted(
        path for path in folder.iterdir() if path.is_file() and not path.name.startswith(".") and path.name != SETTINGS
    )


def _head(path: Path) -> bytes:
    """The first bytes of a file, decompressed; what is readable of a damaged one."""
    with path.open("rb") as file:
        raw = file.read(SNIFFED)
    if not raw.startswith(b"\x1f\x8b"):
        return raw
    try:
        return zlib.decompressobj(zlib.MAX_WBITS | 16).decompress(raw, SNIFFED)
    except zlib.error:
        return b""


NUCLEOTIDES = frozenset(b"ACGTUNRYSWKMBDHVXacgtunryswkmbdhvx-* \t\r")


def _kind(path: Path) -> str | None:
    """``fasta``, ``annotation``, ``genbank``, ``hints``, ``damaged``, or None for a file that is no input."""
    head = _head(path)
    name = path.name.lower()
    if head and (name.startswith("hints.") or ".hints." in name):
        return "hints"
    if not head:
        # An empty or damaged file that claims to be one of ours must not be passed over.
        base = name.removesuffix(".gz").removesuffix(".bgz")
        endings = (".fa", ".fna", ".fasta", ".gff", ".gff3", ".gtf", ".gb", ".gbk", ".gbff")
        return "damaged" if base.endswith(endings) else None
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    if text.startswith(b">"):
        lines = text.split(b"\n")
        sequence = b"".join(line for line in lines[1:-1] or lines[1:] if not line.startswith(b">"))[:2000]
        odd = [letter for letter in sequence if letter not in NUCLEOTIDES]
        # Proteins are no genome; a damaged or binary FASTA file is, and the reader says where the fault is.
        protein = len(odd) > len(sequence) // 10 and all(chr(letter).isalpha() for letter in odd)
        return None if protein else "fasta"
    if text.startswith(b"LOCUS "):
        return "genbank"
    if text.startswith(b"##gff-version") or _has_features(text):
        return "annotation"
    return None


def _has_features(text: bytes) -> bool:
    for line in text.split(b"\n")[:200]:
        if line.strip() and not line.startswith(b"#"):
            columns = line.split(b"\t")
            return len(columns) >= 8 and columns[3].isdigit() and columns[4].isdigit()
    return False


def _species(folder: Path, taxon: str | None, taxa: Mapping[str, Taxon]) -> Species:
    settings = _settings(folder / SETTINGS, taxa)
    known = find_species(folder.name)
    warnings: list[str] = []
    chosen = settings.get("taxon") or taxon or (known.taxon if known else None)
    if chosen is None:
        chosen = DEFAULT_TAXON
        warnings.append(
            f"{folder.name}: not in the table of species, taken as {DEFAULT_TAXON}; put it below a folder named for "
            f'its taxon, or write taxon = "..." into {folder / SETTINGS}'
        )
    if chosen not in taxa:
        raise InputError(f"{folder}: no taxon '{chosen}' in the table of taxa; --limits FILE can add it")
    genome, annotation, hints = _inputs(folder, settings)
    return Species(
        name=folder.name,
        folder=folder,
        taxon=chosen,
        genome=genome,
        annotation=annotation,
        hints=hints,
        genetic_code=settings.get("genetic_code"),
        known_genetic_code=known.genetic_code if known else None,
        mitochondrial_code=known.mitochondrial_code if known else None,
        codes=settings.get("codes", {}),
        utr=settings.get("utr"),
        noncoding=settings.get("noncoding"),
        validation_seqids=tuple(settings.get("validation_seqids", ())),
        test_seqids=tuple(settings.get("test_seqids", ())),
        exclude_seqids=tuple(settings.get("exclude_seqids", ())),
        warnings=tuple(warnings),
    )


def _inputs(folder: Path, settings: Mapping[str, Any]) -> tuple[tuple[Path, ...], tuple[Path, ...], Path | None]:
    kinds: dict[str, list[Path]] = {}
    named = {key: folder / settings[key] for key in ("genome", "annotation", "hints") if key in settings}
    for key, path in named.items():
        if not path.is_file():
            raise InputError(f"{folder / SETTINGS}: {key} names '{settings[key]}', which is no file of {folder}")
    if not {"genome", "annotation"} <= named.keys():
        for path in _files(folder):
            kinds.setdefault(_kind(path) or "other", []).append(path)
        for path in kinds.get("damaged", []):
            reason = "is empty" if path.stat().st_size == 0 else "is no readable gzip file"
            raise FormatError(f"{path}, line 1: the file {reason}; replace it", file=path, line=1)
    fasta, annotation = kinds.get("fasta", []), kinds.get("annotation", [])
    genbank, hints = kinds.get("genbank", []), kinds.get("hints", [])
    fasta = [named["genome"]] if "genome" in named else fasta
    annotation = [named["annotation"]] if "annotation" in named else annotation
    if not fasta and not annotation and genbank:
        return tuple(genbank), tuple(genbank), named.get("hints") or _one(folder, "hints", hints)
    if "genome" in named and not annotation and _kind(named["genome"]) == "genbank":
        annotation = fasta
    passed_over = ", ".join(path.name for path in kinds.get("other", []))
    unknown = f" ({passed_over}: passed over as neither nucleotides nor annotation)" if passed_over else ""
    if not annotation:
        raise InputError(f"{folder}: there is no annotation (GFF3, GTF or GenBank file){unknown}; {LAYOUT}")
    # GFF3 may carry its sequences behind a ##FASTA line.
    genome = _one(folder, "genome", fasta or annotation[:1])
    gene_models = _one(folder, "annotation", annotation)
    if genome is None or gene_models is None:
        raise InputError(f"{folder}: genome or annotation is missing; {LAYOUT}")
    return (genome,), (gene_models,), named.get("hints") or _one(folder, "hints", hints)


def _one(folder: Path, role: str, paths: Sequence[Path]) -> Path | None:
    if len(paths) > 1:
        names = ", ".join(path.name for path in paths)
        raise InputError(
            f'{folder}: several files could be the {role}: {names}; keep one, or write {role} = "{paths[0].name}" '
            f"into {folder / SETTINGS}"
        )
    return paths[0] if paths else None


def _settings(path: Path, taxa: Mapping[str, Taxon]) -> dict[str, Any]:
    if not path.is_file():
        return {}
    settings = read_toml(path)

    def wrong(key: str, wanted: str) -> FormatError:
        return FormatError(f"{path}: '{key}' is {settings[key]!r}; it should be {wanted}", file=path)

    for key, value in settings.items():
        if key not in KEYS:
            raise FormatError(f"{path}: unknown key '{key}'; known are {', '.join(KEYS)}", file=path)
        wanted = KEYS[key]
        if wanted == "a list of sequence ids":
            fits = isinstance(value, list) and all(isinstance(item, str) for item in value)
        elif wanted == "true or false":
            fits = isinstance(value, bool)
        elif wanted == "a genetic code":
            fits = _is_code(value)
        elif wanted == "a table of sequence ids and genetic codes":
            fits = isinstance(value, dict) and all(_is_code(code) for code in value.values())
        else:
            fits = isinstance(value, str) and bool(value)
        if not fits:
            raise wrong(key, wanted)
    if "taxon" in settings and settings["taxon"] not in taxa:
        raise wrong("taxon", f"one of {', '.join(taxa)}")
    return settings


def _is_code(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value > 0


# The keys of species.toml and what their values are.
KEYS = {
    "taxon": "a taxon's name",
    "genome": "a file name",
    "annotation": "a file name",
    "hints": "a file name",
    "genetic_code": "a genetic code",
    "codes": "a table of sequence ids and genetic codes",
    "utr": "true or false",
    "noncoding": "true or false",
    "validation_seqids": "a list of sequence ids",
    "test_seqids": "a list of sequence ids",
    "exclude_seqids": "a list of sequence ids",
}
