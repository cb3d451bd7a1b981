//! Two knobs together.

use plotters::prelude::*;

use super::axis::Axis;
use super::{HEIGHT, canvas, colour, mark};
use crate::error::{Error, Result};

/// Mean accuracies (in percent) of a grid: places of one knob along the axis, a line for each value of the other. Lines
/// that are not parallel show that what one knob does depends on the other. `numbers` are the places' values, if they are
/// numbers.
pub(in crate::study::report) fn grid(
    name: &str,
    places: &[String],
    numbers: Option<&[f64]>,
    lines: &[Vec<Option<f64>>],
) -> Result<String> {
    let known = lines.iter().flatten().flatten().copied();
    let places: Vec<(f64, String)> = places
        .iter()
        .enumerate()
        .map(|(index, name)| (numbers.map_or(index as f64, |numbers| numbers[index]), name.clone()))
        .collect();
    let (x, y) = (Axis::of_values(name, &places), Axis::linear("validation accuracy, %", known));
    let at = |index: usize| x.position(places[index].0);
    canvas(HEIGHT, &x, &y, |chart| {
        for (index, line) in lines.iter().enumerate() {
            let mut points: Vec<(f64, f64)> =
                line.iter().enumerate().filter_map(|(place, mean)| Some((at(place), (*mean)?))).collect();
            points.sort_by(|a, b| a.0.total_cmp(&b.0));
            let style = colour(index).stroke_width(2);
            chart.draw_series(LineSeries::new(points.iter().copied(), style)).map_err(Error::drawing)?;
            for point in points {
                mark(chart, index, point)?;
            }
        }
        Ok(())
    })
}
