//! A picture of what training sees: images beside changed copies of themselves.

use std::io::Cursor;

use datasets::Samples;
use image::{ImageFormat, Rgb, RgbImage};

use crate::batches::Normaliser;
use crate::error::{Error, Result};
use crate::random::Stream;
use crate::recipe::Recipe;

/// Images, one in a row.
const ROWS: usize = 8;
/// The image itself and so many copies, one for each of the first epochs.
const COPIES: u32 = 9;
/// Space between pictures.
const GAP: u32 = 4;
/// Pictures are enlarged to about so many pixels.
const SIDE: usize = 84;

/// A contact sheet as PNG: the first images of the training split, one in a row, each followed
/// by how it looks in the first epochs, exactly as training would draw it.
///
/// # Errors
/// [`Error::Drawing`].
pub fn contact_sheet(recipe: &Recipe, samples: &Samples, normaliser: &Normaliser) -> Result<Vec<u8>> {
    let shape = samples.shape;
    let zoom = (SIDE / shape.height.max(shape.width)).max(1) as u32;
    let tile = (shape.width as u32 * zoom + GAP, shape.height as u32 * zoom + GAP);
    let rows = samples.len().min(ROWS);
    let size = (tile.0 * (COPIES + 1) + GAP, tile.1 * rows as u32 + GAP);
    let mut sheet = RgbImage::from_pixel(size.0, size.1, Rgb([255; 3]));
    let mut changed = vec![0f32; shape.numel()];
    for row in 0..rows {
        let image = samples.image(row);
        for column in 0..=COPIES {
            changed.iter_mut().zip(image).for_each(|(out, &pixel)| *out = pixel.into());
            if column > 0 && !recipe.augmentation.is_off() {
                let mut stream = Stream::new(recipe.seed, "augment", column.into(), row as u64);
                recipe.augmentation.apply(image, shape, &normaliser.mean, &mut stream, &mut changed);
            }
            let plane = shape.height * shape.width;
            let value = |channel: usize, at: usize| {
                changed.get(channel.min(shape.channels - 1) * plane + at).map_or(0, |v| v.round() as u8)
            };
            for (x, y) in (0..shape.height as u32 * zoom)
                .flat_map(|y| (0..shape.width as u32 * zoom).map(move |x| (x, y)))
            {
                let at = (y / zoom) as usize * shape.width + (x / zoom) as usize;
                let pixel = Rgb([value(0, at), value(1, at), value(2, at)]);
                sheet.put_pixel(GAP + column * tile.0 + x, GAP + row as u32 * tile.1 + y, pixel);
            }
        }
    }
    let mut png = Cursor::new(Vec::new());
    sheet.write_to(&mut png, ImageFormat::Png).map_err(|e| Error::Drawing(e.to_string()))?;
    Ok(png.into_inner())
}
