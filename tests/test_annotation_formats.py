"""Small faithful examples of what programs and databases write, each with what a person reads in it."""

from __future__ import annotations

import pytest

from genet5 import annotation

# Columns are separated by " | "; a transcript is (id, biotype, strand, exons, CDS), 1-based and closed as in the text.
EXAMPLES = {
    # Bare ids in the ninth column of genes and transcripts; the stop codon is not in the CDS.
    "augustus.gtf": (
        """# This output was generated with AUGUSTUS (version 3.5.0).
# start gene g1
chr1 | AUGUSTUS | gene | 101 | 460 | 0.98 | + | . | g1
chr1 | AUGUSTUS | transcript | 101 | 460 | 0.98 | + | . | g1.t1
chr1 | AUGUSTUS | start_codon | 101 | 103 | . | + | 0 | transcript_id "g1.t1"; gene_id "g1";
chr1 | AUGUSTUS | CDS | 101 | 200 | 1 | + | 0 | transcript_id "g1.t1"; gene_id "g1";
chr1 | AUGUSTUS | exon | 101 | 200 | . | + | . | transcript_id "g1.t1"; gene_id "g1";
chr1 | AUGUSTUS | intron | 201 | 300 | 1 | + | . | transcript_id "g1.t1"; gene_id "g1";
chr1 | AUGUSTUS | CDS | 301 | 457 | 1 | + | 2 | transcript_id "g1.t1"; gene_id "g1";
chr1 | AUGUSTUS | exon | 301 | 460 | . | + | . | transcript_id "g1.t1"; gene_id "g1";
chr1 | AUGUSTUS | stop_codon | 458 | 460 | . | + | 0 | transcript_id "g1.t1"; gene_id "g1";
# protein sequence = [MMM]
# end gene g1
###
chr1 | AUGUSTUS | gene | 1001 | 1460 | 0.5 | - | . | g2
chr1 | AUGUSTUS | transcript | 1001 | 1460 | 0.5 | - | . | g2.t1
chr1 | AUGUSTUS | stop_codon | 1101 | 1103 | . | - | 0 | transcript_id "g2.t1"; gene_id "g2";
chr1 | AUGUSTUS | tts | 1001 | 1001 | . | - | . | transcript_id "g2.t1"; gene_id "g2";
chr1 | AUGUSTUS | 3'-UTR | 1001 | 1100 | 0.9 | - | . | transcript_id "g2.t1"; gene_id "g2";
chr1 | AUGUSTUS | CDS | 1104 | 1400 | 0.9 | - | 0 | transcript_id "g2.t1"; gene_id "g2";
chr1 | AUGUSTUS | 5'-UTR | 1401 | 1460 | 0.9 | - | . | transcript_id "g2.t1"; gene_id "g2";
chr1 | AUGUSTUS | tss | 1460 | 1460 | . | - | . | transcript_id "g2.t1"; gene_id "g2";
""",
        [
            ("g1.t1", "protein_coding", "+", [(101, 200), (301, 460)], [(101, 200), (301, 460)]),
            ("g2.t1", "protein_coding", "-", [(1001, 1460)], [(1101, 1400)]),
        ],
    ),
    # GeneMark's genes with attributes and GeneMarkS-T's with bare ids in one file; here the stop codon is in the CDS.
    "braker.gtf": (
        """chr1 | GeneMark.hmm3 | gene | 101 | 460 | . | + | . | gene_id "g_1";
chr1 | GeneMark.hmm3 | mRNA | 101 | 460 | . | + | . | gene_id "g_1"; transcript_id "g_1.t1";
chr1 | GeneMark.hmm3 | CDS | 101 | 200 | . | + | 0 | gene_id "g_1"; transcript_id "g_1.t1"; cds_type "Initial";
chr1 | GeneMark.hmm3 | intron | 201 | 300 | 0 | + | 2 | gene_id "g_1"; transcript_id "g_1.t1"; count "1_1";
chr1 | GeneMark.hmm3 | CDS | 301 | 460 | . | + | 2 | gene_id "g_1"; transcript_id "g_1.t1"; cds_type "Terminal";
chr1 | GeneMark.hmm3 | stop_codon | 458 | 460 | . | + | 0 | gene_id "g_1"; transcript_id "g_1.t1"; count "1_1";
chr1 | gmst | gene | 2001 | 2300 | . | + | . | g7
chr1 | gmst | transcript | 2001 | 2300 | . | + | . | g7.t1
chr1 | gmst | CDS | 2001 | 2300 | . | + | 0 | transcript_id "g7.t1"; gene_id "g7";
""",
        [
            ("g_1.t1", "protein_coding", "+", [(101, 200), (301, 460)], [(101, 200), (301, 460)]),
            ("g7.t1", "protein_coding", "+", [(2001, 2300)], [(2001, 2300)]),
        ],
    ),
    # JGI's old catalogues: one name holds exons and CDS together, ids are bare numbers.
    "jgi.gff": (
        """scaffold_1 | JGI | exon | 101 | 200 | . | + | . | name "fgenesh1_pm.1_#_1"; transcriptId 12
scaffold_1 | JGI | CDS | 121 | 200 | . | + | 0 | name "fgenesh1_pm.1_#_1"; proteinId 11; exonNumber 1
scaffold_1 | JGI | start_codon | 121 | 123 | . | + | 0 | name "fgenesh1_pm.1_#_1"
scaffold_1 | JGI | exon | 301 | 460 | . | + | . | name "fgenesh1_pm.1_#_1"; transcriptId 12
scaffold_1 | JGI | CDS | 301 | 400 | . | + | 1 | name "fgenesh1_pm.1_#_1"; proteinId 11; exonNumber 2
scaffold_1 | JGI | stop_codon | 398 | 400 | . | + | 0 | name "fgenesh1_pm.1_#_1"
""",
        [("fgenesh1_pm.1_#_1", "protein_coding", "+", [(101, 200), (301, 460)], [(121, 200), (301, 400)])],
    ),
    # No exon rows: CDS and UTRs make them. `longest=1` is the canonical transcript, and stands first.
    "phytozome.gff3": (
        """##gff-version 3
##annot-version v7.0
Chr1 | phytozomev10 | gene | 2903 | 3460 | . | + | . | ID=Os01.MSUv7.0;Name=LOC_Os01g01010
Chr1 | phytozomev10 | mRNA | 2903 | 3400 | . | + | . | ID=Os01.2;pacid=337605;longest=0;Parent=Os01.MSUv7.0
Chr1 | phytozomev10 | CDS | 2951 | 3160 | . | + | 0 | ID=Os01.2.CDS.1;Parent=Os01.2;pacid=337605
Chr1 | phytozomev10 | mRNA | 2903 | 3460 | . | + | . | ID=Os01.1;pacid=337604;longest=1;Parent=Os01.MSUv7.0
Chr1 | phytozomev10 | five_prime_UTR | 2903 | 2950 | . | + | . | ID=Os01.1.five;Parent=Os01.1;pacid=337604
Chr1 | phytozomev10 | CDS | 2951 | 3010 | . | + | 0 | ID=Os01.1.CDS.1;Parent=Os01.1;pacid=337604
Chr1 | phytozomev10 | CDS | 3101 | 3220 | . | + | 0 | ID=Os01.1.CDS.2;Parent=Os01.1;pacid=337604
Chr1 | phytozomev10 | three_prime_UTR | 3221 | 3460 | . | + | . | ID=Os01.1.three;Parent=Os01.1;pacid=337604
""",
        [
            ("Os01.1", "protein_coding", "+", [(2903, 3010), (3101, 3460)], [(2951, 3010), (3101, 3220)]),
            ("Os01.2", "protein_coding", "+", [(2951, 3160)], [(2951, 3160)]),
        ],
    ),
    # Bakta: strands '?', genes over the origin, `pseudo=True`, sequences at the end.
    "bakta.gff3": (
        """##gff-version 3
##sequence-region contig_1 1 1200
contig_1 | Bakta | region | 1 | 1200 | . | + | . | ID=contig_1;Name=contig_1;Is_circular=true
contig_1 | Prodigal | CDS | 101 | 400 | . | + | 0 | ID=ABC_05;Name=hypothetical protein;locus_tag=ABC_05
contig_1 | tRNAscan-SE | tRNA | 501 | 573 | . | - | . | ID=ABC_10;Name=tRNA-Met;locus_tag=ABC_10;anti_codon=cat
contig_1 | Infernal | regulatory_region | 601 | 650 | 1e-5 | + | . | ID=ABC_15;Name=TPP riboswitch
contig_1 | PILER-CR | CRISPR | 800 | 900 | . | ? | . | ID=ABC_c;Name=CRISPR array
contig_1 | Pyrodigal | CDS | 930 | 980 | . | + | 0 | ID=ABC_31;Name=(pseudo) x;locus_tag=ABC_31;pseudo=True
contig_1 | Pyrodigal | CDS | 1100 | 1260 | . | + | 0 | ID=ABC_30;Name=wraps;locus_tag=ABC_30
##FASTA
>contig_1
ACGT
""",
        [
            ("ABC_05", "protein_coding", "+", [(101, 400)], [(101, 400)]),
            ("ABC_10", "tRNA", "-", [(501, 573)], []),
            ("ABC_31", "pseudogene", "+", [(930, 980)], []),
            ("ABC_30", "protein_coding", "+", [(1100, 1260)], [(1100, 1260)]),
        ],
    ),
    # Prokka with --addgenes --addmrna: the CDS has both as parents, the mRNA none.
    "prokka.gff": (
        """##gff-version 3
##sequence-region gnl|Prokka|X_1 1 900
gnl|Prokka|X_1 | Prodigal:2.6 | gene | 101 | 400 | . | + | . | ID=X_1_gene;gene=dnaA;locus_tag=X_1
gnl|Prokka|X_1 | Prodigal:2.6 | mRNA | 101 | 400 | . | + | . | ID=X_1_mRNA;gene=dnaA;locus_tag=X_1
gnl|Prokka|X_1 | Prodigal:2.6 | CDS | 101 | 400 | . | + | 0 | ID=X_1;Parent=X_1_gene,X_1_mRNA;product=a, b
gnl|Prokka|X_1 | Aragorn:1.2 | gene | 501 | 580 | . | - | . | ID=X_2_gene;locus_tag=X_2
gnl|Prokka|X_1 | Aragorn:1.2 | tRNA | 501 | 580 | . | - | . | ID=X_2;Parent=X_2_gene;locus_tag=X_2
##FASTA
>gnl|Prokka|X_1
ACGT
""",
        [
            ("X_1_gene", "protein_coding", "+", [(101, 400)], [(101, 400)]),
            ("X_2", "tRNA", "-", [(501, 580)], []),
        ],
    ),
    # Assembled transcripts have no CDS; of a single exon not even a strand.
    "stringtie.gtf": (
        """# StringTie version 2.2.1
chr1 | StringTie | transcript | 101 | 460 | 1000 | + | . | gene_id "STRG.1"; transcript_id "STRG.1.1"; cov "4.2";
chr1 | StringTie | exon | 101 | 200 | 1000 | + | . | gene_id "STRG.1"; transcript_id "STRG.1.1"; exon_number "1";
chr1 | StringTie | exon | 301 | 460 | 1000 | + | . | gene_id "STRG.1"; transcript_id "STRG.1.1"; exon_number "2";
chr1 | StringTie | transcript | 1101 | 1460 | 1000 | . | . | gene_id "STRG.2"; transcript_id "STRG.2.1"; cov "4.2";
chr1 | StringTie | exon | 1101 | 1460 | 1000 | . | . | gene_id "STRG.2"; transcript_id "STRG.2.1"; exon_number "1";
""",
        [
            ("STRG.1.1", "ncRNA", "+", [(101, 200), (301, 460)], []),
            ("STRG.2.1", "ncRNA", ".", [(1101, 1460)], []),
        ],
    ),
    # Former genes and predictions stand beside the genes, told by the second column alone.
    "wormbase.gff3": (
        """##gff-version 3
I | WormBase | gene | 4116 | 5500 | . | - | . | ID=Gene:WBGene00022277;biotype=protein_coding;Alias=Y74C9A.3
I | WormBase | mRNA | 4116 | 5500 | . | - | . | ID=Transcript:Y74C9A.3.1;Parent=Gene:WBGene00022277
I | WormBase | three_prime_UTR | 4116 | 4220 | . | - | . | Parent=Transcript:Y74C9A.3.1
I | WormBase | CDS | 4221 | 4358 | . | - | 0 | ID=CDS:Y74C9A.3;Parent=Transcript:Y74C9A.3.1
I | WormBase | CDS | 5195 | 5296 | . | - | 0 | ID=CDS:Y74C9A.3;Parent=Transcript:Y74C9A.3.1
I | WormBase | exon | 4116 | 4358 | . | - | . | Parent=Transcript:Y74C9A.3.1
I | WormBase | exon | 5195 | 5500 | . | - | . | Parent=Transcript:Y74C9A.3.1
I | WormBase | intron | 4359 | 5194 | . | - | . | Parent=Transcript:Y74C9A.3.1;confirmed_est=yk1
I | history | mRNA | 4116 | 5296 | . | - | . | ID=Transcript:old.1;Parent=Gene:WBGene0
I | history | CDS | 4221 | 4400 | . | - | 0 | ID=CDS:old:wp1
I | Genefinder | CDS | 4221 | 4358 | . | - | 0 | ID=CDS:gf1
I | twinscan | CDS | 20000 | 20300 | . | + | 0 | ID=CDS:tw1
I | BLAT_EST_BEST | expressed_sequence_match | 4116 | 4358 | 99 | - | . | ID=yk1.1;Target=yk1 1 240 +
""",
        [
            (
                "Transcript:Y74C9A.3.1",
                "protein_coding",
                "-",
                [(4116, 4358), (5195, 5500)],
                [(4221, 4358), (5195, 5296)],
            )
        ],
    ),
    # Rows of several parents; a pseudogene below its gene.
    "flybase.gff": (
        """##gff-version 3
2L | FlyBase | gene | 7529 | 9484 | . | + | . | ID=FBgn0031208;Name=CG11023;fullname=x%2C y
2L | FlyBase | mRNA | 7529 | 9484 | . | + | . | ID=FBtr0300689;Name=CG11023-RB;Parent=FBgn0031208
2L | FlyBase | mRNA | 7529 | 9484 | . | + | . | ID=FBtr0300690;Name=CG11023-RC;Parent=FBgn0031208
2L | FlyBase | exon | 7529 | 8116 | . | + | . | Parent=FBtr0300689,FBtr0300690
2L | FlyBase | CDS | 7680 | 8116 | . | + | 0 | Parent=FBtr0300689,FBtr0300690
2L | FlyBase | exon | 8193 | 8589 | . | + | . | Parent=FBtr0300690
2L | FlyBase | exon | 8193 | 9484 | . | + | . | Parent=FBtr0300689
2L | FlyBase | CDS | 8193 | 8589 | . | + | 1 | Parent=FBtr0300690
2L | FlyBase | CDS | 8193 | 8610 | . | + | 1 | Parent=FBtr0300689
2L | FlyBase | exon | 8668 | 9484 | . | + | . | Parent=FBtr0300690
2L | FlyBase | CDS | 8668 | 9276 | . | + | 0 | Parent=FBtr0300690
2L | FlyBase | protein | 7680 | 8610 | . | + | . | ID=FBpp0289913;Derives_from=FBtr0300689
2L | FlyBase | gene | 20000 | 21000 | . | + | . | ID=FBgn9;Name=CR9
2L | FlyBase | pseudogene | 20000 | 21000 | . | + | . | ID=FBtr9;Parent=FBgn9
2L | FlyBase | exon | 20000 | 21000 | . | + | . | Parent=FBtr9
2L | sim4:na_DGC | match_part | 7529 | 8116 | . | + | . | ID=:2;Parent=:1;Target=x 1 100
""",
        [
            (
                "FBtr0300690",
                "protein_coding",
                "+",
                [(7529, 8116), (8193, 8589), (8668, 9484)],
                [(7680, 8116), (8193, 8589), (8668, 9276)],
            ),
            ("FBtr0300689", "protein_coding", "+", [(7529, 8116), (8193, 9484)], [(7680, 8116), (8193, 8610)]),
            ("FBtr9", "pseudogene", "+", [(20000, 21000)], []),
        ],
    ),
    # Alignments of proteins as genes: no gene rows, the stop codon within the CDS.
    "miniprot.gff": (
        """##gff-version 3
##PAF | Q1 | 120 | 0 | 120 | + | chr1 | 5000 | 100 | 560
chr1 | miniprot | mRNA | 101 | 563 | 200 | + | . | ID=MP000001;Rank=1;Identity=0.99;Target=Q1 1 120
chr1 | miniprot | CDS | 101 | 200 | 100 | + | 0 | Parent=MP000001;Rank=1;Identity=0.99;Target=Q1 1 33
chr1 | miniprot | CDS | 301 | 563 | 100 | + | 2 | Parent=MP000001;Rank=1;Identity=0.99;Target=Q1 34 120
chr1 | miniprot | stop_codon | 561 | 563 | 0 | + | 0 | Parent=MP000001;Rank=1
""",
        [("MP000001", "protein_coding", "+", [(101, 200), (301, 563)], [(101, 200), (301, 563)])],
    ),
    # Older releases call the transcript a prediction.
    "gemoma.gff": (
        """##gff-version 3
chr1 | GeMoMa | prediction | 101 | 463 | . | - | . | ID=R0;ref-gene=G1;AA=120;start=M;stop=*
chr1 | GeMoMa | CDS | 301 | 463 | . | - | 0 | Parent=R0
chr1 | GeMoMa | CDS | 101 | 200 | . | - | 2 | Parent=R0
""",
        [("R0", "protein_coding", "-", [(101, 200), (301, 463)], [(101, 200), (301, 463)])],
    ),
    # A gene per transcript, genes on several sequences, the stop codon outside the CDS.
    "ucsc_refGene.gtf": (
        """chr1 | hg38_refGene | exon | 101 | 200 | 0.0 | + | . | gene_id "NM_1"; transcript_id "NM_1";
chr1 | hg38_refGene | start_codon | 121 | 123 | 0.0 | + | . | gene_id "NM_1"; transcript_id "NM_1";
chr1 | hg38_refGene | CDS | 121 | 200 | 0.0 | + | 0 | gene_id "NM_1"; transcript_id "NM_1";
chr1 | hg38_refGene | CDS | 301 | 397 | 0.0 | + | 1 | gene_id "NM_1"; transcript_id "NM_1";
chr1 | hg38_refGene | stop_codon | 398 | 400 | 0.0 | + | . | gene_id "NM_1"; transcript_id "NM_1";
chr1 | hg38_refGene | exon | 301 | 460 | 0.0 | + | . | gene_id "NM_1"; transcript_id "NM_1";
chr2 | hg38_refGene | exon | 1 | 90 | 0.0 | - | . | gene_id "NR_2"; transcript_id "NR_2";
""",
        [
            ("NM_1", "protein_coding", "+", [(101, 200), (301, 460)], [(121, 200), (301, 400)]),
            ("NR_2", "ncRNA", "-", [(1, 90)], []),
        ],
    ),
    # Phases are not known after lifting.
    "liftoff.gff3": (
        """##gff-version 3
# Liftoff v1.6.3
chr1 | Liftoff | gene | 101 | 463 | . | + | . | ID=gene-A_1;gene_biotype=protein_coding;extra_copy_number=1
chr1 | Liftoff | mRNA | 101 | 463 | . | + | . | ID=rna-A_1;Parent=gene-A_1;extra_copy_number=1
chr1 | Liftoff | exon | 101 | 463 | . | + | . | ID=exon-A-1_1;Parent=rna-A_1;extra_copy_number=1
chr1 | Liftoff | CDS | 101 | 463 | . | + | . | ID=cds-A_1;Parent=rna-A_1;extra_copy_number=1
""",
        [("rna-A_1", "protein_coding", "+", [(101, 463)], [(101, 463)])],
    ),
    # The antisense genes of Araport 11 have words of their own.
    "araport.gff3": (
        """##gff-version 3
Chr1 | Araport11 | gene | 9000 | 9300 | . | - | . | ID=AT1G0a;locus_type=antisense_long_noncoding_rna
Chr1 | Araport11 | antisense_lncRNA | 9000 | 9300 | . | - | . | ID=AT1G0a.1;Parent=AT1G0a
Chr1 | Araport11 | exon | 9000 | 9300 | . | - | . | ID=AT1G0a:exon:1;Parent=AT1G0a.1
Chr1 | Araport11 | gene | 9500 | 9900 | . | - | . | ID=AT1G0b;locus_type=novel_transcribed_region
Chr1 | Araport11 | transcript_region | 9500 | 9900 | . | - | . | ID=AT1G0b.1;Parent=AT1G0b
Chr1 | Araport11 | exon | 9500 | 9900 | . | - | . | ID=AT1G0b:exon:1;Parent=AT1G0b.1
""",
        [
            ("AT1G0a.1", "antisense_RNA", "-", [(9000, 9300)], []),
            ("AT1G0b.1", "processed_transcript", "-", [(9500, 9900)], []),
        ],
    ),
}


