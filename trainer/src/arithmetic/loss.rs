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

/// What a teacher says about the images that have labels.
pub(crate) struct Taught<'a> {
    /// Its logits, `[N, classes]`.
    pub(crate) logits: &'a Tensor,
    /// Share of the loss.
    pub(crate) weight: f64,
    /// What logits are divided by.
    pub(crate) temperature: f64,
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

/// The same where a teacher has said something (Hinton et al. 2015, arXiv:1503.02531): the loss of an image is
/// `(1 - weight) L + weight T^2 H(q, p)`, `H` the cross-entropy of the teacher's and the network's probabilities `q` and `p`
/// at logits divided by the temperature `T`; its gradient is `(1 - weight) (p - target) + weight T (p - q)`.
pub(crate) fn taught(logits: &Tensor, labels: &[i64], smoothing: f64, taught: &Taught<'_>) -> (Loss, Tensor) {
    let (mut loss, mut gradient) = with_gradient(logits, labels, smoothing);
    let (images, classes) = size(&gradient);
    let (student, teacher) = (logits.detach().contiguous(), taught.logits.contiguous());
    let rows = host::values(&student).chunks_exact(classes).zip(host::values(&teacher).chunks_exact(classes));
    let slopes = host::values_mut(&mut gradient).chunks_exact_mut(classes);
    let Taught { weight, temperature, .. } = *taught;
    let mut sum = 0.0;
    for ((row, teacher), slopes) in rows.zip(slopes).take(labels.len()) {
        let cooled =
            |row: &[f32]| row.iter().map(|&logit| f64::from(logit) / temperature).collect::<Vec<_>>();
        let (row, teacher) = (cooled(row), cooled(teacher));
        let log_sums = [&row, &teacher].map(|row| {
            let largest = row.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            largest + libm::log(row.iter().map(|&logit| libm::exp(logit - largest)).sum::<f64>())
        });
        for ((logit, teacher), slope) in row.iter().zip(&teacher).zip(slopes) {
            let (log_p, q) = (logit - log_sums[0], libm::exp(teacher - log_sums[1]));
            sum -= temperature * temperature * q * log_p;
            let soft = temperature * (libm::exp(log_p) - q) / images as f64;
            *slope = ((1.0 - weight) * f64::from(*slope) + weight * soft) as f32;
        }
    }
    loss.sum = (1.0 - weight) * loss.sum + weight * sum;
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
    fn what_a_teacher_says_is_a_share_of_the_loss() {
        let values =
            |step: usize| -> Vec<f32> { (0..40).map(|i| ((i * step) % 23) as f32 / 3.0 - 4.0).collect() };
        let logits = Tensor::from_slice(&values(37)).view([4, 10]).set_requires_grad(true);
        let teacher = Tensor::from_slice(&values(31)).view([4, 10]);
        // The last image is an outlier, of which the teacher says nothing.
        let labels = [0i64, 3, 9];
        for (weight, temperature) in [(0.5, 1.0), (0.9, 4.0), (1.0, 0.5)] {
            let taught = Taught { logits: &teacher, weight, temperature };
            let (loss, gradient) = super::taught(&logits, &labels, 0.1, &taught);
            let targets = Tensor::from_slice(&labels);
            let labelled = logits.narrow(0, 0, 3);
            let hard = labelled.cross_entropy_loss(&targets, None::<Tensor>, tch::Reduction::Sum, -100, 0.1);
            let q = (teacher.narrow(0, 0, 3) / temperature).softmax(-1, tch::Kind::Float);
            let log_p = (labelled / temperature).log_softmax(-1, tch::Kind::Float);
            let soft = -(q * log_p).sum(tch::Kind::Float) * (temperature * temperature);
            let expected = hard * (1.0 - weight) + soft * weight;
            assert!((loss.sum - expected.double_value(&[])).abs() < 1e-4, "{loss:?}");
            let uniform = -logits.narrow(0, 3, 1).log_softmax(-1, tch::Kind::Float).mean(tch::Kind::Float);
            let slopes = Tensor::run_backward(&[(expected + uniform) / 4.0], &[&logits], false, false);
            assert!((&slopes[0] - gradient).abs().max().double_value(&[]) < 1e-6);
        }
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
