//! Genes of a window put back in their place in the sequence.

use super::clip::Window;
use super::model::{State, WindowGenes, WindowTranscript, opposite};
use crate::error::Result;
use crate::gene::{Flags, Gene, Interval, Strand, Transcript};

/// Gene models of a window in sequence coordinates. Ids are `gene_1`, `gene_1.t1` and so on; cut ends are partial.
/// A transcript of which the window holds no exon has none; its gene's span still says where it is.
///
/// # Errors
/// What is wrong with genes that `validate` would refuse.
pub fn place(genes: &WindowGenes, window: Window, sequence_length: u64, seqid: u32) -> Result<Vec<Gene>> {
    let mut placed = Vec::with_capacity(genes.genes.len());
    for (index, gene) in genes.genes.iter().enumerate() {
        let id = format!("gene_{}", index + 1);
        let strand = if window.reverse { opposite(gene.strand) } else { gene.strand };
        let spans = gene.transcripts.iter().map(|transcript| transcript.span(genes.length));
        let (start, end) = spans.fold((u32::MAX, 0), |all, one| (all.0.min(one.0), all.1.max(one.1)));
        let span = to_sequence(start, end, window);
        let mut transcripts = Vec::with_capacity(gene.transcripts.len());
        for (number, transcript) in gene.transcripts.iter().enumerate() {
            let id = format!("{id}.t{}", number + 1);
            transcripts.push(place_transcript(transcript, id, gene.strand, genes.length, window)?);
        }
        // A gene that lies wholly past the origin is written from the start of the sequence.
        if span.start >= sequence_length && sequence_length > 0 {
            let back = |part: &Interval| Interval::new(part.start - sequence_length, part.end - sequence_length);
            for transcript in &mut transcripts {
                transcript.exons = transcript.exons.iter().map(back).collect();
                transcript.cds = transcript.cds.iter().map(back).collect();
            }
            placed.push(gene_of(id, back(&span), strand, transcripts, seqid));
        } else {
            placed.push(gene_of(id, span, strand, transcripts, seqid));
        }
    }
    Ok(placed)
}

fn gene_of(id: String, span: Interval, strand: Strand, transcripts: Vec<Transcript>, seqid: u32) -> Gene {
    let biotype = transcripts[0].biotype.clone();
    Gene { id, name: None, seqid, span, strand, biotype, flags: Flags::default(), score: None, transcripts }
}

fn to_sequence(start: u32, end: u32, window: Window) -> Interval {
    let (start, end) = if window.reverse { (window.length - end, window.length - start) } else { (start, end) };
    Interval::new(window.start + u64::from(start), window.start + u64::from(end))
}

fn place_transcript(
    transcript: &WindowTranscript,
    id: String,
    strand: Strand,
    length: u32,
    window: Window,
) -> Result<Transcript> {
    let segments = transcript.segments(strand, length)?;
    let mut exons: Vec<(u32, u32)> = Vec::new();
    let mut cds: Vec<(u32, u32)> = Vec::new();
    let mut first_cds = None;
    for segment in &segments {
        if segment.state.is_intron() {
            continue;
        }
        match exons.last_mut() {
            Some(last) if last.1 == segment.start => last.1 = segment.end,
            _ => exons.push((segment.start, segment.end)),
        }
        if let State::Cds(position) = segment.state {
            cds.push((segment.start, segment.end));
            // In transcript direction the first is the leftmost on the forward, the rightmost on the reverse strand.
            if strand == Strand::Reverse || first_cds.is_none() {
                first_cds = Some(position);
            }
        }
    }
    let place = |parts: Vec<(u32, u32)>| {
        let mut parts: Vec<Interval> = parts.into_iter().map(|(start, end)| to_sequence(start, end, window)).collect();
        parts.sort();
        parts
    };
    let (five, three) = if strand == Strand::Reverse {
        (transcript.right, transcript.left)
    } else {
        (transcript.left, transcript.right)
    };
    Ok(Transcript {
        id,
        biotype: transcript.biotype.to_string(),
        exons: place(exons),
        cds: place(cds),
        cds_phase: (3 - first_cds.unwrap_or(0)) % 3,
        partial_5: five.is_some(),
        partial_3: three.is_some(),
        flags: Flags::default(),
        score: None,
    })
}
