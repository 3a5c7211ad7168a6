//! What the dynamic programs return, and how it becomes an annotation.

use rustc_hash::FxHashMap;

use crate::annotation::Annotation;
use crate::gene::{Flags, Gene, Interval, Strand, Transcript};

/// A predicted coding gene on one sequence.
#[derive(Debug, Clone, PartialEq)]
pub struct GeneModel {
    pub strand: Strand,
    /// Sorted by start; with the stop codon.
    pub cds: Vec<Interval>,
    /// GFF3 phase of the part that is first in transcript direction.
    pub phase: u8,
    pub partial_5: bool,
    pub partial_3: bool,
    /// Nats: how much better the annotation scores with the gene than without it or, where posteriors are asked for, the log
    /// odds of the gene's posterior probability.
    pub score: f64,
}

impl GeneModel {
    pub fn span(&self) -> Interval {
        Interval::new(self.cds[0].start, self.cds[self.cds.len() - 1].end)
    }
}

/// One sequence's genes as an annotation. Ids are `SEQID.gN` and `SEQID.gN.t1`, numbered from 1 in order of position.
pub fn annotation(
    seqid: &str,
    length: u64,
    circular: bool,
    genetic_code: u32,
    mut models: Vec<GeneModel>,
    probability: impl Fn(&GeneModel) -> Option<f32>,
) -> Annotation {
    models.sort_by_key(|model| (model.span(), model.strand));
    let genes = models.into_iter().enumerate().map(|(i, model)| {
        let id = format!("{seqid}.g{}", i + 1);
        let score = probability(&model);
        Gene {
            name: None,
            seqid: 0,
            span: model.span(),
            strand: model.strand,
            biotype: "protein_coding".to_owned(),
            flags: Flags::default(),
            score,
            transcripts: vec![Transcript {
                id: format!("{id}.t1"),
                biotype: "protein_coding".to_owned(),
                exons: model.cds.clone(),
                cds: model.cds,
                cds_phase: model.phase,
                partial_5: model.partial_5,
                partial_3: model.partial_3,
                flags: Flags::default(),
                score,
            }],
            id,
        }
    });
    Annotation {
        seqids: vec![seqid.to_owned()],
        lengths: vec![Some(length)],
        circular: vec![circular],
        genetic_codes: vec![Some(genetic_code)],
        genes: genes.collect(),
        ..Annotation::default()
    }
}

/// One annotation of several, in their order; a sequence that several have appears once. Genes are sorted.
pub fn concat(annotations: impl IntoIterator<Item = Annotation>) -> Annotation {
    let mut all = Annotation::default();
    let mut numbers: FxHashMap<String, u32> = FxHashMap::default();
    for annotation in annotations {
        let mut moved = Vec::with_capacity(annotation.seqids.len());
        for (i, seqid) in annotation.seqids.iter().enumerate() {
            let number = *numbers.entry(seqid.clone()).or_insert_with(|| {
                all.seqids.push(seqid.clone());
                all.lengths.push(annotation.lengths[i]);
                all.circular.push(annotation.circular[i]);
                all.genetic_codes.push(annotation.genetic_codes[i]);
                (all.seqids.len() - 1) as u32
            });
            moved.push(number);
        }
        all.genes.extend(annotation.genes.into_iter().map(|mut gene| {
            gene.seqid = moved[gene.seqid as usize];
            gene
        }));
    }
    all.sort();
    all
}
