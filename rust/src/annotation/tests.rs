//! Behaviours of reading, each on the smallest text that shows it.

use std::path::Path;

use proptest::prelude::*;

use super::{Annotation, Options, assemble, from_bytes, reader, writer};
use crate::fasta::Genome;
use crate::gene::{Flags, Gene, Interval, Strand, Transcript};
use crate::in_order::with_threads;

fn read(text: &str) -> Annotation {
    from_bytes(Path::new("x.gff"), text.as_bytes(), Options::default()).unwrap_or_else(|error| panic!("{error}"))
}

fn refused(text: &str) -> String {
    from_bytes(Path::new("x.gff"), text.as_bytes(), Options::default()).unwrap_err().to_string()
}

/// Rows of `seqid type start end strand phase attributes`, tabs put in.
fn gff3(rows: &str) -> String {
    let mut text = "##gff-version 3\n".to_owned();
    for row in rows.lines().map(str::trim).filter(|row| !row.is_empty()) {
        if row.starts_with('#') || row.starts_with('>') {
            text.push_str(row);
        } else {
            let f: Vec<&str> = row.splitn(7, ' ').collect();
            text.push_str(&format!("{}\t.\t{}\t{}\t{}\t.\t{}\t{}\t{}", f[0], f[1], f[2], f[3], f[4], f[5], f[6]));
        }
        text.push('\n');
    }
    text
}

fn parts(intervals: &[(u64, u64)]) -> Vec<Interval> {
    intervals.iter().map(|&(start, end)| Interval::new(start, end)).collect()
}

/// GTF: a part whose start passes its end, alone in its transcript, and a transcript's row after its parts.
#[test]
fn rows_that_end_before_they_start() {
    let ids = "gene_id \"g\"; transcript_id \"t\";";
    let gtf = |word: &str, start: u64, end: u64| format!("c\tx\t{word}\t{start}\t{end}\t.\t+\t.\t{ids}\n");
    for text in [gtf("stop_codon", 33, 31), gtf("exon", 1, 9) + &gtf("transcript", 33, 31)] {
        let read = |lenient| from_bytes(Path::new("x.gtf"), text.as_bytes(), Options { lenient });
        let message = read(false).expect_err("a fault").to_string();
        assert!(message.contains("the start 33 is larger than the end 31"), "{message}");
        let found = read(true).expect("lenient");
        assert!(found.genes.iter().flat_map(|gene| &gene.transcripts).flat_map(|t| &t.exons).all(|e| e.start < e.end));
    }
}

#[test]
fn children_before_parents_crlf_and_escapes() {
    let text = gff3(
        "c%201 exon 1 50 + . Parent=m%3B1
         c%201 CDS 11 40 + 0 ID=p;Parent=m%3B1
         c%201 mRNA 1 50 + . ID=m%3B1;Parent=g
         c%201 gene 1 50 + . ID=g;Name=a%2Cb",
    );
    for text in [text.clone(), text.replace('\n', "\r\n")] {
        let found = read(&text);
        assert_eq!(found.seqids, ["c 1"]);
        let gene = &found.genes[0];
        assert_eq!(
            (gene.id.as_str(), gene.name.as_deref(), gene.biotype.as_str()),
            ("g", Some("a,b"), "protein_coding")
        );
        assert_eq!((gene.transcripts[0].id.as_str(), &gene.transcripts[0].cds), ("m;1", &parts(&[(10, 40)])));
        assert!(found.report.counts.is_empty());
    }
}

#[test]
fn exons_are_made_of_cds_and_utrs() {
    let found = read(&gff3(
        "c gene 1 100 - . ID=g
         c mRNA 1 100 - . ID=t;Parent=g
         c three_prime_UTR 1 10 - . Parent=t
         c CDS 11 40 - 0 Parent=t
         c CDS 61 90 - 0 Parent=t
         c five_prime_UTR 91 100 - . Parent=t",
    ));
    assert_eq!(found.genes[0].transcripts[0].exons, parts(&[(0, 40), (60, 100)]));
}

