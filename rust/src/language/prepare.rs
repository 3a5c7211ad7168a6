//! Which genes the language can say. A gene that it cannot say, or that training should not learn from, becomes an
//! ignore interval with a reason; the others become paths of states that windows then cut.

use std::fmt;
use std::sync::Arc;

use super::model::{Policy, State};
use crate::dna::{GeneticCode, base_code, codon_index};
use crate::gene::{Gene, Interval, Strand, Transcript};

/// An open end within that many bp of a linear sequence's end counts as being at the end.
pub const END_TOLERANCE: u64 = 2;

/// Why a gene or a transcript is not said. Names are stable: reports count by them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reason {
    Pseudogene,
    MobileElement,
    StrandUnknown,
    TransSplicing,
    Slippage,
    Selenoprotein,
    PartialInside,
    NoStartCodon,
    NoStopCodon,
    InternalStop,
    LengthNotMultipleOf3,
    MissingCds,
    CdsOutsideExons,
    ExonsOverlap,
    OutsideSequence,
    TooLong,
}

impl Reason {
    pub const ALL: [Reason; 16] = [
        Reason::Pseudogene,
        Reason::MobileElement,
        Reason::StrandUnknown,
        Reason::TransSplicing,
        Reason::Slippage,
        Reason::Selenoprotein,
        Reason::PartialInside,
        Reason::NoStartCodon,
        Reason::NoStopCodon,
        Reason::InternalStop,
        Reason::LengthNotMultipleOf3,
        Reason::MissingCds,
        Reason::CdsOutsideExons,
        Reason::ExonsOverlap,
        Reason::OutsideSequence,
        Reason::TooLong,
    ];

    /// The name that reports use.
    pub fn name(self) -> &'static str {
        match self {
            Reason::Pseudogene => "pseudogene",
            Reason::MobileElement => "mobile_element",
            Reason::StrandUnknown => "strand_unknown",
            Reason::TransSplicing => "trans_splicing",
            Reason::Slippage => "slippage",
            Reason::Selenoprotein => "selenoprotein",
            Reason::PartialInside => "partial_inside",
            Reason::NoStartCodon => "no_start_codon",
            Reason::NoStopCodon => "no_stop_codon",
            Reason::InternalStop => "internal_stop",
            Reason::LengthNotMultipleOf3 => "length_not_multiple_of_3",
            Reason::MissingCds => "missing_cds",
            Reason::CdsOutsideExons => "cds_outside_exons",
            Reason::ExonsOverlap => "exons_overlap",
            Reason::OutsideSequence => "outside_sequence",
            Reason::TooLong => "too_long",
        }
    }

    /// What the name means, for people.
    pub fn explanation(self) -> &'static str {
        match self {
            Reason::Pseudogene => "a pseudogene",
            Reason::MobileElement => "a mobile element",
            Reason::StrandUnknown => "its strand is unknown",
            Reason::TransSplicing => "its parts are trans-spliced",
            Reason::Slippage => "a programmed frameshift: CDS parts overlap, or leave a gap of 1 or 2 bases",
            Reason::Selenoprotein => "a stop codon inside its CDS stands for selenocysteine",
            Reason::PartialInside => "an end is missing in the middle of the sequence",
            Reason::NoStartCodon => "its CDS does not begin with a start codon of the genetic code",
            Reason::NoStopCodon => "its CDS does not end with a stop codon of the genetic code",
            Reason::InternalStop => "a stop codon inside its CDS",
            Reason::LengthNotMultipleOf3 => "the length of its CDS is no multiple of 3",
            Reason::MissingCds => "called protein coding, but without CDS",
            Reason::CdsOutsideExons => "its CDS does not fit its exons",
            Reason::ExonsOverlap => "exons of one transcript touch, overlap or are empty",
            Reason::OutsideSequence => "it reaches past the end of the sequence",
            Reason::TooLong => "its sentence is longer than the label budget",
        }
    }

    /// Whether a sentence would have to mention the gene, so that it cannot be learned from there on. A pseudogene or
    /// a mobile element is no gene to be said; only evidence is ignored there.
    pub fn masks_sentence(self) -> bool {
        !matches!(self, Reason::Pseudogene | Reason::MobileElement)
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

/// The sequence that genes lie on.
#[derive(Debug, Clone, Copy)]
pub struct SequenceContext<'a> {
    /// The whole sequence, in either case.
    pub bases: &'a [u8],
    pub circular: bool,
    pub code: &'a GeneticCode,
}

