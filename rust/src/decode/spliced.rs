//! Genes with introns, from evidence that arrives in chunks along one sequence.
//!
//! A first pass finds the best genes that do not overlap. As its path settles, the sequence is cut in gene-free places
//! into stretches, and a second pass over each stretch looks for what the first could not say: genes nested in introns,
//! and genes that overlap one of the other strand.

use std::sync::Arc;

use super::engine::{Engine, Event, Node, ROW, Stretch, Taken, padded_codes};
use super::gene_model::GeneModel;
use super::parameters::GeneParameters;
use super::posterior;
use crate::dna::GeneticCode;
use crate::error::{Error, Result};
use crate::gene::{Interval, Strand};

/// Shortest stretch that the second pass takes at a time, bp.
const STRETCH: usize = 1 << 17;

/// Of the class axis.
const INTRON_CLASS: usize = 4;

/// With a cost of nested genes as high as this the second pass is left out.
pub const NO_SECOND_PASS: f64 = -40.0;

/// Decodes one sequence; feed it with [`SplicedDecoder::push`] and end with [`SplicedDecoder::finish`].
pub struct SplicedDecoder {
    parameters: Arc<GeneParameters>,
    code: &'static GeneticCode,
    codes: Arc<[u8]>,
    length: usize,
    first: Engine,
    /// Evidence from `kept_from` on.
    classes: Vec<f32>,
    signals: Vec<f32>,
    kept_from: usize,
    pushed: usize,
    /// Settled nodes of the first pass that belong to the stretch from `kept_from` on.
    nodes: Vec<Node>,
    genes: Vec<GeneModel>,
    posteriors: bool,
}

impl SplicedDecoder {
    pub fn new(parameters: Arc<GeneParameters>, code: &'static GeneticCode, sequence: &[u8]) -> Result<SplicedDecoder> {
        if sequence.len() >= u32::MAX as usize / 2 {
            return Err(Error::input(format!(
                "the sequence has {} bp; sequences of up to 2,147,483,647 bp can be decoded",
                sequence.len()
            )));
        }
        let codes = padded_codes(sequence);
        let whole = Stretch { start: 0, end: sequence.len(), open_start: true, open_end: true };
        let first = Engine::new(parameters.clone(), code, codes.clone(), whole, Taken::default(), 0.0);
        Ok(SplicedDecoder {
            parameters,
            code,
            codes,
            length: sequence.len(),
            first,
            classes: Vec::new(),
            signals: Vec::new(),
            kept_from: 0,
            pushed: 0,
            nodes: Vec::new(),
            genes: Vec::new(),
            posteriors: false,
        })
    }

    /// Scores the genes by their posterior probability (see [`super::posterior`]) instead of by what they add to the best
    /// annotation.
    pub fn with_posteriors(mut self) -> SplicedDecoder {
        self.posteriors = true;
        self
    }

    /// Evidence of the next bases: `classes` and `signals` are `[bases, 2, 6]`.
    pub fn push(&mut self, classes: &[f32], signals: &[f32]) -> Result<()> {
        let bases = classes.len() / ROW;
        if classes.len() != signals.len() || classes.len() % ROW != 0 {
            return Err(Error::input(format!(
                "classes and signals hold {} and {} values; both need 12 a base",
                classes.len(),
                signals.len()
            )));
        }
        if self.pushed + bases > self.length {
            return Err(Error::input(format!(
                "evidence for {} bases was given, the sequence has {}",
                self.pushed + bases,
                self.length
            )));
        }
        // In slices, so that stretches are finished, and their evidence dropped, while a large chunk is read.
        for (class, signal) in classes.chunks(STRETCH * ROW).zip(signals.chunks(STRETCH * ROW)) {
            self.first.push(class, signal);
            if self.keeps_evidence() {
                self.classes.extend_from_slice(class);
                self.signals.extend_from_slice(signal);
            }
            self.pushed += class.len() / ROW;
            if self.pushed - self.kept_from >= 2 * STRETCH {
                self.first.settle();
                self.nodes.extend(self.first.take_settled());
                self.finish_stretches();
            }
        }
        Ok(())
    }

