//! Axes: scales, and ticks whose labels differ and stay apart.

/// Height of letters, legible when a plot is shrunk to a phone's width.
pub(super) const TEXT: i32 = 17;
/// Letters in a line of a label beside a plot.
const LINE: usize = 20;

/// An axis from `low` to `high` in plot coordinates.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Axis {
    pub(super) name: String,
    pub(super) low: f64,
    pub(super) high: f64,
    /// Where, and what stands there.
    pub(super) ticks: Vec<(f64, String)>,
    is_log: bool,
}

impl Axis {
    /// Numbers around `values`.
    pub(super) fn linear(name: &str, values: impl Iterator<Item = f64>) -> Axis {
        let (low, high) = around(values, 0.05);
        Axis { name: name.into(), low, high, ticks: linear_ticks(low, high), is_log: false }
    }

    /// Numbers above 0 around `values`, on a logarithmic scale; with the prefixes k, M and G.
    pub(super) fn log(name: &str, values: impl Iterator<Item = f64>) -> Axis {
        let (low, high) = around(values.map(logarithm), 0.02);
        Axis { name: name.into(), low, high, ticks: log_ticks(low, high), is_log: true }
    }

    /// A knob's values: logarithmic where they spread over more than a factor of four, with a tick at each.
    pub(super) fn of_values(name: &str, values: &[(f64, String)]) -> Axis {
        let numbers = || values.iter().map(|(value, _)| *value);
        let (least, most) = (numbers().fold(f64::MAX, f64::min), numbers().fold(f64::MIN, f64::max));
        let is_log = least > 0.0 && most / least > 4.0;
        let position = |value: f64| if is_log { logarithm(value) } else { value };
        let (low, high) = (position(least), position(most));
        let air = if high > low { 0.08 * (high - low) } else { 0.5 };
        let mut ticks: Vec<(f64, String)> =
            values.iter().map(|(value, label)| (position(*value), label.clone())).collect();
        ticks.sort_by(|a, b| a.0.total_cmp(&b.0));
        Axis { name: name.into(), low: low - air, high: high + air, ticks, is_log }
    }

    /// Whole numbers from 1 on.
    pub(super) fn epochs(last: u32) -> Axis {
        let last = last.max(2);
        let step = last.div_ceil(8).max(1);
        let ticks = (1..=last).filter(|epoch| (epoch - 1) % step == 0).map(|e| (f64::from(e), e.to_string()));
        Axis { name: "epoch".into(), low: 1.0, high: f64::from(last), ticks: ticks.collect(), is_log: false }
    }

    /// Names below each other, the first at the top.
    pub(super) fn rows(names: &[String]) -> Axis {
        let ticks = names.iter().enumerate().map(|(row, name)| (-(row as f64), wrapped(name))).collect();
        let low = 0.5 - names.len().max(1) as f64;
        Axis { name: String::new(), low, high: 0.5, ticks, is_log: false }
    }

    /// Where a value lies.
    pub(super) fn position(&self, value: f64) -> f64 {
        if self.is_log { logarithm(value) } else { value }
    }

    /// Pixels that the longest label takes.
    pub(super) fn label_width(&self) -> u32 {
        let lines = self.ticks.iter().flat_map(|(_, label)| label.lines());
        lines.map(text_width).max().unwrap_or(0) as u32
    }
}

fn logarithm(value: f64) -> f64 {
    value.max(1e-12).log10()
}

/// About as wide as letters are.
pub(super) fn text_width(text: &str) -> i32 {
    text.chars().count() as i32 * TEXT * 11 / 20
}

/// A label in lines of few letters.
fn wrapped(label: &str) -> String {
    let mut lines = vec![String::new()];
    for word in label.split(' ') {
        let line = lines.last_mut().expect("there is a line");
        if !line.is_empty() && line.chars().count() + 1 + word.chars().count() > LINE {
            lines.push(word.to_owned());
        } else {
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(word);
        }
    }
    lines.join("\n")
}

/// A range around values, with air; never empty.
fn around(values: impl Iterator<Item = f64>, least: f64) -> (f64, f64) {
    let (low, high) = values.fold((f64::MAX, f64::MIN), |(low, high), v| (low.min(v), high.max(v)));
    let air = ((high - low) * 0.1).max(least);
    if low > high { (0.0, 1.0) } else { (low - air, high + air) }
}

/// Up to seven round numbers.
fn linear_ticks(low: f64, high: f64) -> Vec<(f64, String)> {
    let (step, decimals) = round_step((high - low) / 7.0);
    let first = (low / step).ceil() as i64;
    let last = (high / step).floor() as i64;
    (first..=last).map(|k| k as f64 * step).map(|value| (value, format!("{value:.decimals$}"))).collect()
}

