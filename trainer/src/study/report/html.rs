//! The report as one self-contained page: no script, nothing to fetch.

use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::charts::{self, Line, Value};
use super::costs::{Front, fronts, on_fronts};
use super::model::{Curves, Group, Interaction, Knob, Report, accuracies, problems};
use super::wording::{METHOD, chance, difference, effect, interaction, setting, stopped, verdict};
use crate::error::Result;
use crate::study::results::PointResult;
use crate::study::statistics::mean_and_deviation;

const STYLE: &str = include_str!("report.css");

pub(super) fn page(report: &Report<'_>) -> Result<String> {
    let knobs = report.knobs.iter().map(|knob| section(report, knob)).collect::<Result<Vec<_>>>()?;
    let pairs = report.interactions.iter().map(|pair| together(report, pair)).collect::<Result<Vec<_>>>()?;
    let costs = costs(report)?;
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                link rel="icon" href="data:,";
                title { (report.study.title) }
                style { (PreEscaped(STYLE)) }
            }
            body {
                main {
                    h1 { (report.study.title) }
                    p.soft { (setting(report)) }
                    @for knob in &knobs { (knob) }
                    @for pair in &pairs { (pair) }
                    (costs)
                    (combinations(report))
                    section { h2 { "How to read this" } p.soft { (METHOD) } }
                }
            }
        }
    };
    Ok(page.into_string() + "\n")
}

/// Sentence, plots, legend and table of one knob.
fn section(report: &Report<'_>, knob: &Knob) -> Result<Markup> {
    let numbers = knob.numbers();
    let values: Vec<Value> = knob
        .groups
        .iter()
        .enumerate()
        .map(|(index, group)| Value {
            name: group.name(),
            number: numbers.as_ref().and_then(|numbers| numbers.get(index).copied()),
            accuracies: group.accuracies.clone(),
            index,
        })
        .collect();
    let accuracies = match numbers {
        Some(_) => charts::by_number(&knob.name, &values)?,
        None => charts::by_name(&values)?,
    };
    let both = |train: fn(&Curves) -> &Vec<(u32, f64)>, validation: fn(&Curves) -> &Vec<(u32, f64)>| {
        let lines =
            knob.groups.iter().enumerate().flat_map(|(index, group)| {
                [(true, train(&group.curves)), (false, validation(&group.curves))]
                    .map(|(dashed, points)| Line { index, dashed, points: points.clone() })
            });
        lines.filter(|line| !line.points.is_empty()).collect::<Vec<_>>()
    };
    let learning = charts::curves(
        "accuracy, %",
        &both(|curves| &curves.train_accuracy, |curves| &curves.validation_accuracy),
    )?;
    let losses = charts::curves(
        "cross-entropy",
        &both(|curves| &curves.train_loss, |curves| &curves.validation_loss),
    )?;
    Ok(html! {
        section {
            h2 { (knob.name) }
            p { (effect(report, knob)) }
            ul.legend { @for (index, group) in knob.groups.iter().enumerate() { (legend_entry(index, group)) } }
            div.plots {
                (figure(&accuracies, "Every run (marks), mean and standard deviation (cross)."))
                (figure(&learning, "Accuracy on validation images (lines) and on training images (dashed), mean over seeds."))
                (figure(&losses, "The same for the loss, without label smoothing."))
            }
            (table(knob))
            @for group in &knob.groups {
                @for problem in &group.problems { p.soft { (group.value) ": " (problem) } }
            }
        }
    })
}

fn table(knob: &Knob) -> Markup {
    let number = |value: Option<f64>, decimals: usize| value.map_or("".into(), |v| format!("{v:.decimals$}"));
    html! {
        div.table {
            table {
                thead {
                    tr {
                        @for name in [&*knob.name, "validation, %", "difference, 99 % interval", "p", "",
                            "training, %", "training loss", "validation loss", "runs"]
                        { th scope="col" { (name) } }
                    }
                }
                tbody {
                    @for group in knob.groups.iter().filter(|group| !group.accuracies.is_empty()) {
                        @let (mean, deviation) = mean_and_deviation(&group.accuracies);
                        tr {
                            td { (group.name()) }
                            td { (format!("{mean:.2} ± {deviation:.2}")) }
                            td { (difference(group)) }
                            td { (group.difference.and_then(|d| d.corrected).map_or(String::new(), chance)) }
                            td { (verdict(group)) }
                            td { (format!("{:.2}", group.train_accuracy)) }
                            td { (number(group.train_loss, 4)) }
                            td { (number(group.validation_loss, 4)) }
                            td { (group.accuracies.len()) }
                        }
                    }
                }
            }
        }
    }
}

