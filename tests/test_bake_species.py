"""Which species a folder of raw data holds, and what the tables say of them."""

import gzip

import pytest

from genet5.data.species import KEYS, discover, with_sequences
from genet5.data.taxa import builtin_taxa, find_species, known_species, read_limits
from genet5.errors import FormatError, InputError

FASTA = b">I\nACGTACGT\n"
GFF3 = b"##gff-version 3\nI\tx\tgene\t1\t8\t.\t+\t.\tID=g\n"
GTF = b'I\tx\texon\t1\t8\t.\t+\t.\tgene_id "g"; transcript_id "t";\n'
GENBANK = b"LOCUS       I    8 bp    DNA     linear\nORIGIN\n        1 acgtacgt\n//\n"


def put(folder, **files):
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / name.replace("__", ".")).write_bytes(content)
    return folder


def found(raw, **arguments):
    return discover(raw, builtin_taxa(), **arguments)


def test_tables_are_whole():
    taxa = builtin_taxa()
    assert [taxa[name].gene_limit for name in ("prokaryotes", "plants")] == [10_000, 15_000]
    assert taxa["prokaryotes"].window_size == 10_000
    assert taxa["vertebrates"].window_size == 30_000
    species = known_species()
    assert len(species) >= 150
    assert {one.taxon for one in species} == set(taxa)


@pytest.mark.parametrize(
    ("folder", "name", "code"),
    [
        ("S.cerevisiae", "Saccharomyces cerevisiae", None),
        ("saccharomyces_cerevisiae", "Saccharomyces cerevisiae", None),
        ("Saccharomyces cerevisiae S288C", "Saccharomyces cerevisiae", None),
        ("ecoli_k12", "Escherichia coli", None),
        ("Mycoplasma.genitalium", "Mycoplasma genitalium", 4),
        ("tetrahymena_thermophila", "Tetrahymena thermophila", 6),
        ("c_albicans", "Candida albicans", 12),
        ("human", "Homo sapiens", None),
    ],
)
def test_folder_names(folder, name, code):
    species = find_species(folder)
    assert species.name == name
    assert species.genetic_code == code


def test_unknown_names():
    assert find_species("nothing_of_the_kind") is None
    assert find_species("") is None


def test_both_layouts_and_content_over_extension(tmp_path):
    put(tmp_path / "prokaryotes" / "some_bug", sequence__txt=FASTA, genes__txt=GFF3)
    put(tmp_path / "Plants" / "weed", a__fa__gz=gzip.compress(FASTA), b__gtf__gz=gzip.compress(GTF))
    put(tmp_path / "S.cerevisiae", genome__fna=FASTA, genes__gff=GFF3, README=b"a note\n")
    put(tmp_path / "gb", one__gb=GENBANK, two__gb=GENBANK.replace(b" I ", b" J "))
    (tmp_path / "gb" / "species.toml").write_text('taxon = "prokaryotes"\n')
    species = {one.name: one for one in found(tmp_path)}
    assert list(species) == ["S.cerevisiae", "gb", "some_bug", "weed"]
    assert [species[name].taxon for name in species] == ["unicellular", "prokaryotes", "prokaryotes", "plants"]
    assert species["S.cerevisiae"].mitochondrial_code == 3
    assert species["gb"].genome == species["gb"].annotation
    assert len(species["gb"].genome) == 2
    assert not any(one.warnings for one in species.values())


def test_unknown_species_is_unicellular_with_a_warning(tmp_path):
    put(tmp_path / "mystery", a__fa=FASTA, b__gff=GFF3)
    (one,) = found(tmp_path)
    assert one.taxon == "unicellular"
    assert "mystery" in one.warnings[0]
    assert "species.toml" in one.warnings[0]


def test_annotation_with_sequences_needs_no_fasta(tmp_path):
    put(tmp_path / "yeast", b__gff=GFF3 + b"##FASTA\n" + FASTA)
    (one,) = found(tmp_path)
    assert one.genome == one.annotation


def test_proteins_and_hints_are_no_genome_and_no_annotation(tmp_path):
    put(
        tmp_path / "yeast",
        genome__fa=FASTA,
        proteins__fa=b">p\nMKVLWERTYIPASDFGHKLQEE\n",
        genes__gff=GFF3,
        hints__gff=GFF3,
    )
    (one,) = found(tmp_path)
    assert one.genome[0].name == "genome.fa"
    assert one.hints.name == "hints.gff"