/// 1, 2 or 5 times a power of ten, not below `least`, and the decimals that tell its multiples apart.
fn round_step(least: f64) -> (f64, usize) {
    let power = least.log10().floor();
    let factor = [1.0, 2.0, 5.0, 10.0].into_iter().find(|factor| factor * 10f64.powf(power) >= least);
    let step = factor.unwrap_or(10.0) * 10f64.powf(power);
    (step, (-step.log10().floor()).max(0.0) as usize)
}

/// 1, 2 and 5 times powers of ten; round numbers where the range has fewer than three of them.
fn log_ticks(low: f64, high: f64) -> Vec<(f64, String)> {
    let within = |value: f64| (low..=high).contains(&value.log10());
    let powers = low.floor() as i32..=high.ceil() as i32;
    let decades: Vec<f64> = powers.clone().map(|power| 10f64.powi(power)).filter(|&v| within(v)).collect();
    let all = powers.flat_map(|power| [1.0, 2.0, 5.0].map(|factor| factor * 10f64.powi(power)));
    let all: Vec<f64> = all.filter(|&value| within(value)).collect();
    let apart = decades.len().div_ceil(8).max(1);
    let values = if decades.len() > 3 { decades.into_iter().step_by(apart).collect() } else { all };
    if values.len() > 2 {
        return values.into_iter().map(|value| (value.log10(), with_prefix(value, value / 10.0))).collect();
    }
    let (low, high) = (10f64.powf(low), 10f64.powf(high));
    let (step, _) = round_step((high - low) / 4.0);
    let (first, last) = ((low / step).ceil() as i64, (high / step).floor() as i64);
    let values = (first..=last).map(|k| k as f64 * step).filter(|value| *value > 0.0);
    values.map(|value| (value.log10(), with_prefix(value, step))).collect()
}

/// `1.2 M`, `350 k`, `14`: with as many decimals as tell numbers apart that differ by `step`.
fn with_prefix(value: f64, step: f64) -> String {
    let (scale, prefix) = match value {
        v if v >= 1e9 => (1e9, " G"),
        v if v >= 1e6 => (1e6, " M"),
        v if v >= 1e3 => (1e3, " k"),
        _ => (1.0, ""),
    };
    let decimals = (-(step / scale).log10().floor()).max(0.0) as usize;
    let text = format!("{:.decimals$}", value / scale);
    let short = if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { &text };
    format!("{short}{prefix}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(axis: &Axis) -> Vec<&str> {
        axis.ticks.iter().map(|(_, label)| label.as_str()).collect()
    }

    #[test]
    fn ticks_have_labels_that_differ() {
        for (low, high) in
            [(98.71, 98.93), (0.0, 100.0), (1e6, 1.1e6), (1.11e6, 1.13e6), (300.0, 1e7), (5.0, 5.0)]
        {
            for axis in [Axis::linear("x", [low, high].into_iter()), Axis::log("x", [low, high].into_iter())]
            {
                let mut found = labels(&axis);
                assert!((2..=9).contains(&found.len()), "{low} to {high}: {found:?}");
                found.dedup();
                assert_eq!(found.len(), axis.ticks.len(), "{found:?}");
                assert!(axis.ticks.iter().all(|(at, _)| (axis.low..=axis.high).contains(at)));
            }
        }
        assert_eq!(
            labels(&Axis::log("x", [300e3, 12e6].into_iter())),
            ["500 k", "1 M", "2 M", "5 M", "10 M"]
        );
    }

    #[test]
    fn values_that_spread_are_on_a_logarithmic_scale() {
        let values = |values: &[f64]| values.iter().map(|v| (*v, v.to_string())).collect::<Vec<_>>();
        let rates = Axis::of_values("rate", &values(&[0.01, 0.001, 0.0001]));
        assert_eq!(rates.position(0.01), -2.0);
        assert_eq!(labels(&rates), ["0.0001", "0.001", "0.01"]);
        assert_eq!(Axis::of_values("kernel", &values(&[3.0, 5.0])).position(3.0), 3.0);
        assert_eq!(Axis::of_values("dropout", &values(&[0.0, 0.5])).position(0.5), 0.5);
    }

    #[test]
    fn long_names_are_wrapped_and_never_cut() {
        let axis = Axis::rows(&["sgd with momentum and weight decay".into(), "adam".into()]);
        assert_eq!(labels(&axis), ["sgd with momentum\nand weight decay", "adam"]);
    }
}
