//! The plots of a report, as SVG that takes its ink from the page and so suits light and dark.

use plotters::coord::types::RangedCoordf64;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use crate::error::{Error, Result};

/// Canvas in pixels: wide enough for a desktop's column, and still legible shrunk to a phone.
const SIZE: (u32, u32) = (480, 320);
/// Height of letters, legible when a canvas is shrunk to a phone's width.
const TEXT: i32 = 17;
/// Becomes the page's text colour.
const INK: RGBColor = RGBColor(0, 0, 0);
/// Tells values apart; of middle lightness, for both themes (Okabe and Ito 2008, adapted).
pub(super) const COLOURS: [RGBColor; 8] = [
    RGBColor(0x2f, 0x86, 0xd6),
    RGBColor(0xd9, 0x5f, 0x02),
    RGBColor(0x1b, 0x9e, 0x77),
    RGBColor(0xcc, 0x4f, 0x9a),
    RGBColor(0xb8, 0x8a, 0x00),
    RGBColor(0x7a, 0x6f, 0xd0),
    RGBColor(0xc2, 0x3b, 0x3b),
    RGBColor(0x7f, 0x7f, 0x7f),
];

type Chart<'a, 'b> = ChartContext<'a, SVGBackend<'b>, Cartesian2d<RangedCoordf64, RangedCoordf64>>;

/// The colour of the value at `index`.
pub(super) fn colour(index: usize) -> RGBColor {
    COLOURS[index % COLOURS.len()]
}

fn wrong(error: impl ToString) -> Error {
    Error::Drawing(error.to_string())
}

/// What a plot's axes show.
struct Axes<'a> {
    x: std::ops::Range<f64>,
    y: std::ops::Range<f64>,
    x_name: &'a str,
    marks: Marks<'a>,
}

/// What stands below the x axis.
enum Marks<'a> {
    /// Numbers, written like this.
    Numbers(&'a dyn Fn(&f64) -> String),
    /// Names, at 0, 1, 2, ...
    Names(Vec<String>),
}

/// Draws with `draw` on a canvas with axes, and turns black into the page's ink.
fn canvas(axes: Axes<'_>, draw: impl FnOnce(&mut Chart<'_, '_>) -> Result<()>) -> Result<String> {
    let mut svg = String::new();
    {
        let root = SVGBackend::with_string(&mut svg, SIZE).into_drawing_area();
        let low = axes.y.start;
        let mut chart = ChartBuilder::on(&root)
            .margin(10)
            .x_label_area_size(54)
            .y_label_area_size(68)
            .build_cartesian_2d(axes.x, axes.y)
            .map_err(wrong)?;
        let mut mesh = chart.configure_mesh();
        mesh.disable_x_mesh().light_line_style(TRANSPARENT);
        mesh.x_desc(axes.x_name).y_desc("validation accuracy, %");
        mesh.y_label_formatter(&|y| format!("{y:.1}"))
            .label_style(("sans-serif", TEXT, &INK))
            .axis_desc_style(("sans-serif", TEXT, &INK));
        match axes.marks {
            Marks::Numbers(format) => mesh.x_labels(5).x_label_formatter(format),
            Marks::Names(_) => mesh.x_labels(0),
        };
        mesh.draw().map_err(wrong)?;
        draw(&mut chart)?;
        if let Marks::Names(names) = axes.marks {
            let style = ("sans-serif", TEXT).into_font().color(&INK).pos(Pos::new(HPos::Center, VPos::Top));
            for (index, name) in names.into_iter().enumerate() {
                let (x, y) = chart.backend_coord(&(index as f64, low));
                root.draw(&Text::new(name, (x, y + 6), style.clone())).map_err(wrong)?;
            }
        }
        root.present().map_err(wrong)?;
    }
    Ok(svg.replace("#000000", "currentColor").replacen("<svg ", "<svg role=\"img\" ", 1))
}

/// A range around values, with air; never empty.
fn around(values: impl Iterator<Item = f64>) -> std::ops::Range<f64> {
    let (low, high) = values.fold((f64::MAX, f64::MIN), |(low, high), v| (low.min(v), high.max(v)));
    let air = ((high - low) * 0.12).max(0.05);
    if low > high { 0.0..1.0 } else { low - air..high + air }
}

/// Every run's accuracy (in percent) by value, with mean and standard deviation.
pub(super) fn knob(name: &str, groups: &[(String, Vec<f64>)]) -> Result<String> {
    let range = around(groups.iter().flat_map(|(_, values)| values.iter().copied()));
    let names = groups.iter().map(|(label, _)| shortened(label, groups.len())).collect();
    let x = -0.5..groups.len() as f64 - 0.5;
    canvas(Axes { x, y: range, x_name: name, marks: Marks::Names(names) }, |chart| {
        let means = groups.iter().enumerate().filter(|(_, (_, values))| !values.is_empty());
        let means: Vec<(f64, f64, f64)> = means
            .map(|(index, (_, values))| {
                let (mean, deviation) = crate::study::statistics::mean_and_deviation(values);
                (index as f64, mean, deviation)
            })
            .collect();
        let line = means.iter().map(|&(x, mean, _)| (x, mean));
        chart.draw_series(LineSeries::new(line, INK.mix(0.35).stroke_width(1))).map_err(wrong)?;
        for &(x, mean, deviation) in &means {
            let colour = colour(x as usize);
            let bar = [(x, mean - deviation), (x, mean + deviation)];
            chart.draw_series([PathElement::new(bar, colour.stroke_width(3))]).map_err(wrong)?;
            let mark = [(x - 0.12, mean), (x + 0.12, mean)];
            chart.draw_series([PathElement::new(mark, colour.stroke_width(3))]).map_err(wrong)?;
            let (_, values) = &groups[x as usize];
            let dots = values.iter().map(|&y| Circle::new((x + 0.2, y), 4, colour.mix(0.7).filled()));
            chart.draw_series(dots).map_err(wrong)?;
        }
        Ok(())
    })
}

