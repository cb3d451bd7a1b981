//! Reading image files: PNG, JPEG, BMP, GIF, WebP and TIFF, within limits.

use std::fs::Metadata;
use std::io::{Cursor, Read};
use std::path::{Path, PathBuf};

use image::error::{ImageError, LimitErrorKind};
use image::{DynamicImage, ImageDecoder, ImageFormat, ImageReader, Limits};

use crate::error::{Error, Result};
use crate::preprocess::Scale;
use crate::{frames, jpeg};

/// Larger files are refused.
pub(crate) const MAX_FILE_BYTES: u64 = 64 << 20;
/// Wider or higher images are refused.
const MAX_SIDE: u32 = 16_384;
/// Images that need more memory than this are refused.
const MAX_DECODED_BYTES: u64 = 256 << 20;
/// File name endings of images.
const ENDINGS: [&str; 13] =
    ["png", "apng", "jpg", "jpeg", "jpe", "jfif", "pjpeg", "bmp", "dib", "gif", "webp", "tif", "tiff"];
/// And those of formats that cannot be read: a folder's image is never left out without a word.
const UNREADABLE_ENDINGS: [&str; 8] = ["heic", "heif", "avif", "jxl", "ppm", "pgm", "pbm", "pnm"];

/// A decoded image file, upright.
#[derive(Debug, Clone)]
pub struct Photo {
    /// The image; of a large JPEG file smaller than the file says, since nothing here needs more pixels.
    pub image: DynamicImage,
    /// Width and height of the file's image.
    pub size: (u32, u32),
    /// Whether the file has further images, of which none is looked at: pages of a TIFF file, frames of an animation.
    pub has_more: bool,
}

impl std::ops::Deref for Photo {
    type Target = DynamicImage;

    fn deref(&self) -> &DynamicImage {
        &self.image
    }
}

impl Photo {
    /// From places on the image to those on the file's.
    pub fn scale(&self) -> Scale {
        Scale::new((self.image.width(), self.image.height()), self.size)
    }
}

/// Reads an image file; `-` is standard input.
///
/// # Errors
/// [`Error::Io`] or [`Error::Image`].
pub fn read_image(path: &Path) -> Result<Photo> {
    let mut bytes = Vec::new();
    let limit = MAX_FILE_BYTES + 1;
    if path == Path::new("-") {
        std::io::stdin().take(limit).read_to_end(&mut bytes).map_err(Error::io(path))?;
    } else {
        let file = std::fs::File::open(path).map_err(Error::io(path))?;
        file.take(limit).read_to_end(&mut bytes).map_err(Error::io(path))?;
    }
    decode(&bytes, path)
}

/// Decodes an image, turned upright as its EXIF data says; `path` is only for the error.
///
/// # Errors
/// [`Error::Image`].
pub fn decode(bytes: &[u8], path: &Path) -> Result<Photo> {
    decode_within(bytes, path, MAX_DECODED_BYTES)
}

/// Decodes an image that needs at most `max_bytes` of memory, as [`decode`] does.
///
/// # Errors
/// [`Error::Image`].
pub fn decode_within(bytes: &[u8], path: &Path, max_bytes: u64) -> Result<Photo> {
    if bytes.is_empty() {
        return Err(Error::image(path, "the file is empty; expected an image"));
    }
    if bytes.len() as u64 > MAX_FILE_BYTES {
        return Err(Error::image(path, format!("the file has more than {MAX_FILE_BYTES} bytes")));
    }
    if let Some(name) = unreadable_format(bytes) {
        return Err(Error::image(path, format!("{name} cannot be read; save it as JPEG or PNG")));
    }
    let mut reader = ImageReader::new(Cursor::new(bytes)).with_guessed_format().map_err(Error::io(path))?;
    let Some(format) = reader.format() else {
        return Err(Error::image(path, "not an image; expected PNG, JPEG, BMP, GIF, WebP or TIFF"));
    };
    let wrong = |e: ImageError| match e {
        ImageError::Limits(e) if matches!(e.kind(), LimitErrorKind::InsufficientMemory) => {
            Error::image(path, format!("needs more than the {max_bytes} bytes of memory that are allowed"))
        }
        // "failed to fill whole buffer": it ends before it should.
        ImageError::IoError(e) => Error::image(path, format!("not a whole {} file: {e}", name(format))),
        e => Error::image(path, e.to_string()),
    };
    if format == ImageFormat::Jpeg {
        let decoded = jpeg::decode(bytes, MAX_SIDE, max_bytes);
        let (image, size) = decoded.map_err(|problem| Error::image(path, problem))?;
        return Ok(Photo { image, size, has_more: false });
    }
    let has_more = frames::has_more(bytes, format);
    let mut limits = Limits::default();
    limits.max_alloc = Some(max_bytes);
    reader.limits(limits);
    let mut decoder = reader.into_decoder().map_err(wrong)?;
    let (width, height) = decoder.dimensions();
    if width > MAX_SIDE || height > MAX_SIDE {
        return Err(Error::image(path, format!("{width} x {height} pixels; expected 1 to {MAX_SIDE} each")));
    }
    let needed = decoder.total_bytes();
    if needed > max_bytes {
        let problem = format!("needs {needed} bytes in memory; at most {max_bytes} are allowed");
        return Err(Error::image(path, problem));
    }
    let orientation = decoder.orientation().map_err(wrong)?;
    let mut image = DynamicImage::from_decoder(decoder).map_err(wrong)?;
    image.apply_orientation(orientation);
    if image.width() == 0 || image.height() == 0 {
        return Err(Error::image(path, "the image has no pixels"));
    }
    Ok(Photo { size: (image.width(), image.height()), image, has_more })
}