    /// All genes of the sequence, sorted by position.
    pub fn finish(mut self) -> Result<Vec<GeneModel>> {
        if self.pushed != self.length {
            return Err(Error::input(format!(
                "evidence for {} bases was given, the sequence has {}",
                self.pushed, self.length
            )));
        }
        let rest = self.first.finish();
        self.nodes.extend(rest);
        let nodes = std::mem::take(&mut self.nodes);
        self.finish_stretch(&nodes, self.length);
        self.genes.sort_by_key(|gene| (gene.span(), gene.strand));
        Ok(self.genes)
    }

    /// Whether anything reads the evidence again after the first pass.
    fn keeps_evidence(&self) -> bool {
        self.posteriors || self.second_pass()
    }

    fn second_pass(&self) -> bool {
        self.parameters.weights.nested > NO_SECOND_PASS
    }

    /// Evidence of an intron speaks for one gene: a second one that runs along it must live from its own.
    fn spend_introns(&mut self, genes: &[GeneModel], end: usize) {
        for gene in genes {
            let strand = usize::from(gene.strand == Strand::Reverse);
            for pair in gene.cds.windows(2) {
                let (from, to) = ((pair[0].end as usize).max(self.kept_from), (pair[1].start as usize).min(end));
                for base in from..to {
                    let logit = &mut self.classes[(base - self.kept_from) * ROW + strand * (ROW / 2) + INTRON_CLASS];
                    *logit = logit.min(0.0);
                }
            }
        }
    }

    /// Cuts off the stretch up to the last settled gene-free place.
    fn finish_stretches(&mut self) {
        // Between a settled Close and the settled Open after it nothing lies.
        let cut = (1..self.nodes.len()).rev().find_map(|i| {
            let (before, after) = (self.nodes[i - 1], self.nodes[i]);
            let gap = before.event == Event::Close
                && after.event == Event::Open
                && after.position >= before.position
                && before.position as usize >= self.kept_from + STRETCH / 2;
            gap.then(|| (i, (before.position as usize + after.position as usize) / 2))
        });
        let (count, end) = match cut {
            Some(cut) => cut,
            // No gene at all for long: the next can only open past the settled place.
            None => match self.first.quiet_after(self.nodes.last()) {
                Some(end) if end >= self.kept_from + STRETCH / 2 => (self.nodes.len(), end),
                _ => return,
            },
        };
        let rest = self.nodes.split_off(count);
        let nodes = std::mem::replace(&mut self.nodes, rest);
        self.finish_stretch(&nodes, end);
        if self.keeps_evidence() {
            let bases = end - self.kept_from;
            self.classes.drain(..bases * ROW);
            self.signals.drain(..bases * ROW);
        }
        self.kept_from = end;
    }

    fn finish_stretch(&mut self, nodes: &[Node], end: usize) {
        let stretch =
            Stretch { start: self.kept_from, end, open_start: self.kept_from == 0, open_end: end == self.length };
        let mut found = models(nodes, self.length);
        let bases = end - self.kept_from;
        if self.posteriors && !found.is_empty() {
            let evidence = (&self.classes[..bases * ROW], &self.signals[..bases * ROW]);
            posterior::spliced(&self.parameters, self.code, &self.codes, stretch, evidence, &mut found);
        }
        if !found.is_empty() && self.second_pass() {
            let taken = taken(&found);
            // The second pass finds whole genes only.
            let closed = Stretch { open_start: false, open_end: false, ..stretch };
            let extra = self.parameters.weights.nested;
            let mut second = Engine::new(self.parameters.clone(), self.code, self.codes.clone(), closed, taken, extra);
            self.spend_introns(&found, end);
            second.push(&self.classes[..bases * ROW], &self.signals[..bases * ROW]);
            found.extend(models(&second.finish(), self.length));
        }
        // Cut at both ends and without a whole codon: nothing that could be called a gene.
        found.retain(|gene| gene.cds.iter().map(|part| part.len()).sum::<u64>() >= 3 + u64::from(gene.phase));
        self.genes.append(&mut found);
    }
}