/// A stretch of one state in transcript orientation: positions grow from 5' to 3', on the reverse strand they are
/// the negated positions of the sequence. `State::Cds` names the codon position of the stretch's first base.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Piece {
    pub start: i64,
    pub end: i64,
    pub state: State,
}

/// A transcript that the language can say.
#[derive(Debug, Clone, PartialEq)]
pub struct PreparedTranscript {
    /// Index into the gene's transcripts.
    pub index: usize,
    pub(super) biotype: Arc<str>,
    pub(super) pieces: Vec<Piece>,
    /// The 5' (3') end lies beyond the end of the sequence.
    pub(super) open_5: bool,
    pub(super) open_3: bool,
}

/// What becomes of a gene in sentences.
#[derive(Debug, Clone, PartialEq)]
pub enum Telling {
    /// By these transcripts, the most canonical first.
    Said(Vec<PreparedTranscript>),
    /// By none: its span takes no loss.
    Ignored(Reason),
    /// The policy does not annotate it (a non-coding gene under `<CODING>`).
    Unannotated,
}

/// A gene made ready to be cut into windows.
#[derive(Debug, Clone, PartialEq)]
pub struct PreparedGene {
    /// The gene's span and all of its transcripts.
    pub span: Interval,
    pub strand: Strand,
    pub telling: Telling,
    /// Transcripts that are not said although others of the gene are: index and reason.
    pub dropped: Vec<(usize, Reason)>,
}

impl PreparedGene {
    pub fn new(gene: &Gene, sequence: &SequenceContext<'_>, policy: Policy) -> Self {
        let span = gene
            .transcripts
            .iter()
            .flat_map(|transcript| transcript.exons.iter().chain(&transcript.cds))
            .fold(gene.span, |span, part| Interval { start: span.start.min(part.start), end: span.end.max(part.end) });
        let mut dropped = Vec::new();
        let telling = tell(gene, span, sequence, policy, &mut dropped);
        Self::with(span, gene.strand, telling, dropped)
    }

    /// Where an end is open, the gene reaches to the end of the sequence.
    pub(super) fn with(span: Interval, strand: Strand, telling: Telling, dropped: Vec<(usize, Reason)>) -> Self {
        let mut span = span;
        if let Telling::Said(transcripts) = &telling {
            for piece in transcripts.iter().flat_map(|transcript| &transcript.pieces) {
                let (start, end) = match strand {
                    Strand::Reverse => (-piece.end, -piece.start),
                    _ => (piece.start, piece.end),
                };
                span = Interval { start: span.start.min(start as u64), end: span.end.max(end as u64) };
            }
        }
        PreparedGene { span, strand, telling, dropped }
    }

    /// The reason why the gene is not said, if it is ignored.
    pub fn reason(&self) -> Option<Reason> {
        match self.telling {
            Telling::Ignored(reason) => Some(reason),
            _ => None,
        }
    }

    pub fn is_said(&self) -> bool {
        matches!(self.telling, Telling::Said(_))
    }
}

