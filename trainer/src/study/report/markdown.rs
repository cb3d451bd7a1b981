//! The report as text with tables.

use super::costs::{fronts, on_fronts};
use super::html::result;
use super::model::{Knob, Report};
use super::wording::{METHOD, chance, difference, effect, interaction, setting, stopped, verdict};
use crate::study::statistics::mean_and_deviation;

pub(super) fn text(report: &Report<'_>) -> String {
    let mut text = format!("# {}\n\n{}\n", escape(&report.study.title), escape(&setting(report)));
    for knob in &report.knobs {
        text += &format!("\n## {}\n\n{}\n\n", escape(&knob.name), escape(&effect(report, knob)));
        text += &table(knob);
        for group in &knob.groups {
            for problem in &group.problems {
                text += &format!("\n{}: {}\n", escape(&group.value), escape(problem));
            }
        }
    }
    for pair in &report.interactions {
        let (along, other) = (&report.knobs[pair.places], &report.knobs[pair.lines]);
        text += &format!("\n## {} and {}\n\n", escape(&along.name), escape(&other.name));
        text += &format!("{}\n\n| {} |", escape(&interaction(report, pair)), escape(&other.name));
        text.extend(along.groups.iter().map(|group| format!(" {} |", escape(&group.name()))));
        text += &format!("\n|---|{}\n", "---|".repeat(along.groups.len()));
        for (line, group) in pair.means.iter().zip(&other.groups) {
            text += &format!("| {} |", escape(&group.name()));
            text.extend(line.iter().map(|mean| mean.map_or("  |".into(), |mean| format!(" {mean:.2} |"))));
            text.push('\n');
        }
    }
    text += &combinations(report);
    text + "\n## How to read this\n\n" + METHOD + "\n"
}

fn table(knob: &Knob) -> String {
    let mut text = "| value | validation, % | difference, 99 % interval | p | | training, % | runs |\n\
        |---|---|---|---|---|---|---|\n"
        .to_owned();
    for group in knob.groups.iter().filter(|group| !group.accuracies.is_empty()) {
        let (mean, deviation) = mean_and_deviation(&group.accuracies);
        let p = group.difference.and_then(|d| d.corrected).map_or(String::new(), chance);
        text += &format!(
            "| {} | {mean:.2} ± {deviation:.2} | {} | {p} | {} | {:.2} | {} |\n",
            escape(&group.name()),
            difference(group),
            verdict(group),
            group.train_accuracy,
            group.accuracies.len()
        );
    }
    text
}

fn combinations(report: &Report<'_>) -> String {
    let fronts = fronts(report);
    let mut names = vec!["combination", "validation, %", "parameters", "MACs"];
    names.extend(report.timing.map(|_| "s / 1000 images"));
    names.extend((!fronts.is_empty()).then_some("on the front of"));
    let row = |cells: &[String]| format!("| {} |\n", cells.join(" | "));
    let mut text =
        format!("\n## All combinations\n\n| {} |\n|{}\n", names.join(" | "), "---|".repeat(names.len()));
    for point in report.distinct() {
        let mut cells = vec![
            escape(&point.label) + &stopped(point),
            escape(&result(point)),
            zoo::grouped(point.parameters as u64),
            zoo::grouped(point.macs),
        ];
        let seconds = || report.seconds(point).map_or(String::new(), |seconds| format!("{seconds:.2}"));
        cells.extend(report.timing.map(|_| seconds()));
        cells.extend((!fronts.is_empty()).then(|| on_fronts(report, &fronts, point)));
        text += &row(&cells);
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
