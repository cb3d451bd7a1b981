//! What accuracy costs among the versions of a zoo, as a picture.

use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};
use zoo::{Index, IndexVersion};

use crate::error::{Error, Result};
use crate::study::report::pareto_front;

const SIZE: (u32, u32) = (720, 420);
const BLUE: RGBColor = RGBColor(0x1f, 0x77, 0xb4);
const ORANGE: RGBColor = RGBColor(0xd9, 0x5f, 0x02);
/// Height of a label.
const TEXT: i32 = 15;

/// Millions of multiply-accumulates that may stand at the axis.
const TICKS: [f64; 16] =
    [0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1000.0];

/// A version in the picture.
struct Point<'a> {
    name: String,
    version: &'a IndexVersion,
}

/// Every model's name and newest version.
fn newest(index: &Index) -> impl Iterator<Item = (&str, &IndexVersion)> {
    index.models.iter().filter_map(|model| Some((model.name.as_str(), model.versions.last()?)))
}

/// Those whose cost is known.
fn drawn(index: &Index) -> impl Iterator<Item = (&str, &IndexVersion)> {
    newest(index).filter(|(_, version)| version.macs > 0)
}

/// The newest versions that are not drawn, because nobody knows what a prediction costs.
pub fn left_out(index: &Index) -> Vec<String> {
    newest(index)
        .filter(|(_, version)| version.macs == 0)
        .map(|(name, version)| format!("{name}@{}", version.version))
        .collect()
}

/// Datasets of a zoo's newest versions, each once, sorted.
pub fn datasets(index: &Index) -> Vec<String> {
    let mut names: Vec<String> = drawn(index).map(|(_, version)| version.dataset.clone()).collect();
    names.sort();
    names.dedup();
    names
}

/// Accuracy on the test split, with its 95 % interval, against multiply-accumulates, of the newest version of every model
/// that was trained on `dataset`, as SVG. A line joins those that no cheaper one beats (the Pareto front).
///
/// # Errors
/// [`Error::Drawing`], also if there is none.
pub fn draw(index: &Index, dataset: &str) -> Result<String> {
    let of_dataset = drawn(index).filter(|(_, version)| version.dataset == dataset);
    let points: Vec<Point<'_>> = of_dataset
        .map(|(model, version)| Point { name: format!("{model} {}", version.version), version })
        .collect();
    if points.is_empty() {
        return Err(Error::Drawing(format!(
            "of {dataset}: no newest version whose cost is known was trained on it"
        )));
    }
    let places: Vec<(f64, f64)> = points.iter().map(Point::place).collect();
    let intervals =
        || points.iter().flat_map(|point| point.version.test.interval()).map(|share| 100.0 * share);
    let (low, high) = (intervals().fold(f64::MAX, f64::min), intervals().fold(f64::MIN, f64::max));
    let costs = || places.iter().map(|(cost, _)| *cost);
    let (least, most) = (costs().fold(f64::MAX, f64::min), costs().fold(f64::MIN, f64::max));
    // Room for a name beside the last.
    let (left, right) = (least - 0.2, most + 0.5);
    let air = 0.05 * (high - low);
    let mut svg = String::new();
    {
        let root = SVGBackend::with_string(&mut svg, SIZE).into_drawing_area();
        root.fill(&WHITE).map_err(Error::drawing)?;
        let mut chart = ChartBuilder::on(&root)
            .margin(14)
            .x_label_area_size(46)
            .y_label_area_size(66)
            .build_cartesian_2d(left..right, low - air..high + air)
            .map_err(Error::drawing)?;
        chart
            .configure_mesh()
            .disable_x_mesh()
            .light_line_style(WHITE)
            .x_desc("million multiply-accumulates for an image")
            .y_desc(format!("test accuracy on {dataset}, %"))
            .x_labels(0)
            .y_label_formatter(&|accuracy| format!("{accuracy:.2}"))
            .label_style(("sans-serif", TEXT))
            .draw()
            .map_err(Error::drawing)?;
        for tick in TICKS.into_iter().filter(|tick| (left..right).contains(&libm::log10(*tick))) {
            draw_tick(&root, chart.backend_coord(&(libm::log10(tick), low - air)), tick)?;
        }
        let front = pareto_front(&places);
        chart
            .draw_series(LineSeries::new(steps(&front, &places, right), ORANGE.stroke_width(2)))
            .map_err(Error::drawing)?;
        for (index, (point, &place)) in points.iter().zip(&places).enumerate() {
            let colour = if front.contains(&index) { ORANGE } else { BLUE };
            let [low, high] = point.version.test.interval().map(|share| (place.0, 100.0 * share));
            chart
                .draw_series([PathElement::new([low, high], colour.mix(0.5).stroke_width(2))])
                .map_err(Error::drawing)?;
            chart.draw_series([Circle::new(place, 5, colour.filled())]).map_err(Error::drawing)?;
            let style =
                ("sans-serif", TEXT).into_font().color(&BLACK).pos(Pos::new(HPos::Left, VPos::Center));
            let label = EmptyElement::at(place) + Text::new(point.name.clone(), (8, -11), style);
            chart.draw_series([label]).map_err(Error::drawing)?;
        }
        root.present().map_err(Error::drawing)?;
    }
    Ok(svg)
}

/// A mark below the axis of costs, and its number.
fn draw_tick(root: &DrawingArea<SVGBackend<'_>, Shift>, (x, y): (i32, i32), tick: f64) -> Result<()> {
    let style = ("sans-serif", TEXT).into_font().color(&BLACK).pos(Pos::new(HPos::Center, VPos::Top));
    root.draw(&PathElement::new([(x, y), (x, y + 5)], BLACK)).map_err(Error::drawing)?;
    root.draw(&Text::new(tick.to_string(), (x, y + 8), style)).map_err(Error::drawing)
}

/// The line along the front, up to `right`. In steps: for less than the next one's cost there is nothing better.
fn steps(front: &[usize], places: &[(f64, f64)], right: f64) -> Vec<(f64, f64)> {
    let mut steps: Vec<(f64, f64)> = Vec::new();
    for place in front.iter().filter_map(|&index| places.get(index)) {
        steps.extend(steps.last().map(|before| (place.0, before.1)));
        steps.push(*place);
    }
    steps.extend(steps.last().map(|last| (right, last.1)));
    steps
}

impl Point<'_> {
    /// Common logarithm of the cost in millions, and accuracy in percent.
    fn place(&self) -> (f64, f64) {
        (libm::log10(self.version.macs as f64 / 1e6), 100.0 * self.version.test.share())
    }
}