fn tell(
    gene: &Gene,
    span: Interval,
    sequence: &SequenceContext<'_>,
    policy: Policy,
    dropped: &mut Vec<(usize, Reason)>,
) -> Telling {
    let coding = gene.transcripts.iter().any(|transcript| !transcript.cds.is_empty());
    if let Err(reason) = sayable_gene(gene, span, sequence) {
        return Telling::Ignored(reason);
    }
    if !coding && gene.biotype == "protein_coding" {
        return Telling::Ignored(Reason::MissingCds);
    }
    if !coding && !policy.noncoding {
        return Telling::Unannotated;
    }
    let mut said = Vec::new();
    for (index, transcript) in gene.transcripts.iter().enumerate() {
        if transcript.cds.is_empty() && !policy.noncoding {
            continue;
        }
        match sayable(gene, transcript, sequence) {
            Ok(ends) => {
                let (pieces, open_5, open_3) =
                    lay_out(transcript, gene.strand, ends, sequence.bases.len() as u64, policy.utr);
                said.push(PreparedTranscript {
                    index,
                    biotype: transcript.biotype.as_str().into(),
                    pieces,
                    open_5,
                    open_3,
                });
            }
            Err(reason) => dropped.push((index, reason)),
        }
    }
    // A gene whose coding transcripts are all at fault is not its non-coding isoforms.
    if coding && said.iter().all(|transcript| gene.transcripts[transcript.index].cds.is_empty()) {
        said.clear();
    }
    if said.is_empty() {
        let coding_first = dropped.iter().find(|(index, _)| gene.transcripts[*index].cds.is_empty() != coding);
        let reason = coding_first.map_or(Reason::MissingCds, |&(_, reason)| reason);
        dropped.clear();
        return Telling::Ignored(reason);
    }
    Telling::Said(said)
}

fn sayable_gene(gene: &Gene, span: Interval, sequence: &SequenceContext<'_>) -> Result<(), Reason> {
    let length = sequence.bases.len() as u64;
    let flags = gene.flags;
    if flags.pseudogene {
        Err(Reason::Pseudogene)
    } else if flags.mobile_element {
        Err(Reason::MobileElement)
    } else if flags.trans_splicing {
        Err(Reason::TransSplicing)
    } else if gene.strand == Strand::Unknown {
        Err(Reason::StrandUnknown)
    } else if span.end > length && !(sequence.circular && span.start < length && span.end - span.start <= length) {
        Err(Reason::OutsideSequence)
    } else if gene.transcripts.is_empty() {
        Err(Reason::MissingCds)
    } else {
        Ok(())
    }
}

/// Ends of a transcript that lie beyond the end of its sequence.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct OpenEnds {
    pub five: bool,
    pub three: bool,
}

