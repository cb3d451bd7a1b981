//! What a network gives for training images, and what that is.

use datasets::Samples;
use infer::Session;
use tract_onnx::pb::ModelProto;

use super::graph::Kind;
use super::{Request, wrong};
use crate::error::Result;

/// Training images on which it is seen what outputs are.
const PROBE: usize = 64;
/// Difference of an output alone and together with others, of the largest output.
const ROUNDING: f32 = 1e-4;
/// The same in quantised networks.
const LEVELS: f32 = 0.05;
/// A sum of probabilities may be off by this much.
const SUM_ERROR: f64 = 1e-3;

/// The raw outputs for some training images, one by one and together: both must give the same, which a network that is quantised
/// as it runs does not.
pub(super) fn of_training_images(
    request: &Request<'_>,
    session: &Session,
    training: &Samples,
    model: &ModelProto,
) -> Result<Vec<f32>> {
    let has = |operator: &str| {
        let mut nodes = model.graph.iter().flat_map(|graph| &graph.node);
        nodes.any(|node| node.op_type == operator)
    };
    let is_dynamic = has("DynamicQuantizeLinear");
    // Sums of several images and of one may round differently; where values become levels, that is a level.
    let tolerance = if has("QuantizeLinear") && !is_dynamic { LEVELS } else { ROUNDING };
    let size = training.shape.numel();
    let images = training.images.get(..(PROBE.min(training.len()) * size)).unwrap_or(&[]);
    let mut worker = session.worker()?;
    let together = worker.probabilities(images)?;
    let mut alone = Vec::with_capacity(together.len());
    for image in images.chunks_exact(size) {
        alone.extend(worker.probabilities(image)?);
    }
    let largest = together.iter().fold(1f32, |most, value| most.max(value.abs()));
    let differs = together.iter().zip(&alone).position(|(a, b)| (a - b).abs() > tolerance * largest);
    match differs {
        None => Ok(together),
        Some(place) => {
            let image = place / session.classes().max(1);
            Err(wrong(
                request,
                format!(
                    "image {image} of {PROBE} gives {} alone and {} together with others: expected a network whose answer for an image \
                     depends on that alone, and whose number of images can be freed{}",
                    alone[place],
                    together[place],
                    if is_dynamic {
                        "; DynamicQuantizeLinear takes the range of all images together"
                    } else {
                        ""
                    }
                ),
            ))
        }
    }
}

/// What rows of outputs are: probabilities add up to 1, log-probabilities do so after the exponential.
///
/// # Errors
/// For values of 0 to 1 that do not add up to 1: a softmax over them would make every answer an unsure one.
pub(super) fn kind(outputs: &[f32], classes: usize) -> std::result::Result<Kind, String> {
    let rows = || outputs.chunks_exact(classes.max(1));
    let sums_to_one = |row: &[f32], of: fn(f64) -> f64| {
        (row.iter().map(|&value| of(value.into())).sum::<f64>() - 1.0).abs() < SUM_ERROR
    };
    if rows().all(|row| row.iter().all(is_share) && sums_to_one(row, |v| v)) {
        return Ok(Kind::Probabilities);
    }
    if rows().all(|row| row.iter().all(|&value| value <= 1e-6) && sums_to_one(row, f64::exp)) {
        return Ok(Kind::LogProbabilities);
    }
    if outputs.iter().all(is_share) {
        let sums: Vec<f32> = rows().map(|row| row.iter().sum()).collect();
        let (least, most) = sums.iter().fold((f32::MAX, f32::MIN), |(l, m), &sum| (l.min(sum), m.max(sum)));
        return Err(format!(
            "gives values of 0 to 1 that add up to {least:.3} to {most:.3}, not to 1, as a sigmoid or a quantised softmax does: \
             name the value before that by --output, or say by --gives what they are"
        ));
    }
    Ok(Kind::Logits)
}

fn is_share(value: &f32) -> bool {
    (-1e-6..=1.0 + 1e-6).contains(value)
}

/// What is wrong with what a caller says that outputs are, if it cannot be.
pub(super) fn check_kind(kind: Kind, outputs: &[f32]) -> Option<String> {
    let (named, expected, holds): (_, _, fn(&f32) -> bool) = match kind {
        Kind::Logits => return None,
        Kind::Probabilities => ("probabilities", "0 to 1", is_share),
        Kind::LogProbabilities => ("log-probabilities", "at most 0", |value| *value <= 1e-6),
    };
    let (least, most) = outputs.iter().fold((f32::MAX, f32::MIN), |(l, m), &v| (l.min(v), m.max(v)));
    let problem =
        || format!("gives values of {least} to {most}, no {named}: expected {expected}; see --gives");
    (!outputs.iter().all(holds)).then(problem)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outputs_tell_what_they_are() {
        assert_eq!(kind(&[0.25, 0.75, 1.0, 0.0], 2), Ok(Kind::Probabilities));
        let logarithms = [0.25f32.ln(), 0.75f32.ln(), 0.5f32.ln(), 0.5f32.ln()];
        assert_eq!(kind(&logarithms, 2), Ok(Kind::LogProbabilities));
        assert_eq!(kind(&[3.0, -1.0, 0.2, 0.8], 2), Ok(Kind::Logits));
        // One row that adds up by accident is not enough.
        assert_eq!(kind(&[0.5, 0.5, 2.0, -1.0], 2), Ok(Kind::Logits));
        // A sigmoid, and a softmax of 256 levels.
        for outputs in [[0.9, 0.8, 0.1, 0.2], [0.25, 0.746, 0.996, 0.0]] {
            let problem = kind(&outputs, 2).unwrap_err();
            assert!(problem.contains("not to 1"), "{problem}");
        }
        // What a caller says is believed where it can be.
        let sigmoids = [0.9, 0.8, 0.1, 0.2];
        for (said, outputs, can_be) in [
            (Kind::Probabilities, sigmoids, true),
            (Kind::Probabilities, [14.3, -6.1, 0.2, 0.8], false),
            (Kind::LogProbabilities, [-0.5, -3.0, 0.0, -9.0], true),
            (Kind::LogProbabilities, sigmoids, false),
            (Kind::Logits, sigmoids, true),
        ] {
            assert_eq!(check_kind(said, &outputs).is_none(), can_be, "{said:?} {outputs:?}");
        }
    }
}