#[test]
fn prokaryotes() {
    // CDS under a gene bears the gene's id; two proteins of a gene are two transcripts; a CDS alone is a gene.
    let found = read(&gff3(
        "c region 1 900 + . ID=c;Is_circular=true
         c gene 1 30 + . ID=g1
         c CDS 1 30 + 0 ID=p1;Parent=g1;transl_table=11
         c gene 100 159 + . ID=g2
         c CDS 100 129 + 0 ID=p2;Parent=g2
         c CDS 130 159 + 0 ID=p3;Parent=g2
         c CDS 200 229 - 0 ID=1_1;partial=10
         c gene 880 930 + . ID=g3
         c CDS 880 930 + 0 ID=p4;Parent=g3",
    ));
    let ids: Vec<Vec<&str>> =
        found.genes.iter().map(|g| g.transcripts.iter().map(|t| t.id.as_str()).collect()).collect();
    assert_eq!(ids, [vec!["g1"], vec!["p2", "p3"], vec!["1_1"], vec!["g3"]]);
    assert_eq!((found.circular[0], found.lengths[0], found.genetic_codes[0]), (true, Some(900), Some(11)));
    // Prodigal's left edge is the 3' end of a gene on the reverse strand.
    let alone = &found.genes[2].transcripts[0];
    assert!(alone.partial_3 && !alone.partial_5);
    assert_eq!(found.genes[3].transcripts[0].cds, parts(&[(879, 930)]));
}

#[test]
fn over_the_origin() {
    let region = "c region 1 900 + . ID=c;Is_circular=true\n";
    for rows in ["c CDS 880 930 + 0 ID=p", "c CDS 880 900 + 0 ID=p\nc CDS 1 30 + 0 ID=p", "c CDS 880 30 + 0 ID=p"] {
        let found = read(&gff3(&format!("{region}{rows}")));
        assert_eq!(found.genes[0].transcripts[0].cds, parts(&[(879, 930)]), "{rows}");
        assert_eq!(found.genes[0].span, Interval::new(879, 930), "{rows}");
    }
    assert!(refused(&gff3("c CDS 880 30 + 0 ID=p")).contains("line 2: the start 880 is larger than the end 30"));
}

#[test]
fn wormbase_predictions_and_history_are_no_genes() {
    let rows = "I history CDS 301 330 . + 0 ID=CDS:old:wp1
         I history CDS 341 390 . + 0 ID=CDS:old:wp1
         I Genefinder CDS 10 39 . - 0 ID=CDS:gf1
         I mSplicer_orf CDS 10 39 . - 0 Parent=CDS:msp1
         I history pseudogenic_transcript 400 430 . + . ID=Pseudogene:old";
    let genes = "I WormBase gene 1 60 . - . ID=Gene:WBGene1
         I WormBase mRNA 1 60 . - . ID=Transcript:a.1;Parent=Gene:WBGene1
         I WormBase CDS 10 39 . - 0 ID=CDS:a;Parent=Transcript:a.1
         I WormBase exon 1 60 . - . Parent=Transcript:a.1";
    let columns = |text: &str| {
        let lines = text.lines().map(|line| line.trim().replacen(' ', "\t", 8)).collect::<Vec<_>>();
        format!("##gff-version 3\n{}\n", lines.join("\n"))
    };
    let found = read(&columns(&format!("{genes}\n{rows}")));
    assert_eq!(found.genes.iter().map(|gene| gene.id.as_str()).collect::<Vec<_>>(), ["Gene:WBGene1"]);
    assert_eq!(found.report.counts["prediction or former gene beside WormBase's own"], 4);
    // Without WormBase's own genes the same programs' output is what it says; two models are one.
    assert_eq!(read(&columns(rows)).genes.len(), 3);
}

