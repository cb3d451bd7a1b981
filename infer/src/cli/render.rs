//! Text for people.

use zoo::Manifest;

use image::GrayImage;

use crate::{Prediction, Proof, Report, Speed, Status};

/// Brightness from black to white.
const RAMP: &[u8] = b" .:-=+*#%@";

/// What the network sees, two characters for a pixel.
pub(super) fn picture(prediction: &Prediction, manifest: &Manifest) -> String {
    let shape = manifest.image_shape();
    let plane = &prediction.pixels[..shape.height * shape.width];
    let mut out = String::new();
    for row in plane.chunks(shape.width.max(1)) {
        for &pixel in row {
            out.extend([shade(pixel); 2]);
        }
        out.truncate(out.trim_end_matches(' ').len());
        out.push('\n');
    }
    out
}

/// Most characters across a picture of a step.
const THUMBNAIL: u32 = 32;

/// A picture in a few lines, two characters for a pixel.
pub(super) fn thumbnail(picture: &GrayImage) -> String {
    let longest = picture.width().max(picture.height()).max(1);
    let side = |length: u32| (length * THUMBNAIL / longest.max(THUMBNAIL)).max(1);
    let small = image::imageops::thumbnail(picture, side(picture.width()), side(picture.height()));
    let row = |row: image::buffer::Pixels<'_, image::Luma<u8>>| {
        let line: String = row.map(|pixel| String::from_iter([shade(pixel.0[0]); 2])).collect();
        format!("{}\n", line.trim_end())
    };
    small.rows().map(row).collect()
}

fn shade(level: u8) -> char {
    RAMP[usize::from(level) * (RAMP.len() - 1) / 255].into()
}

/// One line: file, the `top` classes, the set if one was asked for, and what is wrong with the answer.
pub(super) fn prediction(file: &str, prediction: &Prediction, top: usize, set: Option<&[&str]>) -> String {
    let classes: Vec<String> = prediction
        .classes
        .iter()
        .take(top)
        .map(|class| format!("{} {:.2} %", terminal::one_line(&class.label), 100.0 * class.probability))
        .collect();
    let note = match prediction.status {
        Status::Ok => String::new(),
        Status::Empty => "empty: nothing is on this image".into(),
        Status::Several => {
            format!(
                "several: {} objects, this is the largest; `infer read` reads all",
                prediction.objects.len()
            )
        }
        Status::Unsure => "unsure".into(),
        Status::Unlike => "unlike: not like the images that the model was trained on".into(),
    };
    let set = set.map_or(String::new(), |set| format!("  {{{}}}", terminal::one_line(&set.join(", "))));
    // Classes of nothing would only mislead.
    let is_empty = prediction.status == Status::Empty;
    let (classes, set) = if is_empty { Default::default() } else { (classes.join(", "), set) };
    let note = if note.is_empty() || classes.is_empty() { note } else { format!("  ({note})") };
    format!("{}: {classes}{set}{note}", terminal::one_line(file))
}

/// Rows as aligned columns, the first row being the header. A name may have anything in it, a line of a table too.
pub(super) fn columns(rows: &[Vec<String>]) -> String {
    let shown = |cell: &String| terminal::one_line(cell).into_owned();
    let rows: Vec<Vec<String>> = rows.iter().map(|row| row.iter().map(shown).collect()).collect();
    let count = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        rows.iter().filter_map(|r| r.get(column)).map(|c| c.chars().count()).max().unwrap_or(0)
    };
    // Nothing stands behind the last one.
    let widths: Vec<usize> =
        (0..count).map(|column| if column + 1 < count { width(column) } else { 0 }).collect();
    let mut out = String::new();
    for row in &rows {
        let line: Vec<String> =
            row.iter().zip(&widths).map(|(cell, &width)| terminal::padded(cell, width)).collect();
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

/// A table of a manifest's fields, one line for each.
pub(super) fn fields(fields: &[(&str, Proof, &str)]) -> String {
    let mut rows = vec![["field", "proof", "by"].map(String::from).to_vec()];
    for (path, proof, by) in fields {
        rows.push(vec![(*path).into(), format!("{proof:?}").to_lowercase(), (*by).into()]);
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
