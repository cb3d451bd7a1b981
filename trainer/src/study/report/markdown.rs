//! The report as text with tables.

use datasets::markdown::escaped;

use super::costs::{fronts, on_fronts};
use super::html::result;
use super::model::{Knob, Report};
use super::wording::{METHOD, chance, difference, effect, interaction, setting, stopped, verdict};
use crate::study::statistics::mean_and_deviation;

pub(super) fn text(report: &Report<'_>) -> String {
    let mut text = format!("# {}\n\n{}\n", escaped(&report.study.title), escaped(&setting(report)));
    for knob in &report.knobs {
        text += &format!("\n## {}\n\n{}\n\n", escaped(&knob.name), escaped(&effect(report, knob)));
        text += &table(knob);
        for group in &knob.groups {
            for problem in &group.problems {
                text += &format!("\n{}: {}\n", escaped(&group.value), escaped(problem));
            }
        }
    }
    for pair in &report.interactions {
        let (along, other) = (&report.knobs[pair.places], &report.knobs[pair.lines]);
        text += &format!("\n## {} and {}\n\n", escaped(&along.name), escaped(&other.name));
        text += &format!("{}\n\n| {} |", escaped(&interaction(report, pair)), escaped(&other.name));
        text.extend(along.groups.iter().map(|group| format!(" {} |", escaped(&group.name()))));
        text += &format!("\n|---|{}\n", "---|".repeat(along.groups.len()));
        for (line, group) in pair.means.iter().zip(&other.groups) {
            text += &format!("| {} |", escaped(&group.name()));
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
            escaped(&group.name()),
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
            escaped(&point.label) + &stopped(point),
            escaped(&result(point)),
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
