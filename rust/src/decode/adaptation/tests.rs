//! A genome made here, whose codons, motif and starts are known, with weak evidence.

use super::*;

/// A linear congruential generator: the same genome everywhere.
struct Random(u64);

impl Random {
    fn below(&mut self, n: u64) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((self.0 >> 33) % n) as usize
    }

    fn base(&mut self) -> u8 {
        b"ACGT"[self.below(4)]
    }
}

const MOTIF: &[u8; 6] = b"AGGAGG";
/// Bases between motif and start codon: from here on, one of so many.
const SPACER: usize = 5;
const SPACERS: u64 = 5;

struct Made {
    bases: Vec<u8>,
    /// Start, end, strand.
    genes: Vec<(u64, u64, Strand)>,
}

/// Genes of both strands with a motif before each start, a start codon a little inside as a decoy, and biased codons.
fn genome(genes: usize, random: &mut Random) -> Made {
    let codons: [&[u8; 3]; 12] =
        [b"GCG", b"CTG", b"GAA", b"GGC", b"AAA", b"ATT", b"GTG", b"CAG", b"ACC", b"GAT", b"CCG", b"TTG"];
    let mut made = Made { bases: Vec::new(), genes: Vec::new() };
    for _ in 0..genes {
        made.bases.extend((0..120 + random.below(80)).map(|_| random.base()));
        let mut gene = Vec::new();
        gene.extend_from_slice(b"ATG");
        for i in 0..100 + random.below(200) {
            gene.extend_from_slice(if i == 15 { b"ATG" } else { codons[random.below(12)] });
        }
        gene.extend_from_slice(b"TAA");
        let mut part: Vec<u8> = MOTIF.to_vec();
        part.extend((0..SPACER + random.below(SPACERS)).map(|_| random.base()));
        let lead = part.len();
        part.extend_from_slice(&gene);
        let at = made.bases.len();
        let (start, end, strand) = match random.below(2) {
            0 => (at + lead, at + part.len(), Strand::Forward),
            _ => {
                part = crate::dna::reverse_complement(&part);
                (at, at + gene.len(), Strand::Reverse)
            }
        };
        made.bases.extend(part);
        made.genes.push((start as u64, end as u64, strand));
    }
    made.bases.extend((0..100).map(|_| random.base()));
    made
}

/// Evidence that knows the coding strand and frame roughly, and nothing of the starts.
fn evidence(made: &Made, random: &mut Random) -> (Vec<f32>, Vec<f32>) {
    let mut classes = vec![0f32; 12 * made.bases.len()];
    for value in &mut classes {
        *value = -2.0 + random.below(100) as f32 / 50.0;
    }
    for &(start, end, strand) in &made.genes {
        // The true start cannot be told from the bases before and after it.
        for base in start.saturating_sub(60)..(end + 60).min(made.bases.len() as u64) {
            let frame = match strand {
                Strand::Reverse => end % 3,
                _ => start % 3,
            };
            let inside = (start + 60..end - 60).contains(&base);
            let at = 12 * base as usize + 6 * usize::from(strand == Strand::Reverse) + 1 + frame as usize;
            classes[at] = if inside { 3.0 } else { 0.0 };
        }
    }
    (classes, vec![0.0; 12 * made.bases.len()])
}

fn exact(annotation: &Annotation, made: &Made) -> usize {
    let found: std::collections::HashSet<_> =
        annotation.genes.iter().map(|gene| (gene.span.start, gene.span.end, gene.strand)).collect();
    made.genes.iter().filter(|gene| found.contains(gene)).count()
}

fn decoder(made: &Made, random: &mut Random) -> GenomeDecoder {
    let mut parameters = GeneParameters::default_for("prokaryotes").unwrap();
    // Without the prior for the first start, nothing tells which is the true one.
    parameters.weights.rank = 0.0;
    let mut decoder = GenomeDecoder::new(parameters).unwrap();
    // The evidence here knows nothing of starts: what is learned counts in full.
    decoder.factors.starts = 1.0;
    let number = decoder.add("made".to_owned(), &made.bases, GeneticCode::by_number(11).unwrap(), false);
    let (classes, signals) = evidence(made, random);
    decoder.push(number, &classes, &signals).unwrap();
    decoder
}

