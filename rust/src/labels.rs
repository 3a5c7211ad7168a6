//! Labels of every base, made from a window's sentence: classes and signals of both strands, as `docs/architecture.md`
//! defines them ("Labels and evidence of a base").
//!
//! - Coding transcripts alone give classes: CDS over UTR over intron where genes of a strand overlap; two CDS frames at
//!   one base take no loss. UTRs are labelled where the policy says that the source annotates them.
//! - The canonical transcript gives a gene's classes. An isoform never changes a label: where it claims more than what
//!   stands there (CDS over UTR over intron over intergenic, or another frame), the base takes no loss.
//! - Signals are those of all transcripts. Those of non-coding transcripts are neither true nor false.
//! - A codon split by an intron is no candidate. At a window's edge where a transcript goes on, its signals
//!   cannot be known and take no loss.

use crate::dna::{GeneticCode, codon_index};
use crate::error::{Error, Result};
use crate::gene::Strand;
use crate::language::{Kind, Segment, State, Vocabulary, WindowGenes, WindowTranscript, decode};

/// Classes of the evidence arrays.
pub const INTERGENIC: i8 = 0;
/// CDS in frame f is `CDS + f`.
pub const CDS: i8 = 1;
pub const INTRON: i8 = 4;
pub const UTR: i8 = 5;
/// Takes no loss.
pub const NO_LOSS: i8 = -1;

/// Length of the signal axis.
pub const SIGNALS: usize = 6;
/// Bytes of signal labels a base: both strands.
const ROW: usize = 2 * SIGNALS;

/// Codons that may start a CDS, as a set of 64 bits indexed by `16 a + 4 b + c`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StartCodons(u64);

impl StartCodons {
    /// ATG alone: what programs for spliced genes use.
    pub const ATG: StartCodons = StartCodons(1 << 14);
    /// ATG, GTG, TTG: what programs for prokaryotes use.
    pub const PROKARYOTES: StartCodons = StartCodons(1 << 14 | 1 << 46 | 1 << 62);

    /// The set in use for a genetic code: ATG, GTG and TTG (where the code knows them as starts) in prokaryotes' codes
    /// 4, 11 and 25, ATG elsewhere.
    pub fn of_code(code: &GeneticCode) -> Self {
        match code.number {
            4 | 11 | 25 => {
                let known = (0..64u8).filter(|&codon| code.is_start_index(codon));
                StartCodons(known.fold(0, |set, codon| set | 1 << codon) & Self::PROKARYOTES.0)
            }
            _ => Self::ATG,
        }
    }

    /// From codons such as `ATG`, in either case.
    pub fn from_codons<T: AsRef<str>>(codons: &[T]) -> Result<Self> {
        codons.iter().try_fold(StartCodons(0), |set, codon| {
            let codon = codon.as_ref();
            let index = codon_index(codon.as_bytes())
                .ok_or_else(|| Error::input(format!("{codon:?} is no codon: three letters of A, C, G, T")))?;
            Ok(StartCodons(set.0 | 1 << index))
        })
    }

    pub fn contains(self, codon: u8) -> bool {
        self.0 >> codon & 1 == 1
    }
}

/// Which bases are candidates of which signals, by the five bases around them: one table for a genetic code.
pub struct LabelTables {
    /// Without and with transcript ends as candidates.
    rows: [Vec<[i8; 16]>; 2],
    starts: StartCodons,
    stops: u64,
}

impl LabelTables {
    pub fn new(code: &GeneticCode, starts: StartCodons) -> Self {
        let stops = (0..64u8).filter(|&codon| code.is_stop_index(codon)).fold(0, |set, codon| set | 1u64 << codon);
        let mut tables = LabelTables { rows: [Vec::new(), Vec::new()], starts, stops };
        let contexts = (0..1024u32).map(|context| [8, 6, 4, 2, 0].map(|shift| (context >> shift & 3) as u8));
        tables.rows = [false, true].map(|utr| contexts.clone().map(|context| tables.row(context, utr)).collect());
        tables
    }

    /// The labels of a base that no transcript touches, from two bases before it to two after; 4 is an unknown base.
    fn row(&self, around: [u8; 5], utr: bool) -> [i8; 16] {
        let mut row = [NO_LOSS; 16];
        let (mirrored, strand_1) = (around.map(|base| if base < 4 { 3 - base } else { 4 }), SIGNALS);
        let [e, d, c, b, a] = mirrored;
        for (strand, [before_2, before, base, after, after_2]) in [(0, around), (strand_1, [a, b, c, d, e])] {
            let codon = |a: u8, b: u8, c: u8| ((a | b | c) < 4).then(|| 16 * a + 4 * b + c);
            let mut candidate = |kind: Kind, is: bool| {
                if is {
                    row[strand + kind as usize] = 0;
                }
            };
            candidate(Kind::Tss, utr);
            candidate(Kind::Tts, utr);
            candidate(Kind::Start, codon(base, after, after_2).is_some_and(|codon| self.starts.contains(codon)));
            candidate(Kind::Stop, codon(before_2, before, base).is_some_and(|codon| self.stops >> codon & 1 == 1));
            candidate(Kind::Donor, base == 2 && (after == 3 || after == 1));
            candidate(Kind::Acceptor, before == 0 && base == 2);
        }
        row
    }

