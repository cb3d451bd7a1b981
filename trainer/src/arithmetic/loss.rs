//! Softmax and cross-entropy, in `f64` with the exponential and logarithm of `libm`.

use tch::Tensor;

use super::host;

/// What a batch costs.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Loss {
    /// Sum over the images that have labels of the cross-entropy.
    pub(crate) sum: f64,
    /// The same without label smoothing, as for validation images.
    pub(crate) plain_sum: f64,
    /// Images whose largest logit is their label's.
    pub(crate) correct: usize,
}

/// Cross-entropy of `logits` `[N, classes]` against targets `(1 - smoothing) onehot + smoothing / classes`
/// (Szegedy et al. 2016, arXiv:1512.00567).
pub(crate) fn cross_entropy(logits: &Tensor, labels: &[i64], smoothing: f64) -> Loss {
    visit(logits, labels, smoothing, |_, _, _, _| ())
}

/// The same, with the gradient of its mean over all images, `(p - target) / N`. Images beyond those that
/// have labels are outliers: their target is `1 / classes` for every class.
pub(crate) fn with_gradient(logits: &Tensor, labels: &[i64], smoothing: f64) -> (Loss, Tensor) {
    let mut gradient = logits.detach().contiguous().empty_like();
    let (images, classes) = size(&gradient);
    let values = host::values_mut(&mut gradient);
    let loss = visit(logits, labels, smoothing, |image, class, probability, target| {
        values[image * classes + class] = ((probability - target) / images as f64) as f32;
    });
    (loss, gradient)
}

/// Probabilities `[N, classes]`, row-major.
pub(crate) fn softmax(logits: &Tensor) -> Vec<f32> {
    let logits = logits.detach().contiguous();
    let classes = logits.size().last().map_or(1, |&classes| classes as usize);
    let rows = host::values(&logits).chunks_exact(classes.max(1));
    let probabilities = rows.flat_map(|row| {
        let log_sum = log_sum_exp(row);
        row.iter().map(move |&logit| libm::exp(f64::from(logit) - log_sum) as f32)
    });
    probabilities.collect()
}

fn visit(
    logits: &Tensor,
    labels: &[i64],
    smoothing: f64,
    mut each: impl FnMut(usize, usize, f64, f64),
) -> Loss {
    let logits = logits.detach().contiguous();
    let values = host::values(&logits);
    let (_, classes) = size(&logits);
    let spread = smoothing / classes as f64;
    let mut loss = Loss { sum: 0.0, plain_sum: 0.0, correct: 0 };
    for (image, row) in values.chunks_exact(classes).enumerate() {
        let (log_sum, label) = (log_sum_exp(row), labels.get(image));
        for (class, &logit) in row.iter().enumerate() {
            let log_probability = f64::from(logit) - log_sum;
            let target = match label {
                Some(&label) if class as i64 == label => 1.0 - smoothing + spread,
                Some(_) => spread,
                None => 1.0 / classes as f64,
            };
            // Without smoothing, a class of probability 0 costs nothing.
            if label.is_some() && target != 0.0 {
                loss.sum -= target * log_probability;
            }
            if label.is_some_and(|&label| class as i64 == label) {
                loss.plain_sum -= log_probability;
            }
            each(image, class, libm::exp(log_probability), target);
        }
        loss.correct += usize::from(label.is_some_and(|&label| largest(row) as i64 == label));
    }
    loss
}

/// Images and classes of `[N, classes]`.
fn size(logits: &Tensor) -> (usize, usize) {
    let size = logits.size();
    let [images, classes] = [0, 1].map(|dim| size.get(dim).map_or(1, |&length| length as usize));
    (images, classes.max(1))
}

fn log_sum_exp(row: &[f32]) -> f64 {
    let largest: f64 = row.iter().fold(f32::NEG_INFINITY, |largest, &logit| largest.max(logit)).into();
    let sum: f64 = row.iter().map(|&logit| libm::exp(f64::from(logit) - largest)).sum();
    largest + libm::log(sum)
}

/// The first of the largest.
fn largest(row: &[f32]) -> usize {
    let first = (0, f32::NEG_INFINITY);
    row.iter()
        .enumerate()
        .fold(first, |best, (class, &logit)| if logit > best.1 { (class, logit) } else { best })
        .0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loss_gradient_and_probabilities_are_those_of_libtorch() {
        let values: Vec<f32> = (0..60).map(|i| ((i * 37) % 23) as f32 / 3.0 - 4.0).collect();
        let logits = Tensor::from_slice(&values).view([6, 10]).set_requires_grad(true);
        let labels = [0i64, 3, 9, 5, 5, 1];
        let targets = Tensor::from_slice(&labels);
        for smoothing in [0.0, 0.1] {
            let expected =
                logits.cross_entropy_loss(&targets, None::<Tensor>, tch::Reduction::Mean, -100, smoothing);
            let (loss, gradient) = with_gradient(&logits, &labels, smoothing);
            assert!((loss.sum / 6.0 - expected.double_value(&[])).abs() < 1e-6);
            let slopes = Tensor::run_backward(&[expected], &[&logits], false, false);
            assert!((&slopes[0] - gradient).abs().max().double_value(&[]) < 1e-7);
            assert_eq!(cross_entropy(&logits, &labels, smoothing), loss);
        }
        let hits = logits.argmax(1, false).eq_tensor(&targets).sum(tch::Kind::Int64).int64_value(&[]);
        assert_eq!(cross_entropy(&logits, &labels, 0.0).correct as i64, hits);
        let expected = Vec::<f32>::try_from(logits.softmax(-1, tch::Kind::Float).view([-1])).unwrap();
        assert!(softmax(&logits).iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-7));
    }

    #[test]
    fn outliers_pull_towards_the_uniform_distribution() {
        let values: Vec<f32> = (0..12).map(|i| ((i * 5) % 7) as f32).collect();
        let logits = Tensor::from_slice(&values).view([3, 4]).set_requires_grad(true);
        let (loss, gradient) = with_gradient(&logits, &[2, 0], 0.0);
        let labels = Tensor::from_slice(&[2i64, 0]);
        let labelled = logits.narrow(0, 0, 2).cross_entropy_loss(
            &labels,
            None::<Tensor>,
            tch::Reduction::Sum,
            -100,
            0.0,
        );
        assert!((loss.sum - labelled.double_value(&[])).abs() < 1e-6);
        let uniform = -logits.narrow(0, 2, 1).log_softmax(-1, tch::Kind::Float).mean(tch::Kind::Float);
        let slopes = Tensor::run_backward(&[(labelled + uniform) / 3.0], &[&logits], false, false);
        assert!((&slopes[0] - gradient).abs().max().double_value(&[]) < 1e-7);
    }

    #[test]
    fn a_logit_that_is_no_number_is_a_loss_that_is_none() {
        let logits = Tensor::from_slice(&[1.0f32, f32::NAN, 2.0]).view([1, 3]);
        assert!(cross_entropy(&logits, &[0], 0.0).sum.is_nan());
        let logits = Tensor::from_slice(&[1.0f32, f32::INFINITY]).view([1, 2]);
        assert!(!cross_entropy(&logits, &[0], 0.0).sum.is_finite());
    }
}
