//! The report as one self-contained page: no script, nothing to fetch.

use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::charts::{self, colour};
use super::model::{Group, Knob, Report, percent};
use super::wording::{effect, setting, stopped};
use crate::error::Result;
use crate::study::results::PointResult;
use crate::study::statistics::mean_and_deviation;

const STYLE: &str = include_str!("report.css");

pub(super) fn page(report: &Report<'_>) -> Result<String> {
    let knobs = report.knobs.iter().map(section).collect::<Result<Vec<_>>>()?;
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
                    (costs)
                    (combinations(report))
                }
            }
        }
    };
    Ok(page.into_string() + "\n")
}

/// Plots, legend, sentence and table of one knob.
fn section(knob: &Knob) -> Result<Markup> {
    let groups: Vec<(String, Vec<f64>)> =
        knob.groups.iter().map(|group| (group.value.clone(), group.accuracies.clone())).collect();
    let curves: Vec<Vec<(u32, f64)>> = knob.groups.iter().map(|group| group.curve.clone()).collect();
    let (accuracies, curves) = (charts::knob(&knob.name, &groups)?, charts::curves(&curves)?);
    Ok(html! {
        section {
            h2 { (knob.name) }
            p { (effect(&knob.name, &knob.effect)) }
            div.plots {
                (figure(&accuracies, "Every run (dots), mean and standard deviation (bars)."))
                (figure(&curves, "Learning curves: mean over seeds after each epoch."))
            }
            ul.legend { @for (index, group) in knob.groups.iter().enumerate() { (legend_entry(index, group)) } }
            div.table {
                table {
                    thead {
                        tr {
                            @for name in [&*knob.name, "accuracy, %", "deviation", "runs"] {
                                th scope="col" { (name) }
                            }
                        }
                    }
                    tbody {
                        @for group in knob.groups.iter().filter(|group| !group.accuracies.is_empty()) { (row(group)) }
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
    let plotters::style::RGBColor(r, g, b) = colour(index);
    html! {
        li {
            span style=(format!("background:#{r:02x}{g:02x}{b:02x}")) {}
            (group.name())
        }
    }
}

fn row(group: &Group) -> Markup {
    let (mean, deviation) = mean_and_deviation(&group.accuracies);
    html! {
        tr {
            td { (group.name()) }
            td { (format!("{mean:.2}")) }
            td { (format!("{deviation:.2}")) }
            td { (group.accuracies.len()) }
        }
    }
}

/// What accuracy costs: the name of the cost, and how much of it a combination takes.
type Cost = (&'static str, fn(&PointResult) -> f64);

const COSTS: [Cost; 3] = [
    ("parameters", |point| point.parameters as f64),
    ("MACs per image", |point| point.macs as f64),
    ("training seconds", PointResult::seconds),
];

fn costs(report: &Report<'_>) -> Result<Markup> {
    let figures = COSTS.iter().map(|&(name, cost)| {
        let points = report.costs(cost);
        let front = charts::pareto_front(&points);
        let caption = format!("Accuracy against {name}; filled: no cheaper combination is as good.");
        Ok(figure(&charts::cost(name, &points, &front)?, &caption))
    });
    let figures = figures.collect::<Result<Vec<_>>>()?;
    Ok(html! {
        section {
            h2 { "What accuracy costs" }
            div.plots { @for figure in &figures { (figure) } }
        }
    })
}

fn combinations(report: &Report<'_>) -> Markup {
    let fronts = COSTS.map(|(name, cost)| (name, charts::pareto_front(&report.costs(cost))));
    let on = |index: usize| -> String {
        let fronts = fronts.iter().filter(|(_, front)| front.contains(&index));
        fronts.map(|(name, _)| *name).collect::<Vec<_>>().join(", ")
    };
    html! {
        section {
            h2 { "All combinations" }
            div.table {
                table {
                    thead {
                        tr {
                            @for name in ["combination", "accuracy, %", "parameters", "MACs", "seconds", "on the front of"] {
                                th scope="col" { (name) }
                            }
                        }
                    }
                    tbody {
                        @for (index, point) in report.with_runs().enumerate() {
                            @let (mean, deviation) = mean_and_deviation(&percent(point));
                            tr {
                                td { (point.label) (stopped(point)) }
                                td { (format!("{mean:.2} ± {deviation:.2}")) }
                                td { (zoo::grouped(point.parameters as u64)) }
                                td { (zoo::grouped(point.macs)) }
                                td { (format!("{:.0}", point.seconds())) }
                                td { (on(index)) }
                            }
                        }
                    }
                }
            }
        }
    }
}