#[test]
fn slippage_selenoproteins_and_phases() {
    let found = read(&gff3(
        "c gene 1 300 + . ID=prfB
         c CDS 1 75 + 0 ID=p;Parent=prfB
         c CDS 77 300 + 0 ID=p;Parent=prfB
         c gene 401 500 + . ID=minus1
         c CDS 401 450 + 0 ID=q;Parent=minus1
         c CDS 450 500 + 0 ID=q;Parent=minus1
         c gene 601 630 + . ID=sel
         c CDS 601 630 + 0 ID=s;Parent=sel;transl_except=(pos:610..612%2Caa:Sec)
         c gene 701 800 + . ID=bad
         c CDS 701 710 + 0 ID=b;Parent=bad
         c CDS 751 800 + 0 ID=b;Parent=bad",
    ));
    let flags: Vec<(bool, bool)> = found.genes.iter().map(|g| (g.flags.slippage, g.flags.selenoprotein)).collect();
    assert_eq!(flags, [(true, false), (true, false), (false, true), (false, false)]);
    assert_eq!(found.genes[0].transcripts[0].exons, parts(&[(0, 300)]));
    assert_eq!(found.genes[1].transcripts[0].cds, parts(&[(400, 450), (449, 500)]));
    assert_eq!(found.report.counts["CDS phase that differs from the reading frame"], 1);
    // A transcript that a gene stands for is told by the gene's id.
    assert_eq!(found.report.examples["programmed frameshift (slippage)"], ["prfB", "minus1"]);
    assert_eq!(found.report.examples["selenoprotein"], ["sel"]);
}

#[test]
fn pseudogenes_rna_and_mobile_elements() {
    let found = read(&gff3(
        "c gene 1 30 + . ID=t
         c tRNA 1 30 + . ID=t1;Parent=t
         c CDS 1 10 + 0 Parent=t1
         c CDS 20 30 + 0 Parent=t1
         c gene 41 70 + . ID=p;pseudo=true
         c CDS 41 70 + 0 Parent=p
         c transposable_element_gene 81 110 + . ID=m
         c CDS 81 110 + 0 Parent=m
         c ncRNA_gene 121 150 + . ID=n
         c gene 161 190 + . ID=strange;biotype=new_kind",
    ));
    let genes = &found.genes;
    assert_eq!((genes[0].biotype.as_str(), genes[0].transcripts[0].cds.len()), ("tRNA", 0));
    assert_eq!(genes[0].transcripts[0].exons, parts(&[(0, 10), (19, 30)]));
    assert!(genes[1].flags.pseudogene && genes[1].transcripts[0].cds.is_empty());
    assert!(genes[2].flags.mobile_element && !genes[2].transcripts[0].cds.is_empty());
    assert_eq!((genes[3].biotype.as_str(), genes[3].transcripts.len()), ("ncRNA", 1));
    assert_eq!((genes[4].biotype.as_str(), genes[4].transcripts.len()), ("new_kind", 0));
    assert_eq!(found.report.unknown_biotypes["new_kind"], 1);
}

#[test]
fn trans_splicing_leaves_genes_without_transcripts() {
    let found = read(&gff3(
        "c gene 1 100 - . ID=rps12;exception=trans-splicing;part=1
         c gene 500 600 + . ID=rps12;exception=trans-splicing;part=2
         c CDS 1 100 - 0 ID=p;Parent=rps12
         c CDS 500 600 + 0 ID=p;Parent=rps12
         c gene 700 800 + . ID=mixed
         c mRNA 700 800 + . ID=m;Parent=mixed
         c exon 700 720 + . Parent=m
         c exon 780 800 - . Parent=m",
    ));
    let flags: Vec<(&str, bool, usize)> =
        found.genes.iter().map(|g| (g.id.as_str(), g.flags.trans_splicing, g.transcripts.len())).collect();
    assert_eq!(flags, [("rps12", true, 0), ("rps12-2", true, 0), ("mixed", true, 0)]);
}

