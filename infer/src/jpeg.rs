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

/// Decodes a JPEG file of at most `max_side` pixels a side, turned upright as its EXIF data says. Gives the image, and
/// how many of the file's pixels one of the image's is along each side.
///
/// # Errors
/// What is wrong with the file.
pub(crate) fn decode(bytes: &[u8], max_side: u32, max_bytes: u64) -> Result<(DynamicImage, f64), String> {
    let wrong = |e: jpeg_decoder::Error| format!("not a whole JPEG file: {e}");
    let mut decoder = Decoder::new(bytes);
    decoder.read_info().map_err(wrong)?;
    let info = decoder.info().ok_or("a JPEG file without an image")?;
    let (width, height) = (u32::from(info.width), u32::from(info.height));
    if width == 0 || height == 0 || width > max_side || height > max_side {
        return Err(format!("{width} x {height} pixels; expected 1 to {max_side} each"));
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
    image.apply_orientation(orientation.unwrap_or(Orientation::NoTransforms));
    Ok((image, f64::from(width) / f64::from(scaled_width)))
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
