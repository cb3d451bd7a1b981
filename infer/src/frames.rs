//! Whether an image file has further images: pages of TIFF, frames of GIF, WebP and PNG. Readers here give the first.

use image::ImageFormat;

/// Whether there is one behind the first; `false` where the file is too damaged to say.
pub(crate) fn has_more(bytes: &[u8], format: ImageFormat) -> bool {
    let found = match format {
        ImageFormat::Gif => gif(bytes),
        ImageFormat::Tiff => tiff(bytes),
        ImageFormat::Png => png(bytes),
        ImageFormat::WebP => webp(bytes),
        _ => None,
    };
    found.unwrap_or(false)
}

/// Blocks up to a second image descriptor (GIF89a specification, sections 18 to 26).
fn gif(bytes: &[u8]) -> Option<bool> {
    let colours = |flags: u8| if flags & 0x80 == 0 { 0 } else { 3 << ((flags & 7) + 1) };
    let mut at = 13 + colours(*bytes.get(10)?);
    let mut images = 0;
    loop {
        match bytes.get(at)? {
            0x2c => {
                images += 1;
                if images == 2 {
                    return Some(true);
                }
                // The descriptor, its colours, and the first byte of the data.
                at += 10 + colours(*bytes.get(at + 9)?) + 1;
            }
            0x21 => at += 2,
            _ => return Some(false),
        }
        loop {
            let length = usize::from(*bytes.get(at)?);
            at += 1 + length;
            if length == 0 {
                break;
            }
        }
    }
}

/// A second directory that is a page, not a smaller copy of one (TIFF 6.0, sections 2 and 8). BigTIFF is not read here.
fn tiff(bytes: &[u8]) -> Option<bool> {
    let is_little = match bytes.get(..4)? {
        b"II*\0" => true,
        b"MM\0*" => false,
        _ => return None,
    };
    let at = |start: usize, length: usize| {
        let found = bytes.get(start..start.checked_add(length)?)?;
        let add = |sum: usize, byte: &u8| sum << 8 | usize::from(*byte);
        Some(if is_little { found.iter().rev().fold(0, add) } else { found.iter().fold(0, add) })
    };
    let next = |directory: usize| at(directory + 2 + 12 * at(directory, 2)?, 4);
    let mut directory = next(at(4, 4)?)?;
    // As many as anybody looks at: a damaged file may go round.
    for _ in 0..64 {
        if directory == 0 {
            break;
        }
        let following = next(directory)?;
        let entries = (0..at(directory, 2)?).map(|entry| directory + 2 + 12 * entry);
        let kind = entries.take(4096).find(|&entry| at(entry, 2) == Some(254));
        // NewSubfileType is a LONG, whose lowest bit is that of a smaller copy, and 4 a mask.
        if kind.and_then(|entry| at(entry + 8, 4)).unwrap_or(0) & 5 == 0 {
            return Some(true);
        }
        directory = following;
    }
    Some(false)
}

/// `acTL`, which has the number of frames, stands before the pixels; the image itself is one of them if an `fcTL` does too
/// (PNG 3rd edition, 11.3.6).
fn png(bytes: &[u8]) -> Option<bool> {
    let number = |at: usize| Some(u32::from_be_bytes(bytes.get(at..at + 4)?.try_into().ok()?));
    let (mut at, mut frames, mut is_frame) = (8usize, 0, false);
    loop {
        match bytes.get(at + 4..at + 8)? {
            b"acTL" => frames = number(at + 8)?,
            b"fcTL" => is_frame = true,
            b"IDAT" | b"IEND" => return Some(frames > u32::from(is_frame)),
            _ => {}
        }
        at = at.checked_add(12 + number(at)? as usize)?;
    }
}

/// Chunks up to a second `ANMF` (RFC 9649, 2.7.1).
fn webp(bytes: &[u8]) -> Option<bool> {
    let (mut at, mut frames) = (12usize, 0);
    // A file ends where its chunks do.
    while let Some(name) = bytes.get(at..at + 4) {
        frames += usize::from(name == b"ANMF");
        if frames == 2 {
            return Some(true);
        }
        let length = u32::from_le_bytes(bytes.get(at + 4..at + 8)?.try_into().ok()?) as usize;
        at = at.checked_add(8 + length + length % 2)?;
    }
    Some(false)
}

#[cfg(test)]
mod tests {
    use image::codecs::gif::GifEncoder;
    use image::{DynamicImage, Frame, RgbaImage};

    use super::*;

