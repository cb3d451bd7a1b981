//! Characters that lie on their side: EMNIST's files have rows and columns changed.
//!
//! Bright strokes on black are taken for characters. Written ones are higher than wide, digits and letters alike: of MNIST's
//! images the median box is 0.75 times as wide as high, of each class but few. Where the boxes of most classes are wider than
//! high, the images are probably transposed.

use datasets::ImageShape;

use crate::error::Result;
use crate::pipeline::Record;
use crate::spool::Spool;

/// Images of a class that are looked at.
const LOOKED_AT: usize = 200;
/// Share of pixels that are black around characters.
const BLACK: f64 = 0.5;
/// Width over height above which a class lies on its side.
const WIDE: f64 = 1.1;
/// Share of the classes that do.
const SHARE: f64 = 0.75;

/// Whether images are probably characters on their side.
///
/// # Errors
/// If the pixels cannot be read.
pub(crate) fn look_transposed(
    records: &[Record],
    spool: &Spool,
    shape: ImageShape,
    classes: usize,
) -> Result<bool> {
    if shape.channels != 1 {
        return Ok(false);
    }
    let mut ratios: Vec<Vec<f64>> = vec![Vec::new(); classes];
    let (mut black, mut all) = (0usize, 0usize);
    for record in records {
        let ratios = &mut ratios[record.label as usize];
        if ratios.len() >= LOOKED_AT {
            continue;
        }
        let pixels = spool.read(record.stored)?;
        black += pixels.iter().filter(|&&pixel| pixel < 16).count();
        all += pixels.len();
        ratios.extend(width_over_height(&pixels, shape.width));
    }
    if (black as f64) < BLACK * all as f64 {
        return Ok(false);
    }
    let medians = ratios.into_iter().filter(|ratios| !ratios.is_empty()).map(|mut ratios| {
        ratios.sort_by(f64::total_cmp);
        ratios[ratios.len() / 2]
    });
    let medians: Vec<f64> = medians.collect();
    let wide = medians.iter().filter(|median| **median > WIDE).count();
    Ok(!medians.is_empty() && wide as f64 >= SHARE * medians.len() as f64)
}

/// Of the box around what is bright.
fn width_over_height(pixels: &[u8], width: usize) -> Option<f64> {
    let bright = |pixel: &u8| *pixel >= 64;
    let rows = pixels.chunks_exact(width).enumerate().filter(|(_, row)| row.iter().any(bright));
    let rows: Vec<usize> = rows.map(|(y, _)| y).collect();
    let columns: Vec<usize> =
        (0..width).filter(|&x| pixels.iter().skip(x).step_by(width).any(bright)).collect();
    let length = |places: &[usize]| Some(places.last()? - places.first()? + 1);
    Some(length(&columns)? as f64 / length(&rows)? as f64)
}
