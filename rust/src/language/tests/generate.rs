//! Random gene models for property tests, and what they mean base by base, told without any of the crate's code.

use proptest::prelude::*;

use super::super::clip::{Window, clip};
use super::super::model::{Policy, State, WindowGenes, opposite};
use super::super::prepare::{OpenEnds, PreparedGene, PreparedTranscript, Telling, lay_out};
use super::{gene, transcript};
use crate::gene::{Gene, Interval, Strand, Transcript};

/// A sequence of which only the length matters, and genes on it whose reading frames are taken as valid.
#[derive(Debug, Clone)]
pub(crate) struct Scene {
    pub length: u64,
    pub circular: bool,
    pub genes: Vec<(Gene, Vec<OpenEnds>)>,
    pub policy: Policy,
    pub window: Window,
}

#[derive(Debug, Clone)]
struct TranscriptPlan {
    exons: Vec<u64>,
    introns: Vec<u64>,
    coding: Option<(u64, u64)>,
    /// 0: inside the sequence; 1, 2: open at its left, right end.
    flush: u8,
    /// How far the open end lies from the sequence's, 0 to 2 bp.
    gap: u64,
    phase: u8,
}

fn plan() -> impl Strategy<Value = TranscriptPlan> {
    let lengths = (prop::collection::vec(1u64..12, 1..5), prop::collection::vec(1u64..9, 4));
    let coding = prop_oneof![3 => (0u64..40, 1u64..12).prop_map(Some), 1 => Just(None)];
    let flush = prop_oneof![4 => Just(0u8), 1 => 1u8..3];
    (lengths, coding, flush, 0u64..3, 0u8..3).prop_map(|((exons, introns), coding, flush, gap, phase)| TranscriptPlan {
        exons,
        introns,
        coding,
        flush,
        gap,
        phase,
    })
}

/// Exons from left to right as planned, within a sequence of `length`; where open, with the ends that are.
fn build(plan: &TranscriptPlan, at: u64, strand: Strand, length: u64, circular: bool) -> (Transcript, OpenEnds) {
    let mut parts: Vec<(u64, u64)> = Vec::new();
    let mut position = 0;
    for (&exon, &intron) in plan.exons.iter().zip(&plan.introns) {
        if position + exon > length.saturating_sub(4) {
            break;
        }
        parts.push((position, position + exon));
        position += exon + intron;
    }
    if parts.is_empty() {
        parts.push((0, 1));
    }
    let total = parts[parts.len() - 1].1;
    let flush = if circular { 0 } else { plan.flush };
    let start = match flush {
        1 => plan.gap,
        2 => length - plan.gap - total,
        _ if circular => at % length,
        _ => at % (length - total + 1),
    };
    let exons: Vec<(u64, u64)> = parts.iter().map(|&(a, b)| (a + start, b + start)).collect();
    let (left_open, right_open) = (flush == 1, flush == 2);
    let open = if strand == Strand::Reverse {
        OpenEnds { five: right_open, three: left_open }
    } else {
        OpenEnds { five: left_open, three: right_open }
    };

    let positions: Vec<u64> = exons.iter().flat_map(|&(a, b)| a..b).collect();
    let bases = positions.len() as u64;
    let phase = if open.five { u64::from(plan.phase) } else { 0 };
    let cds = plan.coding.and_then(|(offset, codons)| {
        // An open CDS begins (ends) with the transcript; a complete one has whole codons.
        let offset = if left_open { 0 } else { offset % bases };
        let room = bases - offset;
        let whole = if right_open {
            room
        } else if open.three {
            (codons * 3 - u64::from(plan.phase)).min(room)
        } else {
            let least = if open.five { phase + 3 } else { 3 };
            if room < least {
                return None;
            }
            phase + 3 * codons.min((room - phase) / 3)
        };
        let (offset, whole) = match (right_open, open.five) {
            // The right end is the 5' end: whole codons but for the phase, counted from there.
            (true, true) if room >= phase + 3 => {
                let keep = phase + (room - phase) / 3 * 3;
                (bases - keep, keep)
            }
            (true, true) => return None,
            _ => (offset, whole),
        };
        (whole >= 1).then(|| positions[offset as usize..(offset + whole) as usize].to_vec())
    });
    let cds = cds.unwrap_or_default();
    let cds_parts: Vec<(u64, u64)> = exons
        .iter()
        .filter_map(|&(a, b)| {
            let inside: Vec<u64> = cds.iter().copied().filter(|p| (a..b).contains(p)).collect();
            inside.first().map(|&first| (first, inside[inside.len() - 1] + 1))
        })
        .collect();
    let mut built = transcript(&exons, &cds_parts);
    built.cds_phase = if built.cds.is_empty() { 0 } else { phase as u8 };
    built.partial_5 = open.five;
    built.partial_3 = open.three;
    (built, open)
}

