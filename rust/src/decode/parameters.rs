//! Weights and priors of the dynamic programs: one JSON file, `gene_parameters.json`, beside a model.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::priors::PriorCounts;
use crate::dna;
use crate::error::{Error, Result};

/// Version of the JSON layout; a file with a newer one is refused.
pub const VERSION: u32 = 1;

/// Which dynamic program turns evidence into genes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Program {
    Spliced,
    Prokaryotes,
}

/// A signal's logit counts `weight` times, and each use of the signal adds `bias`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SignalWeight {
    pub weight: f64,
    pub bias: f64,
}

/// What the score of an annotation adds up, in nats. Costs are negative.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Weights {
    /// Factor of (class logit - intergenic logit) of each base inside a coding exon.
    pub cds_scale: f64,
    /// The same inside an intron.
    pub intron_scale: f64,
    /// Added for each coding base: an open reading frame is evidence by itself, for chance ones are short.
    pub cds_base: f64,
    /// Added for each base of an intron.
    pub intron_base: f64,
    /// Class and signal logits are cut to plus or minus this before they are used.
    pub logit_limit: f64,
    /// Where the model predicts UTRs, coding evidence is measured against the better of intergenic and UTR.
    pub utr_is_background: bool,
    pub start: SignalWeight,
    pub stop: SignalWeight,
    pub donor: SignalWeight,
    pub acceptor: SignalWeight,
    /// Added once a gene.
    pub gene: f64,
    /// Added once an intron.
    pub intron: f64,
    /// Added for a donor that is GC instead of GT.
    pub gc_donor: f64,
    /// Added for a start or stop codon that an intron splits; such codons have no signal logit.
    pub split_codon: f64,
    /// Added for each end of a gene that the sequence's end cuts off.
    pub partial: f64,
    /// Added where neighbouring genes lie on different strands.
    pub switch: f64,
    /// Added for each base that two genes share.
    pub overlap: f64,
    /// Added once for a gene of the second pass, which lies inside or across a gene of the first.
    pub nested: f64,
    /// Factor of the log prior of the start's rank among the in-frame starts of its open reading frame.
    pub rank: f64,
    /// Factor of the log priors of exon and intron lengths (of gene lengths in prokaryotes).
    pub length: f64,
    /// Factor of the log priors of the space between genes.
    pub space: f64,
    /// Start codons in use, and what each adds.
    pub start_codons: BTreeMap<String, f64>,
    /// Shortest intron, bp.
    pub minimum_intron: u32,
    /// Shortest coding sequence of a complete gene, bp with its stop codon. In the spliced program it holds for
    /// single-exon genes.
    pub minimum_cds: u32,
}

/// One piece of a length prior: for lengths of `from` bp and more, `log_p + slope * (length - from)`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LengthPiece {
    pub from: u32,
    pub log_p: f64,
    /// Nats per bp; not positive.
    pub slope: f64,
}

/// The log prior of a length is the largest of its pieces there: steps up and geometric tails, which a dynamic program
/// can follow exactly in constant time a base. Lengths below every piece are impossible.
pub type LengthPrior = Vec<LengthPiece>;

/// The log prior of `length`.
pub fn log_prior(prior: &LengthPrior, length: u64) -> f64 {
    prior
        .iter()
        .filter(|piece| u64::from(piece.from) <= length)
        .map(|piece| piece.log_p + piece.slope * (length - u64::from(piece.from)) as f64)
        .fold(f64::NEG_INFINITY, f64::max)
}

/// Log density of the distance between neighbouring genes relative to a geometric one: `values[i]` holds from `edges[i]`
/// up to `edges[i + 1]` bp. Overlaps are negative distances.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DistancePrior {
    pub edges: Vec<i64>,
    pub values: Vec<f64>,
}

impl DistancePrior {
    /// The value at a distance; 0 outside the table.
    pub fn at(&self, distance: i64) -> f64 {
        let above = self.edges.partition_point(|&edge| edge <= distance);
        if above == 0 || above > self.values.len() { 0.0 } else { self.values[above - 1] }
    }
}

/// Log priors, learned from the training genomes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Priors {
    /// Log probability that the true start is the first, second, ... in-frame start of its open reading frame; the last
    /// value holds for all later ones.
    pub start_rank: Vec<f64>,
    /// Coding part of the exon of a single-exon gene, bp.
    pub single_exon: LengthPrior,
    /// Coding part of a gene's first exon, in transcript direction.
    pub initial_exon: LengthPrior,
    pub internal_exon: LengthPrior,
    pub terminal_exon: LengthPrior,
    pub intron: LengthPrior,
    /// Between the coding sequences of neighbouring genes.
    pub space: LengthPrior,
    /// Prokaryotes: distance of neighbours on one strand.
    pub same_strand_distance: DistancePrior,
    /// Prokaryotes: distance of neighbours whose 3' ends meet.
    pub convergent_distance: DistancePrior,
    /// Prokaryotes: distance of neighbours whose 5' ends meet.
    pub divergent_distance: DistancePrior,
}

