//! The pictures of a model card. Deterministic: they are hashed.

use std::io::Cursor;

use image::{GrayImage, ImageFormat, Luma};
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use crate::error::{Error, Result};
use crate::history::EpochRow;
use crate::network::Network;
use crate::parameters::Parameters;

/// `confusion[actual][predicted]`.
pub(crate) type Confusion = Vec<Vec<u64>>;

const TRAIN: RGBColor = RGBColor(0x1f, 0x77, 0xb4);
const VALIDATION: RGBColor = RGBColor(0xd6, 0x27, 0x28);
/// Pixels for one weight in the picture of filters.
const ZOOM: u32 = 12;

/// Counts predictions by actual class.
pub(crate) fn confusion(predictions: &[u8], actual: &[u8], labels: &[String]) -> Confusion {
    let mut counts = vec![vec![0; labels.len()]; labels.len()];
    for (&predicted, &actual) in predictions.iter().zip(actual) {
        if let Some(cell) =
            counts.get_mut(usize::from(actual)).and_then(|row| row.get_mut(usize::from(predicted)))
        {
            *cell += 1;
        }
    }
    counts
}

/// Training and validation accuracy by epoch, as SVG.
///
/// # Errors
/// [`Error::Drawing`].
pub(crate) fn learning_curve(rows: &[EpochRow]) -> Result<String> {
    let train: Vec<(f64, f64)> = rows.iter().map(|r| (r.epoch.into(), 100.0 * r.train_accuracy)).collect();
    let validation: Vec<(f64, f64)> =
        rows.iter().filter_map(|r| Some((r.epoch.into(), 100.0 * r.validation_accuracy?))).collect();
    let lowest = train.iter().chain(&validation).map(|(_, y)| *y).fold(100.0, f64::min);
    let last = rows.last().map_or(1.0, |r| f64::from(r.epoch)).max(2.0);
    let mut svg = String::new();
    {
        let root = SVGBackend::with_string(&mut svg, (720, 380)).into_drawing_area();
        root.fill(&WHITE).map_err(Error::drawing)?;
        let mut chart = ChartBuilder::on(&root)
            .margin(12)
            .x_label_area_size(42)
            .y_label_area_size(60)
            .build_cartesian_2d(1.0..last, (lowest - 0.5).max(0.0)..100.0)
            .map_err(Error::drawing)?;
        chart
            .configure_mesh()
            .light_line_style(WHITE)
            .x_desc("epoch")
            .y_desc("accuracy, %")
            .x_label_formatter(&|x| format!("{x:.0}"))
            .y_label_formatter(&|y| format!("{y:.1}"))
            .label_style(("sans-serif", 14))
            .draw()
            .map_err(Error::drawing)?;
        for (name, points, color) in
            [("training (augmented)", train, TRAIN), ("validation", validation, VALIDATION)]
        {
            if !points.is_empty() {
                chart
                    .draw_series(LineSeries::new(points, color.stroke_width(2)))
                    .map_err(Error::drawing)?
                    .label(name)
                    .legend(move |(x, y)| PathElement::new([(x, y), (x + 18, y)], color.stroke_width(2)));
            }
        }
        chart
            .configure_series_labels()
            .position(SeriesLabelPosition::LowerRight)
            .background_style(WHITE)
            .border_style(RGBColor(0xcc, 0xcc, 0xcc))
            .label_font(("sans-serif", 14))
            .draw()
            .map_err(Error::drawing)?;
        root.present().map_err(Error::drawing)?;
    }
    Ok(svg)
}