pub(crate) fn scene() -> impl Strategy<Value = Scene> {
    let genes = prop::collection::vec((0u64..200, any::<bool>(), prop::collection::vec(plan(), 1..4)), 1..5);
    let window = (0u64..200, 1u32..120, any::<bool>());
    (20u64..120, any::<bool>(), genes, window, any::<bool>(), any::<bool>()).prop_map(
        |(length, circular, plans, (start, window_length, reverse), utr, noncoding)| {
            let genes = plans
                .iter()
                .map(|(at, backwards, plans)| {
                    let strand = if *backwards { Strand::Reverse } else { Strand::Forward };
                    let built = plans.iter().map(|plan| build(plan, *at, strand, length, circular));
                    let (transcripts, open): (Vec<_>, Vec<_>) = built.unzip();
                    (gene(strand, transcripts), open)
                })
                .collect();
            let start = start % length;
            let room = if circular { length } else { length - start };
            let window_length = (u64::from(window_length) % room + 1) as u32;
            let window = Window { start, length: window_length, reverse };
            Scene { length, circular, genes, policy: Policy { utr, noncoding }, window }
        },
    )
}

impl Scene {
    /// Prepared without a look at the sequence.
    pub fn prepared(&self) -> Vec<PreparedGene> {
        self.genes.iter().map(|(gene, open)| prepare(gene, open, self.length, self.policy)).collect()
    }

    pub fn clipped(&self, window: Window) -> WindowGenes {
        clip(&self.prepared(), window, self.length, self.circular, self.policy, usize::MAX).genes
    }

    /// The same genes on the reverse complement of the sequence.
    pub fn mirror(&self) -> Scene {
        let length = self.length;
        let turn = |part: &Interval| (2 * length - part.end, 2 * length - part.start);
        let genes = self
            .genes
            .iter()
            .map(|(gene, open)| {
                let mut gene = gene.clone();
                gene.strand = opposite(gene.strand);
                let base = if turn(&gene.span).0 >= length { length } else { 0 };
                for transcript in &mut gene.transcripts {
                    let place = |parts: &[Interval]| -> Vec<Interval> {
                        let turned = parts.iter().rev().map(turn);
                        turned.map(|(start, end)| Interval::new(start - base, end - base)).collect()
                    };
                    transcript.exons = place(&transcript.exons);
                    transcript.cds = place(&transcript.cds);
                }
                let starts = gene.transcripts.iter().map(|t| t.exons[0].start);
                let ends = gene.transcripts.iter().map(|t| t.exons[t.exons.len() - 1].end);
                gene.span = Interval::new(starts.min().unwrap(), ends.max().unwrap());
                (gene, open.clone())
            })
            .collect();
        let (start, window_length) = (self.window.start, u64::from(self.window.length));
        let start = (2 * length - start - window_length) % length;
        Scene { genes, window: Window { start, ..self.window }, ..self.clone() }
    }
}

pub(crate) fn prepare(gene: &Gene, open: &[OpenEnds], length: u64, policy: Policy) -> PreparedGene {
    let coding = gene.transcripts.iter().any(|transcript| !transcript.cds.is_empty());
    let said: Vec<_> = gene
        .transcripts
        .iter()
        .zip(open)
        .enumerate()
        .filter(|(_, (transcript, _))| policy.noncoding || !transcript.cds.is_empty())
        .map(|(index, (transcript, &open))| {
            let (pieces, open_5, open_3) = lay_out(transcript, gene.strand, open, length, policy.utr);
            PreparedTranscript { index, biotype: transcript.biotype.as_str().into(), pieces, open_5, open_3 }
        })
        .collect();
    let telling = if !coding && !policy.noncoding { Telling::Unannotated } else { Telling::Said(said) };
    PreparedGene::with(gene.span, gene.strand, telling, Vec::new())
}

