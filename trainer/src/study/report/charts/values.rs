//! Every run's accuracy by the value of a knob.

use plotters::prelude::*;

use super::axis::Axis;
use super::{Chart, HEIGHT, INK, canvas, colour, mark};
use crate::error::{Error, Result};
use crate::study::statistics::mean_and_deviation;

/// A value of a knob.
pub(in crate::study::report) struct Value {
    pub(in crate::study::report) name: String,
    /// What it is as a number.
    pub(in crate::study::report) number: Option<f64>,
    /// Percent.
    pub(in crate::study::report) accuracies: Vec<f64>,
    /// Its place among the knob's values, for colour and mark.
    pub(in crate::study::report) index: usize,
}

const ACCURACY: &str = "validation accuracy, %";

fn accuracies(values: &[Value]) -> impl Iterator<Item = f64> {
    values.iter().flat_map(|value| value.accuracies.iter().copied())
}

/// Values that have no order: one below the other, and no line between them.
pub(in crate::study::report) fn by_name(values: &[Value]) -> Result<String> {
    let names: Vec<String> = values.iter().map(|value| value.name.clone()).collect();
    let (x, y) = (Axis::linear(ACCURACY, accuracies(values)), Axis::rows(&names));
    let lines: usize = y.ticks.iter().map(|(_, name)| name.lines().count().max(1)).sum();
    let height = 86 + 16 * values.len() as u32 + 20 * lines as u32;
    canvas(height, &x, &y, |chart| {
        for (row, value) in values.iter().enumerate() {
            let y = -(row as f64);
            scatter(chart, value, |accuracy, aside| (accuracy, y + aside))?;
        }
        Ok(())
    })
}

/// Values that are numbers, at their place on an axis, with a line through their means.
pub(in crate::study::report) fn by_number(name: &str, values: &[Value]) -> Result<String> {
    let numbers: Vec<(f64, String)> =
        values.iter().filter_map(|value| Some((value.number?, value.name.clone()))).collect();
    let (x, y) = (Axis::of_values(name, &numbers), Axis::linear(ACCURACY, accuracies(values)));
    let aside = (x.high - x.low) * 0.06;
    canvas(HEIGHT, &x, &y, |chart| {
        let with_runs = values.iter().filter(|value| !value.accuracies.is_empty());
        let mut means: Vec<(f64, f64)> = with_runs
            .filter_map(|value| Some((x.position(value.number?), mean_and_deviation(&value.accuracies).0)))
            .collect();
        means.sort_by(|a, b| a.0.total_cmp(&b.0));
        chart.draw_series(LineSeries::new(means, INK.mix(0.35).stroke_width(1))).map_err(Error::drawing)?;
        for value in values {
            let Some(at) = value.number.map(|number| x.position(number)) else { continue };
            scatter(chart, value, |accuracy, offset| (at + offset * aside, accuracy))?;
        }
        Ok(())
    })
}

/// Mean and standard deviation as a cross, runs as dots beside it.
fn scatter(chart: &mut Chart<'_, '_>, value: &Value, place: impl Fn(f64, f64) -> (f64, f64)) -> Result<()> {
    if value.accuracies.is_empty() {
        return Ok(());
    }
    let (mean, deviation) = mean_and_deviation(&value.accuracies);
    let style = colour(value.index).stroke_width(3);
    for ends in
        [[place(mean - deviation, 0.0), place(mean + deviation, 0.0)], [place(mean, -0.2), place(mean, 0.2)]]
    {
        chart.draw_series([PathElement::new(ends, style)]).map_err(Error::drawing)?;
    }
    for &accuracy in &value.accuracies {
        mark(chart, value.index, place(accuracy, 0.32))?;
    }
    Ok(())
}