/// Rows are actual classes, columns predicted ones, as SVG. Errors are shaded by their share of the row.
///
/// # Errors
/// [`Error::Drawing`].
pub(crate) fn confusion_matrix(counts: &Confusion, labels: &[String]) -> Result<String> {
    let (cell, left, top) = (54, 130, 70);
    let side = cell * labels.len() as i32;
    let mut svg = String::new();
    {
        let size = ((left + side + 20) as u32, (top + side + 20) as u32);
        let root = SVGBackend::with_string(&mut svg, size).into_drawing_area();
        root.fill(&WHITE).map_err(Error::drawing)?;
        let text = |size: i32, color: RGBColor, h: HPos, v: VPos| {
            ("sans-serif", size).into_font().color(&color).pos(Pos::new(h, v))
        };
        let write = |content: String, at: (i32, i32), style: &TextStyle<'_>| {
            root.draw(&Text::new(content, at, style.clone())).map_err(Error::drawing)
        };
        let title = text(14, BLACK, HPos::Center, VPos::Center);
        write("predicted".into(), (left + side / 2, 16), &title)?;
        write("actual".into(), (left / 2 - 30, 46), &title)?;
        for (row, (name, values)) in labels.iter().zip(counts).enumerate() {
            let y = top + cell * row as i32;
            write(name.clone(), (left - 8, y + cell / 2), &text(13, BLACK, HPos::Right, VPos::Center))?;
            let across = left + cell * row as i32 + cell / 2;
            write(short(name), (across, top - 14), &text(11, BLACK, HPos::Center, VPos::Center))?;
            let total = values.iter().sum::<u64>().max(1);
            for (column, &value) in values.iter().enumerate() {
                let x = left + cell * column as i32;
                let share = value as f64 / total as f64;
                let fill = shade(row == column, share);
                let rectangle = Rectangle::new([(x, y), (x + cell - 2, y + cell - 2)], fill.filled());
                root.draw(&rectangle).map_err(Error::drawing)?;
                if value > 0 {
                    let ink = if row == column && share > 0.5 { WHITE } else { BLACK };
                    let style = text(13, ink, HPos::Center, VPos::Center);
                    write(value.to_string(), (x + cell / 2 - 1, y + cell / 2 - 1), &style)?;
                }
            }
        }
        root.present().map_err(Error::drawing)?;
    }
    Ok(svg)
}

/// Column headings are narrow.
fn short(label: &str) -> String {
    label.chars().take(8).collect()
}

/// Blue by share on the diagonal; off it red, a tenth being full.
fn shade(right: bool, share: f64) -> RGBColor {
    let (full, share) =
        if right { ((0x1f, 0x77, 0xb4), share) } else { ((0xd6, 0x27, 0x28), (10.0 * share).min(1.0)) };
    let mix = |channel: u8| (255.0 - (255.0 - f64::from(channel)) * share).round() as u8;
    if share == 0.0 { RGBColor(0xf4, 0xf4, 0xf4) } else { RGBColor(mix(full.0), mix(full.1), mix(full.2)) }
}

/// The kernels of the first layer as PNG, eight in a row, each scaled to its own range (grey is 0);
/// `None` if the first layer is not a convolution.
///
/// # Errors
/// [`Error::Drawing`].
pub(crate) fn filters(network: &Network, parameters: &Parameters) -> Result<Option<Vec<u8>>> {
    let Some(first) = network.first_weighted() else { return Ok(None) };
    let state = parameters.state_dict();
    let (_, shape, values) = &state[first.first_parameter];
    let &[count, channels, height, width] = shape.as_slice() else { return Ok(None) };
    let tile = (width as u32 * ZOOM + 6, height as u32 * ZOOM + 6);
    let columns = count.min(8) as u32;
    let rows = (count as u32).div_ceil(columns.max(1));
    let mut picture = GrayImage::from_pixel(columns * tile.0 + 6, rows * tile.1 + 6, Luma([255]));
    for (index, filter) in values.chunks_exact((channels * height * width).max(1)).enumerate() {
        let largest = filter.iter().fold(1e-12f32, |m, v| m.max(v.abs()));
        let origin = (index as u32 % columns * tile.0 + 6, index as u32 / columns * tile.1 + 6);
        // The mean over input channels: one picture for a filter of a colour image too.
        for (place, _) in filter.iter().take(height * width).enumerate() {
            let sum: f32 = filter.iter().skip(place).step_by(height * width).sum();
            let level = (127.5 + 127.5 * sum / channels as f32 / largest).round().clamp(0.0, 255.0) as u8;
            let (y, x) = ((place / width) as u32, (place % width) as u32);
            for offset in 0..ZOOM * ZOOM {
                let at = (origin.0 + x * ZOOM + offset % ZOOM, origin.1 + y * ZOOM + offset / ZOOM);
                picture.put_pixel(at.0, at.1, Luma([level]));
            }
        }
    }
    let mut png = Cursor::new(Vec::new());
    picture.write_to(&mut png, ImageFormat::Png).map_err(Error::drawing)?;
    Ok(Some(png.into_inner()))
}
