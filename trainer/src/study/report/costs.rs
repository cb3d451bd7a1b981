//! What accuracy costs.

use super::charts;
use super::model::Report;
use crate::study::results::PointResult;

/// What accuracy costs: the name of the cost, and how much of it a combination takes.
type Cost = (&'static str, fn(&Report<'_>, &PointResult) -> Option<f64>);

const COSTS: [Cost; 3] = [
    ("parameters", |_, point| Some(point.parameters as f64)),
    ("MACs per image", |_, point| Some(point.macs as f64)),
    ("seconds for 1000 training images", |report, point| report.seconds(point)),
];

/// A cost in which combinations differ.
pub(super) struct Front {
    pub(super) name: &'static str,
    /// Cost and accuracy of the finished combinations.
    pub(super) points: Vec<(f64, f64)>,
    /// Those that no cheaper one beats.
    pub(super) best: Vec<usize>,
}

/// What differs in cost.
pub(super) fn fronts(report: &Report<'_>) -> Vec<Front> {
    let costs = COSTS.iter().map(|&(name, cost)| {
        let points = report.costs(|point| cost(report, point));
        Front { name, best: charts::pareto_front(&points), points }
    });
    costs.filter(|front| !front.points.is_empty()).collect()
}

/// The costs for which no cheaper combination is as good as this one.
pub(super) fn on_fronts(report: &Report<'_>, fronts: &[Front], point: &PointResult) -> String {
    let index = report.finished().position(|other| std::ptr::eq(other, point));
    let on = fronts.iter().filter(|front| index.is_some_and(|index| front.best.contains(&index)));
    on.map(|front| front.name).collect::<Vec<_>>().join(", ")
}
