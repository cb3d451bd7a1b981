//! The report as text with tables.

use super::charts;
use super::model::{Report, percent};
use super::wording::{effect, setting, stopped};
use crate::study::statistics::mean_and_deviation;

pub(super) fn text(report: &Report<'_>) -> String {
    let mut text = format!("# {}\n\n{}\n", escape(&report.study.title), escape(&setting(report)));
    for knob in &report.knobs {
        text += &format!("\n## {}\n\n{}\n\n", escape(&knob.name), escape(&effect(&knob.name, &knob.effect)));
        text += "| value | validation accuracy, % | standard deviation | runs |\n|---|---|---|---|\n";
        for group in knob.groups.iter().filter(|group| !group.accuracies.is_empty()) {
            let (mean, deviation) = mean_and_deviation(&group.accuracies);
            let count = group.accuracies.len();
            text += &format!("| {} | {mean:.2} | {deviation:.2} | {count} |\n", escape(&group.name()));
        }
    }
    text += "\n## All combinations\n\n";
    text += "| combination | validation accuracy, % | parameters | MACs | seconds | Pareto |\n|---|---|---|---|---|---|\n";
    let front = charts::pareto_front(&report.costs(|point| point.macs as f64));
    for (index, point) in report.with_runs().enumerate() {
        let (mean, deviation) = mean_and_deviation(&percent(point));
        let mark = if front.contains(&index) { "MACs" } else { "" };
        let parameters = zoo::grouped(point.parameters as u64);
        let (macs, seconds) = (zoo::grouped(point.macs), point.seconds());
        text += &format!(
            "| {}{} | {mean:.2} ± {deviation:.2} | {parameters} | {macs} | {seconds:.0} | {mark} |\n",
            escape(&point.label),
            stopped(point)
        );
    }
    text
}

/// Text that stands for itself, also in a table: what a study file calls things may hold `|` or `<`.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '|' | '\\' | '`' => escaped.extend(['\\', character]),
            '<' => escaped.push_str("&lt;"),
            '\r' | '\n' => escaped.push(' '),
            other => escaped.push(other),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_name_cannot_break_a_table() {
        assert_eq!(super::escape("a|b <i> `c`\n\\d"), "a\\|b &lt;i> \\`c\\` \\\\d");
        assert_eq!(super::escape("kernel_size 3 (base)"), "kernel_size 3 (base)");
    }
}