/// Whether the language can say a transcript, and which of its ends are open at the sequence's ends. The reading frame
/// of a coding transcript must be valid in the genetic code: start codon, length, no stop codon inside, stop codon.
///
/// An end that the source calls partial, but that has its start (stop) codon, is complete unless it is at the
/// sequence's end: NCBI calls the transcript of a complete CDS partial where its UTR is unknown. A CDS without start
/// (stop) codon at the sequence's end is open, whether the source says so or not.
pub fn sayable(gene: &Gene, transcript: &Transcript, sequence: &SequenceContext<'_>) -> Result<OpenEnds, Reason> {
    for flags in [gene.flags, transcript.flags] {
        if flags.pseudogene {
            return Err(Reason::Pseudogene);
        }
        if flags.mobile_element {
            return Err(Reason::MobileElement);
        }
        if flags.trans_splicing {
            return Err(Reason::TransSplicing);
        }
    }
    if gene.strand == Strand::Unknown {
        return Err(Reason::StrandUnknown);
    }
    let exons = &transcript.exons;
    if exons.is_empty() || exons.iter().any(|exon| exon.start >= exon.end) {
        return Err(Reason::ExonsOverlap);
    }
    if transcript.cds.iter().any(|part| part.start >= part.end) {
        return Err(Reason::CdsOutsideExons);
    }
    let length = sequence.bases.len() as u64;
    let end = exons.iter().chain(&transcript.cds).map(|part| part.end).max().unwrap_or(0);
    if end > length && !(sequence.circular && exons[0].start < length && end - exons[0].start.min(end) <= length) {
        return Err(Reason::OutsideSequence);
    }
    let slips = transcript.cds.windows(2).any(|pair| pair[1].start < pair[0].end + 3);
    // A gene's own flag says so of any of its transcripts.
    if transcript.flags.slippage || slips {
        return Err(Reason::Slippage);
    }
    if exons.windows(2).any(|pair| pair[1].start <= pair[0].end) {
        return Err(Reason::ExonsOverlap);
    }
    let end = exons[exons.len() - 1].end;
    let near_start = |position: u64| !sequence.circular && position <= END_TOLERANCE;
    let near_end = |position: u64| !sequence.circular && position + END_TOLERANCE >= length;
    let at_end = |left: u64, right: u64| match gene.strand {
        Strand::Reverse => OpenEnds { five: near_end(right), three: near_start(left) },
        _ => OpenEnds { five: near_start(left), three: near_end(right) },
    };

    if transcript.cds.is_empty() {
        let at = at_end(exons[0].start, end);
        if (transcript.partial_5 && !at.five) || (transcript.partial_3 && !at.three) {
            return Err(Reason::PartialInside);
        }
        return Ok(OpenEnds { five: transcript.partial_5, three: transcript.partial_3 });
    }

    let cds = &transcript.cds;
    let (left, right) = (cds[0].start, cds[cds.len() - 1].end);
    let within = exons.iter().filter_map(|exon| {
        let (start, end) = (exon.start.max(left), exon.end.min(right));
        (start < end).then_some(Interval { start, end })
    });
    if !within.eq(cds.iter().copied()) {
        return Err(Reason::CdsOutsideExons);
    }

    let spliced = spliced_cds(cds, gene.strand, sequence.bases);
    let phase = usize::from(transcript.cds_phase);
    let codons = spliced.get(phase..).unwrap_or_default();
    let has_start = phase == 0 && codon(codons, 0).is_some_and(|codon| sequence.code.is_start_index(codon));
    let whole = codons.len() % 3 == 0;
    let last = (codons.len() / 3).wrapping_sub(1);
    let has_stop = whole && codon(codons, last).is_some_and(|codon| sequence.code.is_stop_index(codon));
    // A CDS is open where it ends with its transcript at the sequence's end.
    let (at, ends) = (at_end(left, right), at_end(exons[0].start, end));
    let (no_left, no_right) = (left == exons[0].start, right == end);
    let without_utr = match gene.strand {
        Strand::Reverse => OpenEnds { five: no_right, three: no_left },
        _ => OpenEnds { five: no_left, three: no_right },
    };
    let open = OpenEnds {
        five: at.five && without_utr.five && (transcript.partial_5 || !has_start),
        three: at.three && without_utr.three && (transcript.partial_3 || !has_stop),
    };
    if !open.five && !has_start {
        return Err(if transcript.partial_5 { Reason::PartialInside } else { Reason::NoStartCodon });
    }
    if !open.three && !has_stop {
        return Err(match (transcript.partial_3, whole) {
            (true, _) => Reason::PartialInside,
            (false, false) => Reason::LengthNotMultipleOf3,
            (false, true) => Reason::NoStopCodon,
        });
    }
    let inside = if has_stop { last } else { codons.len() / 3 };
    let stops = |index| codon(codons, index).is_some_and(|codon| sequence.code.amino_acids[usize::from(codon)] == b'*');
    if (0..inside).any(stops) {
        let selenoprotein = transcript.flags.selenoprotein || gene.flags.selenoprotein;
        return Err(if selenoprotein { Reason::Selenoprotein } else { Reason::InternalStop });
    }
    // Where a UTR follows, it is the UTR that is open.
    Ok(OpenEnds {
        five: open.five || (transcript.partial_5 && ends.five && !without_utr.five),
        three: open.three || (transcript.partial_3 && ends.three && !without_utr.three),
    })
}

/// Index of the codon at `3 * index`, `None` past the end or where a base is ambiguous.
fn codon(bases: &[u8], index: usize) -> Option<u8> {
    let start = index.checked_mul(3)?;
    codon_index(bases.get(start..start.checked_add(3)?)?)
}

