//! WormBase's whole annotation holds, beside the genes, what others predict and what was a gene once: told by the second
//! column alone.

use super::assemble::Assembler;
use super::reader::{Format, NONE};

/// Sources of WormBase's own models.
const CURATED: [&[u8]; 2] = [b"WormBase", b"Coding_transcript"];
/// Sources of models that are none of its genes.
const ASIDE: [&[u8]; 11] = [
    b"history",
    b"Genefinder",
    b"GeneMarkHMM",
    b"jigsaw",
    b"mGene",
    b"mSplicer_orf",
    b"mSplicer_transcript",
    b"RNASEQ.Hillier",
    b"RNASEQ.Hillier.Aggregate",
    b"twinscan",
    b"UTRome",
];

impl Assembler<'_> {
    /// Whether the sources above are WormBase's: anywhere else their models are as good as any.
    pub(super) fn is_of_wormbase(&self) -> bool {
        self.graph.format == Format::Gff3 && self.graph.nodes.iter().any(|node| CURATED.contains(&node.source))
    }

    /// Whether a gene of WormBase's file is a prediction or history.
    pub(super) fn is_aside(&self, gene: usize) -> bool {
        let transcript = self.first_transcript[gene];
        let holder = if transcript == NONE { gene } else { transcript as usize };
        let rows = [self.graph.nodes[gene].source, self.graph.nodes[holder].source];
        let part = self.first_part[holder];
        let source = match rows.into_iter().find(|source| !source.is_empty()) {
            Some(source) => source,
            None if part != NONE => self.source_of(self.graph.parts[part as usize].place()),
            None => return false,
        };
        ASIDE.contains(&source)
    }

    /// The second column of the row whose ninth starts here.
    fn source_of(&self, place: usize) -> &[u8] {
        let text = &self.graph.text[..place];
        let start = memchr::memrchr(b'\n', text).map_or(0, |at| at + 1);
        text[start..].split(|&byte| byte == b'\t').nth(1).unwrap_or_default()
    }
}