    /// All candidates of the window as false, everything else without loss.
    fn candidates(&self, bases: &[u8], utr: bool, signals: &mut [i8]) {
        let length = bases.len();
        let rows = &self.rows[usize::from(utr)];
        let slow = |at: usize| {
            let around = [-2isize, -1, 0, 1, 2];
            self.row(
                around.map(|step| at.checked_add_signed(step).and_then(|i| bases.get(i)).copied().unwrap_or(4)),
                utr,
            )
        };
        // Rolling context of ten bits; `known` counts the A, C, G, T read in a row.
        let (mut context, mut known) = (0usize, 0u32);
        for (at, row) in signals.chunks_exact_mut(ROW).enumerate() {
            if at == 0 {
                for &base in bases.iter().take(2) {
                    context = context << 2 | usize::from(base & 3);
                    known = if base < 4 { known + 1 } else { 0 };
                }
            }
            let labels = if at + 2 < length {
                let base = bases[at + 2];
                context = (context << 2 | usize::from(base & 3)) & 1023;
                known = if base < 4 { known + 1 } else { 0 };
                if known >= 5 { rows[context] } else { slow(at) }
            } else {
                slow(at)
            };
            row.copy_from_slice(&labels[..ROW]);
        }
    }
}

/// Writes the labels of a window from its sentence.
///
/// `bases` are 0 1 2 3 for A C G T and 4 for anything else; `class_labels` is [bases, 2], `signal_labels` [bases, 2, 6], both
/// written whole. `ignore` are `[start, end)` of the window.
///
/// # Errors
/// A sentence that `validate` refuses, arrays of the wrong size, intervals outside the window.
pub fn base_labels(
    sentence: &[u32],
    bases: &[u8],
    vocabulary: &Vocabulary,
    tables: &LabelTables,
    ignore: &[(u32, u32)],
    class_labels: &mut [i8],
    signal_labels: &mut [i8],
) -> Result<()> {
    let length = u32::try_from(bases.len()).map_err(|_| Error::input("a window of more than 4 Gbp"))?;
    let genes = decode(sentence, length, vocabulary)?;
    labels_of_genes(&genes, bases, tables, ignore, class_labels, signal_labels)
}

/// [`base_labels`] of a sentence that has been read already.
pub fn labels_of_genes(
    genes: &WindowGenes,
    bases: &[u8],
    tables: &LabelTables,
    ignore: &[(u32, u32)],
    class_labels: &mut [i8],
    signal_labels: &mut [i8],
) -> Result<()> {
    let length = bases.len();
    if class_labels.len() != 2 * length || signal_labels.len() != ROW * length || genes.length as usize != length {
        return Err(Error::input(format!(
            "labels of {length} bases need 2 and 12 values a base, not {} and {} in all, and genes of a window of that \
             length, not {}",
            class_labels.len(),
            signal_labels.len(),
            genes.length
        )));
    }
    if let Some(&(start, end)) = ignore.iter().find(|&&(start, end)| start > end || end as usize > length) {
        return Err(Error::input(format!("ignore interval {start}..{end} lies outside a window of {length} bp")));
    }

    class_labels.fill(INTERGENIC);
    tables.candidates(bases, genes.policy.utr, signal_labels);
    let mut painter = Painter { length: genes.length, classes: class_labels, signals: signal_labels };
    painter.genes(genes)?;
    for &(start, end) in ignore {
        class_labels[2 * start as usize..2 * end as usize].fill(NO_LOSS);
        signal_labels[ROW * start as usize..ROW * end as usize].fill(NO_LOSS);
    }
    Ok(())
}

struct Painter<'a> {
    length: u32,
    classes: &'a mut [i8],
    signals: &'a mut [i8],
}

/// CDS over UTR over intron over intergenic.
fn priority(class: i8) -> u8 {
    match class {
        INTERGENIC => 0,
        INTRON => 1,
        UTR => 2,
        _ => 3,
    }
}