/// Names of many values must be short to stand side by side.
fn shortened(label: &str, count: usize) -> String {
    let room = (44 / count.max(1)).max(3);
    if label.chars().count() <= room {
        return label.into();
    }
    label.chars().take(room - 1).chain(['…']).collect()
}

/// Mean validation accuracy (in percent) after each epoch, one line for each value.
pub(super) fn curves(lines: &[Vec<(u32, f64)>]) -> Result<String> {
    let points = || lines.iter().flatten();
    let last = points().map(|(epoch, _)| *epoch).max().unwrap_or(1).max(2);
    let range = around(points().map(|(_, y)| *y));
    let format = |x: &f64| if x.fract() == 0.0 { format!("{x:.0}") } else { String::new() };
    let axes = Axes { x: 1.0..f64::from(last), y: range, x_name: "epoch", marks: Marks::Numbers(&format) };
    canvas(axes, |chart| {
        for (index, line) in lines.iter().enumerate() {
            let colour = colour(index);
            let points = line.iter().map(|&(epoch, y)| (f64::from(epoch), y));
            chart.draw_series(LineSeries::new(points.clone(), colour.stroke_width(2))).map_err(wrong)?;
            chart.draw_series(points.map(|point| Circle::new(point, 3, colour.filled()))).map_err(wrong)?;
        }
        Ok(())
    })
}

/// Accuracy (in percent) against a cost, on a logarithmic scale; the Pareto front is joined by a line.
pub(super) fn cost(name: &str, points: &[(f64, f64)], front: &[usize]) -> Result<String> {
    let logs: Vec<(f64, f64)> = points.iter().map(|&(x, y)| (x.max(1e-9).log10(), y)).collect();
    let x = around(logs.iter().map(|(x, _)| *x));
    let y = around(logs.iter().map(|(_, y)| *y));
    let format = |x: &f64| with_prefix(10f64.powf(*x));
    canvas(Axes { x, y, x_name: name, marks: Marks::Numbers(&format) }, |chart| {
        let best: Vec<(f64, f64)> = front.iter().filter_map(|&index| logs.get(index).copied()).collect();
        let line = LineSeries::new(best.iter().copied(), COLOURS[1].stroke_width(2));
        chart.draw_series(line).map_err(wrong)?;
        let all = logs.iter().map(|&point| Circle::new(point, 4, COLOURS[0].stroke_width(2)));
        chart.draw_series(all).map_err(wrong)?;
        let marked = best.iter().map(|&point| Circle::new(point, 5, COLOURS[1].filled()));
        chart.draw_series(marked).map_err(wrong)?;
        Ok(())
    })
}

/// `1.2 M`, `350 k`, `14`.
fn with_prefix(value: f64) -> String {
    let (scale, prefix) = match value {
        v if v >= 1e9 => (1e9, " G"),
        v if v >= 1e6 => (1e6, " M"),
        v if v >= 1e3 => (1e3, " k"),
        _ => (1.0, ""),
    };
    let scaled = value / scale;
    if scaled >= 100.0 { format!("{scaled:.0}{prefix}") } else { format!("{scaled:.1}{prefix}") }
}

/// Indices of the points that no other beats in both cost and accuracy, by cost.
pub(super) fn pareto_front(points: &[(f64, f64)]) -> Vec<usize> {
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

    #[test]
    fn plots_take_their_ink_from_the_page() {
        let groups = [("3".to_owned(), vec![98.0, 98.2]), ("a long name <b>".to_owned(), vec![97.0])];
        let svg = knob("kernel size", &groups).unwrap();
        assert!(
            svg.starts_with("<svg role=\"img\" ") && svg.contains("currentColor") && !svg.contains("#000000")
        );
        assert!(!svg.contains("<b>"), "labels are escaped");
        assert!(curves(&[vec![(1, 90.0)], vec![]]).is_ok());
        assert!(cost("parameters", &[(1e6, 98.0), (1e6, 98.0)], &[0]).is_ok());
        assert!(cost("parameters", &[], &[]).is_ok());
    }

    #[test]
    fn numbers_are_short() {
        let texts = [14.0, 350e3, 1.2e6, 13.9e6, 2e9].map(with_prefix);
        assert_eq!(texts, ["14.0", "350 k", "1.2 M", "13.9 M", "2.0 G"]);
    }
}
