//! Windows into segments: DNA tokens, a sentence, and where no loss is taken.

use rustc_hash::FxHashMap;
use serde::Serialize;

use super::config::{Config, Isoforms};
use super::load::Loaded;
use super::tracks::Tracks;
use crate::dna::reverse_complement;
use crate::error::Result;
use crate::language::{self, ClippedWindow, IgnoredGene, PreparedGene, Reason, Telling, Vocabulary};
use crate::tokenizer::{Place, Scratch, Tokenizer};
use crate::windows::{Placed, SpanIndex};

/// A window of which more than this share takes no loss is left out.
const MOST_IGNORED: f64 = 0.9;

/// A window ready to be packed.
#[derive(Debug, Clone, PartialEq)]
pub struct Segment {
    pub window: Placed,
    pub tokens: Vec<u32>,
    /// The sentence.
    pub labels: Vec<u32>,
    /// Labels from this index on take no loss.
    pub masked_from: u32,
    /// Stretches of the window that take no loss of evidence, sorted and disjoint.
    pub ignored: Vec<(u32, u32)>,
    /// A byte a token, where tracks are asked for.
    pub tracks: Option<Vec<u8>>,
}

/// What became of the windows' content; adds up over windows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct SegmentCounts {
    pub segments: u64,
    pub bases: u64,
    pub tokens: u64,
    pub label_tokens: u64,
    pub label_tokens_masked: u64,
    pub sentences_masked: u64,
    pub bases_ignored: u64,
    /// Genes told, once for each window that tells them.
    pub genes_told: u64,
    pub genes_told_whole: u64,
    pub windows_mostly_ignored: u64,
    /// Isoforms left out because the sentence passed the label budget.
    pub isoforms_beyond_label_budget: u64,
    /// Genes left out for the same reason.
    pub genes_beyond_label_budget: u64,
    pub windows_with_hints: u64,
}

impl SegmentCounts {
    fn add(&mut self, other: &SegmentCounts) {
        self.segments += other.segments;
        self.bases += other.bases;
        self.tokens += other.tokens;
        self.label_tokens += other.label_tokens;
        self.label_tokens_masked += other.label_tokens_masked;
        self.sentences_masked += other.sentences_masked;
        self.bases_ignored += other.bases_ignored;
        self.genes_told += other.genes_told;
        self.genes_told_whole += other.genes_told_whole;
        self.windows_mostly_ignored += other.windows_mostly_ignored;
        self.isoforms_beyond_label_budget += other.isoforms_beyond_label_budget;
        self.genes_beyond_label_budget += other.genes_beyond_label_budget;
        self.windows_with_hints += other.windows_with_hints;
    }
}

impl std::iter::Sum for SegmentCounts {
    fn sum<I: Iterator<Item = Self>>(counts: I) -> Self {
        counts.fold(SegmentCounts::default(), |mut sum, next| {
            sum.add(&next);
            sum
        })
    }
}

impl std::ops::AddAssign for SegmentCounts {
    fn add_assign(&mut self, other: Self) {
        self.add(&other);
    }
}

/// The genes of one sequence, found by window.
pub struct SequenceGenes {
    prepared: Vec<PreparedGene>,
    index: SpanIndex,
}

impl SequenceGenes {
    pub fn new(prepared: Vec<PreparedGene>, length: u64, circular: bool) -> Self {
        let index = SpanIndex::new(prepared.iter().map(|gene| gene.span), length, circular);
        SequenceGenes { prepared, index }
    }

    pub fn prepared(&self) -> &[PreparedGene] {
        &self.prepared
    }
}

/// Makes segments of windows; shared by threads.
pub struct Maker<'a> {
    pub config: &'a Config,
    pub species: &'a Loaded,
    pub genes: &'a [SequenceGenes],
    pub tokenizer: &'a Tokenizer,
    pub vocabulary: &'a Vocabulary,
    pub tracks: Option<&'a Tracks>,
}

