//! Image files as people have them: every format, cut off anywhere, turned, in odd colours.
#![allow(clippy::unwrap_used)]

use std::io::Cursor;
use std::path::Path;

use image::{DynamicImage, ImageFormat, RgbImage};
use infer::decode::{ImageFiles, decode, image_files};

const FORMATS: [ImageFormat; 6] = [
    ImageFormat::Png,
    ImageFormat::Jpeg,
    ImageFormat::Bmp,
    ImageFormat::Gif,
    ImageFormat::WebP,
    ImageFormat::Tiff,
];

/// Something with detail everywhere, so that every byte of a file matters.
fn picture(width: u32, height: u32) -> DynamicImage {
    let level = |x: u32, y: u32| (x.wrapping_mul(x) / 7 + y * 3 + (x * y) % 31) as u8;
    RgbImage::from_fn(width, height, |x, y| image::Rgb([level(x, y), level(y, x), (x + y) as u8])).into()
}

fn file(image: &DynamicImage, format: ImageFormat) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    image.write_to(&mut bytes, format).unwrap();
    bytes.into_inner()
}

#[test]
fn every_format_is_read() {
    let image = picture(40, 30);
    for format in FORMATS {
        let photo = decode(&file(&image, format), Path::new("x")).unwrap();
        assert_eq!((photo.width(), photo.height(), photo.size), (40, 30, (40, 30)), "{format:?}");
        let error: f32 = photo
            .to_rgb8()
            .as_raw()
            .iter()
            .zip(image.to_rgb8().as_raw())
            .map(|(a, b)| (f32::from(*a) - f32::from(*b)).abs())
            .sum();
        assert!(error / 3600.0 < 40.0, "{format:?}: {}", error / 3600.0);
    }
}

#[test]
fn files_that_are_cut_off_are_refused() {
    for format in FORMATS {
        let bytes = file(&picture(97, 61), format);
        for share in [5, 20, 40, 50, 60, 80, 90, 95, 99] {
            let part = &bytes[..bytes.len() * share / 100];
            assert!(decode(part, Path::new("x")).is_err(), "{format:?} at {share} %");
        }
        // An end of a few bytes may be missing of a file that is whole but for its last marker.
        assert!(decode(&bytes[..bytes.len() - 40], Path::new("x")).is_err(), "{format:?}");
    }
}

#[test]
fn a_large_photo_comes_smaller_and_says_by_how_much() {
    let photo = decode(&file(&picture(4000, 3000), ImageFormat::Jpeg), Path::new("x")).unwrap();
    assert_eq!((photo.width(), photo.height(), photo.size), (2000, 1500, (4000, 3000)));
    // Sides are rounded, a short one by much.
    let narrow = decode(&file(&picture(9, 16_000), ImageFormat::Jpeg), Path::new("x")).unwrap();
    assert_eq!(narrow.size, (9, 16_000));
}

#[test]
fn a_jpeg_file_cannot_ask_for_any_number_of_scans() {
    let jpeg = file(&picture(4000, 3000), ImageFormat::Jpeg);
    let place = jpeg.windows(2).position(|pair| pair == [0xff, 0xda]).unwrap();
    let (start, scan) = jpeg.split_at(place);
    let bytes = [start, &[0xff, 0xda, 0, 8, 1, 1, 0, 0, 63, 0].repeat(200), scan].concat();
    let started = std::time::Instant::now();
    let error = decode(&bytes, Path::new("x.jpg")).unwrap_err().to_string();
    assert!(error.contains("pixels in all of its scans"), "{error}");
    assert!(started.elapsed() < std::time::Duration::from_secs(5));
    // The film of a moving photo follows its picture.
    assert!(decode(&[jpeg.as_slice(), &bytes].concat(), Path::new("x.jpg")).is_ok());
}

#[test]
fn formats_without_a_reader_are_named() {
    for (start, name) in [
        (&b"\0\0\0\x18ftypheic"[..], "HEIC"),
        (b"\0\0\0\x1cftypavif", "AVIF"),
        (b"\xff\x0a\x01\x02", "JPEG XL"),
        (b"II+\0\x08\0\0\0", "BigTIFF"),
        (b"%PDF-1.7 ........", "not an image"),
    ] {
        let message = decode(&[start, &[0; 40]].concat(), Path::new("x.jpg")).unwrap_err().to_string();
        assert!(message.contains(name), "{message}");
    }
}

#[test]
fn a_folder_leaves_no_image_out_without_a_word() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let images = ["a.png", "b.JPG", "c.tif", "d.heic", "e.jfif", "f.apng", "g.JPE"];
    // Hidden files, of which macOS puts one beside each image on other systems' disks, and what does not end as an image.
    for name in images.iter().chain(&["._a.png", ".DS_Store", "notes.txt", "README"]) {
        std::fs::write(path(name), "x").unwrap();
    }
    std::fs::create_dir(path("more")).unwrap();
    #[cfg(unix)]
    std::os::unix::fs::symlink("nowhere", path("h.png")).unwrap();
    let found = image_files(folder.path()).unwrap();
    let mut expected: Vec<_> = images.iter().map(|name| path(name)).collect();
    expected.extend(cfg!(unix).then(|| path("h.png")));
    assert_eq!(found, ImageFiles { files: expected, other_files: 4, folders: 1 });
    let refused = image_files(&path("more")).unwrap_err().to_string();
    assert!(refused.contains("no images in this folder"), "{refused}");
}

/// Ink on paper in the four colours of print, and in the form that Adobe's programs write; both made by
/// other people's programs (`tests/data/draw_digits.py` says how).
#[test]
fn four_colour_files_are_not_negatives() {
    for name in ["cmyk.jpg", "ycck.jpg"] {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/data/jpeg").join(name);
        let photo = infer::decode::read_image(&path).unwrap().to_rgb8();
        let [ground, ink] = [(4, 4), (32, 32)].map(|(x, y)| photo.get_pixel(x, y).0);
        assert!(ground.iter().all(|&level| level > 200), "{name}: {ground:?}");
        assert!(ink.iter().all(|&level| level < 90), "{name}: {ink:?}");
    }
}