#[test]
fn a_planted_motif_is_found_and_tells_the_starts() {
    let mut random = Random(1);
    let made = genome(300, &mut random);
    let mut decoder = decoder(&made, &mut random);
    let before = exact(&decoder.annotation(0.0).unwrap(), &made);
    let mut learned = None;
    for _ in 0..3 {
        learned = decoder.refit().unwrap();
    }
    let learned = learned.unwrap();
    let after = exact(&decoder.annotation(0.0).unwrap(), &made);
    let motif = &learned.motifs[0];
    assert!(learned.genes > 250);
    assert_eq!(motif.consensus.as_bytes(), MOTIF);
    assert!((SPACER..SPACER + SPACERS as usize).contains(&motif.spacer));
    assert!(motif.share > 0.7);
    assert!(after > 260 && after > before + 20, "{before} exact genes before, {after} after, of 300");
}

#[test]
fn labels_say_what_is_sure_and_nothing_else() {
    let mut random = Random(2);
    let made = genome(150, &mut random);
    let mut decoder = decoder(&made, &mut random);
    for _ in 0..3 {
        decoder.refit().unwrap().unwrap();
    }
    let (classes, signals) = decoder.labels(0).unwrap();
    let mut truth = vec![0i8; 2 * made.bases.len()];
    let (mut starts, mut labelled_starts) = (0, 0);
    for &(start, end, strand) in &made.genes {
        let s = usize::from(strand == Strand::Reverse);
        let frame = if s == 0 { start % 3 } else { end % 3 };
        (start..end).for_each(|base| truth[2 * base as usize + s] = 1 + frame as i8);
        let first = if s == 0 { start } else { end - 1 };
        starts += usize::from(signals[12 * first as usize + 6 * s + 1] == 1);
    }
    for row in signals.chunks_exact(6) {
        labelled_starts += usize::from(row[1] == 1);
        assert!(row[0] == -1 && row[2] == -1 && row[3] == -1 && row[5] == -1);
    }
    let labelled = classes.iter().filter(|&&label| label >= 0).count();
    let wrong = classes.iter().zip(&truth).filter(|&(&label, &truth)| label >= 0 && label != truth).count();
    assert!(labelled > classes.len() * 9 / 10, "{labelled} of {}", classes.len());
    assert!(wrong < labelled / 200, "{wrong} of {labelled}");
    assert!(starts > 100 && labelled_starts - starts <= starts / 10, "{starts} of {labelled_starts} true");
}

#[test]
fn a_circular_genome_learns_the_same_wherever_it_begins() {
    let mut random = Random(3);
    let made = genome(150, &mut random);
    let (classes, signals) = evidence(&made, &mut random);
    let length = made.bases.len();
    let results: Vec<(usize, Vec<u64>)> = [0, made.genes[70].0 as usize + 90]
        .into_iter()
        .map(|origin| {
            let mut bases = made.bases.clone();
            bases.rotate_left(origin);
            let mut turned = classes.clone();
            turned.rotate_left(12 * origin);
            for (base, row) in turned.chunks_exact_mut(6).enumerate() {
                // Frames count from the sequence's first base, in each turn anew.
                let turn = if base / 2 + origin >= length { length } else { 0 };
                let by = (base / 2 + origin - turn) as i64 - (base / 2) as i64;
                let frames = [row[1], row[2], row[3]];
                for (frame, &value) in frames.iter().enumerate() {
                    row[1 + (frame as i64 - by).rem_euclid(3) as usize] = value;
                }
            }
            let parameters = GeneParameters::default_for("prokaryotes").unwrap();
            let mut decoder = GenomeDecoder::new(parameters).unwrap();
            let number = decoder.add("made".to_owned(), &bases, GeneticCode::by_number(11).unwrap(), true);
            decoder.push(number, &turned, &signals).unwrap();
            let learned = decoder.refit().unwrap().unwrap();
            let annotation = decoder.annotation(0.0).unwrap();
            let mut ends: Vec<u64> =
                annotation.genes.iter().map(|gene| (gene.span.start + origin as u64) % length as u64).collect();
            ends.sort_unstable();
            (learned.genes, ends)
        })
        .collect();
    assert!(results[0].0 > 100);
    assert!(results[0].0.abs_diff(results[1].0) <= 2);
    let same = results[0].1.iter().filter(|end| results[1].1.contains(end)).count();
    assert!(same + 3 >= results[0].1.len(), "{same} of {}", results[0].1.len());
}

#[test]
fn too_few_genes_change_nothing() {
    let mut random = Random(4);
    let made = genome(20, &mut random);
    let mut decoder = decoder(&made, &mut random);
    let before = decoder.annotation(0.0).unwrap();
    assert_eq!(decoder.refit().unwrap(), None);
    assert_eq!(decoder.annotation(0.0).unwrap(), before);
}

#[test]
fn spliced_genes_are_refused() {
    let refused = GenomeDecoder::new(GeneParameters::default_for("plants").unwrap());
    assert!(refused.err().unwrap().to_string().contains("'plants', a taxon with introns"));
}