def test_species_toml(tmp_path):
    put(tmp_path / "odd", a__fa=FASTA, old__gff=GFF3, new__gff=GFF3)
    toml = tmp_path / "odd" / "species.toml"
    with pytest.raises(InputError, match=r'several files could be the annotation.*annotation = "new.gff"'):
        found(tmp_path)
    toml.write_text(
        'taxon = "invertebrates"\nannotation = "new.gff"\ngenetic_code = 6\nutr = true\nnoncoding = false\n'
        'validation_seqids = ["V"]\ntest_seqids = ["T"]\nexclude_seqids = ["X"]\n[codes]\nM = 5\n'
    )
    (one,) = found(tmp_path)
    assert (one.taxon, one.annotation[0].name, one.genetic_code) == ("invertebrates", "new.gff", 6)
    assert (one.utr, one.noncoding, one.codes) == (True, False, {"M": 5})
    assert (one.validation_seqids, one.test_seqids, one.exclude_seqids) == (("V",), ("T",), ("X",))
    (one,) = with_sequences([one], test=["T", "U"], codes={"M": 2})
    assert one.test_seqids == ("T", "U")
    assert one.codes == {"M": 2}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("window = 3", "unknown key 'window'"),
        ('taxon = "fungi"', "'taxon' is 'fungi'; it should be one of prokaryotes"),
        ("genetic_code = true", "'genetic_code' is True"),
        ("test_seqids = 'I'", "list of sequence ids"),
        ("utr = 1", "true or false"),
        ("genome = 'absent.fa'", "absent.fa"),
        ("a = \n", "line 1"),
        ("\n[codes]\nI = 'one'", "genetic codes"),
    ],
)
def test_bad_species_toml(tmp_path, text, words):
    folder = put(tmp_path / "yeast", a__fa=FASTA, b__gff=GFF3)
    (folder / "species.toml").write_text(text)
    with pytest.raises(InputError, match=words) as caught:
        found(tmp_path)
    assert "species.toml" in str(caught.value)
    assert set(KEYS) >= {"taxon", "codes"}


def test_bad_folders(tmp_path):
    with pytest.raises(InputError, match="does not exist"):
        found(tmp_path / "none")
    with pytest.raises(InputError, match="no species found"):
        found(put(tmp_path / "empty"))
    with pytest.raises(InputError, match="move them into a folder"):
        found(put(tmp_path / "loose", a__fa=FASTA, b__gff=GFF3))
    with pytest.raises(InputError, match="there is no annotation"):
        found(put(tmp_path / "half" / "yeast", a__fa=FASTA).parent)
    with pytest.raises(InputError, match=r"several files could be the genome: a\.fa, c\.fa"):
        found(put(tmp_path / "two" / "yeast", a__fa=FASTA, c__fa=FASTA, b__gff=GFF3).parent)
    with pytest.raises(FormatError, match=r"b\.gff, line 1: the file is empty"):
        found(put(tmp_path / "blank" / "yeast", a__fa=FASTA, b__gff=b"").parent)
    twice = put(tmp_path / "twice" / "plants" / "x", a__fa=FASTA, b__gff=GFF3).parent.parent
    put(twice / "x", a__fa=FASTA, b__gff=GFF3)
    with pytest.raises(InputError, match="same name"):
        found(twice)


def test_selection(tmp_path):
    for name in ("yeast", "human", "ecoli"):
        put(tmp_path / name, a__fa=FASTA, b__gff=GFF3)
    put(tmp_path / "broken", a__fa=FASTA)

    def names(**arguments):
        return [one.name for one in found(tmp_path, **arguments)]

    # What is not asked for is not looked into.
    assert names(exclude=["broken"]) == ["ecoli", "human", "yeast"]
    assert names(names=["yeast"]) == ["yeast"]
    assert names(exclude=["broken"], only_taxa=["prokaryotes", "vertebrates"]) == ["ecoli", "human"]
    with pytest.raises(InputError, match="no species 'fly'; there are broken, ecoli"):
        names(names=["fly"])
    with pytest.raises(InputError, match="no taxon 'fungi'"):
        names(exclude=["broken"], only_taxa=["fungi"])
    with pytest.raises(InputError, match="no species is left"):
        names(exclude=["broken"], only_taxa=["plants"])


def test_limits(tmp_path):
    file = tmp_path / "limits.toml"
    file.write_text("[fungi]\ngene_limit = 7\n[plants]\nlongest_gene = 40000\n[species.weed]\ngene_limit = 3\n")
    limits = read_limits(file)
    assert limits.taxa["fungi"].gene_limit == 7
    assert limits.taxa["fungi"].genetic_code == 1
    assert limits.of("other", "plants").window_size == 40_000
    assert (limits.of("weed", "plants").gene_limit, limits.of("weed", "plants").longest_gene) == (3, 40_000)
    for text, words in (
        ("[fungi]\nsize = 3", "unknown key 'size'"),
        ("[fungi]\ngene_limit = 0", "not a whole number above 0"),
        ("fungi = 3", "'fungi' is no table"),
        ("[fungi", "line 1"),
    ):
        file.write_text(text)
        with pytest.raises(FormatError, match=words):
            read_limits(file)