/// How a gene's score becomes a probability: `1 / (1 + exp(-(scale * score + bias)))`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Calibration {
    pub scale: f64,
    pub bias: f64,
}

impl Calibration {
    pub fn probability(self, score: f64) -> f32 {
        (1.0 / (1.0 + (-(self.scale * score + self.bias)).exp())) as f32
    }
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GeneParameters {
    pub version: u32,
    pub program: Program,
    /// The taxon these were made for.
    pub taxon: String,
    /// Whether the weights were fitted on validation genomes, or are the defaults of the taxon.
    pub fitted: bool,
    pub weights: Weights,
    pub priors: Priors,
    pub calibration: Calibration,
}

fn piece(from: u32, log_p: f64, slope: f64) -> LengthPiece {
    LengthPiece { from, log_p, slope }
}

/// A geometric distribution of the mean `mean` for lengths from `from` on.
fn geometric(from: u32, mean: f64) -> LengthPiece {
    piece(from, -mean.ln(), -1.0 / mean)
}

/// Taxa that have defaults.
pub const TAXA: [&str; 5] = ["prokaryotes", "unicellular", "invertebrates", "vertebrates", "plants"];

impl GeneParameters {
    /// Weights and priors for a model that was not trained, by taxon.
    pub fn default_for(taxon: &str) -> Result<GeneParameters> {
        let (program, minimum_intron, intron_mean, intron_tail, exon_mean, space): (_, _, f64, f64, f64, f64) =
            match taxon {
                "prokaryotes" => (Program::Prokaryotes, 20, 100.0, 1000.0, 900.0, 150.0),
                "unicellular" => (Program::Spliced, 18, 80.0, 400.0, 500.0, 1000.0),
                "invertebrates" => (Program::Spliced, 30, 150.0, 3000.0, 220.0, 4000.0),
                "vertebrates" => (Program::Spliced, 40, 1000.0, 15000.0, 150.0, 40000.0),
                "plants" => (Program::Spliced, 40, 150.0, 800.0, 230.0, 3000.0),
                other => {
                    return Err(Error::input(format!("no taxon '{other}'; the taxa are {}", TAXA.join(", "))));
                }
            };
        let single = vec![geometric(60, 400.0), piece(300, -7.0, -1.0 / 1200.0)];
        let start_codons: &[(&str, f64)] = match program {
            Program::Prokaryotes => &[("ATG", 0.0), ("GTG", -1.5), ("TTG", -2.0)],
            Program::Spliced => &[("ATG", 0.0)],
        };
        let (cds_base, gene) = (0.01, -5.0);
        let minimum_cds = if program == Program::Prokaryotes { 90 } else { 60 };
        let (same, convergent, divergent) = default_distances();
        Ok(GeneParameters {
            version: VERSION,
            program,
            taxon: taxon.to_owned(),
            fitted: false,
            weights: Weights {
                cds_scale: 0.03,
                intron_scale: 0.03,
                cds_base,
                intron_base: 0.0,
                logit_limit: 10.0,
                utr_is_background: false,
                start: SignalWeight { weight: 0.5, bias: 1.0 },
                stop: SignalWeight { weight: 0.5, bias: 1.0 },
                donor: SignalWeight { weight: 0.7, bias: 0.0 },
                acceptor: SignalWeight { weight: 0.7, bias: 0.0 },
                gene,
                intron: -4.0,
                gc_donor: -3.0,
                split_codon: -6.0,
                partial: -2.0,
                switch: -0.5,
                overlap: -0.02,
                nested: -4.0,
                rank: 1.0,
                length: 0.3,
                space: 0.3,
                start_codons: start_codons.iter().map(|&(codon, bias)| (codon.to_owned(), bias)).collect(),
                minimum_intron,
                minimum_cds,
            },
            priors: Priors {
                start_rank: vec![-0.15, -2.6, -3.4, -4.0, -4.5, -5.0, -6.0],
                single_exon: single,
                initial_exon: vec![geometric(3, exon_mean)],
                internal_exon: vec![geometric(3, exon_mean)],
                terminal_exon: vec![geometric(3, exon_mean)],
                intron: vec![
                    geometric(minimum_intron, intron_mean),
                    piece(minimum_intron, -(intron_tail * 8.0).ln(), -1.0 / intron_tail),
                ],
                space: vec![geometric(0, space), piece(0, -(space * 20.0).ln(), -0.1 / space)],
                same_strand_distance: same,
                convergent_distance: convergent,
                divergent_distance: divergent,
            },
            calibration: Calibration { scale: 0.5, bias: 0.0 },
        })
    }

    /// The same weights with priors from what training genomes count; a prior without observations stays as it is.
    pub fn with_priors(mut self, counts: &PriorCounts) -> GeneParameters {
        counts.fill(&mut self);
        self
    }

    pub fn to_json(&self) -> String {
        serde_json::to_string_pretty(self).expect("numbers and strings always have a JSON form") + "\n"
    }