/// What people call a format.
fn name(format: ImageFormat) -> &'static str {
    match format {
        ImageFormat::Png => "PNG",
        ImageFormat::Bmp => "BMP",
        ImageFormat::Gif => "GIF",
        ImageFormat::WebP => "WebP",
        ImageFormat::Tiff => "TIFF",
        _ => "image",
    }
}

/// How many pixels an image file says that it has.
pub fn pixels(bytes: &[u8]) -> Option<u64> {
    let reader = ImageReader::new(Cursor::new(bytes)).with_guessed_format().ok();
    let size = reader.and_then(|reader| reader.into_dimensions().ok());
    size.map(|(width, height)| u64::from(width) * u64::from(height))
}

/// The name of a format that is known, but for which there is no well-kept reader in Rust alone, or that is for files
/// above the limit (BigTIFF).
fn unreadable_format(bytes: &[u8]) -> Option<&'static str> {
    if bytes.starts_with(&[0xff, 0x0a]) || bytes.get(4..12) == Some(b"JXL \r\n\x87\n") {
        return Some("a JPEG XL image");
    }
    if bytes.starts_with(b"II+\0") || bytes.starts_with(b"MM\0+") {
        return Some("a BigTIFF image");
    }
    if let [b'P', b'1'..=b'7', b'\n' | b' ' | b'\t' | b'\r', ..] = bytes {
        return Some("a PNM image (PPM, PGM, PBM)");
    }
    if bytes.get(4..8)? != b"ftyp" {
        return None;
    }
    match bytes.get(8..12)? {
        b"avif" | b"avis" => Some("an AVIF image"),
        _ => Some("a HEIC image (or another file of this container)"),
    }
}

/// Whether a name ends as those of images do, also of formats that cannot be read; in any case of letters.
pub fn has_image_ending(name: &str) -> bool {
    let ending = name.rsplit_once('.').map_or(String::new(), |(_, ending)| ending.to_ascii_lowercase());
    ENDINGS.contains(&ending.as_str()) || UNREADABLE_ENDINGS.contains(&ending.as_str())
}

/// What there is to predict.
#[derive(Debug, Default, PartialEq)]
pub struct ImageFiles {
    /// By name.
    pub files: Vec<PathBuf>,
    /// Files of a folder that are not looked at: hidden, or not ending as images do.
    pub other_files: usize,
    /// Folders in it, which are not looked into.
    pub folders: usize,
}

/// The files to predict: `path` itself, or the images in it if it is a folder. Hidden files are no images: programs of
/// macOS put a `._1.jpg` of their own beside a `1.jpg` on other systems' disks. Links that lead nowhere are among the
/// files, for whoever reads them to tell.
///
/// # Errors
/// [`Error::Io`], or [`Error::Image`] for a folder without images.
pub fn image_files(path: &Path) -> Result<ImageFiles> {
    if path == Path::new("-") || !path.is_dir() {
        return Ok(ImageFiles { files: vec![path.to_owned()], ..ImageFiles::default() });
    }
    let mut found = ImageFiles::default();
    for entry in std::fs::read_dir(path).map_err(Error::io(path))? {
        let entry = entry.map_err(Error::io(path))?;
        let (file, name) = (entry.path(), entry.file_name());
        let name = name.to_string_lossy();
        let metadata = std::fs::metadata(&file);
        let [is_dir, is_device] =
            [metadata.as_ref().is_ok_and(Metadata::is_dir), metadata.is_ok_and(|m| !m.is_file())];
        if is_dir {
            found.folders += 1;
        } else if name.starts_with('.') || is_device || !has_image_ending(&name) {
            found.other_files += 1;
        } else {
            found.files.push(file);
        }
    }
    if found.files.is_empty() {
        let expected = format!("expected files ending in {}", ENDINGS.join(", "));
        let problem = match found.folders {
            0 => format!("no images in this folder; {expected}"),
            _ => format!("no images in this folder itself; folders in it are not looked into; {expected}"),
        };
        return Err(Error::image(path, problem));
    }
    found.files.sort();
    Ok(found)
}