impl Maker<'_> {
    /// The segment of a window, or `None` where nearly all of it takes no loss.
    /// `sequence` are the bases of the window's sequence.
    pub fn segment(
        &self,
        window: Placed,
        sequence: &[u8],
        scratch: &mut Scratch,
    ) -> Result<(Option<Segment>, SegmentCounts)> {
        let mut counts = SegmentCounts::default();
        let clipped = self.clip(window, &mut counts);
        let ignored = clipped.ignore_intervals();
        let ignored_bases: u64 = ignored.iter().map(|&(start, end)| u64::from(end - start)).sum();
        if ignored_bases as f64 > MOST_IGNORED * window.length as f64 {
            return Ok((None, SegmentCounts { windows_mostly_ignored: 1, ..SegmentCounts::default() }));
        }
        let labels = language::encode(&clipped.genes, self.vocabulary)?;
        let bases = bases_of(window, sequence);
        let mut tokens = Vec::with_capacity(bases.len() / 4 + 8);
        // A window that overlaps the one before shares tokens with it.
        let place = (!window.reverse).then_some(Place { sequence: window.sequence, start: window.start });
        self.tokenizer.encode_placed(&bases, place, scratch, &mut tokens);
        let tracks = self.tracks.map(|tracks| {
            let (bytes, hinted) = tracks.of_window(window, &bases, &tokens, self.tokenizer, self.species);
            counts.windows_with_hints += u64::from(hinted);
            bytes
        });
        let masked_from = clipped.masked_from();
        counts.segments = 1;
        counts.bases = window.length;
        counts.tokens = tokens.len() as u64;
        counts.label_tokens = labels.len() as u64;
        counts.label_tokens_masked = (labels.len() - masked_from) as u64;
        counts.sentences_masked = u64::from(masked_from < labels.len());
        counts.bases_ignored = ignored_bases;
        counts.genes_told = clipped.genes.genes.len() as u64;
        counts.genes_told_whole = clipped
            .genes
            .genes
            .iter()
            .filter(|gene| gene.transcripts[0].left.is_none() && gene.transcripts[0].right.is_none())
            .count() as u64;
        let segment = Segment { window, tokens, labels, masked_from: masked_from as u32, ignored, tracks };
        Ok((Some(segment), counts))
    }

    /// The genes of a window, with as many isoforms as the label budget allows.
    fn clip(&self, window: Placed, counts: &mut SegmentCounts) -> ClippedWindow {
        let genes = &self.genes[window.sequence];
        let facts = &self.species.sequences[window.sequence];
        let mut indices: Vec<usize> = genes.index.overlapping(window.span()).into_iter().map(|hit| hit.index).collect();
        indices.sort_unstable();
        indices.dedup();
        let place = language::Window { start: window.start, length: window.length as u32, reverse: window.reverse };
        let cut = |isoforms: usize| {
            let genes = indices.iter().map(|&i| &genes.prepared[i]);
            language::clip(genes, place, facts.length, facts.circular, self.species.policy, isoforms)
        };
        let budget = self.config.max_target_len as usize;
        let mut isoforms = match self.config.isoforms {
            Isoforms::Canonical => 1,
            Isoforms::All => {
                let told = indices.iter().map(|&i| match &genes.prepared[i].telling {
                    Telling::Said(transcripts) => transcripts.len(),
                    _ => 0,
                });
                told.max().unwrap_or(1).max(1)
            }
        };
        let mut clipped = cut(isoforms);
        let transcripts =
            |clipped: &ClippedWindow| -> usize { clipped.genes.genes.iter().map(|gene| gene.transcripts.len()).sum() };
        let all = transcripts(&clipped);
        while isoforms > 1 && clipped.genes.token_count() > budget {
            isoforms -= 1;
            clipped = cut(isoforms);
        }
        counts.isoforms_beyond_label_budget += (all - transcripts(&clipped)) as u64;
        // What is still too long loses its longest genes, and takes no loss where they are.
        while clipped.genes.token_count() > budget {
            let Some(longest) = (0..clipped.genes.genes.len())
                .max_by_key(|&i| (clipped.genes.genes[i].token_count(), std::cmp::Reverse(i)))
            else {
                break;
            };
            let gene = clipped.genes.genes.remove(longest);
            let (start, end) = gene.transcripts[0].span(clipped.genes.length);
            clipped.ignored.push(IgnoredGene { start, end, reason: Reason::TooLong, gene: usize::MAX });
            clipped.ignored.sort_by_key(|gene| (gene.start, gene.end, gene.gene));
            counts.genes_beyond_label_budget += 1;
        }
        clipped
    }
}

/// The bases of a window as they lie in it, in the genome's case.
fn bases_of(window: Placed, sequence: &[u8]) -> Vec<u8> {
    let length = sequence.len() as u64;
    let span = window.span();
    let mut bases = Vec::with_capacity(span.len() as usize);
    bases.extend_from_slice(&sequence[span.start as usize..span.end.min(length) as usize]);
    if span.end > length {
        bases.extend_from_slice(&sequence[..(span.end - length) as usize]);
    }
    if window.reverse { reverse_complement(&bases) } else { bases }
}

/// Why genes of the sequences in use are not told: number of genes by reason.
pub fn genes_left_out(genes: &[&SequenceGenes]) -> FxHashMap<&'static str, u64> {
    let mut counts = FxHashMap::default();
    for gene in genes.iter().flat_map(|sequence| &sequence.prepared) {
        match &gene.telling {
            Telling::Said(_) => {}
            Telling::Unannotated => *counts.entry("not_annotated_by_policy").or_default() += 1,
            Telling::Ignored(reason) => *counts.entry(reason.name()).or_default() += 1,
        }
    }
    counts
}
