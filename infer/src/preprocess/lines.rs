//! Ruling lines, squares and drawn frames: long, thin and straight.

use super::ink::Mask;

/// Steepest line, as rise over run: paper is never laid down exactly straight.
const STEEPEST: f64 = 0.12;
/// Steps of the slope between straight and steepest.
const SLOPES: i32 = 24;
/// Most lines of one direction that are taken away.
const MOST: usize = 64;
/// Pixels that a line is looked for among.
const MOST_PIXELS: usize = 30_000;
/// How near the border a line must begin and end to be a ruling line: a share of the length.
const REACH: f64 = 0.12;

/// A line along the rows of a mask.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Line {
    /// Row at column 0.
    start: f64,
    /// Rows for each column.
    slope: f64,
    /// Rows that it takes.
    thickness: usize,
    /// First and last column.
    columns: (usize, usize),
}

/// Takes lines along both axes away that are at least `length` of the side long and at most `thickness`
/// of it thick. A single line is taken only where it goes from border to border, else it may be a stroke.
pub(super) fn remove(mask: &mut Mask, length: f64, thickness: f64) {
    let side = mask.height.max(mask.width) as f64;
    let thickest = ((side * thickness).round() as usize).max(2);
    let mut turned = transposed(mask);
    let across = find(mask, length, thickest);
    let down = find(&turned, length, thickest);
    if across.is_empty() && down.is_empty() {
        return;
    }
    // Two long parallel thin lines are a frame or squares, not a digit.
    let is_frame = across.len() > 1 && down.len() > 1;
    let is_ruling = |line: &Line, width: usize| {
        let reach = (width as f64 * REACH) as usize;
        line.columns.0 <= reach && line.columns.1 + reach >= width
    };
    let (width, height) = (mask.width, mask.height);
    for line in across.iter().filter(|line| is_frame || is_ruling(line, width)) {
        erase(mask, line);
    }
    for line in down.iter().filter(|line| is_frame || is_ruling(line, height)) {
        erase(&mut turned, line);
    }
    let erased = transposed(&turned);
    mask.data.iter_mut().zip(erased.data).for_each(|(kept, other)| *kept &= other);
}

fn transposed(mask: &Mask) -> Mask {
    let mut data = Vec::with_capacity(mask.data.len());
    for column in 0..mask.width {
        data.extend(mask.data.iter().skip(column).step_by(mask.width));
    }
    Mask { height: mask.width, width: mask.height, data }
}

/// Lines along the rows, the most covered first.
fn find(mask: &Mask, length: f64, thickest: usize) -> Vec<Line> {
    let mut rest = mask.clone();
    let mut lines = Vec::new();
    while lines.len() < MOST {
        let Some(line) = strongest(&rest, length, thickest) else { break };
        erase(&mut rest, &line);
        clear(&mut rest, &line);
        lines.push(line);
    }
    lines
}

/// The line with the most pixels of ink on it, of those that are thin.
fn strongest(mask: &Mask, length: f64, thickest: usize) -> Option<Line> {
    let thin = thin_pixels(mask, thickest);
    // A sample is enough to find a line by; textures have as many thin pixels as the image has.
    let every = thin.len() / MOST_PIXELS + 1;
    let needed = ((mask.width as f64 * length * 0.75) as usize / every).max(8);
    let mut best: Option<(usize, f64, f64)> = None;
    let mut counts = vec![0usize; 0];
    for step in -SLOPES..=SLOPES {
        let slope = STEEPEST * f64::from(step) / f64::from(SLOPES);
        let shift = (STEEPEST * mask.width as f64).ceil();
        counts.clear();
        counts.resize(mask.height + 2 * shift as usize + 3, 0);
        for &(row, column) in thin.iter().step_by(every) {
            let start = f64::from(row) - slope * f64::from(column) + shift;
            counts[start.round() as usize] += 1;
        }
        for (start, window) in counts.windows(2).enumerate() {
            let count = window[0] + window[1];
            if count >= needed && best.is_none_or(|(most, ..)| count > most) {
                best = Some((count, start as f64 + 0.5 - shift, slope));
            }
        }
    }
    let (_, start, slope) = best?;
    measure(mask, start, slope, length, thickest)
}

/// Pixels whose run of ink across the line is thin.
fn thin_pixels(mask: &Mask, thickest: usize) -> Vec<(u32, u32)> {
    let mut thin = Vec::new();
    for column in 0..mask.width {
        let mut row = 0;
        while row < mask.height {
            let run = (row..mask.height).take_while(|&row| mask.at(row, column)).count();
            if (1..=thickest).contains(&run) {
                thin.push(((row + run / 2) as u32, column as u32));
            }
            row += run + 1;
        }
    }
    thin
}

