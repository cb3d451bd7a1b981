//! Confident learning (Northcutt, Jiang and Chuang 2021, arXiv:1911.00068): which labels are probably wrong, from probabilities
//! that a network gave without having seen the images. Step by step what `find_label_issues` of the Python package `cleanlab`
//! 2.9 does by default (`prune_by_noise_rate`), so that both name the same images on the same probabilities.

/// Slack in comparisons of probabilities.
const SLACK: f64 = 1e-6;

/// What is known of every image: labels `[N]` and probabilities `[N, classes]`.
#[derive(Debug, Clone, Copy)]
pub struct Known<'a> {
    /// Given labels.
    pub labels: &'a [u8],
    /// Row-major.
    pub probabilities: &'a [f32],
    /// How many classes.
    pub classes: usize,
}

impl Known<'_> {
    fn row(&self, image: usize) -> &[f32] {
        &self.probabilities[image * self.classes..(image + 1) * self.classes]
    }

    /// The probability of the given label.
    pub fn self_confidence(&self, image: usize) -> f64 {
        self.row(image)[usize::from(self.labels[image])].into()
    }

    /// The most probable class.
    pub fn prediction(&self, image: usize) -> usize {
        largest(self.row(image).iter().map(|&p| p.into()))
    }

    fn counts(&self) -> Vec<usize> {
        let mut counts = vec![0; self.classes];
        self.labels.iter().for_each(|&label| counts[usize::from(label)] += 1);
        counts
    }

    /// Mean probability of each class over the images that have its label: what "confident" means.
    fn thresholds(&self) -> Vec<f64> {
        let counts = self.counts();
        let mut sums = vec![0.0; self.classes];
        for (image, &label) in self.labels.iter().enumerate() {
            sums[usize::from(label)] += self.self_confidence(image);
        }
        let mean =
            |(sum, count): (f64, usize)| if count == 0 { 2.0 } else { (sum / count as f64).max(2.0 * SLACK) };
        sums.into_iter().zip(counts).map(mean).collect()
    }

    /// Images by given and by confidently other class, scaled to the counts of the given labels: the estimate of how labels
    /// were mistaken.
    pub fn confident_joint(&self) -> Vec<Vec<u64>> {
        let thresholds = self.thresholds();
        let mut joint = vec![vec![0.0f64; self.classes]; self.classes];
        for (image, &label) in self.labels.iter().enumerate() {
            let row = self.row(image);
            let confident: Vec<usize> = (0..self.classes)
                .filter(|&class| f64::from(row[class]) >= thresholds[class] - SLACK)
                .collect();
            let class = match confident.as_slice() {
                [] => continue,
                [only] => *only,
                _ => self.prediction(image),
            };
            joint[usize::from(label)][class] += 1.0;
        }
        for (class, row) in joint.iter_mut().enumerate() {
            row[class] = row[class].max(1.0);
        }
        let counts = self.counts();
        for (row, &count) in joint.iter_mut().zip(&counts) {
            let sum: f64 = row.iter().sum::<f64>().max(1e-100);
            row.iter_mut().for_each(|value| *value = *value / sum * count as f64);
        }
        let all: f64 = joint.iter().flatten().sum::<f64>().max(1e-100);
        joint.iter_mut().flatten().for_each(|value| *value = *value / all * self.labels.len() as f64);
        joint.iter().map(|row| rounded(row)).collect()
    }

    /// Images whose labels are probably wrong, the least probable label first.
    pub fn issues(&self) -> Vec<usize> {
        let wanted = keep_one_of_each(&self.confident_joint());
        let mut is_issue = vec![false; self.labels.len()];
        for given in 0..self.classes {
            let of_class: Vec<usize> =
                (0..self.labels.len()).filter(|&image| usize::from(self.labels[image]) == given).collect();
            if of_class.len() <= 1 {
                continue;
            }
            for other in (0..self.classes).filter(|&other| other != given) {
                let margin = |image: usize| {
                    let row = self.row(image);
                    f64::from(row[other]) - f64::from(row[given])
                };
                let mut order = of_class.clone();
                order.sort_by(|&a, &b| margin(b).total_cmp(&margin(a)));
                order.iter().take(wanted[other][given] as usize).for_each(|&image| is_issue[image] = true);
            }
        }
        // What is predicted as it is labelled, or nearly so, is none.
        let agrees = |image: usize| {
            let label = usize::from(self.labels[image]);
            let raised = |(class, &p): (usize, &f32)| f64::from(p) + if class == label { SLACK } else { 0.0 };
            largest(self.row(image).iter().enumerate().map(raised)) == label
        };
        let mut issues: Vec<usize> = (0..self.labels.len()).filter(|&i| is_issue[i] && !agrees(i)).collect();
        issues.sort_by(|&a, &b| self.self_confidence(a).total_cmp(&self.self_confidence(b)));
        issues
    }
}

/// The first of the largest.
fn largest(values: impl Iterator<Item = f64>) -> usize {
    let first = (0, f64::NEG_INFINITY);
    values
        .enumerate()
        .fold(first, |best, (class, value)| if value > best.1 { (class, value) } else { best })
        .0
}

