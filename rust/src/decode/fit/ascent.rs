//! Climbs to the top of a smooth function of some twenty numbers: BFGS (Nocedal and Wright, Numerical Optimization,
//! 2nd edition, chapter 6) with gradients by differences and steps that are shortened until they gain.

use crate::error::Result;

/// Of the differences that make the gradient.
const STEP: f64 = 1e-3;
/// No number moves further in one round.
const FURTHEST: f64 = 1.0;
/// Shares of a step to try, two at a time.
const SHARES: [[f64; 2]; 3] = [[1.0, 0.4], [0.15, 0.05], [0.015, 0.003]];

/// The best point found from `start` on, in at most `rounds` rounds, until one gains less than `gain`. `values` evaluates
/// several points at once; `told` hears of each round's value, and its error ends the climb.
pub fn climb(
    start: Vec<f64>,
    rounds: usize,
    gain: f64,
    values: &dyn Fn(Vec<Vec<f64>>) -> Result<Vec<f64>>,
    told: &mut dyn FnMut(f64) -> Result<()>,
) -> Result<Vec<f64>> {
    let gradient_at = |point: &[f64]| -> Result<(f64, Vec<f64>)> {
        let mut points = vec![point.to_vec(); point.len() + 1];
        for (i, next) in points[1..].iter_mut().enumerate() {
            next[i] += STEP;
        }
        let found = values(points)?;
        Ok((found[0], found[1..].iter().map(|value| (value - found[0]) / STEP).collect()))
    };
    let mut point = start;
    let (mut value, mut gradient) = gradient_at(&point)?;
    // The inverse of minus the second derivatives, as far as the steps have shown it; None before the first.
    let mut inverse: Option<Vec<Vec<f64>>> = None;
    for _ in 0..rounds {
        let mut direction = match &inverse {
            Some(inverse) => times(inverse, &gradient),
            None => gradient.clone(),
        };
        if dot(&direction, &gradient) <= 0.0 {
            inverse = None;
            direction = gradient.clone();
        }
        let furthest = direction.iter().fold(0.0f64, |most, x| most.max(x.abs()));
        if furthest > FURTHEST || inverse.is_none() {
            direction.iter_mut().for_each(|x| *x *= FURTHEST / furthest.max(1e-12));
        }
        let mut next = None;
        for pair in SHARES {
            let tried = pair.map(|share| point.iter().zip(&direction).map(|(x, d)| x + share * d).collect::<Vec<_>>());
            let found = values(tried.to_vec())?;
            let best = usize::from(found[1] > found[0]);
            if found[best] > value {
                next = Some(tried[best].clone());
                break;
            }
        }
        let Some(next) = next else { break };
        let (next_value, next_gradient) = gradient_at(&next)?;
        let step: Vec<f64> = next.iter().zip(&point).map(|(a, b)| a - b).collect();
        let bend: Vec<f64> = gradient.iter().zip(&next_gradient).map(|(a, b)| a - b).collect();
        update(&mut inverse, &step, &bend);
        let gained = next_value - value;
        (point, value, gradient) = (next, next_value, next_gradient);
        told(value)?;
        if gained < gain {
            break;
        }
    }
    Ok(point)
}

fn update(inverse: &mut Option<Vec<Vec<f64>>>, step: &[f64], bend: &[f64]) {
    let curvature = dot(step, bend);
    if curvature <= 1e-10 {
        return;
    }
    let n = step.len();
    let matrix = inverse.get_or_insert_with(|| {
        let scale = curvature / dot(bend, bend);
        (0..n).map(|i| (0..n).map(|j| if i == j { scale } else { 0.0 }).collect()).collect()
    });
    let moved = times(matrix, bend);
    let scale = (curvature + dot(bend, &moved)) / (curvature * curvature);
    for (i, row) in matrix.iter_mut().enumerate() {
        for (j, entry) in row.iter_mut().enumerate() {
            *entry += scale * step[i] * step[j] - (moved[i] * step[j] + step[i] * moved[j]) / curvature;
        }
    }
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(x, y)| x * y).sum()
}

fn times(matrix: &[Vec<f64>], vector: &[f64]) -> Vec<f64> {
    matrix.iter().map(|row| dot(row, vector)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_top_of_a_narrow_ridge() {
        // Its top, 0, is at (1, 2, 3); along the ridge it falls a hundred times slower than across.
        let value = |x: &Vec<f64>| {
            let (a, b, c) = (x[0] - 1.0, x[1] - 2.0, x[2] - 3.0);
            -(a + b + c).powi(2) - 100.0 * (a - b).powi(2) - 30.0 * (b - c).powi(2)
        };
        let values = |points: Vec<Vec<f64>>| Ok(points.iter().map(value).collect());
        let mut heard = Vec::new();
        let top = climb(vec![-5.0, 8.0, 0.5], 100, 1e-12, &values, &mut |value| {
            heard.push(value);
            Ok(())
        })
        .unwrap();
        assert!(top.iter().zip([1.0, 2.0, 3.0]).all(|(x, y)| (x - y).abs() < 0.05), "{top:?}");
        assert!(heard.is_sorted());
    }

    #[test]
    fn can_be_ended() {
        let values = |points: Vec<Vec<f64>>| Ok(points.iter().map(|x| -x[0] * x[0]).collect());
        let ended = climb(vec![3.0], 10, 0.0, &values, &mut |_| Err(crate::error::Error::input("enough")));
        assert!(ended.is_err());
    }
}
