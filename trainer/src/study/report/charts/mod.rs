//! The plots of a report, as SVG that takes its ink from the page and so suits light and dark.

mod axis;
mod cost;
mod curves;
mod grid;
mod values;

pub(super) use cost::cost;
pub(crate) use cost::pareto_front;
pub(super) use curves::{Line, curves};
pub(super) use grid::grid;
pub(super) use values::{Value, by_name, by_number};

use plotters::coord::types::RangedCoordf64;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use crate::error::{Error, Result};
use axis::{Axis, TEXT, text_width};

/// Width of a plot in pixels: enough for a desktop's column, and still legible shrunk to a phone.
const WIDTH: u32 = 480;
/// Usual height.
const HEIGHT: u32 = 320;
/// Becomes the page's text colour.
const INK: RGBColor = RGBColor(0, 0, 0);
/// Tells values apart; of middle lightness, for both themes (Okabe and Ito 2008, adapted).
const COLOURS: [RGBColor; 8] = [
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
fn colour(index: usize) -> RGBColor {
    COLOURS[index % COLOURS.len()]
}

/// The mark of the value at `index`: with the colour, 24 values differ.
fn mark(chart: &mut Chart<'_, '_>, index: usize, at: (f64, f64)) -> Result<()> {
    let style = colour(index).filled();
    let drawn = match index / COLOURS.len() % 3 {
        0 => chart.draw_series([EmptyElement::at(at) + Circle::new((0, 0), 4, style)]).map(|_| ()),
        1 => {
            chart.draw_series([EmptyElement::at(at) + Rectangle::new([(-4, -4), (4, 4)], style)]).map(|_| ())
        }
        _ => {
            let corners = vec![(0, -5), (5, 4), (-5, 4)];
            chart.draw_series([EmptyElement::at(at) + Polygon::new(corners, style)]).map(|_| ())
        }
    };
    drawn.map_err(Error::drawing)
}

/// The same as a small picture for a legend.
pub(super) fn key(index: usize) -> String {
    let RGBColor(r, g, b) = colour(index);
    let shape = match index / COLOURS.len() % 3 {
        0 => "<circle cx=\"6\" cy=\"6\" r=\"5\"/>",
        1 => "<rect x=\"1\" y=\"1\" width=\"10\" height=\"10\"/>",
        _ => "<path d=\"M6 0l6 11H0z\"/>",
    };
    format!("<svg viewBox=\"0 0 12 12\" aria-hidden=\"true\" fill=\"#{r:02x}{g:02x}{b:02x}\">{shape}</svg>")
}

/// Draws with `draw` on a canvas with axes, and turns black into the page's ink.
fn canvas(
    height: u32,
    x: &Axis,
    y: &Axis,
    draw: impl FnOnce(&mut Chart<'_, '_>) -> Result<()>,
) -> Result<String> {
    let mut svg = String::new();
    {
        let root = SVGBackend::with_string(&mut svg, (WIDTH, height)).into_drawing_area();
        let beside = y.label_width() + 14 + if y.name.is_empty() { 0 } else { 24 };
        let mut chart = ChartBuilder::on(&root)
            .margin(10)
            .margin_right(18)
            .x_label_area_size(66)
            .y_label_area_size(beside)
            .build_cartesian_2d(x.low..x.high, y.low..y.high)
            .map_err(Error::drawing)?;
        chart.configure_mesh().disable_mesh().x_labels(0).y_labels(0).draw().map_err(Error::drawing)?;
        draw(&mut chart)?;
        let font = || ("sans-serif", TEXT).into_font();
        let text = |words: &str, at: (i32, i32), pos: Pos| {
            root.draw(&Text::new(words.to_owned(), at, font().color(&INK).pos(pos))).map_err(Error::drawing)
        };
        // Labels that would touch stand in two rows.
        let mut ends = [i32::MIN; 2];
        for (at, label) in &x.ticks {
            let (x, bottom) = chart.backend_coord(&(*at, y.low));
            let half = text_width(label) / 2 + 3;
            let row = usize::from(x - half < ends[0]);
            ends[row] = x + half;
            root.draw(&PathElement::new([(x, bottom), (x, bottom + 5)], INK)).map_err(Error::drawing)?;
            text(label, (x, bottom + 8 + 18 * row as i32), Pos::new(HPos::Center, VPos::Top))?;
        }
        for (at, label) in &y.ticks {
            let (left, y) = chart.backend_coord(&(x.low, *at));
            root.draw(&PathElement::new([(left - 5, y), (left, y)], INK)).map_err(Error::drawing)?;
            let lines = label.lines().count() as i32;
            for (line, words) in label.lines().enumerate() {
                let y = y + (2 * line as i32 + 1 - lines) * 9;
                text(words, (left - 8, y), Pos::new(HPos::Right, VPos::Center))?;
            }
        }
        let (left, top) = chart.backend_coord(&(x.low, y.high));
        let (right, bottom) = chart.backend_coord(&(x.high, y.low));
        text(&x.name, ((left + right) / 2, bottom + 46), Pos::new(HPos::Center, VPos::Top))?;
        if !y.name.is_empty() {
            let style =
                font().transform(FontTransform::Rotate270).color(&INK).pos(Pos::new(HPos::Center, VPos::Top));
            root.draw(&Text::new(y.name.clone(), (4, (top + bottom) / 2), style)).map_err(Error::drawing)?;
        }
        root.present().map_err(Error::drawing)?;
    }
    Ok(svg.replace("#000000", "currentColor").replacen("<svg ", "<svg role=\"img\" ", 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plots_take_their_ink_from_the_page_and_escape_names() {
        let value =
            |name: &str, number| Value { name: name.into(), number, accuracies: vec![98.0, 98.2], index: 0 };
        let svg = by_name(&[value("3", None), value("a <b> that is quite long indeed", None)]).unwrap();
        assert!(svg.starts_with("<svg role=\"img\" ") && svg.contains("currentColor"));
        assert!(!svg.contains("#000000") && !svg.contains("<b>"));
        assert!(by_number("kernel <b>", &[value("3", Some(3.0)), value("30", Some(30.0))]).is_ok());
        let line = Line { index: 9, dashed: true, points: vec![(1, 90.0), (2, 91.0)] };
        assert!(curves("accuracy, %", &[line]).is_ok() && curves("accuracy, %", &[]).is_ok());
        assert!(cost("parameters", &[(1e6, 98.0), (2e6, 98.0)], &[0]).is_ok());
    }

    #[test]
    fn twenty_four_values_differ() {
        let mut keys: Vec<String> = (0..24).map(key).collect();
        keys.sort();
        keys.dedup();
        assert_eq!(keys.len(), 24);
    }
}