    fn encoded(format: ImageFormat) -> Vec<u8> {
        let mut bytes = std::io::Cursor::new(Vec::new());
        DynamicImage::new_rgb8(3, 2).write_to(&mut bytes, format).unwrap();
        bytes.into_inner()
    }

    fn animated(frames: u32) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut encoder = GifEncoder::new(&mut bytes);
        for shade in 0..frames {
            let image = RgbaImage::from_pixel(9, 7, image::Rgba([shade as u8 * 40, 9, 9, 255]));
            encoder.encode_frame(Frame::new(image)).unwrap();
        }
        drop(encoder);
        bytes
    }

    /// Directories of one entry, `NewSubfileType`, each behind the one before.
    fn pages(is_little: bool, kinds: &[u32]) -> Vec<u8> {
        let two = |n: u16| if is_little { n.to_le_bytes() } else { n.to_be_bytes() };
        let four = |n: u32| if is_little { n.to_le_bytes() } else { n.to_be_bytes() };
        let mut bytes = if is_little { b"II*\0".to_vec() } else { b"MM\0*".to_vec() };
        bytes.extend(four(8));
        for (page, kind) in kinds.iter().enumerate() {
            let next = if page + 1 < kinds.len() { bytes.len() as u32 + 18 } else { 0 };
            bytes.extend([two(1), two(254), two(4)].concat());
            bytes.extend([four(1), four(*kind), four(next)].concat());
        }
        bytes
    }

    fn chunk(name: &[u8; 4], data: &[u8], is_png: bool) -> Vec<u8> {
        let length = data.len() as u32;
        match is_png {
            true => [&length.to_be_bytes()[..], name, data, &[0; 4]].concat(),
            false => [&name[..], &length.to_le_bytes(), data, &vec![0; data.len() % 2]].concat(),
        }
    }

    #[test]
    fn a_file_of_one_image_has_no_more() {
        for format in
            [ImageFormat::Gif, ImageFormat::Tiff, ImageFormat::Png, ImageFormat::WebP, ImageFormat::Bmp]
        {
            assert!(!has_more(&encoded(format), format), "{format:?}");
        }
    }

    #[test]
    fn frames_and_pages_are_more() {
        for frames in 1..4 {
            assert_eq!(has_more(&animated(frames), ImageFormat::Gif), frames > 1, "{frames}");
        }
        for is_little in [true, false] {
            for (kinds, more) in [
                (&[0][..], false),
                (&[0, 0], true),
                (&[0, 2], true),
                (&[0, 1], false),
                (&[0, 1, 4], false),
                (&[0, 1, 2], true),
            ] {
                assert_eq!(has_more(&pages(is_little, kinds), ImageFormat::Tiff), more, "{kinds:?}");
            }
        }
        for frames in [1u32, 2] {
            let control = [frames.to_be_bytes(), [0; 4]].concat();
            let start =
                [&b"\x89PNG\r\n\x1a\n"[..], &chunk(b"IHDR", &[0; 13], true), &chunk(b"acTL", &control, true)];
            let [frame, pixels] =
                [(b"fcTL", 26), (b"IDAT", 9)].map(|(name, n)| chunk(name, &vec![0; n], true));
            let png = [start.concat(), frame, pixels.clone()].concat();
            assert_eq!(has_more(&png, ImageFormat::Png), frames > 1);
            // The image is none of the frames.
            assert!(has_more(&[start.concat(), pixels].concat(), ImageFormat::Png));
            let all: Vec<u8> = (0..frames).flat_map(|_| chunk(b"ANMF", &[1, 2, 3], false)).collect();
            let webp = [&b"RIFF\0\0\0\0WEBP"[..], &chunk(b"VP8X", &[0; 10], false), &all].concat();
            assert_eq!(has_more(&webp, ImageFormat::WebP), frames > 1);
        }
    }

    #[test]
    fn damaged_files_say_nothing_and_end() {
        let whole = [
            (ImageFormat::Gif, animated(1)),
            (ImageFormat::Tiff, pages(true, &[0, 1])),
            (ImageFormat::Png, encoded(ImageFormat::Png)),
            (ImageFormat::WebP, encoded(ImageFormat::WebP)),
        ];
        for (format, bytes) in whole {
            for end in 0..bytes.len() {
                assert!(!has_more(&bytes[..end], format), "{format:?} {end}");
                let mut changed = bytes.clone();
                changed[end] ^= 0xff;
                has_more(&changed, format);
            }
        }
        // A directory that names itself as the next.
        let mut round = pages(true, &[0, 1]);
        let place = round.len() - 4;
        round[place..].copy_from_slice(&26u32.to_le_bytes());
        assert!(!has_more(&round, ImageFormat::Tiff));
    }
}
