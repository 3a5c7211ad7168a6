//! A transcript as a path through states: signals and cuts on one side, stretches of one state on the other. All in
//! transcript orientation (5' to 3', positions from the 5' edge of the window); the reverse strand is mirrored first.

use super::model::{Kind, Segment, Signal, State, WindowTranscript, mirror_signals};
use crate::gene::Strand;

/// Where a path is wrong: a signal (by index), or the cut at the 3' edge or the end where `signal` is `None`.
#[derive(Debug, PartialEq)]
pub(super) struct PathFault {
    pub signal: Option<usize>,
    pub message: String,
}

fn fault<T>(signal: Option<usize>, message: impl Into<String>) -> Result<T, PathFault> {
    Err(PathFault { signal, message: message.into() })
}

fn describe(state: State) -> String {
    match state {
        State::Utr5 => "the 5' UTR".into(),
        State::Utr3 => "the 3' UTR".into(),
        State::Exon => "a non-coding exon".into(),
        State::Intron5 => "an intron of the 5' UTR".into(),
        State::Intron3 => "an intron of the 3' UTR".into(),
        State::IntronN => "a non-coding intron".into(),
        State::Intron(phase) => format!("an intron of phase {phase}"),
        State::Cds(position) => format!("the CDS (codon position {position})"),
    }
}

/// Follows signals from the 5' to the 3' end and returns the stretches between them.
pub(super) fn trace(
    five: Option<State>,
    signals: &[Signal],
    three: Option<State>,
    length: u32,
) -> Result<Vec<Segment>, PathFault> {
    if signals.is_empty() && (five.is_none() || three.is_none()) {
        return fault(None, "a transcript needs a signal, or a cut at both edges");
    }
    let coding = five.is_some_and(State::is_coding)
        || three.is_some_and(State::is_coding)
        || signals.iter().any(|signal| matches!(signal.kind, Kind::Start | Kind::Stop));

    let mut segments = Vec::with_capacity(signals.len() + 1);
    // The stretch we are in: its start, its state, the signal it began with; `state` is None before and after.
    let (mut start, mut state, mut entered) = (0u32, five, None);
    let mut ended = false;
    for (index, &Signal { position, kind }) in signals.iter().enumerate() {
        let at = Some(index);
        if position > length {
            return fault(at, format!("coordinate {position} lies outside the window of {length} bp"));
        }
        if ended {
            return fault(at, format!("a {} after the end of the transcript", kind.name()));
        }
        let Some(current) = state else {
            state = match kind {
                Kind::Tss if coding => Some(State::Utr5),
                Kind::Tss => Some(State::Exon),
                Kind::Start => Some(State::Cds(0)),
                _ => {
                    return fault(
                        at,
                        format!("a transcript without a cut begins with tss or start, not {}", kind.name()),
                    );
                }
            };
            (start, entered) = (position, Some(kind));
            continue;
        };
        if position < start {
            return fault(at, format!("coordinate {position} goes back, behind {start}"));
        }
        let bases = position - start;
        let next = match (current, kind) {
            (State::Utr5, Kind::Start) => Some(State::Cds(0)),
            (State::Utr5, Kind::Donor) => Some(State::Intron5),
            (State::Intron5, Kind::Acceptor) => Some(State::Utr5),
            (State::Cds(_), Kind::Donor) => match current.advance(u64::from(bases)) {
                State::Cds(phase) => Some(State::Intron(phase)),
                _ => unreachable!("a CDS stays a CDS"),
            },
            (State::Cds(_), Kind::Stop) => {
                if current.advance(u64::from(bases)) != State::Cds(0) {
                    return fault(at, "the CDS stops within a codon");
                }
                Some(State::Utr3)
            }
            (State::Intron(phase), Kind::Acceptor) => Some(State::Cds(phase)),
            (State::Utr3, Kind::Donor) => Some(State::Intron3),
            (State::Intron3, Kind::Acceptor) => Some(State::Utr3),
            (State::Exon, Kind::Donor) => Some(State::IntronN),
            (State::IntronN, Kind::Acceptor) => Some(State::Exon),
            (State::Utr3 | State::Exon, Kind::Tts) => None,
            _ => return fault(at, format!("a {} cannot come in {}", kind.name(), describe(current))),
        };
        // A UTR is empty in an exon that begins with the CDS's start, or ends with its stop.
        let may_be_empty = matches!(
            (current, entered, kind),
            (State::Utr5, Some(Kind::Acceptor), Kind::Start) | (State::Utr3, Some(Kind::Stop), Kind::Donor)
        );
        if bases > 0 {
            segments.push(Segment { start, end: position, state: current });
        } else if !may_be_empty {
            return fault(at, format!("nothing lies between this {} and what comes before it", kind.name()));
        }
        (start, state, entered) = (position, next, Some(kind));
        ended = next.is_none();
    }

    match (state, three) {
        (Some(current), Some(cut)) => {
            if start >= length {
                return fault(None, "the cut at the edge follows a signal at the edge");
            }
            let found = current.advance(u64::from(length - 1 - start));
            if found != cut {
                return fault(
                    None,
                    format!("the cut says {}, but the signals lead to {}", describe(cut), describe(found)),
                );
            }
            segments.push(Segment { start, end: length, state: current });
        }
        (None, Some(_)) => return fault(None, "a cut at the edge after the transcript has ended"),
        // A transcript without 3' UTR ends with its stop.
        (Some(State::Utr3), None) if entered == Some(Kind::Stop) => {}
        (Some(current), None) => return fault(None, format!("the transcript ends in {}", describe(current))),
        (None, None) => {}
    }
    Ok(segments)
}