/// What the second pass may not touch: exons of a strand are closed to other exons of that strand, and cost overlap on
/// the other.
fn taken(genes: &[GeneModel]) -> Taken {
    let mut taken = Taken::default();
    let mut exons: Vec<(usize, usize, usize)> = genes
        .iter()
        .flat_map(|gene| {
            let strand = usize::from(gene.strand == Strand::Reverse);
            gene.cds.iter().map(move |part| (part.start as usize, part.end as usize, strand))
        })
        .collect();
    exons.sort_unstable();
    for (start, end, strand) in exons {
        taken.forbidden[strand].push((start, end));
        taken.costly[1 - strand].push((start, end));
    }
    taken
}

/// Gene models from the nodes of a path.
pub(super) fn models(nodes: &[Node], length: usize) -> Vec<GeneModel> {
    struct Growing {
        strand: u8,
        cds: Vec<Interval>,
        exon: Option<u32>,
        /// Bases at the gene's left (right) end that belong to a codon cut off there.
        left_rest: Option<u8>,
        opened: f64,
        last_frame: u8,
    }
    let mut models = Vec::new();
    let mut growing: Option<Growing> = None;
    let end = |growing: Growing, right_rest: Option<u8>, value: f64, models: &mut Vec<GeneModel>| {
        if growing.cds.is_empty() {
            return;
        }
        let (left_cut, right_cut) = (growing.left_rest.is_some(), right_rest.is_some());
        let (strand, phase, partial_5, partial_3) = match growing.strand {
            0 => (Strand::Forward, growing.left_rest.unwrap_or(0), left_cut, right_cut),
            _ => (Strand::Reverse, right_rest.unwrap_or(0), right_cut, left_cut),
        };
        models.push(GeneModel { strand, cds: growing.cds, phase, partial_5, partial_3, score: value - growing.opened });
    };
    for node in nodes {
        match node.event {
            Event::Root => {}
            Event::Open | Event::BeginExon | Event::BeginIntron => {
                growing = Some(Growing {
                    strand: node.strand,
                    cds: Vec::new(),
                    exon: (node.event != Event::BeginIntron).then_some(node.position),
                    left_rest: match node.event {
                        Event::BeginExon => Some((node.frame + 3 - (node.position % 3) as u8) % 3),
                        Event::BeginIntron => Some((3 - node.frame) % 3),
                        _ => None,
                    },
                    opened: node.value,
                    last_frame: node.frame,
                });
            }
            Event::IntronLeft => {
                if let Some(gene) = &mut growing
                    && let Some(start) = gene.exon.take()
                {
                    gene.cds.push(Interval::new(u64::from(start), u64::from(node.position)));
                    // Bases of the split codon left of the intron, should nothing follow.
                    gene.last_frame = ((node.position % 3) as u8 + 3 - node.frame) % 3;
                }
            }
            Event::IntronRight => {
                if let Some(gene) = &mut growing {
                    gene.exon = Some(node.position);
                }
            }
            Event::Close | Event::EndExon => {
                if let Some(mut gene) = growing.take() {
                    if let Some(start) = gene.exon {
                        gene.cds.push(Interval::new(u64::from(start), u64::from(node.position)));
                    }
                    let rest = (node.event == Event::EndExon).then_some(((length % 3) as u8 + 3 - node.frame) % 3);
                    end(gene, rest, node.value, &mut models);
                }
            }
            Event::EndIntron => {
                if let Some(gene) = growing.take() {
                    let rest = gene.last_frame;
                    end(gene, Some(rest), node.value, &mut models);
                }
            }
        }
    }
    models
}