#[test]
fn parents_that_are_nowhere_and_cycles() {
    let found = read(&gff3(
        "c exon 1 50 + . Parent=lost
         c CDS 1 30 + 0 Parent=lost
         c mRNA 101 150 + . ID=m1;Parent=away
         c CDS 101 130 + 0 Parent=m1
         c mRNA 101 160 + . ID=m2;Parent=away
         c CDS 101 130 + 0 Parent=m2
         c exon 201 210 + . Name=alone",
    ));
    assert_eq!(found.genes.iter().map(|g| g.id.as_str()).collect::<Vec<_>>(), ["lost", "away"]);
    assert_eq!(found.genes[1].transcripts.len(), 2);
    let counts = &found.report.counts;
    assert_eq!(counts["transcript without a row of its own"], 1);
    assert_eq!(counts["Parent that is nowhere"], 1);
    assert_eq!(counts["exon without a Parent"], 1);
    let cycle = refused(&gff3("c mRNA 1 9 + . ID=a;Parent=b\nc mRNA 1 9 + . ID=b;Parent=a"));
    assert!(cycle.contains("line 2: 'a' is its own ancestor"), "{cycle}");
}

#[test]
fn ids_that_repeat_by_sequence() {
    let rows: String = (1..=3)
        .map(|i| {
            format!("c{i} gene 1 30 + . ID=g1\nc{i} mRNA 1 30 + . ID=g1.t1;Parent=g1\nc{i} CDS 1 30 + 0 Parent=g1.t1\n")
        })
        .collect();
    let found = read(&gff3(&rows));
    assert_eq!(found.genes.iter().map(|g| g.id.as_str()).collect::<Vec<_>>(), ["g1", "g1-2", "g1-3"]);
    assert!(found.genes.iter().all(|g| g.transcripts.len() == 1 && g.transcripts[0].cds.len() == 1));
    // A transcript with its gene's id is not its own parent.
    let found = read(&gff3("c gene 1 30 + . ID=x\nc mRNA 1 30 + . ID=x;Parent=x\nc CDS 1 30 + 0 Parent=x"));
    assert_eq!((found.genes.len(), found.genes[0].transcripts[0].cds.len()), (1, 1));
}

#[test]
fn identical_genes_are_one_and_order_does_not_matter() {
    let gene = |id: &str, at: u64| {
        format!("c gene {at} {} + . ID={id}\nc CDS {at} {} + 0 ID=p{id};Parent={id}\n", at + 29, at + 29)
    };
    let (a, b, twin) = (gene("a", 1), gene("b", 101), gene("z", 1));
    let found = read(&gff3(&format!("{b}{a}{twin}")));
    assert_eq!(found.genes.iter().map(|g| g.id.as_str()).collect::<Vec<_>>(), ["a", "b"]);
    assert_eq!(found.report.counts["gene identical to another, kept once"], 1);
    assert_eq!(read(&gff3(&format!("{a}{b}"))).genes, read(&gff3(&format!("{b}{a}"))).genes);
}

#[test]
fn the_canonical_transcript_is_first() {
    let transcript = |id: &str, end: u64, tag: &str| {
        format!(
            "c mRNA 1 {end} + . ID={id};Parent=g{tag}\nc exon 1 {end} + . Parent={id}\nc CDS 1 {end} + 0 Parent={id}\n"
        )
    };
    let order = |rows: &str| {
        let found = read(&gff3(&format!("c gene 1 90 + . ID=g\n{rows}")));
        found.genes[0].transcripts.iter().map(|t| t.id.clone()).collect::<Vec<_>>()
    };
    let short = transcript("short", 30, "");
    let long = transcript("long", 60, "");
    let twin = transcript("also_long", 60, "");
    assert_eq!(order(&format!("{short}{long}{twin}")), ["also_long", "long", "short"]);
    let tagged = transcript("tagged", 30, ";tag=basic,Ensembl_canonical");
    assert_eq!(order(&format!("{long}{tagged}")), ["tagged", "long"]);
}

