//! What a sentence says: genes of one window as signals and cuts, in window coordinates.

use std::cmp::Ordering;
use std::sync::Arc;

use crate::gene::Strand;

/// What the sequence of a transcript is at a base; the cut tokens of the language, in the order of `tokens.toml`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum State {
    Utr5,
    Utr3,
    /// Exon of a non-coding transcript.
    Exon,
    /// Intron in the 5' UTR.
    Intron5,
    /// Intron in the 3' UTR.
    Intron3,
    /// Intron of a non-coding transcript.
    IntronN,
    /// Intron in the CDS, after that many bases of a codon (0: between codons).
    Intron(u8),
    /// CDS; the position within its codon (0, 1, 2), in transcript direction.
    Cds(u8),
}

impl State {
    pub const ALL: [State; 12] = [
        State::Utr5,
        State::Utr3,
        State::Exon,
        State::Intron5,
        State::Intron3,
        State::IntronN,
        State::Intron(0),
        State::Intron(1),
        State::Intron(2),
        State::Cds(0),
        State::Cds(1),
        State::Cds(2),
    ];

    /// Index into [`State::ALL`].
    pub fn index(self) -> usize {
        match self {
            State::Utr5 => 0,
            State::Utr3 => 1,
            State::Exon => 2,
            State::Intron5 => 3,
            State::Intron3 => 4,
            State::IntronN => 5,
            State::Intron(phase) => 6 + usize::from(phase),
            State::Cds(position) => 9 + usize::from(position),
        }
    }

    pub fn is_intron(self) -> bool {
        matches!(self, State::Intron5 | State::Intron3 | State::IntronN | State::Intron(_))
    }

    /// Whether only a coding transcript has this state.
    pub fn is_coding(self) -> bool {
        !matches!(self, State::Exon | State::IntronN)
    }

    /// Whether the state lies outside the CDS of a coding transcript.
    pub fn is_untranslated(self) -> bool {
        matches!(self, State::Utr5 | State::Utr3 | State::Intron5 | State::Intron3)
    }

    /// The state `bases` further on in transcript direction, within one stretch.
    pub fn advance(self, bases: u64) -> State {
        match self {
            State::Cds(position) => State::Cds(((u64::from(position) + bases) % 3) as u8),
            other => other,
        }
    }
}

/// A signal's kind; the order of `tokens.toml` and of the signal axis of label arrays.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    Tss,
    Start,
    Donor,
    Acceptor,
    Stop,
    Tts,
}

impl Kind {
    pub const ALL: [Kind; 6] = [Kind::Tss, Kind::Start, Kind::Donor, Kind::Acceptor, Kind::Stop, Kind::Tts];

    pub fn name(self) -> &'static str {
        ["tss", "start", "donor", "acceptor", "stop", "tts"][self as usize]
    }
}

/// A signal at the boundary before base `position` of the window.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Signal {
    pub position: u32,
    pub kind: Kind,
}

/// A stretch `[start, end)` in one state; `State::Cds` names the codon position of the stretch's first base in
/// transcript direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Segment {
    pub start: u32,
    pub end: u32,
    pub state: State,
}

/// What the source annotates.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Policy {
    /// UTRs; without them a coding transcript is its CDS.
    pub utr: bool,
    /// Non-coding genes.
    pub noncoding: bool,
}

/// A transcript clipped to a window: signals from left to right, and what the sequence is in at the window's edges
/// where the transcript goes on beyond them.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WindowTranscript {
    pub biotype: Arc<str>,
    pub left: Option<State>,
    pub signals: Vec<Signal>,
    pub right: Option<State>,
}

impl WindowTranscript {
    /// `[start, end)` in a window of `length` bases.
    pub fn span(&self, length: u32) -> (u32, u32) {
        let start = if self.left.is_some() { 0 } else { self.signals.first().map_or(0, |signal| signal.position) };
        let end =
            if self.right.is_some() { length } else { self.signals.last().map_or(length, |signal| signal.position) };
        (start, end)
    }

