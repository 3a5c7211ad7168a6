//! Several good annotations of one locus, for a model that reads whole annotations to choose from.
//!
//! The first is the best one. Each further one is the best of those that lack some signal (in prokaryotes, some gene) of
//! one before it, so all of them are optimal under what they must not have, and all differ.

use std::cmp::Ordering;
use std::collections::BinaryHeap;
use std::sync::Arc;

use rustc_hash::FxHashSet;

use super::engine::{Engine, Event, Stretch, Taken};
use super::gene_model::GeneModel;
use super::parameters::GeneParameters;
use super::spliced::models;
use crate::dna::GeneticCode;

/// An annotation of a stretch and its score, nats; scores of one stretch compare.
#[derive(Debug, Clone, PartialEq)]
pub struct Alternative {
    pub score: f64,
    pub genes: Vec<GeneModel>,
}

/// An annotation that waits for its turn, with what it had to do without and what its followers may.
pub(super) struct Waiting<B> {
    pub alternative: Alternative,
    pub banned: FxHashSet<B>,
    pub features: Vec<B>,
}

impl<B> PartialEq for Waiting<B> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl<B> Eq for Waiting<B> {}

impl<B> PartialOrd for Waiting<B> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<B> Ord for Waiting<B> {
    fn cmp(&self, other: &Self) -> Ordering {
        self.alternative.score.total_cmp(&other.alternative.score)
    }
}

/// Up to `wanted` annotations, best first. `solve` finds the best one without the banned features, and its features.
pub(super) fn search<B: Clone + Eq + std::hash::Hash>(
    wanted: usize,
    solve: impl Fn(FxHashSet<B>) -> Waiting<B>,
) -> Vec<Alternative> {
    let mut found: Vec<Alternative> = Vec::new();
    let mut heap = BinaryHeap::new();
    let same = |a: &[GeneModel], b: &[GeneModel]| {
        a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.strand == b.strand && a.cds == b.cds)
    };
    if wanted > 0 {
        heap.push(solve(FxHashSet::default()));
    }
    while let Some(next) = heap.pop() {
        if found.iter().any(|other| same(&other.genes, &next.alternative.genes)) {
            continue;
        }
        if next.alternative.score == f64::NEG_INFINITY {
            break;
        }
        found.push(next.alternative);
        if found.len() == wanted {
            break;
        }
        for feature in &next.features {
            let mut banned = next.banned.clone();
            banned.insert(feature.clone());
            heap.push(solve(banned));
        }
    }
    found
}

/// Alternatives of a stretch by the spliced program. `codes` are the padded base codes of the whole sequence; classes and
/// signals are those of the stretch.
pub fn spliced(
    parameters: &Arc<GeneParameters>,
    code: &GeneticCode,
    codes: &Arc<[u8]>,
    stretch: Stretch,
    evidence: (&[f32], &[f32]),
    wanted: usize,
) -> Vec<Alternative> {
    let length = codes.len() - 2 * super::engine::PAD;
    search(wanted, |banned: FxHashSet<(u32, u8, Event)>| {
        let mut engine = Engine::new(parameters.clone(), code, codes.clone(), stretch, Taken::default(), 0.0);
        engine.ban(banned.clone());
        engine.push(evidence.0, evidence.1);
        let nodes = engine.finish();
        let features = nodes
            .iter()
            .filter(|node| matches!(node.event, Event::Open | Event::Close | Event::IntronLeft | Event::IntronRight))
            .map(|node| (node.position, node.strand, node.event))
            .collect();
        Waiting { alternative: Alternative { score: engine.score, genes: models(&nodes, length) }, banned, features }
    })
}