def closed(parts):
    return [(start + 1, end) for start, end in parts]


@pytest.mark.parametrize("name", EXAMPLES)
def test_examples_are_read_as_a_person_does(name, tmp_path):
    text, expected = EXAMPLES[name]
    (tmp_path / name).write_text(text.replace(" | ", "\t"))
    found = annotation.read(tmp_path / name)
    transcripts = [(gene, one) for gene in found for one in gene.transcripts]
    assert [(t.id, t.biotype, g.strand, closed(t.exons), closed(t.cds)) for g, t in transcripts] == expected
    assert all(t.cds_phase == 0 and not t.partial_5 and not t.partial_3 for _, t in transcripts)
    assert not found.report["unknown_biotypes"]


def test_bytes_that_are_no_utf8_are_read(tmp_path):
    """Windows-1252 in names and ids: rows still find their parents."""
    rows = (
        "c\tx\tgene\t101\t463\t.\t+\t.\tID=g\xe9;Name=caf\xe9%2Cau lait;Note=\x93quoted\x94\n"
        "c\tx\tmRNA\t101\t463\t.\t+\t.\tID=t\xe9;Parent=g\xe9\n"
        "c\tx\tCDS\t101\t463\t.\t+\t0\tParent=t\xe9\n"
    )
    (tmp_path / "x.gff3").write_bytes(("##gff-version 3\n" + rows).encode("latin-1"))
    (gene,) = annotation.read(tmp_path / "x.gff3")
    assert gene.name == "caf\ufffd,au lait"
    assert closed(gene.transcripts[0].cds) == [(101, 463)]


def test_a_row_that_is_used_is_not_reported_as_unused(tmp_path):
    text, _ = EXAMPLES["gemoma.gff"]
    (tmp_path / "x.gff").write_text(text.replace(" | ", "\t"))
    assert annotation.read(tmp_path / "x.gff").report["counts"] == {}