/// The state of every base of a transcript, by its position in the sequence (past the end on a circular one), and
/// whether it goes on to the left and to the right of them.
pub(crate) struct BaseByBase {
    pub states: Vec<(u64, State)>,
    pub open_left: bool,
    pub open_right: bool,
}

/// The definition of the states, base by base.
pub(crate) fn base_by_base(
    transcript: &Transcript,
    strand: Strand,
    open: OpenEnds,
    length: u64,
    utr: bool,
) -> Option<BaseByBase> {
    let in_direction = |parts: &[Interval]| -> Vec<u64> {
        let mut bases: Vec<u64> = parts.iter().flat_map(|part| part.start..part.end).collect();
        if strand == Strand::Reverse {
            bases.reverse();
        }
        bases
    };
    let (mut exonic, mut cds) = (in_direction(&transcript.exons), in_direction(&transcript.cds));
    let coding = !cds.is_empty();
    let (whole_first, whole_last) = (exonic[0], exonic[exonic.len() - 1]);
    let first_whole = cds.get(usize::from(transcript.cds_phase)).copied();
    if coding && !utr {
        exonic = cds.clone();
    }
    let (mut five, mut three) = (open.five, open.three);
    let (first, last) = if strand == Strand::Reverse { (length - 1, 0) } else { (0, length - 1) };
    // Reach to the end of the sequence.
    let between = |from: u64, to: u64| -> Vec<u64> {
        if from <= to { (from..=to).collect() } else { (to..=from).rev().collect() }
    };
    if five {
        if coding && cds[0] == whole_first {
            let before: Vec<u64> = between(first, cds[0]);
            cds.splice(0..1, before);
        }
        five = exonic[0] == whole_first || cds.first() == Some(&first);
        if five {
            exonic.splice(0..1, between(first, exonic[0]));
        }
    }
    if three {
        let end = cds.len().saturating_sub(1);
        if coding && cds[end] == whole_last {
            cds.splice(end.., between(cds[end], last));
        }
        let end = exonic.len() - 1;
        three = exonic[end] == whole_last || cds.last() == Some(&last);
        if three {
            exonic.splice(end.., between(exonic[end], last));
        }
    }
    // Codons count from the first whole one; where the CDS is shorter than its phase, from behind it.
    let whole = first_whole.map(|base| cds.iter().position(|&p| p == base).unwrap() as i64);
    let zero = whole.unwrap_or(
        i64::from(transcript.cds_phase)
            + if coding { cds.iter().position(|&p| p == in_direction(&transcript.cds)[0]).unwrap() as i64 } else { 0 },
    );

    let mut states = Vec::new();
    for base in between(exonic[0], exonic[exonic.len() - 1]) {
        let is_exonic = exonic.contains(&base);
        let before = |p: u64| if strand == Strand::Reverse { p > base } else { p < base };
        let done = cds.iter().filter(|&&p| before(p)).count();
        let position = (done as i64 - zero).rem_euclid(3) as u8;
        let state = match (is_exonic, coding) {
            (true, false) => State::Exon,
            (false, false) => State::IntronN,
            (true, true) if cds.contains(&base) => State::Cds(position),
            (true, true) if done == 0 => State::Utr5,
            (true, true) => State::Utr3,
            (false, true) if done == 0 => State::Intron5,
            (false, true) if done == cds.len() => State::Intron3,
            (false, true) => State::Intron(position),
        };
        states.push((base, state));
    }
    let (open_left, open_right) = if strand == Strand::Reverse { (three, five) } else { (five, three) };
    if strand == Strand::Reverse {
        states.reverse();
    }
    Some(BaseByBase { states, open_left, open_right })
}
