//! Contact sheets: small pictures of equal size in rows, enlarged, as PNG.

use std::io::Cursor;

use image::{ImageFormat, Rgb, RgbImage};

use crate::error::{Error, Result};

/// Space around pictures.
const GAP: u32 = 4;

/// A sheet of pictures, filled row by row.
pub(crate) struct Sheet {
    picture: RgbImage,
    columns: usize,
    size: (u32, u32),
    zoom: u32,
}

impl Sheet {
    /// Room for `count` pictures of `height` by `width` pixels, `columns` in a row, each enlarged to
    /// about `side` pixels.
    pub(crate) fn new(count: usize, columns: usize, [height, width]: [usize; 2], side: usize) -> Sheet {
        let zoom = (side / height.max(width).max(1)).max(1) as u32;
        let size = (width as u32, height as u32);
        let rows = count.div_ceil(columns.max(1)) as u32;
        let picture = RgbImage::from_pixel(
            columns as u32 * (size.0 * zoom + GAP) + GAP,
            rows * (size.1 * zoom + GAP) + GAP,
            Rgb([255; 3]),
        );
        Sheet { picture, columns: columns.max(1), size, zoom }
    }

    /// Draws picture `index`; `pixel` gives the colour at row and column.
    pub(crate) fn draw(&mut self, index: usize, pixel: impl Fn(usize, usize) -> [u8; 3]) {
        let step = (self.size.0 * self.zoom + GAP, self.size.1 * self.zoom + GAP);
        let corner =
            (GAP + (index % self.columns) as u32 * step.0, GAP + (index / self.columns) as u32 * step.1);
        for y in 0..self.size.1 * self.zoom {
            for x in 0..self.size.0 * self.zoom {
                let colour = pixel((y / self.zoom) as usize, (x / self.zoom) as usize);
                if let Some(place) = self.picture.get_pixel_mut_checked(corner.0 + x, corner.1 + y) {
                    *place = Rgb(colour);
                }
            }
        }
    }

    pub(crate) fn png(&self) -> Result<Vec<u8>> {
        let mut png = Cursor::new(Vec::new());
        self.picture.write_to(&mut png, ImageFormat::Png).map_err(|e| Error::Drawing(e.to_string()))?;
        Ok(png.into_inner())
    }
}

/// The colour at a place of an image `[C, H, W]` with values of 0 to 255.
pub(crate) fn colour(image: &[f32], shape: datasets::ImageShape, row: usize, column: usize) -> [u8; 3] {
    let plane = shape.height * shape.width;
    [0, 1, 2].map(|channel: usize| {
        let at = channel.min(shape.channels - 1) * plane + row * shape.width + column;
        image[at].round() as u8
    })
}