    pub fn is_coding(&self) -> bool {
        self.left.is_some_and(State::is_coding)
            || self.right.is_some_and(State::is_coding)
            || self.signals.iter().any(|signal| matches!(signal.kind, Kind::Start | Kind::Stop))
    }

    /// The same transcript in the reverse complement of a window of `length` bases.
    pub fn mirror(&self, length: u32) -> Self {
        WindowTranscript {
            biotype: self.biotype.clone(),
            left: self.right,
            signals: mirror_signals(&self.signals, length),
            right: self.left,
        }
    }

    /// Number of tokens of the transcript in a sentence, without `<ALT>`: strand, biotype, cuts, signals.
    pub fn token_count(&self) -> usize {
        2 + usize::from(self.left.is_some()) + usize::from(self.right.is_some()) + 3 * self.signals.len()
    }

    /// The order of isoforms: by span, then by what the sentence says.
    pub(super) fn order(&self, other: &Self, length: u32) -> Ordering {
        self.span(length).cmp(&other.span(length)).then_with(|| self.cmp(other))
    }
}

pub(super) fn mirror_signals(signals: &[Signal], length: u32) -> Vec<Signal> {
    signals.iter().rev().map(|signal| Signal { position: length - signal.position, kind: signal.kind }).collect()
}

/// A gene clipped to a window. The first transcript is the canonical one; the rest are sorted.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct WindowGene {
    /// `Forward` or `Reverse`.
    pub strand: Strand,
    pub transcripts: Vec<WindowTranscript>,
}

impl WindowGene {
    /// The order of genes: span of the canonical transcript, strand, then what the sentence says.
    pub(super) fn order(&self, other: &Self, length: u32) -> Ordering {
        self.transcripts[0]
            .span(length)
            .cmp(&other.transcripts[0].span(length))
            .then_with(|| self.strand.cmp(&other.strand))
            .then_with(|| self.transcripts.cmp(&other.transcripts))
    }

    pub fn token_count(&self) -> usize {
        self.transcripts.iter().map(WindowTranscript::token_count).sum::<usize>() + self.transcripts.len() - 1
    }
}

/// All that a sentence says of a window of `length` bases.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct WindowGenes {
    pub length: u32,
    pub policy: Policy,
    pub genes: Vec<WindowGene>,
}

impl WindowGenes {
    /// Sorts isoforms and genes as the language wants them, and makes one of those that are the same.
    pub fn new(length: u32, policy: Policy, mut genes: Vec<WindowGene>) -> Self {
        for gene in &mut genes {
            let canonical = gene.transcripts.remove(0);
            gene.transcripts.retain(|transcript| *transcript != canonical);
            gene.transcripts.sort_by(|a, b| a.order(b, length));
            gene.transcripts.dedup();
            gene.transcripts.insert(0, canonical);
        }
        genes.sort_by(|a, b| a.order(b, length));
        genes.dedup();
        WindowGenes { length, policy, genes }
    }

    /// The annotation of the window's reverse complement.
    pub fn mirror(&self) -> Self {
        let genes = self.genes.iter().map(|gene| WindowGene {
            strand: opposite(gene.strand),
            transcripts: gene.transcripts.iter().map(|transcript| transcript.mirror(self.length)).collect(),
        });
        WindowGenes::new(self.length, self.policy, genes.collect())
    }

    /// Length of the sentence in tokens: `<bos>`, two of policy, the genes, `<eos>`.
    pub fn token_count(&self) -> usize {
        4 + self.genes.iter().map(WindowGene::token_count).sum::<usize>()
    }

    /// Index in the sentence of the token after all genes that begin left of `position`: where a gene that begins
    /// there would have to be mentioned.
    pub fn token_index_of(&self, position: u32) -> usize {
        let before = self.genes.iter().take_while(|gene| gene.transcripts[0].span(self.length).0 < position);
        3 + before.map(WindowGene::token_count).sum::<usize>()
    }
}

pub(super) fn opposite(strand: Strand) -> Strand {
    match strand {
        Strand::Forward => Strand::Reverse,
        Strand::Reverse => Strand::Forward,
        Strand::Unknown => Strand::Unknown,
    }
}