/// The inverse of [`trace`] for stretches that follow one another without gaps, already clipped to the window:
/// the cut at the 5' edge, the signals, the cut at the 3' edge.
pub(super) fn signals_of(
    segments: &[Segment],
    five_open: bool,
    three_open: bool,
) -> (Option<State>, Vec<Signal>, Option<State>) {
    let (first, last) = (segments[0], segments[segments.len() - 1]);
    let mut signals = Vec::with_capacity(segments.len() + 1);
    let mut push = |position, kind| signals.push(Signal { position, kind });
    if !five_open {
        push(first.start, if matches!(first.state, State::Cds(_)) { Kind::Start } else { Kind::Tss });
    }
    for pair in segments.windows(2) {
        let (from, to, position) = (pair[0].state, pair[1].state, pair[1].start);
        if matches!((from, to), (State::Cds(_), State::Utr3 | State::Intron3)) {
            push(position, Kind::Stop);
        }
        if to.is_intron() {
            push(position, Kind::Donor);
        } else if from.is_intron() {
            push(position, Kind::Acceptor);
        }
        if matches!((from, to), (State::Utr5 | State::Intron5, State::Cds(_))) {
            push(position, Kind::Start);
        }
    }
    if !three_open {
        push(last.end, if matches!(last.state, State::Cds(_)) { Kind::Stop } else { Kind::Tts });
    }
    let five = five_open.then_some(first.state);
    let three = three_open.then(|| last.state.advance(u64::from(last.end - 1 - last.start)));
    (five, signals, three)
}

impl WindowTranscript {
    /// From stretches in transcript orientation.
    pub(super) fn from_path(
        biotype: std::sync::Arc<str>,
        segments: &[Segment],
        five_open: bool,
        three_open: bool,
        strand: Strand,
        length: u32,
    ) -> Self {
        let (left, signals, right) = signals_of(segments, five_open, three_open);
        let forward = WindowTranscript { biotype, left, signals, right };
        if strand == Strand::Reverse { forward.mirror(length) } else { forward }
    }

    /// The stretches of the transcript, in transcript orientation.
    pub(super) fn path(&self, strand: Strand, length: u32) -> Result<Vec<Segment>, PathFault> {
        if strand == Strand::Reverse {
            // Coordinates outside the window cannot be mirrored.
            if let Some(index) = self.signals.iter().position(|signal| signal.position > length) {
                let position = self.signals[index].position;
                return fault(
                    Some(self.signals.len() - 1 - index),
                    format!("coordinate {position} lies outside the window of {length} bp"),
                );
            }
            trace(self.right, &mirror_signals(&self.signals, length), self.left, length)
        } else {
            trace(self.left, &self.signals, self.right, length)
        }
    }

    /// The stretches of the transcript from left to right in window coordinates; `State::Cds` names the codon
    /// position of a stretch's first base in transcript direction, on the reverse strand its rightmost.
    ///
    /// # Errors
    /// What is wrong with a transcript that `validate` would refuse.
    pub fn segments(&self, strand: Strand, length: u32) -> crate::error::Result<Vec<Segment>> {
        let mut segments = self.path(strand, length).map_err(|fault| crate::error::Error::input(fault.message))?;
        if strand == Strand::Reverse {
            segments.reverse();
            for segment in &mut segments {
                (segment.start, segment.end) = (length - segment.end, length - segment.start);
            }
        }
        Ok(segments)
    }
}
