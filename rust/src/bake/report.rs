//! What became of a species, as JSON.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::config::Config;
use super::load::Loaded;
use super::segments::{SegmentCounts, SequenceGenes, genes_left_out};
use super::write::Packs;
use crate::decode::priors::PriorCounts;
use crate::language::Telling;
use crate::windows::{Plan, Role, Sequence};

/// Where fewer than this share of the coding genes can be told, the labels are doubtful.
const FEWEST_TOLD: f64 = 0.9;
/// Base pairs of a DNA token on average, for estimates.
const BASES_A_TOKEN: f64 = 4.8;

pub struct Report {
    value: Map<String, Value>,
}

impl Report {
    pub fn new(
        config: &Config,
        species: &Loaded,
        sequences: &[Sequence],
        genes: &[SequenceGenes],
        plan: &Plan,
    ) -> Report {
        let used: Vec<usize> = (0..sequences.len()).filter(|&i| sequences[i].role != Role::Neither).collect();
        let in_use: Vec<&SequenceGenes> = used.iter().map(|&i| &genes[i]).collect();
        let left_out: BTreeMap<&str, u64> = genes_left_out(&in_use).into_iter().collect();
        let mut dropped: BTreeMap<&str, u64> = BTreeMap::new();
        let (mut told, mut coding, mut coding_told, mut biotypes) = (0_u64, 0_u64, 0_u64, BTreeMap::<&str, u64>::new());
        for &i in &used {
            for (gene, prepared) in species.genes(i).iter().zip(genes[i].prepared()) {
                for (_, reason) in &prepared.dropped {
                    *dropped.entry(reason.name()).or_default() += 1;
                }
                told += u64::from(prepared.is_said());
                let is_coding = gene.transcripts.iter().any(|transcript| !transcript.cds.is_empty())
                    && !gene.flags.pseudogene
                    && !gene.flags.mobile_element;
                coding += u64::from(is_coding);
                coding_told += u64::from(is_coding && prepared.is_said());
                if let Telling::Said(transcripts) = &prepared.telling {
                    let biotype = &gene.transcripts[transcripts[0].index].biotype;
                    *biotypes.entry(biotype.as_str()).or_default() += 1;
                }
            }
        }
        let mut warnings = species.warnings.clone();
        if coding > 0 && (coding_told as f64) < FEWEST_TOLD * coding as f64 {
            warnings.push(format!(
                "{}: only {coding_told} of {coding} coding genes have a valid reading frame; is the genetic code right, \
                 and does the annotation belong to this assembly? `genet5 stats` tells more",
                config.species
            ));
        }
        if coding == 0 && told > 0 {
            warnings.push(format!(
                "{}: no gene has a CDS, so all are taught as RNA that codes for nothing; transcripts assembled from RNA-seq \
                 need their CDS first",
                config.species
            ));
        }
        if told == 0 {
            warnings.push(format!("{}: no gene can be told; its windows teach nothing but background", config.species));
        }
        if config.validation_fraction > 0.0 && plan.validation.is_empty() {
            warnings.push(format!(
                "{}: too small to spare a validation region; name whole sequences with --validation_seqids",
                config.species
            ));
        }
        let ids = |role: Role| -> Vec<&str> {
            sequences.iter().filter(|s| s.role == role).map(|s| s.name.as_str()).collect()
        };
        let named = |list: &[String]| -> Vec<&str> {
            sequences.iter().map(|s| s.name.as_str()).filter(|name| list.iter().any(|id| id == name)).collect()
        };
        let organelles: Vec<&str> = sequences
            .iter()
            .zip(&species.sequences)
            .filter(|(sequence, facts)| facts.organelle.is_some() && sequence.role == Role::Neither)
            .map(|(sequence, _)| sequence.name.as_str())
            .collect();
        let regions: Vec<Value> = plan
            .regions
            .iter()
            .map(|region| {
                json!({
                    "seqid": sequences[region.sequence].name,
                    "start": region.span.start,
                    "end": region.span.end,
                    "stratum": region.stratum,
                })
            })
            .collect();
        let reading: BTreeMap<&str, Value> = species
            .annotation
            .report
            .counts
            .iter()
            .map(|(reason, count)| {
                let examples = species.annotation.report.examples.get(reason);
                (reason.as_str(), json!({ "count": count, "examples": examples }))
            })
            .collect();
        let sequence_reports: Vec<Value> = (0..sequences.len()).map(|i| json!(species.sequence_report(i))).collect();
        let value = json!({
            "species": config.species,
            "taxon": config.taxon,
            "bases": sequences.iter().map(|sequence| sequence.length).sum::<u64>(),
            "window_size": config.window_size,
            "gene_limit": config.gene_limit,
            "policy": { "utr": species.policy.utr, "noncoding": species.policy.noncoding },
            "sequences": sequence_reports,
            "genes": used.iter().map(|&i| species.genes(i).len()).sum::<usize>(),
            "genes_told": told,
            "genes_left_out": left_out,
            "transcripts_left_out": dropped,
            "biotypes": biotypes,
            "unknown_biotypes": species.annotation.report.unknown_biotypes,
            "reading": reading,
            "coding_genes": coding,
            "coding_genes_told": coding_told,
            "validation_seqids": ids(Role::Validation),
            "test_seqids": named(&config.test_seqids),
            "exclude_seqids": named(&config.exclude_seqids),
            "organelles_left_out": organelles,
            "bases_in_neither": plan.bases_in_neither,
            "validation_regions": regions,
            "training": plan.training_counts,
            "validation": plan.validation_counts,
            "warnings": warnings,
        });
        let Value::Object(value) = value else { unreachable!("the macro above makes an object") };
        Report { value }
    }