/// Follows a line from column to column: where it begins and ends, and how thick it is.
fn measure(mask: &Mask, start: f64, slope: f64, length: f64, thickest: usize) -> Option<Line> {
    let mut runs = Vec::new();
    let (mut first, mut last, mut covered) = (None, 0, 0);
    for column in 0..mask.width {
        if let Some((top, bottom)) = run_at(mask, start + slope * column as f64, column, thickest) {
            first.get_or_insert(column);
            (last, covered) = (column, covered + 1);
            runs.push(bottom - top);
        }
    }
    let first = first?;
    let span = last + 1 - first;
    // Dashed and broken lines are lines.
    if (span as f64) < length * mask.width as f64 || covered * 3 < span * 2 {
        return None;
    }
    runs.sort_unstable();
    let thickness = runs[runs.len() / 2];
    (thickness <= thickest).then_some(Line { start, slope, thickness, columns: (first, last + 1) })
}

/// The run of ink in a column at or next to a row.
fn run_at(mask: &Mask, row: f64, column: usize, reach: usize) -> Option<(usize, usize)> {
    let middle = row.round();
    let reach = (reach / 2 + 1) as f64;
    let rows = (middle - reach).max(0.0) as usize..((middle + reach).max(-1.0) + 1.0) as usize;
    let hit = rows.clone().min_by_key(|&candidate| {
        let is_ink = mask.at(candidate, column);
        (!is_ink, (candidate as f64 - middle).abs() as usize)
    })?;
    if !mask.at(hit, column) {
        return None;
    }
    let top = (0..=hit).rev().take_while(|&row| mask.at(row, column)).last()?;
    let bottom = hit + (hit..mask.height).take_while(|&row| mask.at(row, column)).count();
    Some((top, bottom))
}

/// Takes a line away where nothing crosses it: where the ink is not thicker than the line.
fn erase(mask: &mut Mask, line: &Line) {
    let most = line.thickness + line.thickness / 2 + 1;
    for column in line.columns.0..line.columns.1 {
        let run = run_at(mask, line.start + line.slope * column as f64, column, line.thickness);
        if let Some((top, bottom)) = run.filter(|(top, bottom)| bottom - top <= most) {
            (top..bottom).for_each(|row| mask.data[row * mask.width + column] = false);
        }
    }
}

/// Takes a line away wholly, so that it isn't found again.
fn clear(mask: &mut Mask, line: &Line) {
    for column in line.columns.0..line.columns.1 {
        let middle = (line.start + line.slope * column as f64).round();
        let reach = (line.thickness / 2 + 1) as f64;
        let rows = (middle - reach).max(0.0) as usize..((middle + reach).max(-1.0) + 1.0) as usize;
        for row in rows.filter(|&row| row < mask.height) {
            mask.data[row * mask.width + column] = false;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drawn(height: usize, width: usize, ink: impl Fn(usize, usize) -> bool) -> Mask {
        Mask { height, width, data: (0..height * width).map(|i| ink(i / width, i % width)).collect() }
    }

    fn count(mask: &Mask) -> usize {
        mask.data.iter().filter(|&&ink| ink).count()
    }

    #[test]
    fn ruling_lines_go_and_a_stroke_across_them_stays() {
        for slope in [0.0, 0.03, -0.05] {
            let on_line = |y: usize, x: usize| {
                let row = y as f64 - slope * x as f64;
                [60.0, 120.0, 180.0].iter().any(|start| (row - start).abs() <= 1.0)
            };
            let stroke = |y: usize, x: usize| (40..220).contains(&y) && (140..160).contains(&x);
            let mut mask = drawn(260, 300, |y, x| on_line(y, x) || stroke(y, x));
            let expected = count(&drawn(260, 300, stroke));
            remove(&mut mask, 0.5, 0.012);
            let found = count(&mask);
            assert!(found >= expected && found < expected + 200, "{slope}: {found} of {expected}");
        }
    }

    #[test]
    fn digits_alone_are_left_as_they_are() {
        // A 1, a 7 and a 4 of a thin pen, as large as the picture lets them be.
        let one = |_: usize, x: usize| (98..102).contains(&x);
        let seven = |y: usize, x: usize| (38..41).contains(&y) || (x + y / 2).abs_diff(140) < 3;
        let four = |y: usize, x: usize| (118..121).contains(&y) || (140..143).contains(&x);
        for (name, digit) in [("1", &one as &dyn Fn(usize, usize) -> bool), ("7", &seven), ("4", &four)] {
            let within = |y: usize, x: usize| (30..170).contains(&y) && (30..170).contains(&x);
            let mut mask = drawn(200, 200, |y, x| within(y, x) && digit(y, x));
            let before = mask.clone();
            remove(&mut mask, 0.5, 0.012);
            assert_eq!(count(&mask), count(&before), "{name}");
        }
    }

    #[test]
    fn empty_full_and_tiny_masks_are_no_trouble() {
        for (height, width) in [(1, 1), (1, 300), (300, 1), (40, 40)] {
            for ink in [false, true] {
                remove(&mut drawn(height, width, |_, _| ink), 0.5, 0.012);
            }
        }
    }
}
