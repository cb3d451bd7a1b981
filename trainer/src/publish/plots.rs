//! Pictures of how far a model can be believed, and how it bears damage. Deterministic: they are hashed.

use infer::corruptions::Corruptions;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};
use zoo::Confidence;

use crate::error::{Error, Result};

const BLUE: RGBColor = RGBColor(0x1f, 0x77, 0xb4);
const RED: RGBColor = RGBColor(0xd6, 0x27, 0x28);

/// How often answers of each confidence are right, as SVG: on the diagonal, probabilities mean what they say.
///
/// # Errors
/// [`crate::Error::Drawing`].
pub(super) fn reliability(confidence: &Confidence) -> Result<String> {
    let mut svg = String::new();
    {
        let root = SVGBackend::with_string(&mut svg, (480, 420)).into_drawing_area();
        root.fill(&WHITE).map_err(Error::drawing)?;
        let mut chart = ChartBuilder::on(&root)
            .margin(14)
            .x_label_area_size(42)
            .y_label_area_size(60)
            .build_cartesian_2d(0.0..100.0, 0.0..100.0)
            .map_err(Error::drawing)?;
        chart
            .configure_mesh()
            .light_line_style(WHITE)
            .x_desc("probability of the answer, %")
            .y_desc("answers that are right, %")
            .x_label_formatter(&|x| format!("{x:.0}"))
            .y_label_formatter(&|y| format!("{y:.0}"))
            .label_style(("sans-serif", 14))
            .draw()
            .map_err(Error::drawing)?;
        let width = 100.0 / confidence.bins.len().max(1) as f64;
        for (index, bin) in confidence.bins.iter().enumerate().filter(|(_, bin)| bin.correct.total > 0) {
            let (left, height) = (index as f64 * width, 100.0 * bin.correct.share());
            // Few images say little: paler.
            let opacity = (bin.correct.total as f64 / 50.0).clamp(0.15, 1.0);
            let bar =
                Rectangle::new([(left + 0.6, 0.0), (left + width - 0.6, height)], BLUE.mix(opacity).filled());
            chart.draw_series([bar]).map_err(Error::drawing)?;
        }
        chart
            .draw_series([PathElement::new([(0.0, 0.0), (100.0, 100.0)], RED.stroke_width(2))])
            .map_err(Error::drawing)?;
        root.present().map_err(Error::drawing)?;
    }
    Ok(svg)
}

/// Accuracy for each kind of damage (rows) and strength (columns), as SVG.
///
/// # Errors
/// [`crate::Error::Drawing`].
pub(super) fn corruptions(counts: &Corruptions) -> Result<String> {
    let (cell, left, top) = ((62, 24), 150, 44);
    let columns = counts.values().map(Vec::len).max().unwrap_or(0) as i32;
    let size = (left + cell.0 * columns + 12, top + cell.1 * counts.len() as i32 + 12);
    let mut svg = String::new();
    {
        let root = SVGBackend::with_string(&mut svg, (size.0 as u32, size.1 as u32)).into_drawing_area();
        root.fill(&WHITE).map_err(Error::drawing)?;
        let write = |content: String, at: (i32, i32), color: RGBColor, h: HPos| {
            let style = ("sans-serif", 13).into_font().color(&color).pos(Pos::new(h, VPos::Center));
            root.draw(&Text::new(content, at, style)).map_err(Error::drawing)
        };
        write("accuracy, %, by strength".into(), (left + cell.0 * columns / 2, 12), BLACK, HPos::Center)?;
        for column in 0..columns {
            let across = left + cell.0 * column + cell.0 / 2;
            write((column + 1).to_string(), (across, 32), BLACK, HPos::Center)?;
        }
        for (row, (kind, strengths)) in counts.iter().enumerate() {
            let y = top + cell.1 * row as i32;
            write(kind.replace('_', " "), (left - 8, y + cell.1 / 2), BLACK, HPos::Right)?;
            for (column, count) in strengths.iter().enumerate() {
                let x = left + cell.0 * column as i32;
                let share = count.share();
                let bar = Rectangle::new([(x, y), (x + cell.0 - 2, y + cell.1 - 2)], shade(share).filled());
                root.draw(&bar).map_err(Error::drawing)?;
                let ink = if share > 0.75 { WHITE } else { BLACK };
                write(format!("{:.1}", 100.0 * share), (x + cell.0 / 2, y + cell.1 / 2), ink, HPos::Center)?;
            }
        }
        root.present().map_err(Error::drawing)?;
    }
    Ok(svg)
}

/// Blue from half right on, red below.
fn shade(share: f64) -> RGBColor {
    let (full, part) = if share >= 0.5 {
        ((0x1f, 0x77, 0xb4), 2.0 * share - 1.0)
    } else {
        ((0xd6, 0x27, 0x28), 1.0 - 2.0 * share)
    };
    let mix = |channel: u8| (255.0 - (255.0 - f64::from(channel)) * part).round() as u8;
    RGBColor(mix(full.0), mix(full.1), mix(full.2))
}
