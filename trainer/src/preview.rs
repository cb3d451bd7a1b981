//! A picture of what training sees: images beside changed copies of themselves.

use datasets::Samples;

use crate::error::Result;
use crate::normaliser::Normaliser;
use crate::recipe::Recipe;
use crate::sheet::{Sheet, colour};
use distortions::Stream;

/// Images, one in a row.
const ROWS: usize = 8;
/// The image itself and so many copies, one for each of the first epochs.
const COPIES: usize = 9;
/// Pictures are enlarged to about so many pixels.
const SIDE: usize = 84;

/// A contact sheet as PNG: the first images of the training split, one in a row, each followed
/// by how it looks in the first epochs, exactly as training would draw it.
///
/// # Errors
/// [`crate::Error::Drawing`].
pub fn contact_sheet(recipe: &Recipe, samples: &Samples, normaliser: &Normaliser) -> Result<Vec<u8>> {
    let shape = samples.shape;
    let rows = samples.len().min(ROWS);
    let mut sheet = Sheet::new(rows * (COPIES + 1), COPIES + 1, [shape.height, shape.width], SIDE);
    let mut changed = vec![0f32; shape.numel()];
    for row in 0..rows {
        let image = samples.image(row);
        for column in 0..=COPIES {
            changed.iter_mut().zip(image).for_each(|(out, &pixel)| *out = pixel.into());
            if column > 0 && !recipe.augmentation.is_off() {
                let mut stream = Stream::new(recipe.seed, "augment", column as u64, row as u64);
                let image = (image, samples.labels[row]);
                recipe.augmentation.apply(image, shape, &normaliser.mean, &mut stream, &mut changed);
            }
            sheet.draw(row * (COPIES + 1) + column, |y, x| colour(&changed, shape, y, x));
        }
    }
    sheet.png()
}
