//! What accuracy costs.

use plotters::prelude::*;

use super::axis::Axis;
use super::{COLOURS, HEIGHT, canvas};
use crate::error::{Error, Result};

/// Accuracy (in percent) against a cost, on a logarithmic scale; the Pareto front is joined by a line.
pub(in crate::study::report) fn cost(name: &str, points: &[(f64, f64)], front: &[usize]) -> Result<String> {
    let x = Axis::log(name, points.iter().map(|(cost, _)| *cost));
    let y = Axis::linear("validation accuracy, %", points.iter().map(|(_, accuracy)| *accuracy));
    let placed: Vec<(f64, f64)> =
        points.iter().map(|&(cost, accuracy)| (x.position(cost), accuracy)).collect();
    canvas(HEIGHT, &x, &y, |chart| {
        let best: Vec<(f64, f64)> = front.iter().filter_map(|&index| placed.get(index).copied()).collect();
        let line = LineSeries::new(best.iter().copied(), COLOURS[1].stroke_width(2));
        chart.draw_series(line).map_err(Error::drawing)?;
        let all = placed.iter().map(|&point| Circle::new(point, 4, COLOURS[0].stroke_width(2)));
        chart.draw_series(all).map_err(Error::drawing)?;
        let marked = best.iter().map(|&point| Circle::new(point, 5, COLOURS[1].filled()));
        chart.draw_series(marked).map_err(Error::drawing)?;
        Ok(())
    })
}

/// Indices of the points that no other beats in both cost and accuracy, by cost.
pub(crate) fn pareto_front(points: &[(f64, f64)]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..points.len()).collect();
    let key = |index: &usize| points[*index];
    order.sort_by(|a, b| key(a).0.total_cmp(&key(b).0).then(key(b).1.total_cmp(&key(a).1)));
    let mut best = f64::MIN;
    order.retain(|index| {
        let better = key(index).1 > best;
        best = best.max(key(index).1);
        better
    });
    order
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pareto_front_has_what_nothing_beats() {
        let points = [(3.0, 0.9), (1.0, 0.5), (2.0, 0.4), (2.0, 0.7), (4.0, 0.9)];
        assert_eq!(pareto_front(&points), [1, 3, 0]);
        assert_eq!(pareto_front(&[]), [0usize; 0]);
    }
}