    /// Adds `estimated_bytes` of both files.
    pub fn estimate(&mut self) {
        let of = |half: &str, key: &str| self.value[half][key].as_f64().unwrap_or(0.0);
        let windows = of("training", "windows") + of("validation", "windows");
        let bases = windows * self.value["window_size"].as_f64().unwrap_or(0.0);
        let bytes = bases / BASES_A_TOKEN * 2.0 + windows * 256.0;
        self.value.insert("estimated_bytes".into(), json!(bytes.round() as u64));
    }

    /// Adds what was written to the counts of windows.
    pub fn add(&mut self, is_training: bool, counts: SegmentCounts, packs: Packs) {
        let half = if is_training { "training" } else { "validation" };
        if let Some(Value::Object(value)) = self.value.get_mut(half) {
            if let Value::Object(counts) = json!(counts) {
                // `bases` of the stretches and of the segments are both wanted.
                value.extend(counts.into_iter().map(|(key, count)| match key.as_str() {
                    "bases" => ("bases_in_segments".to_owned(), count),
                    _ => (key, count),
                }));
            }
            value.insert("packs".into(), json!(packs.packs));
            value.insert("packs_lower_bound".into(), json!(packs.lower_bound));
            value.insert("packs_oversize".into(), json!(packs.oversize));
        }
    }

    /// The metadata of a packed file; priors are counted on training genes alone.
    pub fn metadata(&self, config: &Config, priors: Option<&PriorCounts>) -> Value {
        let keys = ["taxon", "policy", "sequences", "validation_regions", "validation_seqids", "test_seqids"];
        let mut species: Map<String, Value> =
            keys.into_iter().map(|key| (key.to_owned(), self.value[key].clone())).collect();
        species.insert("name".into(), json!(config.species));
        let mut metadata = json!({ "species": [species], "flags": config.flags });
        if let Some(priors) = priors {
            metadata["priors"] = json!(priors);
        }
        metadata
    }

    pub fn into_value(self) -> Value {
        Value::Object(self.value)
    }
}