#[test]
fn gtf_dialects() {
    let row = |word: &str, start: u64, end: u64, strand: &str, phase: &str, rest: &str| {
        format!("c\tx\t{word}\t{start}\t{end}\t.\t{strand}\t{phase}\t{rest}\n")
    };
    // No gene or transcript rows, stop codon outside the CDS and split by an intron.
    let ids = "gene_id \"g\"; transcript_id \"t\"; note \"a; b\";";
    let text = [
        row("exon", 1, 31, "+", ".", ids),
        row("CDS", 1, 30, "+", "0", ids),
        row("stop_codon", 31, 31, "+", "0", ids),
        row("stop_codon", 51, 52, "+", "2", ids),
        row("exon", 51, 80, "+", ".", ids),
    ]
    .concat();
    let found = read(&text);
    assert_eq!(found.genes[0].transcripts[0].cds, parts(&[(0, 31), (50, 52)]));
    assert!(found.report.counts.is_empty(), "{:?}", found.report.counts);
    // On the reverse strand.
    let text = [row("CDS", 4, 30, "-", "0", ids), row("stop_codon", 1, 3, "-", "0", ids)].concat();
    assert_eq!(read(&text).genes[0].transcripts[0].cds, parts(&[(0, 30)]));
    // AUGUSTUS names genes and transcripts by bare words.
    let ids = "transcript_id \"g1.t1\"; gene_id \"g1\";";
    let text = [
        row("gene", 1, 30, "+", ".", "g1"),
        row("transcript", 1, 30, "+", ".", "g1.t1"),
        row("CDS", 1, 30, "+", "0", ids),
    ]
    .concat();
    let found = read(&text);
    assert_eq!((found.genes.len(), found.genes[0].transcripts[0].id.as_str()), (1, "g1.t1"));
    // JGI names genes by `name`.
    let text = [
        row("exon", 1, 30, "+", ".", "name \"fgenesh1\"; transcriptId 7"),
        row("CDS", 1, 30, "+", "0", "name \"fgenesh1\"; proteinId 7; exonNumber 1"),
    ]
    .concat();
    assert_eq!(read(&text).genes[0].transcripts[0].id, "fgenesh1");
    // The same ids on two sequences (UCSC) are two genes.
    let ids = "gene_id \"g\"; transcript_id \"g\";";
    let text = row("exon", 1, 30, "+", ".", ids) + &row("exon", 1, 30, "+", ".", ids).replace("c\t", "d\t");
    assert_eq!(read(&text).genes.len(), 2);
}

#[test]
fn malformed_lines_are_refused_or_counted() {
    let good = gff3("c gene 1 30 + . ID=a\nc CDS 1 30 + 0 ID=p;Parent=a");
    let text = format!("{good}c\t.\tgene\t1e2\t300\t.\t+\t.\tID=b\n");
    assert_eq!(refused(&text), "x.gff, line 4: could not parse the start '1e2': not a whole number");
    let lenient = from_bytes(Path::new("x.gff"), text.as_bytes(), Options { lenient: true }).unwrap();
    assert_eq!((lenient.genes.len(), lenient.report.counts["malformed line"]), (1, 1));
    for (text, words) in [
        (">a\nACGT\n", "line 1: this is a FASTA file"),
        ("hello world\n", "line 1: expected 9 columns"),
        (
            "##gff-version 3\n##sequence-region c 1 20\nc\t.\tgene\t1\t30\t.\t+\t.\tID=a\n",
            "line 3: the row lies outside",
        ),
    ] {
        assert!(refused(text).contains(words), "{}", refused(text));
    }
}