/// The bases of a CDS in transcript direction, as letters; positions past the end wrap around.
fn spliced_cds(cds: &[Interval], strand: Strand, sequence: &[u8]) -> Vec<u8> {
    let length = sequence.len() as u64;
    let mut spliced = Vec::with_capacity(cds.iter().map(|part| part.len() as usize).sum());
    for part in cds {
        let split = part.end.min(length);
        if part.start < split {
            spliced.extend_from_slice(&sequence[part.start as usize..split as usize]);
        }
        if part.end > length {
            let start = part.start.max(length) - length;
            spliced.extend_from_slice(&sequence[start as usize..(part.end - length) as usize]);
        }
    }
    if strand == Strand::Reverse {
        spliced.reverse();
        for base in &mut spliced {
            *base = match base_code(*base) {
                4 => b'N',
                code => b"TGCA"[usize::from(code)],
            };
        }
    }
    spliced
}

/// The stretches of a transcript in transcript orientation, reaching to the sequence's end where it is open, and
/// which ends of what is said are open. Without UTRs, a coding transcript is its CDS.
pub(super) fn lay_out(
    transcript: &Transcript,
    strand: Strand,
    open: OpenEnds,
    sequence_length: u64,
    utr: bool,
) -> (Vec<Piece>, bool, bool) {
    let oriented = |parts: &[Interval]| -> Vec<(i64, i64)> {
        if strand == Strand::Reverse {
            parts.iter().rev().map(|part| (-(part.end as i64), -(part.start as i64))).collect()
        } else {
            parts.iter().map(|part| (part.start as i64, part.end as i64)).collect()
        }
    };
    let (first, last) =
        if strand == Strand::Reverse { (-(sequence_length as i64), 0) } else { (0, sequence_length as i64) };
    let coding = !transcript.cds.is_empty();
    let cds = oriented(&transcript.cds);
    let whole = oriented(&transcript.exons);
    let (whole_start, whole_end) = (whole[0].0, whole[whole.len() - 1].1);
    let mut exons = if coding && !utr { cds.clone() } else { whole };
    let mut open = open;
    let (mut cds_start, mut cds_end) = if coding { (cds[0].0, cds[cds.len() - 1].1) } else { (i64::MAX, i64::MAX) };
    let mut position = if coding { (3 - i64::from(transcript.cds_phase)) % 3 } else { 0 };

    // Open ends reach to the end of the sequence: of the CDS where it ends with the transcript, else of the UTR.
    if open.five {
        if whole_start == cds_start {
            position = (position - (cds_start - first)).rem_euclid(3);
            cds_start = first;
        }
        open.five = exons[0].0 == whole_start;
        if open.five {
            exons[0].0 = first;
        }
    }
    if open.three {
        if whole_end == cds_end {
            cds_end = last;
        }
        let end = exons.len() - 1;
        open.three = exons[end].1 == whole_end;
        if open.three {
            exons[end].1 = last;
        }
    }

    let mut pieces: Vec<Piece> = Vec::with_capacity(2 * exons.len() + 2);
    let mut push = |start: i64, end: i64, state: State| {
        if start < end {
            pieces.push(Piece { start, end, state });
        }
    };
    for (index, &(start, end)) in exons.iter().enumerate() {
        if index > 0 {
            let before = exons[index - 1].1;
            let state = if !coding {
                State::IntronN
            } else if cds_start >= start {
                State::Intron5
            } else if cds_end <= before {
                State::Intron3
            } else {
                State::Intron(position as u8)
            };
            push(before, start, state);
        }
        if !coding {
            push(start, end, State::Exon);
            continue;
        }
        let (from, to) = (start.max(cds_start), end.min(cds_end));
        if from < to {
            push(start, from, State::Utr5);
            push(from, to, State::Cds(position as u8));
            push(to, end, State::Utr3);
            position = (position + to - from) % 3;
        } else if end <= cds_start {
            push(start, end, State::Utr5);
        } else {
            push(start, end, State::Utr3);
        }
    }
    (pieces, open.five, open.three)
}
