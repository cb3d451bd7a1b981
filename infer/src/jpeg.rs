//! JPEG files: as many pixels as are needed, and nothing from files that are cut off.
//!
//! `image` reads JPEG with a decoder that fills what is missing of a truncated file with grey, and that has
//! a photo of 50 megapixels in memory at full size. `jpeg-decoder` does neither.

use image::metadata::Orientation;
use image::{DynamicImage, GrayImage, ImageBuffer, Luma, RgbImage};
use jpeg_decoder::{CodingProcess, Decoder, PixelFormat};

/// An image is read at a half, a quarter or an eighth of its size as long as its longer side stays this
/// long: half as much again as anything here works with.
const LARGE: u32 = 1536;

/// Most pixels of all scans together. Each scan of a progressive file goes over the whole image, and takes a few bytes:
/// a file of 300 KB can ask for minutes. Ten scans are usual; this is ten of 100 megapixels, and some seconds.
const MAX_WORK: u64 = 1 << 30;

/// Decodes a JPEG file of at most `max_side` pixels a side, turned upright as its EXIF data says. Gives the image, and
/// the width and height that it has in the file.
///
/// # Errors
/// What is wrong with the file.
pub(crate) fn decode(
    bytes: &[u8],
    max_side: u32,
    max_bytes: u64,
) -> Result<(DynamicImage, (u32, u32)), String> {
    let wrong = |e: jpeg_decoder::Error| format!("not a whole JPEG file: {e}");
    let mut decoder = Decoder::new(bytes);
    decoder.read_info().map_err(wrong)?;
    let info = decoder.info().ok_or("a JPEG file without an image")?;
    let (width, height) = (u32::from(info.width), u32::from(info.height));
    if width == 0 || height == 0 || width > max_side || height > max_side {
        return Err(format!("{width} x {height} pixels; expected 1 to {max_side} each"));
    }
    let work = u64::from(width) * u64::from(height) * scans(bytes);
    if work > MAX_WORK {
        return Err(format!("{work} pixels in all of its scans; expected at most {MAX_WORK}"));
    }
    let (scaled_width, scaled_height) = scaled(&mut decoder, width, height).map_err(wrong)?;
    let channels = info.pixel_format.pixel_bytes() as u64;
    let output = u64::from(scaled_width) * u64::from(scaled_height) * channels;
    // A progressive file's coefficients are all kept until its end, two bytes each.
    let coefficients = match info.coding_process {
        CodingProcess::DctProgressive => 2 * u64::from(width) * u64::from(height) * channels,
        _ => 0,
    };
    if output + coefficients > max_bytes {
        let needed = output + coefficients;
        return Err(format!("needs {needed} bytes in memory; at most {max_bytes} are allowed"));
    }
    decoder.set_max_decoding_buffer_size(max_bytes.try_into().unwrap_or(usize::MAX));
    let pixels = decoder.decode().map_err(wrong)?;
    let orientation = decoder.exif_data().and_then(Orientation::from_exif_chunk);
    let orientation = orientation.unwrap_or(Orientation::NoTransforms);
    let image = match info.pixel_format {
        PixelFormat::L8 => GrayImage::from_raw(scaled_width, scaled_height, pixels).map(DynamicImage::from),
        PixelFormat::L16 => {
            let words = pixels.as_chunks().0.iter().map(|&pair| u16::from_ne_bytes(pair)).collect();
            ImageBuffer::<Luma<u16>, _>::from_raw(scaled_width, scaled_height, words).map(DynamicImage::from)
        }
        PixelFormat::RGB24 => RgbImage::from_raw(scaled_width, scaled_height, pixels).map(DynamicImage::from),
        PixelFormat::CMYK32 => {
            let colours = pixels.as_chunks().0.iter().flat_map(|&pixel| rgb(pixel)).collect();
            RgbImage::from_raw(scaled_width, scaled_height, colours).map(DynamicImage::from)
        }
    };
    let mut image = image.ok_or("a JPEG file with another number of pixels than it says")?;
    image.apply_orientation(orientation);
    use Orientation::{Rotate90, Rotate90FlipH, Rotate270, Rotate270FlipH};
    let is_turned = matches!(orientation, Rotate90 | Rotate270 | Rotate90FlipH | Rotate270FlipH);
    Ok((image, if is_turned { (height, width) } else { (width, height) }))
}

/// How many scans there are up to the image's end (ITU-T T.81, B.1.1). What follows, as the film of a moving photo, may
/// hold any bytes.
fn scans(bytes: &[u8]) -> u64 {
    let (mut count, mut at) = (0, 2);
    while let Some(found) = bytes.get(at..).and_then(|rest| rest.iter().position(|&byte| byte == 0xff)) {
        at += found + 1;
        match bytes.get(at) {
            None | Some(0xd9) => break,
            // A filling byte, one of a scan's own, a restart, or a marker without a segment.
            Some(0xff) => {}
            Some(0x00 | 0x01 | 0xd0..=0xd8) => at += 1,
            Some(marker) => {
                count += u64::from(*marker == 0xda);
                let length =
                    bytes.get(at + 1..at + 3).map_or(0, |b| usize::from(b[0]) << 8 | usize::from(b[1]));
                at += 1 + length.max(2);
            }
        }
    }
    count
}

/// Asks for the smallest size that is no smaller than [`LARGE`]; gives the size that comes.
fn scaled(decoder: &mut Decoder<&[u8]>, width: u32, height: u32) -> Result<(u32, u32), jpeg_decoder::Error> {
    let longest = width.max(height);
    let eighths = [1u32, 2, 4].into_iter().find(|eighths| longest * eighths / 8 >= LARGE).unwrap_or(8);
    let part = |length: u32| (length * eighths).div_ceil(8) as u16;
    let (width, height) = decoder.scale(part(width), part(height))?;
    Ok((width.into(), height.into()))
}

/// Ink to light; the decoder gives how much of each ink is there.
fn rgb([cyan, magenta, yellow, black]: [u8; 4]) -> [u8; 3] {
    let light = |ink: u8| ((255 - u32::from(ink)) * (255 - u32::from(black)) / 255) as u8;
    [light(cyan), light(magenta), light(yellow)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scans_end_with_the_image() {
        let scan = [&[0xff, 0xda, 0, 4, 1, 1][..], &[7, 0xff, 0, 0xff, 0xd0, 9]].concat();
        let thumbnail = [&[0xff, 0xe1, 0, 8][..], &[0xff, 0xd8, 0xff, 0xda, 0, 0]].concat();
        let file = [&[0xff, 0xd8][..], &thumbnail, &scan, &scan, &[0xff, 0xd9], &scan].concat();
        assert_eq!(scans(&file), 2);
        for length in 0..file.len() {
            assert!(scans(&file[..length]) <= 2);
        }
    }
}