#[test]
fn against_a_genome() {
    let genome = |text: &str| Genome::from_bytes(Path::new("x.fa"), text.as_bytes()).unwrap();
    let text = gff3("b gene 1 9 + . ID=a\nb CDS 1 9 + 0 ID=p;Parent=a\nlost gene 1 9 + . ID=x");
    let options = Options::default();
    let mut found = read(&text);
    found.check_against(&genome(">a\nACGT\n>b\nATGAAATAA\n"), options).unwrap();
    assert_eq!((found.seqids.len(), found.genes.len(), found.genes[0].seqid), (2, 1, 1));
    assert_eq!(found.report.counts["gene on a sequence that the genome lacks"], 1);
    let error = read(&text).check_against(&genome(">z\nACGT\n"), options).unwrap_err().to_string();
    assert!(error.contains("line 1: none of the annotated sequences"), "{error}");
    let error = read(&text).check_against(&genome(">b\nACGT\n"), options).unwrap_err().to_string();
    assert!(error.contains("line 2: the end 9 lies past the end of sequence 'b', which has 4 bases"), "{error}");
    let mut circular = read(&text);
    circular.check_against(&genome(">b [topology=circular]\nATGAAATA\n"), options).unwrap();
    assert_eq!(circular.genes.len(), 1);
}

const GENBANK: &str = "\
LOCUS       XY000001                 120 bp    DNA     circular BCT 01-JAN-2000
DEFINITION  A plasmid.
ACCESSION   XY000001
VERSION     XY000001.2
FEATURES             Location/Qualifiers
     source          1..120
     gene            complement(<10..39)
                     /locus_tag=\"A_1\"
     CDS             complement(<10..39)
                     /locus_tag=\"A_1\"
                     /transl_table=11
                     /codon_start=1
                     /product=\"a protein with a name so long
                     that it needs two lines\"
     gene            join(101..120,1..4)
                     /gene=\"abc\"
     CDS             join(101..120,1..4)
                     /gene=\"abc\"
                     /codon_start=1
                     /transl_except=(pos:104..106,aa:Sec)
     gene            50..90
                     /gene=\"spl\"
     mRNA            join(50..60,70..90)
                     /gene=\"spl\"
     CDS             join(53..60,70..79)
                     /gene=\"spl\"
                     /protein_id=\"P1\"
     tRNA            92..98
                     /locus_tag=\"A_9\"
                     /pseudo
ORIGIN
        1 acgtacgtac gtacgtacgt acgtacgtac gtacgtacgt acgtacgtac gtacgtacgt
       61 acgtacgtac gtacgtacgt acgtacgtac gtacgtacgt acgtacgtac gtacgtacgt
//
";

#[test]
fn genbank() {
    let found = read(GENBANK);
    assert_eq!((found.seqids[0].as_str(), found.lengths[0], found.circular[0]), ("XY000001.2", Some(120), true));
    assert_eq!(found.genetic_codes[0], Some(11));
    let ids: Vec<&str> = found.genes.iter().map(|g| g.id.as_str()).collect();
    assert_eq!(ids, ["A_1", "spl", "A_9", "abc"]);
    let first = &found.genes[0].transcripts[0];
    assert!(first.partial_3 && !first.partial_5);
    let spliced = &found.genes[1].transcripts[0];
    assert_eq!((&spliced.exons, &spliced.cds), (&parts(&[(49, 60), (69, 90)]), &parts(&[(52, 60), (69, 79)])));
    assert!(found.genes[2].flags.pseudogene);
    let over = &found.genes[3];
    assert_eq!((over.span, &over.transcripts[0].cds), (Interval::new(100, 124), &parts(&[(100, 124)])));
    assert!(over.flags.selenoprotein);
    let genome = Genome::from_bytes(Path::new("x.gb"), GENBANK.as_bytes()).unwrap();
    assert_eq!((genome.sequences[0].bases.len(), genome.sequences[0].circular), (120, true));
    assert_eq!(over.transcripts[0].coding_sequence(&genome.sequences[0].bases, over.strand).len(), 24);
    let cut = GENBANK.replace("//\n", "");
    assert!(refused(&cut).contains("line 1: the record 'XY000001.2' does not end"), "{}", refused(&cut));
    let wrong = GENBANK.replace("join(50..60,70..90)", "join(50..x,70..90)");
    assert!(refused(&wrong).contains("line 23: could not parse the location"), "{}", refused(&wrong));
    let past = GENBANK.replace("92..98", "92..998");
    assert!(refused(&past).contains("which has 120 bases"), "{}", refused(&past));
}

