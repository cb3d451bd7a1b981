//! The report as one self-contained page: no script, nothing to fetch.

use super::charts::{self, colour};
use super::report::{Group, Knob, Report, percent, stopped};
use super::results::PointResult;
use super::statistics::mean_and_deviation;
use crate::error::Result;

const STYLE: &str = include_str!("report.css");

pub(super) fn page(report: &Report<'_>) -> Result<String> {
    let title = escape(&report.study.title);
    let mut body = format!("<h1>{title}</h1>\n<p class=\"soft\">{}</p>\n", escape(&report.setting()));
    for knob in &report.knobs {
        body += &section(knob)?;
    }
    body += &costs(report)?;
    body += &combinations(report);
    Ok(format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <link rel=\"icon\" href=\"data:,\">\n<title>{title}</title>\n<style>\n{STYLE}</style>\n</head>\n\
         <body>\n<main>\n{body}</main>\n</body>\n</html>\n"
    ))
}

/// Plots, legend, sentence and table of one knob.
fn section(knob: &Knob) -> Result<String> {
    let groups: Vec<(String, Vec<f64>)> =
        knob.groups.iter().map(|group| (group.value.clone(), group.accuracies.clone())).collect();
    let curves: Vec<Vec<(u32, f64)>> = knob.groups.iter().map(|group| group.curve.clone()).collect();
    let name = escape(&knob.name);
    let legend: String =
        knob.groups.iter().enumerate().map(|(index, group)| legend_entry(index, group)).collect();
    let rows: String = knob.groups.iter().filter(|group| !group.accuracies.is_empty()).map(row).collect();
    Ok(format!(
        "<section>\n<h2>{name}</h2>\n<p>{sentence}</p>\n<div class=\"plots\">\n{a}{b}</div>\n\
         <ul class=\"legend\">{legend}</ul>\n<div class=\"table\"><table>\n<thead><tr><th scope=\"col\">{name}</th>\
         <th scope=\"col\">accuracy, %</th><th scope=\"col\">deviation</th><th scope=\"col\">runs</th></tr></thead>\n\
         <tbody>\n{rows}</tbody>\n</table></div>\n</section>\n",
        sentence = escape(&knob.sentence),
        a = figure(
            &charts::knob(&knob.name, &groups)?,
            "Every run (dots), mean and standard deviation (bars)."
        ),
        b = figure(&charts::curves(&curves)?, "Learning curves: mean over seeds after each epoch."),
    ))
}

fn figure(svg: &str, caption: &str) -> String {
    let caption = escape(caption);
    let svg = svg.replacen("<svg ", &format!("<svg aria-label=\"{caption}\" "), 1);
    format!("<figure>\n{svg}\n<figcaption>{caption}</figcaption>\n</figure>\n")
}

fn legend_entry(index: usize, group: &Group) -> String {
    let plotters::style::RGBColor(r, g, b) = colour(index);
    format!("<li><span style=\"background:#{r:02x}{g:02x}{b:02x}\"></span>{}</li>", escape(&group.name()))
}

fn row(group: &Group) -> String {
    let (mean, deviation) = mean_and_deviation(&group.accuracies);
    let count = group.accuracies.len();
    format!(
        "<tr><td>{}</td><td>{mean:.2}</td><td>{deviation:.2}</td><td>{count}</td></tr>\n",
        escape(&group.name())
    )
}

/// What accuracy costs: the name of the cost, and how much of it a combination takes.
type Cost = (&'static str, fn(&PointResult) -> f64);

const COSTS: [Cost; 3] = [
    ("parameters", |point| point.parameters as f64),
    ("MACs per image", |point| point.macs as f64),
    ("training seconds", PointResult::seconds),
];

fn costs(report: &Report<'_>) -> Result<String> {
    let mut figures = String::new();
    for (name, cost) in COSTS {
        let points = report.costs(cost);
        let front = charts::pareto_front(&points);
        let caption = format!("Accuracy against {name}; filled: no cheaper combination is as good.");
        figures += &figure(&charts::cost(name, &points, &front)?, &caption);
    }
    Ok(format!(
        "<section>\n<h2>What accuracy costs</h2>\n<div class=\"plots\">\n{figures}</div>\n</section>\n"
    ))
}

fn combinations(report: &Report<'_>) -> String {
    let fronts = COSTS.map(|(name, cost)| (name, charts::pareto_front(&report.costs(cost))));
    let mut rows = String::new();
    for (index, point) in report.with_runs().enumerate() {
        let (mean, deviation) = mean_and_deviation(&percent(point));
        let on: Vec<&str> =
            fronts.iter().filter(|(_, front)| front.contains(&index)).map(|(name, _)| *name).collect();
        rows += &format!(
            "<tr><td>{}{}</td><td>{mean:.2} ± {deviation:.2}</td><td>{}</td><td>{}</td><td>{:.0}</td><td>{}</td></tr>\n",
            escape(&point.label),
            stopped(point),
            zoo::grouped(point.parameters as u64),
            zoo::grouped(point.macs),
            point.seconds(),
            on.join(", ")
        );
    }
    format!(
        "<section>\n<h2>All combinations</h2>\n<div class=\"table\"><table>\n<thead><tr><th scope=\"col\">combination</th>\
         <th scope=\"col\">accuracy, %</th><th scope=\"col\">parameters</th><th scope=\"col\">MACs</th>\
         <th scope=\"col\">seconds</th><th scope=\"col\">on the front of</th></tr></thead>\n<tbody>\n{rows}</tbody>\n\
         </table></div>\n</section>\n"
    )
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
