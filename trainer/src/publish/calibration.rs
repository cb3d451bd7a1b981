//! The temperature that makes a network's probabilities honest (Guo et al. 2017, arXiv:1706.04599).

use datasets::{Dataset, Split};
use tch::Device;

use crate::error::{Error, Result};
use crate::evaluate::Evaluator;
use crate::network::Network;
use crate::normaliser::Normaliser;
use crate::parameters::Parameters;
use crate::recipe::RecipeFile;
use crate::split::split;

/// Range of the temperature, as natural logarithms.
const RANGE: (f64, f64) = (-3.0, 3.0);
/// Golden-section steps: each leaves 0.618 of the range, so that 60 are more than `f32` can tell apart.
const STEPS: usize = 60;

/// The temperature with the least cross-entropy on the recipe's validation images; 1 if the recipe wants
/// none. Equal weights give equal bits.
///
/// # Errors
/// [`Error::Recipe`] without validation images, or if the data cannot be read.
pub(crate) fn temperature(
    recipe: &RecipeFile,
    dataset: &Dataset,
    network: &Network,
    parameters: &Parameters,
) -> Result<f32> {
    if !recipe.recipe.output.confidence {
        return Ok(1.0);
    }
    let samples = dataset.load(Split::Train)?;
    let (_, validation) = split(recipe, &samples)?;
    if validation.is_empty() {
        return Err(Error::Recipe {
            path: recipe.path.clone(),
            field: "split.validation".into(),
            found: "0".into(),
            expected: "at least 1 image, because output.confidence is fitted on them".into(),
        });
    }
    let normaliser = Normaliser::new(&dataset.description.normalisation);
    let evaluator =
        Evaluator { network, parameters, normaliser: &normaliser, samples: &samples, device: Device::Cpu };
    let logits = evaluator.logits_of(&validation);
    let labels: Vec<usize> = validation.iter().map(|&index| samples.labels[index].into()).collect();
    Ok(best(&logits, &labels, logits.len() / labels.len()) as f32)
}

/// Golden-section search (Kiefer 1953): the cross-entropy has one minimum in the temperature.
fn best(logits: &[f32], labels: &[usize], classes: usize) -> f64 {
    let loss = |log: f64| cross_entropy(logits, labels, classes, libm::exp(log));
    let share = (libm::sqrt(5.0) - 1.0) / 2.0;
    let (mut low, mut high) = RANGE;
    let (mut a, mut b) = (high - share * (high - low), low + share * (high - low));
    let (mut at_a, mut at_b) = (loss(a), loss(b));
    for _ in 0..STEPS {
        if at_a < at_b {
            (high, b, at_b) = (b, a, at_a);
            a = high - share * (high - low);
            at_a = loss(a);
        } else {
            (low, a, at_a) = (a, b, at_b);
            b = low + share * (high - low);
            at_b = loss(b);
        }
    }
    libm::exp((low + high) / 2.0)
}

fn cross_entropy(logits: &[f32], labels: &[usize], classes: usize, temperature: f64) -> f64 {
    let rows = logits.chunks_exact(classes.max(1)).zip(labels);
    let loss = rows.map(|(row, &label)| {
        let scaled = |class: usize| f64::from(row[class]) / temperature;
        let largest = (0..row.len()).map(scaled).fold(f64::NEG_INFINITY, f64::max);
        let sum: f64 = (0..row.len()).map(|class| libm::exp(scaled(class) - largest)).sum();
        largest + libm::log(sum) - scaled(label)
    });
    loss.sum::<f64>() / labels.len().max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_temperature_undoes_a_scale() {
        // Labels as frequent as a softmax of small logits says; the logits are then made five times larger.
        let (mut logits, mut labels) = (Vec::new(), Vec::new());
        for i in 0..3000usize {
            let row = [((i * 37) % 11) as f32 / 4.0, ((i * 53) % 7) as f32 / 4.0];
            let first = 1.0 / (1.0 + f64::from(row[1] - row[0]).exp());
            labels.push(usize::from((i * 7919 % 1000) as f64 / 1000.0 >= first));
            logits.extend(row.map(|logit| 5.0 * logit));
        }
        let found = best(&logits, &labels, 2);
        assert!((found - 5.0).abs() < 0.4, "{found}");
        assert_eq!(best(&logits, &labels, 2).to_bits(), found.to_bits());
    }
}
