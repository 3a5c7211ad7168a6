//! Nodes and parts into gene models.

use std::convert::Infallible;
use std::ops::ControlFlow;

use rustc_hash::{FxHashMap, FxHashSet};

use super::biotype::Kind;
use super::features::Row;
use super::models::Draft;
use super::reader::{Format, Graph, NONE, Part};
use super::{Annotation, Report};
use crate::error::{Error, Result};
use crate::gene::Gene;
use crate::in_order::in_order;

/// Rows of genes and transcripts that are built at a time.
const NODES: usize = 2048;

/// Gene models from the rows of a file.
pub fn assemble(graph: Graph<'_>) -> Result<Annotation> {
    let mut assembler = Assembler::new(graph);
    assembler.join_repeated();
    assembler.link_parts();
    assembler.settle_roles();
    assembler.link_genes()?;
    assembler.build()
}

pub(super) struct Assembler<'a> {
    pub(super) graph: Graph<'a>,
    /// Lists of the parts of each node, and of the transcripts of each gene, in the file's order.
    pub(super) first_part: Vec<u32>,
    pub(super) next_part: Vec<u32>,
    pub(super) first_transcript: Vec<u32>,
    pub(super) next_transcript: Vec<u32>,
    /// Nodes whose rows are pieces of one trans-spliced feature.
    pub(super) pieces: FxHashSet<u32>,
    /// The nodes of ids that several nodes have, by sequence, sorted by start.
    pub(super) same_id: FxHashMap<(u32, u32), Vec<u32>>,
    pub(super) part_ids: Option<FxHashSet<&'a [u8]>>,
    pub(super) report: Report,
}

impl<'a> Assembler<'a> {
    fn new(mut graph: Graph<'a>) -> Self {
        let report = std::mem::take(&mut graph.report);
        Assembler {
            first_part: Vec::new(),
            next_part: Vec::new(),
            first_transcript: Vec::new(),
            next_transcript: Vec::new(),
            pieces: FxHashSet::default(),
            same_id: FxHashMap::default(),
            part_ids: None,
            report,
            graph,
        }
    }

    /// Builds genes of a range of nodes at a time.
    fn build(mut self) -> Result<Annotation> {
        let mut genes = Vec::new();
        let mut report = std::mem::take(&mut self.report);
        let mut ids_may_repeat = self.graph.format == Format::Gtf || self.graph.repeated_or_escaped();
        let mut genetic_codes = vec![None; self.graph.seqids.len()];
        let n = self.graph.nodes.len();
        let wormbase = self.is_of_wormbase();
        let linked = &self;
        let ControlFlow::Continue(()) = in_order(
            (0..n).step_by(NODES),
            |first| {
                let mut builder = Builder {
                    linked,
                    biotypes: FxHashMap::default(),
                    scratch: Vec::new(),
                    drafts: Vec::new(),
                    built: Built::default(),
                };
                for at in first..n.min(first + NODES) {
                    if linked.graph.nodes[at].row != Row::Gene {
                        continue;
                    }
                    if wormbase && linked.is_aside(at) {
                        let number = linked.graph.nodes[at].number;
                        let name = || if number == NONE { String::new() } else { linked.graph.name(number) };
                        builder.built.report.count("prediction or former gene beside WormBase's own", name);
                        continue;
                    }
                    builder.build_gene(at);
                }
                // In parallel here, and the whole is mostly in order then. Lenient reading first counts the genes outside
                // their sequences, in the order of the file.
                if !linked.graph.options.lenient {
                    builder.built.genes.sort_by(Annotation::order);
                }
                builder.built
            },
            |built| {
                genes.extend(built.genes);
                report.append(built.report);
                ids_may_repeat |= built.ids_may_repeat;
                for (seqid, code) in built.genetic_codes {
                    genetic_codes[seqid as usize].get_or_insert(code);
                }
                ControlFlow::<Infallible>::Continue(())
            },
        );
        for word in &self.graph.words {
            if matches!(word.row, Row::Other) && word.count > 0 {
                let reason = format!("row of type {} is no part of a gene model", word.text);
                *report.counts.entry(reason).or_insert(0) += word.count;
            }
        }
        let regions = &self.graph.regions;
        let mut annotation = Annotation {
            seqids: std::mem::take(&mut self.graph.seqids),
            lengths: regions.iter().map(|r| r.declared.map(|(_, end)| end).or(r.length)).collect(),
            circular: regions.iter().map(|r| r.circular).collect(),
            genetic_codes,
            genes,
            report,
            path: Some(self.graph.path.to_path_buf()),
            furthest: regions.iter().map(|region| region.furthest).collect(),
        };
        self.check_regions(&mut annotation)?;
        annotation.sort();
        annotation.merge_identical();
        if ids_may_repeat {
            make_ids_unique(&mut annotation);
        }
        Ok(annotation)
    }