/// Two knobs of a grid.
fn together(report: &Report<'_>, pair: &Interaction) -> Result<Markup> {
    let (along, other) = (&report.knobs[pair.places], &report.knobs[pair.lines]);
    let places: Vec<String> = along.groups.iter().map(Group::name).collect();
    let svg = charts::grid(&along.name, &places, along.numbers().as_deref(), &pair.means)?;
    Ok(html! {
        section {
            h2 { (along.name) " and " (other.name) }
            p { (interaction(report, pair)) }
            ul.legend { @for (index, group) in other.groups.iter().enumerate() { (legend_entry(index, group)) } }
            div.plots { (figure(&svg, &format!("Mean accuracy; a line for each {}.", other.name))) }
            div.table {
                table {
                    thead { tr { th scope="col" { (other.name) } @for place in &places { th scope="col" { (place) } } } }
                    tbody {
                        @for (line, group) in pair.means.iter().zip(&other.groups) {
                            tr {
                                td { (group.name()) }
                                @for mean in line { td { (mean.map_or(String::new(), |mean| format!("{mean:.2}"))) } }
                            }
                        }
                    }
                }
            }
        }
    })
}

fn figure(svg: &str, caption: &str) -> Markup {
    let label = html! { (caption) }.into_string();
    let svg = svg.replacen("<svg ", &format!("<svg aria-label=\"{label}\" "), 1);
    html! {
        figure {
            (PreEscaped(svg))
            figcaption { (caption) }
        }
    }
}

fn legend_entry(index: usize, group: &Group) -> Markup {
    html! { li { (PreEscaped(charts::key(index))) (group.name()) } }
}

fn costs(report: &Report<'_>) -> Result<Markup> {
    let figures = fronts(report).into_iter().map(|Front { name, points, best }| {
        let caption = format!("Accuracy against {name}; filled: no cheaper combination is as good.");
        Ok(figure(&charts::cost(name, &points, &best)?, &caption))
    });
    let figures = figures.collect::<Result<Vec<_>>>()?;
    Ok(html! {
        @if !figures.is_empty() {
            section {
                h2 { "What accuracy costs" }
                div.plots { @for figure in &figures { (figure) } }
                @if let Some(timing) = report.timing {
                    p.soft {
                        "Seconds were measured side by side, " (timing.alternations) " times in turn, on " (timing.machine)
                        "; the median is shown."
                    }
                }
            }
        }
    })
}

fn combinations(report: &Report<'_>) -> Markup {
    let fronts = fronts(report);
    let seconds = |point: &PointResult| report.seconds(point).map_or(String::new(), |s| format!("{s:.2}"));
    html! {
        section {
            h2 { "All combinations" }
            div.table {
                table {
                    thead {
                        tr {
                            @for name in ["combination", "validation, %", "parameters", "MACs"] { th scope="col" { (name) } }
                            @if report.timing.is_some() { th scope="col" { "s / 1000 images" } }
                            @if !fronts.is_empty() { th scope="col" { "on the front of" } }
                        }
                    }
                    tbody {
                        @for point in report.distinct() {
                            tr {
                                td { (point.label) (stopped(point)) }
                                td { (result(point)) }
                                td { (zoo::grouped(point.parameters as u64)) }
                                td { (zoo::grouped(point.macs)) }
                                @if report.timing.is_some() { td { (seconds(point)) } }
                                @if !fronts.is_empty() { td { (on_fronts(report, &fronts, point)) } }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// `98.96 ± 0.08`, or why there is none.
pub(super) fn result(point: &PointResult) -> String {
    let finished = accuracies(point, None);
    let problems = problems(point);
    if !problems.is_empty() {
        return problems.join("; ");
    }
    if finished.is_empty() {
        let last = point.curve().last().map(|(_, mean)| format!("{:.2}", 100.0 * mean));
        return last.unwrap_or_else(|| "not trained".into());
    }
    let (mean, deviation) = mean_and_deviation(&finished);
    format!("{mean:.2} ± {deviation:.2}")
}
