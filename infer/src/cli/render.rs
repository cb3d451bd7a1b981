//! Text for people.

use zoo::Manifest;

use crate::{Prediction, Report, Speed};

/// Brightness from black to white.
const RAMP: &[u8] = b" .:-=+*#%@";

/// What the network sees, two characters for a pixel.
pub(super) fn picture(prediction: &Prediction, manifest: &Manifest) -> String {
    let shape = manifest.image_shape();
    let plane = &prediction.pixels[..shape.height * shape.width];
    let mut out = String::new();
    for row in plane.chunks(shape.width.max(1)) {
        for &pixel in row {
            let character = RAMP[usize::from(pixel) * (RAMP.len() - 1) / 255].into();
            out.push(character);
            out.push(character);
        }
        out.truncate(out.trim_end_matches(' ').len());
        out.push('\n');
    }
    out
}

/// One line: file, label, and the `top` classes.
pub(super) fn prediction(file: &str, prediction: &Prediction, top: usize) -> String {
    let classes: Vec<String> = prediction
        .classes
        .iter()
        .take(top)
        .map(|class| format!("{} {:.2} %", class.label, 100.0 * class.probability))
        .collect();
    format!("{file}: {}", classes.join(", "))
}

/// Rows as aligned columns, the first row being the header.
pub(super) fn columns(rows: &[Vec<String>]) -> String {
    let count = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        rows.iter().filter_map(|r| r.get(column)).map(|c| c.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..count).map(width).collect();
    let mut out = String::new();
    for row in rows {
        let line: Vec<String> =
            row.iter().zip(&widths).map(|(cell, &width)| format!("{cell:<width$}")).collect();
        out.push_str(line.join("  ").trim_end());
        out.push('\n');
    }
    out
}

/// A table of measurements, one line for each.
pub(super) fn speeds(speeds: &[(String, Speed)]) -> String {
    let header = ["model", "threads", "batch", "call, median", "99 %", "per image", "images/s"];
    let mut rows = vec![header.map(String::from).to_vec()];
    for (model, speed) in speeds {
        rows.push(vec![
            model.clone(),
            speed.threads.to_string(),
            speed.batch.to_string(),
            format!("{:.1} us", speed.p50_us),
            format!("{:.1} us", speed.p99_us),
            format!("{:.1} us", speed.p50_us / speed.batch as f64),
            format!("{:.0}", speed.images_per_second),
        ]);
    }
    columns(&rows)
}

/// A table of checks, one line for each.
pub(super) fn reports(reports: &[Report]) -> String {
    let mut rows = vec![["model", "check", "", "detail"].map(String::from).to_vec()];
    for report in reports {
        for finding in &report.findings {
            let check = format!("{:?}", finding.check).to_lowercase();
            let mark = if finding.ok { "ok" } else { "FAILED" };
            rows.push(vec![report.model.clone(), check, mark.into(), finding.detail.clone()]);
        }
    }
    columns(&rows)
}