    /// Rows past the bounds that `##sequence-region` declares.
    fn check_regions(&self, annotation: &mut Annotation) -> Result<()> {
        for (i, region) in self.graph.regions.iter().enumerate() {
            let Some((start, end)) = region.declared else { continue };
            let line = if region.furthest.0 > end && !region.circular {
                region.furthest.1
            } else if region.nearest.0 < start {
                region.nearest.1
            } else {
                continue;
            };
            let message =
                format!("the row lies outside the ##sequence-region {} {} {end}", annotation.seqids[i], start + 1);
            if !self.graph.options.lenient {
                return Err(Error::format(self.graph.path, line, message));
            }
            let outside = |gene: &Gene| {
                gene.seqid as usize == i
                    && (gene.span.start < start || (gene.span.end > end && !annotation.circular[i]))
            };
            let report = &mut annotation.report;
            annotation.genes.retain(|gene| {
                let out = outside(gene);
                if out {
                    report.count("gene outside its sequence", || gene.id.clone());
                }
                !out
            });
        }
        Ok(())
    }
}

/// Builds the genes of a range of nodes.
pub(super) struct Builder<'g, 'a> {
    pub(super) linked: &'g Assembler<'a>,
    pub(super) biotypes: FxHashMap<&'a [u8], (String, Kind, bool)>,
    /// The parts of the transcript being built.
    pub(super) scratch: Vec<Part>,
    /// The transcripts of the gene being built.
    pub(super) drafts: Vec<Draft>,
    pub(super) built: Built,
}

/// What a [`Builder`] has made.
#[derive(Default)]
pub(super) struct Built {
    pub(super) genes: Vec<Gene>,
    pub(super) report: Report,
    /// Ids were given twice, invented or unescaped: in GFF3 they are unique else.
    pub(super) ids_may_repeat: bool,
    /// The first genetic code that is stated on each sequence.
    pub(super) genetic_codes: FxHashMap<u32, u32>,
}

/// Ids name genes and transcripts in what is written: repeated ones get a number.
fn make_ids_unique(annotation: &mut Annotation) {
    // From an id to the next number for its repetitions.
    let mut seen: FxHashMap<String, u32> = FxHashMap::default();
    seen.reserve(annotation.genes.len() * 2);
    let report = &mut annotation.report;
    let mut unique = |id: &mut String| {
        let Some(next) = seen.get(id.as_str()).copied() else {
            seen.insert(id.clone(), 2);
            return;
        };
        report.count("id given twice, numbered", || id.clone());
        let mut number = next;
        while seen.contains_key(&format!("{id}-{number}")) {
            number += 1;
        }
        seen.insert(id.clone(), number + 1);
        *id = format!("{id}-{number}");
        seen.insert(id.clone(), 2);
    };
    for gene in &mut annotation.genes {
        let old = gene.id.clone();
        unique(&mut gene.id);
        let single = gene.transcripts.len() == 1;
        for transcript in &mut gene.transcripts {
            // The one transcript of a gene may bear its id.
            if single && transcript.id == old {
                transcript.id.clone_from(&gene.id);
            } else {
                unique(&mut transcript.id);
            }
        }
    }
}
