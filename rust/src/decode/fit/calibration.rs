//! From scores to probabilities.

use super::Example;
use crate::decode::gene_model::GeneModel;
use crate::decode::parameters::Calibration;

/// Logistic regression of "the gene is exactly right" on its score.
pub fn calibrate(examples: &[Example], models: &[Vec<GeneModel>]) -> Calibration {
    let mut data: Vec<(f64, bool)> = Vec::new();
    for (example, models) in examples.iter().zip(models) {
        let truth: std::collections::HashSet<_> = example
            .reference
            .genes
            .iter()
            .flat_map(|gene| gene.transcripts.iter().map(move |t| (gene.strand, t.cds.as_slice())))
            .collect();
        data.extend(models.iter().map(|m| (m.score, truth.contains(&(m.strand, m.cds.as_slice())))));
    }
    fit_logistic(&data)
}

/// Newton's method with a weak prior, so that a perfect split stays finite. Scores are cut at plus or minus 100.
fn fit_logistic(data: &[(f64, bool)]) -> Calibration {
    let (mut scale, mut bias) = (0.1f64, 0.0f64);
    for _ in 0..50 {
        let (mut g0, mut g1) = (-0.01 * bias, -(scale - 0.1));
        let (mut h00, mut h01, mut h11) = (0.01, 0.0, 1.0);
        for &(score, right) in data {
            let x = score.clamp(-100.0, 100.0);
            let p = 1.0 / (1.0 + (-(scale * x + bias)).exp());
            let rest = f64::from(u8::from(right)) - p;
            let w = (p * (1.0 - p)).max(1e-9);
            g0 += rest;
            g1 += rest * x;
            h00 += w;
            h01 += w * x;
            h11 += w * x * x;
        }
        let determinant = h00 * h11 - h01 * h01;
        let (d0, d1) = ((h11 * g0 - h01 * g1) / determinant, (h00 * g1 - h01 * g0) / determinant);
        // Short steps far out, where the curve is flat.
        bias += d0.clamp(-2.0, 2.0);
        scale = (scale + d1.clamp(-0.2, 0.2)).max(1e-3);
        if d0.abs() < 1e-9 && d1.abs() < 1e-9 {
            break;
        }
    }
    Calibration { scale, bias }
}
