//! The images on which two networks disagree.

use std::io::Cursor;

use datasets::Samples;
use image::{ImageFormat, Rgb, RgbImage};

use crate::error::{Error, Result};

/// Images that are drawn, ten in a row.
const SHOWN: usize = 60;
const IN_A_ROW: usize = 10;
/// About so many pixels a side.
const SIDE: usize = 56;
/// Width of a frame and of the space between.
const FRAME: u32 = 4;
/// Frames: only the first is right, only the second is, none is.
const COLOURS: [Rgb<u8>; 3] = [Rgb([0x2f, 0x86, 0xd6]), Rgb([0xd9, 0x5f, 0x02]), Rgb([0x7f, 0x7f, 0x7f])];

/// A sheet of images, each framed by who is right.
///
/// # Errors
/// [`Error::System`] if it cannot be encoded.
pub(super) fn sheet(test: &Samples, images: &[(usize, [bool; 2])]) -> Result<Vec<u8>> {
    let shape = test.shape;
    let zoom = (SIDE / shape.height.max(shape.width).max(1)).max(1) as u32;
    let step =
        [shape.width as u32 * zoom + 2 * FRAME + FRAME, shape.height as u32 * zoom + 2 * FRAME + FRAME];
    let shown = images.len().min(SHOWN);
    let (columns, rows) = (shown.clamp(1, IN_A_ROW) as u32, shown.div_ceil(IN_A_ROW).max(1) as u32);
    let mut sheet = RgbImage::from_pixel(columns * step[0] + FRAME, rows * step[1] + FRAME, Rgb([255; 3]));
    for (place, &(index, right)) in images.iter().take(shown).enumerate() {
        let corner =
            [FRAME + (place % IN_A_ROW) as u32 * step[0], FRAME + (place / IN_A_ROW) as u32 * step[1]];
        let colour = match right {
            [true, _] => COLOURS[0],
            [_, true] => COLOURS[1],
            _ => COLOURS[2],
        };
        for y in 0..step[1] - FRAME {
            for x in 0..step[0] - FRAME {
                let inside = [x, y].map(|at| at.wrapping_sub(FRAME) / zoom);
                let is_inside = x >= FRAME
                    && y >= FRAME
                    && (inside[0] as usize) < shape.width
                    && (inside[1] as usize) < shape.height;
                let pixel = if is_inside { pixel(test, index, inside) } else { colour };
                if let Some(target) = sheet.get_pixel_mut_checked(corner[0] + x, corner[1] + y) {
                    *target = pixel;
                }
            }
        }
    }
    let mut png = Cursor::new(Vec::new());
    let wrong =
        |e: image::ImageError| Error::System { what: "picture".into(), source: std::io::Error::other(e) };
    sheet.write_to(&mut png, ImageFormat::Png).map_err(wrong)?;
    Ok(png.into_inner())
}

fn pixel(test: &Samples, index: usize, [x, y]: [u32; 2]) -> Rgb<u8> {
    let shape = test.shape;
    let plane = shape.height * shape.width;
    let image = test.image(index);
    Rgb([0, 1, 2].map(|channel: usize| {
        let at = channel.min(shape.channels - 1) * plane + y as usize * shape.width + x as usize;
        image.get(at).copied().unwrap_or(0)
    }))
}
