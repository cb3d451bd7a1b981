//! Contact sheets: images side by side in one PNG, as a `data:` address.

use base64ct::{Base64, Encoding};
use datasets::ImageShape;
use image::{ImageFormat, Rgb, RgbImage, imageops};

/// Longest side of an image in a sheet.
const SIDE: u32 = 96;
/// Pixels between two.
const GAP: u32 = 2;

/// Images of `shape`, `[C, H, W]` each, in rows of `columns`; `None` without any.
pub fn sheet(images: &[Vec<u8>], shape: ImageShape, columns: u32) -> Option<String> {
    let tiles: Vec<RgbImage> = images.iter().filter_map(|pixels| tile(pixels, shape)).collect();
    of_tiles(&tiles, columns)
}

/// Small pictures side by side.
pub(crate) fn of_tiles(tiles: &[RgbImage], columns: u32) -> Option<String> {
    let (width, height) = tiles.first()?.dimensions();
    let columns = columns.clamp(1, tiles.len() as u32);
    let rows = (tiles.len() as u32).div_ceil(columns);
    let side = |count: u32, length: u32| count * (length + GAP) - GAP;
    let mut sheet = RgbImage::from_pixel(side(columns, width), side(rows, height), Rgb([128; 3]));
    for (index, tile) in tiles.iter().enumerate() {
        let (column, row) = (index as u32 % columns, index as u32 / columns);
        let place = [column * (width + GAP), row * (height + GAP)].map(i64::from);
        imageops::replace(&mut sheet, tile, place[0], place[1]);
    }
    let mut png = std::io::Cursor::new(Vec::new());
    sheet.write_to(&mut png, ImageFormat::Png).ok()?;
    Some(format!("data:image/png;base64,{}", Base64::encode_string(&png.into_inner())))
}

/// An image, made small.
pub(crate) fn tile(pixels: &[u8], shape: ImageShape) -> Option<RgbImage> {
    let ImageShape { channels, height, width } = shape;
    let plane = height * width;
    let at = |place: usize, channel: usize| pixels.get(channel.min(channels - 1) * plane + place).copied();
    let interleaved = (0..plane).flat_map(|place| (0..3).map(move |channel| at(place, channel)));
    let image = RgbImage::from_raw(width as u32, height as u32, interleaved.collect::<Option<_>>()?)?;
    let longest = image.width().max(image.height());
    if longest <= SIDE {
        return Some(image);
    }
    let scaled = |length: u32| (length * SIDE / longest).max(1);
    let (width, height) = (scaled(image.width()), scaled(image.height()));
    Some(imageops::resize(&image, width, height, imageops::FilterType::Triangle))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sheets_have_rows_and_small_tiles() {
        let shape = ImageShape { channels: 1, height: 4, width: 6 };
        let address = sheet(&vec![vec![7; 24]; 5], shape, 3).unwrap();
        let png = Base64::decode_vec(address.strip_prefix("data:image/png;base64,").unwrap()).unwrap();
        let image = image::load_from_memory(&png).unwrap().to_rgb8();
        assert_eq!(image.dimensions(), (3 * 8 - 2, 2 * 6 - 2));
        assert_eq!((image.get_pixel(0, 0).0, image.get_pixel(6, 0).0), ([7; 3], [128; 3]));
        let large = ImageShape { channels: 3, height: 200, width: 100 };
        assert!(sheet(&[vec![9; 60_000]], large, 1).unwrap().len() < 4000);
        assert_eq!(sheet(&[], shape, 3), None);
    }
}