/// The joint by other and by given class, so that no class loses all its images.
fn keep_one_of_each(joint: &[Vec<u64>]) -> Vec<Vec<u64>> {
    let classes = joint.len();
    let counts: Vec<Vec<f64>> =
        (0..classes).map(|other| (0..classes).map(|given| joint[given][other] as f64).collect()).collect();
    let raised: Vec<f64> = (0..classes).map(|class| (1.0 - counts[class][class]).max(0.0)).collect();
    let others = |given: usize| {
        let nonzero = counts.iter().filter(|row| row[given] != 0.0).count() as f64;
        (nonzero - 1.0).max(1.0)
    };
    let lowered = |other: usize, given: usize| match other == given {
        true => counts[other][given].max(1.0),
        false => (counts[other][given] - raised[given] / others(given)).max(0.0),
    };
    // cleanlab cuts what is left to whole numbers.
    let row = |other: usize| (0..classes).map(|given| lowered(other, given) as u64).collect();
    (0..classes).map(row).collect()
}

/// Rounded to whole numbers with the same sum: those furthest from their own give way.
fn rounded(values: &[f64]) -> Vec<u64> {
    let mut whole: Vec<f64> = values.iter().map(|value| value.round_ties_even()).collect();
    let wanted = values.iter().sum::<f64>().round_ties_even();
    loop {
        let missing = (wanted - whole.iter().sum::<f64>()).round_ties_even();
        if missing == 0.0 || values.is_empty() {
            return whole.into_iter().map(|value| value.max(0.0) as u64).collect();
        }
        let mut order: Vec<usize> = (0..values.len()).collect();
        order.sort_by(|&a, &b| (values[a] - whole[a]).total_cmp(&(values[b] - whole[b])));
        if missing > 0.0 {
            order.reverse();
        }
        let changes = (missing.abs() as usize).min(values.len());
        order[..changes].iter().for_each(|&place| whole[place] += missing.signum());
    }
}

#[cfg(test)]
mod tests {
    use distortions::Stream;

    use super::*;

    #[test]
    fn rounding_keeps_the_sum() {
        // Of equals the last is raised and the first lowered, as a stable `numpy.argsort` has it.
        assert_eq!(rounded(&[1.4, 1.4, 1.2]), [1, 2, 1]);
        assert_eq!(rounded(&[0.6, 0.6, 0.8]), [0, 1, 1]);
        assert_eq!(rounded(&[2.0, 0.0]), [2, 0]);
        assert_eq!(rounded(&[]), [0u64; 0]);
    }

    #[test]
    fn planted_errors_are_found_and_others_are_not() {
        let mut stream = Stream::new(1, "test", 0, 0);
        let (count, classes) = (3000, 5);
        let mut labels = Vec::new();
        let mut probabilities = Vec::new();
        let mut wrong = Vec::new();
        for image in 0..count {
            let truth = image % classes;
            let confidence = 0.7 + 0.28 * stream.unit();
            let mut row = vec![(1.0 - confidence) / (classes - 1) as f32; classes];
            row[truth] = confidence;
            probabilities.extend(row);
            let is_wrong = image % 50 == 7;
            labels.push(if is_wrong { ((truth + 1) % classes) as u8 } else { truth as u8 });
            if is_wrong {
                wrong.push(image);
            }
        }
        let known = Known { labels: &labels, probabilities: &probabilities, classes };
        let mut found = known.issues();
        assert!(found.is_sorted_by(|&a, &b| known.self_confidence(a) <= known.self_confidence(b)));
        found.sort_unstable();
        let right = found.iter().filter(|image| wrong.contains(image)).count();
        // Labels that are not confidently wrong are not among them, nor is any other image.
        assert!(right >= 35 && found.len() == right, "{right} of {} among {}", wrong.len(), found.len());
        let joint = known.confident_joint();
        assert_eq!(joint.iter().flatten().sum::<u64>(), count as u64);
    }

    /// Five of six classes claim one image each of the first: what is left of one is none.
    #[test]
    fn no_class_loses_all_its_images() {
        let row =
            |class: usize, low: f32, high: f32| (0..6).map(move |c| if c == class { high } else { low });
        let mut labels = vec![0u8; 5];
        let mut probabilities: Vec<f32> = (1..6).flat_map(|class| row(class, 0.02, 0.9)).collect();
        for class in 1..6u8 {
            labels.extend([class; 9]);
            probabilities.extend((0..9).flat_map(|_| row(class.into(), 0.02, 0.9)));
        }
        let known = Known { labels: &labels, probabilities: &probabilities, classes: 6 };
        assert_eq!(known.confident_joint()[0], [0, 1, 1, 1, 1, 1]);
        assert_eq!(known.issues(), [0usize; 0]);
    }

    #[test]
    fn classes_without_images_and_perfect_predictions_are_no_trouble() {
        let labels = [0u8, 0, 1, 1];
        let probabilities = [0.9f32, 0.1, 0.0, 0.8, 0.1, 0.1, 0.1, 0.9, 0.0, 0.2, 0.7, 0.1];
        let known = Known { labels: &labels, probabilities: &probabilities, classes: 3 };
        assert_eq!(known.issues(), [0usize; 0]);
        assert_eq!(known.thresholds()[2], 2.0);
    }
}
