//! Learning curves.

use plotters::prelude::*;

use super::axis::Axis;
use super::{HEIGHT, canvas, colour, mark};
use crate::error::{Error, Result};

/// A curve of a value.
pub(in crate::study::report) struct Line {
    /// The value's place, for colour and mark.
    pub(in crate::study::report) index: usize,
    /// Of training, not of validation.
    pub(in crate::study::report) dashed: bool,
    /// By epoch.
    pub(in crate::study::report) points: Vec<(u32, f64)>,
}

/// What is measured after each epoch.
pub(in crate::study::report) fn curves(name: &str, lines: &[Line]) -> Result<String> {
    let points = || lines.iter().flat_map(|line| &line.points);
    let last = points().map(|(epoch, _)| *epoch).max().unwrap_or(1);
    let (x, y) = (Axis::epochs(last), Axis::linear(name, points().map(|(_, value)| *value)));
    canvas(HEIGHT, &x, &y, |chart| {
        for line in lines {
            let points = || line.points.iter().map(|&(epoch, value)| (f64::from(epoch), value));
            let style = colour(line.index).stroke_width(2);
            if line.dashed {
                chart.draw_series(DashedLineSeries::new(points(), 5, 4, style)).map_err(Error::drawing)?;
            } else {
                chart.draw_series(LineSeries::new(points(), style)).map_err(Error::drawing)?;
                for point in points() {
                    mark(chart, line.index, point)?;
                }
            }
        }
        Ok(())
    })
}