/// Gene models without what GFF3 cannot say: scores of annotation that was read.
fn gene_models() -> impl Strategy<Value = Vec<Gene>> {
    let exons = proptest::collection::vec((3u64..60, 3u64..60), 1..5);
    let transcript = (exons, any::<bool>(), 0u8..3, any::<(bool, bool, bool)>(), 0u64..20, 0u64..20);
    let gene = (proptest::collection::vec(transcript, 1..3), any::<bool>(), 0u64..500, "[a-z;=%, ]{1,5}");
    proptest::collection::vec(gene, 0..6).prop_map(|genes| {
        let mut at = 0;
        let mut out = Vec::new();
        for (i, (transcripts, forward, gap, name)) in genes.into_iter().enumerate() {
            at += gap;
            let mut gene = Gene {
                id: format!("{name}{i}"),
                name: Some(name),
                seqid: 0,
                span: Interval::new(at, at),
                strand: if forward { Strand::Forward } else { Strand::Reverse },
                biotype: "protein_coding".into(),
                flags: Flags::default(),
                score: None,
                transcripts: Vec::new(),
            };
            for (j, (lengths, coding, phase, (left, right, canonical), skip, drop)) in
                transcripts.into_iter().enumerate()
            {
                let mut position = at;
                let mut exons = Vec::new();
                for (exon, intron) in lengths {
                    exons.push(Interval::new(position, position + exon));
                    position += exon + intron;
                }
                gene.span.end = gene.span.end.max(exons[exons.len() - 1].end);
                let mut cds = if coding { exons.clone() } else { Vec::new() };
                if let Some(first) = cds.first_mut() {
                    first.start += skip.min(first.len() - 1);
                }
                if let Some(last) = cds.last_mut() {
                    last.end -= drop.min(last.len() - 1);
                }
                let cds_phase = if coding { phase } else { 0 };
                gene.transcripts.push(Transcript {
                    id: format!("{}.{j}", gene.id),
                    biotype: if coding { "protein_coding" } else { "lncRNA" }.into(),
                    exons,
                    cds,
                    cds_phase,
                    partial_5: left || cds_phase > 0,
                    partial_3: right,
                    flags: Flags { canonical, ..Flags::default() },
                    score: None,
                });
            }
            gene.transcripts.sort_by_key(|t| {
                let length = |parts: &[Interval]| std::cmp::Reverse(parts.iter().map(|p| p.len()).sum::<u64>());
                (!t.flags.canonical, length(&t.cds), length(&t.exons), t.id.clone())
            });
            at = gene.span.end;
            out.push(gene);
        }
        out
    })
}

