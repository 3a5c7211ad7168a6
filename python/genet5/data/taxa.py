"""The tables of taxa and common species: what a folder's name tells of gene limits, windows and genetic codes."""

# Annotations are evaluated here: a NamedTuple compiles those that are text, each time that it is imported.

import json
import re
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

from genet5 import _core
from genet5.errors import FormatError

RESOURCES = Path(__file__).parent.parent / "resources"
DEFAULT_TAXON = "unicellular"
SHORTEST_DEFAULT_WINDOW = 10_000  # bp


class Taxon(NamedTuple):
    """A row of ``taxa.toml``; genetic codes are NCBI translation tables."""

    name: str
    gene_limit: int
    longest_gene: int
    genetic_code: int
    mitochondrial_code: int
    plastid_code: int

    @property
    def window_size(self) -> int:
        """Window in bp where no flag gives one."""
        return max(self.longest_gene, SHORTEST_DEFAULT_WINDOW)


class KnownSpecies(NamedTuple):
    """A species of the table; codes are None where the taxon's are right."""

    name: str
    taxon: str
    genetic_code: int | None
    mitochondrial_code: int | None


def read_toml(path: Path) -> dict[str, Any]:
    """The tables of a TOML file; a syntax error becomes a :class:`FormatError` that names file and line."""
    # Not `tomllib`: its import and its parser take a good part of the time of baking a small genome.
    return json.loads(_core.read_toml(path))


@cache
def builtin_taxa() -> Mapping[str, Taxon]:
    """The taxa of the package by name."""
    return {name: Taxon(name, **row) for name, row in read_toml(RESOURCES / "taxa.toml").items()}


class Limits(NamedTuple):
    """The table of taxa in force, and rows that replace some of a taxon's values for single species (by folder)."""

    taxa: Mapping[str, Taxon]
    species: Mapping[str, Mapping[str, int]] = MappingProxyType({})

    def of(self, species: str, taxon: str) -> Taxon:
        """The values that apply to a species."""
        return _changed(self.taxa[taxon], self.species.get(species, {}))


def _changed(taxon: Taxon, row: Mapping[str, Any]) -> Taxon:
    return taxon._replace(**row)


def read_limits(path: str | Path | None = None) -> Limits:
    """The package's table of taxa with what a user's TOML file changes or adds.

    The file has a table for each taxon, as ``taxa.toml``, and ``[species.NAME]`` for single species. A new taxon takes
    the keys that it lacks from ``unicellular``. Unknown keys and values that are not positive whole numbers raise
    :class:`FormatError`.
    """
    taxa = dict(builtin_taxa())
    if path is None:
        return Limits(taxa)
    path = Path(path)
    table = read_toml(path)
    overrides = table.pop("species", {})
    species = {name: _checked_row(path, f"species.{name}", row) for name, row in _tables(path, overrides)}
    for name, row in _tables(path, table):
        taxa[name] = _changed(taxa.get(name, taxa[DEFAULT_TAXON])._replace(name=name), _checked_row(path, name, row))
    return Limits(taxa, species)


def _tables(path: Path, table: object) -> Iterator[tuple[str, dict[str, Any]]]:
    if not isinstance(table, dict):
        raise FormatError(f"{path}: 'species' is no table; write [species.NAME] and its limits below it", file=path)
    for name, row in table.items():
        if not isinstance(row, dict):
            raise FormatError(f"{path}: '{name}' is no table; write [{name}] and its limits below it", file=path)
        yield name, row


def _checked_row(path: Path, name: str, row: dict[str, Any]) -> dict[str, int]:
    keys = [key for key in Taxon._fields if key != "name"]
    for key, value in row.items():
        if key not in keys:
            raise FormatError(f"{path}: unknown key '{key}' in [{name}]; known are {', '.join(keys)}", file=path)
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            raise FormatError(f"{path}: '{key}' in [{name}] is {value!r}, not a whole number above 0", file=path)
    return row


def _words(name: str) -> list[str]:
    return [word for word in re.split(r"[\s._\-]+", name.lower()) if word]


@cache
def _species_by_key() -> Mapping[str, KnownSpecies]:
    table = read_toml(RESOURCES / "species.toml")
    codes, mitochondrial = table.pop("genetic_codes"), table.pop("mitochondrial_codes")
    aliases = table.pop("aliases")
    species: dict[str, KnownSpecies] = {}
    short: dict[str, list[KnownSpecies]] = {}
    by_name: dict[str, KnownSpecies] = {}
    for taxon, names in table.items():
        for name in names:
            row = KnownSpecies(name, taxon, codes.get(name), mitochondrial.get(name))
            by_name[name] = row
            genus, epithet = _words(name)
            species[genus + epithet] = row
            short.setdefault(genus[0] + epithet, []).append(row)
    for key, rows in short.items():
        # `C. elegans` names one species of the table, `S. sp` several: then it names none.
        same = {(row.taxon, row.genetic_code, row.mitochondrial_code) for row in rows}
        if len(same) == 1 and key not in species:
            species[key] = rows[0]
    species.update({alias: by_name[name] for alias, name in aliases.items()})
    return species


def known_species() -> list[KnownSpecies]:
    """All species of the table, sorted by name."""
    return sorted(set(_species_by_key().values()), key=lambda row: row.name)


def find_species(folder: str) -> KnownSpecies | None:
    """The species that a folder is named for, or None.

    >>> find_species("S.cerevisiae").name, find_species("saccharomyces_cerevisiae_S288C").name
    ('Saccharomyces cerevisiae', 'Saccharomyces cerevisiae')
    >>> find_species("ecoli_k12_mg1655").taxon
    'prokaryotes'
    >>> find_species("nothing_known") is None
    True
    """
    words = _words(folder)
    table = _species_by_key()
    for count in range(len(words), 0, -1):
        found = table.get("".join(words[:count]))
        if found is not None:
            return found
    return None