    /// Reads and checks what [`GeneParameters::to_json`] wrote.
    pub fn from_json(text: &str) -> Result<GeneParameters> {
        #[derive(Deserialize)]
        struct Version {
            version: u32,
        }
        let fault = |e: serde_json::Error| {
            Error::input(format!(
                "gene parameters, line {}: {e}; the file is written by init_model and finet",
                e.line()
            ))
        };
        let found = serde_json::from_str::<Version>(text).map_err(fault)?.version;
        if found != VERSION {
            return Err(Error::input(format!(
                "gene parameters have version {found}, this program reads {VERSION}: use the release that wrote them or train again"
            )));
        }
        let parameters: GeneParameters = serde_json::from_str(text).map_err(fault)?;
        parameters.check()?;
        Ok(parameters)
    }

    fn check(&self) -> Result<()> {
        let w = &self.weights;
        let fail = |what: &str| Err(Error::input(format!("gene parameters: {what}")));
        let numbers = [
            w.cds_scale,
            w.intron_scale,
            w.cds_base,
            w.intron_base,
            w.logit_limit,
            w.gene,
            w.intron,
            w.gc_donor,
            w.split_codon,
            w.partial,
            w.switch,
            w.overlap,
            w.nested,
            w.rank,
            w.length,
            w.space,
            w.start.weight,
            w.start.bias,
            w.stop.weight,
            w.stop.bias,
            w.donor.weight,
            w.donor.bias,
            w.acceptor.weight,
            w.acceptor.bias,
            self.calibration.scale,
            self.calibration.bias,
        ];
        if numbers.iter().any(|x| !x.is_finite()) {
            return fail("a weight is not a finite number");
        }
        if w.start_codons.is_empty() {
            return fail("'start_codons' is empty");
        }
        for codon in w.start_codons.keys() {
            if dna::codon_index(codon.as_bytes()).is_none() {
                return fail(&format!("start codon '{codon}' is not three of A, C, G, T"));
            }
        }
        if w.minimum_intron < 4 {
            return fail("'minimum_intron' is below 4 bp, the length of its two splice sites");
        }
        let p = &self.priors;
        for (name, prior) in [
            ("single_exon", &p.single_exon),
            ("initial_exon", &p.initial_exon),
            ("internal_exon", &p.internal_exon),
            ("terminal_exon", &p.terminal_exon),
            ("intron", &p.intron),
            ("space", &p.space),
        ] {
            if prior.is_empty() || prior.len() > 8 {
                return fail(&format!("the prior '{name}' has {} pieces; 1 to 8 are allowed", prior.len()));
            }
            if prior.iter().any(|x| !x.log_p.is_finite() || !x.slope.is_finite() || x.slope > 0.0) {
                return fail(&format!(
                    "the prior '{name}' has a piece with a rising slope or a value that is not finite"
                ));
            }
            if prior.iter().any(|x| x.from > 1 << 16) {
                return fail(&format!("the prior '{name}' has a piece that begins past 65,536 bp"));
            }
        }
        if p.space.iter().all(|x| x.from > 0) {
            return fail("the prior 'space' needs a piece from 0 bp on: a gene may end where the sequence does");
        }
        if p.start_rank.is_empty() || p.start_rank.iter().any(|x| !x.is_finite()) {
            return fail("'start_rank' is empty or not finite");
        }
        for prior in [&p.same_strand_distance, &p.convergent_distance, &p.divergent_distance] {
            if prior.edges.len() != prior.values.len() + 1 || prior.edges.windows(2).any(|e| e[0] >= e[1]) {
                return fail("a distance prior needs rising edges, one more than values");
            }
            if prior.values.iter().any(|x| !x.is_finite()) {
                return fail("a distance prior has a value that is not finite");
            }
        }
        Ok(())
    }

    /// The log prior of the start that is number `rank` (from 0) of its open reading frame, times its weight.
    pub fn rank_score(&self, rank: usize) -> f64 {
        let ranks = &self.priors.start_rank;
        self.weights.rank * ranks[rank.min(ranks.len() - 1)]
    }

    /// What each codon adds as a start, by codon index; `None` for codons that are no start or are stops in the code.
    pub fn start_table(&self, code: &dna::GeneticCode) -> [Option<f64>; 64] {
        let mut table = [None; 64];
        for (codon, &bias) in &self.weights.start_codons {
            if let Some(index) = dna::codon_index(codon.as_bytes())
                && !code.is_stop_index(index)
            {
                table[index as usize] = Some(bias);
            }
        }
        table
    }
}

/// Distances of neighbours in bacterial genomes, roughly: operons keep genes close, and overlaps of 4 and 1 bp are common.
fn default_distances() -> (DistancePrior, DistancePrior, DistancePrior) {
    let same = DistancePrior {
        edges: vec![-61, -20, -8, -4, -3, -1, 0, 20, 60, 120, 300],
        values: vec![-2.5, -1.0, -0.5, 3.5, -1.0, 2.5, 1.0, 0.3, 0.0, 0.0],
    };
    let convergent = DistancePrior { edges: vec![-201, -30, 0, 100], values: vec![-3.0, -1.5, 0.3] };
    let divergent = DistancePrior { edges: vec![-61, 0, 60, 300], values: vec![-4.0, -1.0, 0.2] };
    (same, convergent, divergent)
}