proptest! {
    #[test]
    fn what_is_written_is_read_again(genes in gene_models()) {
        let mut annotation = Annotation { genes, ..Annotation::default() };
        annotation.seqids = vec!["chr 1;a=b".into()];
        annotation.lengths = vec![Some(1_000_000)];
        annotation.circular = vec![false];
        annotation.genetic_codes = vec![None];
        annotation.sort();
        let mut text = Vec::new();
        writer::gff3(&annotation, &mut text, "GeneT5").unwrap();
        let again = from_bytes(Path::new("x.gff3"), &text, Options::default()).unwrap();
        prop_assert_eq!(&again.seqids, &annotation.seqids);
        prop_assert_eq!(&again.genes, &annotation.genes);
    }

    #[test]
    fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        for lenient in [false, true] {
            let _ = from_bytes(Path::new("x"), &bytes, Options { lenient });
        }
    }

    #[test]
    fn any_rows_are_read_or_refused(
        rows in proptest::collection::vec(
            ("[ab]", "gene|mRNA|exon|CDS|tRNA|region|stop_codon|five_prime_UTR|match", 1u64..40, 0u64..30,
             "[-+.]", "[012.]", "(ID=[xyz];)?(Parent=[xyz](,[xyz])?;)?(Is_circular=true;)?(pseudo=true)?"), 0..14)
    ) {
        let text: String = rows.iter().map(|(seqid, word, start, length, strand, phase, attributes)| {
            format!("{seqid}\t.\t{word}\t{start}\t{}\t.\t{strand}\t{phase}\t{attributes}\n", start + length)
        }).collect();
        if let Ok(found) = from_bytes(Path::new("x"), text.as_bytes(), Options::default()) {
            for gene in &found.genes {
                for transcript in &gene.transcripts {
                    prop_assert!(!transcript.exons.is_empty());
                    prop_assert!(transcript.exons.windows(2).all(|pair| pair[0].end < pair[1].start));
                    prop_assert!(transcript.cds.iter().all(|part| transcript.exons.iter().any(|exon| exon.contains(*part))));
                    prop_assert!(transcript.exons.iter().all(|exon| gene.span.contains(*exon)));
                }
            }
            let mut written = Vec::new();
            writer::gff3(&found, &mut written, "x").unwrap();
            prop_assert!(from_bytes(Path::new("x"), &written, Options::default()).is_ok());
        }
    }

    #[test]
    fn blocks_and_threads_change_nothing(
        rows in proptest::collection::vec(
            ("[abc]", "gene|mRNA|exon|CDS|region|five_prime_UTR|match|transcript|start_codon", 0u64..40, 0u64..30, "[-+.]",
             "(ID=[xyz],?;)?(Parent=[xyzg](,[xyz])?;?)?(Is_circular=true;)?( Name=q;)?(ID=p;)?|=|g",
             "(gene_id \"[xy]\";)?( transcript_id \"[tuv]\";)?"), 0..24),
        others in proptest::collection::vec(
            (0usize..24, "\r|###|##sequence-region a [124] 9[0]?|##gff-version [1-4]|#!x|##FASTA|>a|ACGT|track x|\t"), 0..4),
        (gtf, lenient) in any::<(bool, bool)>(),
        size in 0usize..200,
    ) {
        let mut lines: Vec<String> = rows.iter().map(|(seqid, word, start, length, strand, gff3, keys)| {
            let column = if gtf { keys } else { gff3 };
            format!("{seqid}\t.\t{word}\t{start}\t{}\t.\t{strand}\t0\t{column}", start + length)
        }).collect();
        for (at, line) in others {
            lines.insert(at.min(lines.len()), line);
        }
        let text = lines.join("\n");
        let (path, text, options) = (Path::new("x"), text.as_bytes(), Options { lenient });
        let read = |size| {
            let found = reader::read_by(path, text, None, options, size).and_then(assemble::assemble);
            found.map_err(|error| error.to_string())
        };
        let whole = read(usize::MAX);
        prop_assert_eq!(&read(size), &whole);
        prop_assert_eq!(&with_threads(3, || read(size)).unwrap(), &whole);
    }
}

/// What is written does not depend on the number of threads either.
#[test]
fn threads_write_the_same() {
    let rows: String = (0..3000)
        .map(|i| {
            let start = 1 + 100 * (i % 1500);
            format!("c{}\t.\tgene\t{start}\t{}\t.\t+\t.\tID=g{i};Name=a%3B{i}\n", i / 1500, start + 89)
                + &format!("c{}\t.\tCDS\t{start}\t{}\t.\t+\t0\tID=p{i};Parent=g{i}\n", i / 1500, start + 89)
        })
        .collect();
    let found = read(&("##gff-version 3\n".to_owned() + &rows));
    let write = || {
        let mut text = Vec::new();
        writer::gff3(&found, &mut text, "x").unwrap();
        text
    };
    let text = write();
    assert_eq!(found.genes.len(), 3000);
    for threads in [1, 2, 5] {
        assert!(with_threads(threads, write).unwrap() == text);
        let parsed = with_threads(threads, || from_bytes(Path::new("x"), &text, Options::default()));
        assert_eq!(parsed.unwrap().unwrap().genes, found.genes);
    }
}
