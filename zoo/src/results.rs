//! The table of results, made from the index.

use datasets::markdown::escaped;

use crate::{Cost, Costs, Count, Index, IndexVersion};

/// Cells of a line.
const WIDTH: usize = 12;

/// Of a number in the table.
const MAX_DECIMALS: usize = 9;

const COLUMNS: [&str; WIDTH] = [
    "model",
    "data",
    "test split (95 % interval)",
    "validation, mean (range)",
    "damaged",
    "calibration error",
    "parameters",
    "MACs",
    "us for an image",
    "core-hours to train",
    "same bytes again on",
    "sha256 of `model.onnx`",
];

impl Index {
    /// A Markdown table, one line for each version: its result on the test split with Wilson's interval (1927), that on
    /// images held out by each run that its recipe was chosen by, the mean over the damaged test split, the expected calibration
    /// error, its size, what it costs in time by `costs`, where retraining gives the same bytes, and the beginning of its network's hash.
    pub fn to_markdown(&self, costs: &Costs) -> String {
        let line = |cells: [String; WIDTH]| format!("| {} |\n", cells.join(" | "));
        let mut out = line(COLUMNS.map(String::from)) + &format!("{}|\n", "|---".repeat(COLUMNS.len()));
        for model in &self.models {
            out.extend(
                model
                    .versions
                    .iter()
                    .map(|version| line(version.cells(&model.name, costs.of(&model.name, version.version)))),
            );
        }
        out + &costs.explained()
    }
}

impl IndexVersion {
    fn cells(&self, name: &str, cost: Option<Cost>) -> [String; WIDTH] {
        let digest = self.onnx_sha256.map_or("none".into(), |digest| digest.to_string());
        [
            format!("[{name} {}](zoo/{}/README.md)", self.version, self.path),
            self.dataset.clone(),
            with_interval(self.test),
            mean_and_range(&self.validation),
            self.damaged.map_or_else(String::new, |count| percent(count.share())),
            self.calibration_error.map_or_else(String::new, |error| format!("{error:.4}")),
            grouped(self.parameters),
            grouped(self.macs),
            cost.map_or_else(String::new, |cost| two_digits(cost.microseconds)),
            cost.and_then(|cost| cost.core_hours).map_or_else(String::new, two_digits),
            escaped(self.same_bytes_on()),
            format!("`{}`", digest.chars().take(16).collect::<String>()),
        ]
    }

    /// Where retraining gives the same bytes.
    fn same_bytes_on(&self) -> &str {
        match (self.numeric_profile.as_deref(), self.processor.as_deref()) {
            (Some("portable" | "portable2"), _) => "any x86-64 with AVX2",
            (_, Some(processor)) => processor,
            (_, None) => "not trained here",
        }
    }
}

fn percent(share: f64) -> String {
    format!("{:.2} %", 100.0 * share)
}

fn with_interval(count: Count) -> String {
    let [low, high] = count.interval().map(|share| format!("{:.2}", 100.0 * share));
    format!("{count} = {} ({low} to {high})", percent(count.share()))
}

fn mean_and_range(runs: &[Count]) -> String {
    let shares: Vec<f64> = runs.iter().map(|count| count.share()).collect();
    let mean = shares.iter().sum::<f64>() / shares.len().max(1) as f64;
    let low = shares.iter().copied().fold(f64::INFINITY, f64::min);
    let high = shares.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    match runs {
        [] => String::new(),
        [_] => format!("{}, one run", percent(mean)),
        _ => format!("{} ({:.2} to {:.2}, {} runs)", percent(mean), 100.0 * low, 100.0 * high, runs.len()),
    }
}

/// A time above 0 to two digits at least, which is as exactly as it can be said, and no fewer than its whole number has.
fn two_digits(number: f64) -> String {
    let (mut decimals, mut shifted) = (0, number);
    while shifted < 10.0 && decimals < MAX_DECIMALS {
        (decimals, shifted) = (decimals + 1, 10.0 * shifted);
    }
    format!("{number:.decimals$}")
}

/// `1048576` as `1,048,576`.
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_have_a_mean_and_a_range() {
        let run = |correct| Count { correct, total: 1000 };
        assert_eq!(mean_and_range(&[]), "");
        assert_eq!(mean_and_range(&[run(990)]), "99.00 %, one run");
        assert_eq!(mean_and_range(&[run(990), run(993), run(984)]), "98.90 % (98.40 to 99.30, 3 runs)");
    }

    #[test]
    fn times_have_two_digits() {
        let cases = [
            (0.000_456, "0.00046"),
            (0.0123, "0.012"),
            (0.123, "0.12"),
            (1.0, "1.0"),
            (3.21, "3.2"),
            (89.14, "89"),
            (321.4, "321"),
            (4123.4, "4123"),
        ];
        assert!(cases.iter().all(|(number, text)| two_digits(*number) == *text));
    }

    #[test]
    fn digits_in_groups_of_three() {
        let cases = [(0, "0"), (999, "999"), (1000, "1,000"), (1_234_567, "1,234,567")];
        assert!(cases.iter().all(|(number, text)| grouped(*number) == *text));
    }
}