impl Painter<'_> {
    fn genes(&mut self, genes: &WindowGenes) -> Result<()> {
        let mut transcripts = Vec::new();
        for gene in &genes.genes {
            let strand = usize::from(gene.strand == Strand::Reverse);
            for (index, transcript) in gene.transcripts.iter().enumerate() {
                transcripts.push((strand, index == 0, transcript, transcript.segments(gene.strand, self.length)?));
            }
        }
        let coding = || transcripts.iter().filter(|(_, _, transcript, _)| transcript.is_coding());
        for (strand, _, _, segments) in coding().filter(|(_, canonical, _, _)| *canonical) {
            self.canonical(*strand, segments);
        }
        for (strand, _, _, segments) in coding().filter(|(_, canonical, _, _)| !*canonical) {
            self.isoform(*strand, segments);
        }
        // What any transcript shows is true; only then is what others leave open no false candidate.
        for (strand, _, transcript, segments) in coding() {
            self.true_signals(*strand, transcript, segments);
        }
        for (strand, _, transcript, _) in &transcripts {
            self.unknown_signals(*strand, transcript);
        }
        Ok(())
    }

    /// The class of a stretch, in window coordinates.
    fn class(&self, strand: usize, segment: Segment) -> i8 {
        match segment.state {
            State::Cds(position) => {
                let position = u32::from(position);
                // The leftmost base of the codon that the stretch's first base in transcript direction belongs to.
                let frame = match strand {
                    0 => segment.start + 3 - position,
                    _ => segment.end - 1 + 3 - (2 - position),
                };
                CDS + (frame % 3) as i8
            }
            state if state.is_intron() => INTRON,
            _ => UTR,
        }
    }

    fn canonical(&mut self, strand: usize, segments: &[Segment]) {
        for &segment in segments {
            let class = self.class(strand, segment);
            let above = priority(class);
            for base in segment.start as usize..segment.end as usize {
                let label = &mut self.classes[2 * base + strand];
                match above.cmp(&priority(*label)) {
                    std::cmp::Ordering::Greater => *label = class,
                    std::cmp::Ordering::Equal if *label != class => *label = NO_LOSS,
                    _ => {}
                }
            }
        }
    }

    fn isoform(&mut self, strand: usize, segments: &[Segment]) {
        for &segment in segments {
            let class = self.class(strand, segment);
            let above = priority(class);
            for base in segment.start as usize..segment.end as usize {
                let label = &mut self.classes[2 * base + strand];
                if *label != class && above >= priority(*label) {
                    *label = NO_LOSS;
                }
            }
        }
    }

    /// The base just inside a boundary.
    fn base_of(&self, strand: usize, kind: Kind, position: u32) -> Option<usize> {
        let opens = matches!(kind, Kind::Tss | Kind::Start | Kind::Donor);
        let base = if opens == (strand == 0) { Some(position) } else { position.checked_sub(1) };
        base.filter(|&base| base < self.length).map(|base| base as usize)
    }

    fn signal(&mut self, base: usize, strand: usize, kind: Kind) -> &mut i8 {
        &mut self.signals[ROW * base + SIGNALS * strand + kind as usize]
    }

    fn true_signals(&mut self, strand: usize, transcript: &WindowTranscript, segments: &[Segment]) {
        for signal in &transcript.signals {
            let Some(base) = self.base_of(strand, signal.kind, signal.position) else { continue };
            if matches!(signal.kind, Kind::Start | Kind::Stop) {
                // A codon that an intron splits is no candidate, whatever bases lie beside it.
                let mut parts = segments.iter().filter(|segment| matches!(segment.state, State::Cds(_)));
                let part = parts.find(|segment| (segment.start..segment.end).contains(&(base as u32)));
                if part.is_none_or(|part| part.end - part.start < 3) {
                    continue;
                }
            }
            let label = self.signal(base, strand, signal.kind);
            if *label == 0 {
                *label = 1;
            }
        }
    }

    /// Signals of the transcript that are not true by now are not false either: those of non-coding transcripts and
    /// split codons; the tss (tts) of a transcript without UTR; what lies at an edge beyond which it goes on.
    fn unknown_signals(&mut self, strand: usize, transcript: &WindowTranscript) {
        for signal in &transcript.signals {
            self.unknown(strand, signal.kind, signal.position);
        }
        let (first, last) = (transcript.signals.first(), transcript.signals.last());
        for (cut, edge, end) in [(transcript.left, 0, first), (transcript.right, self.length, last)] {
            if cut.is_some() {
                for kind in Kind::ALL {
                    self.unknown(strand, kind, edge);
                }
            } else if let Some(end) = end {
                match end.kind {
                    Kind::Start => self.unknown(strand, Kind::Tss, end.position),
                    Kind::Stop => self.unknown(strand, Kind::Tts, end.position),
                    _ => {}
                }
            }
        }
    }

    fn unknown(&mut self, strand: usize, kind: Kind, position: u32) {
        if let Some(base) = self.base_of(strand, kind, position) {
            let label = self.signal(base, strand, kind);
            if *label == 0 {
                *label = NO_LOSS;
            }
        }
    }
}

#[cfg(test)]
mod tests;
