//! Hostile input: whatever the bytes are, an error or an answer, never a panic.
#![allow(clippy::unwrap_used)]

use std::path::Path;

use datasets::{ImageShape, Preprocessing, Procedure};
use image::{DynamicImage, GrayImage, RgbaImage};
use infer::preprocess::preprocess;
use infer::{Explainer, Session, decode};
use proptest::prelude::*;

const SHAPE: ImageShape = ImageShape { channels: 1, height: 28, width: 28 };

fn published(file: &str) -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../zoo/models/mnist-cnn/1").join(file);
    std::fs::read(path).unwrap_or_default()
}

fn png() -> Vec<u8> {
    let mut bytes = std::io::Cursor::new(Vec::new());
    let image = GrayImage::from_fn(30, 20, |x, y| image::Luma([(x * y % 256) as u8]));
    image.write_to(&mut bytes, image::ImageFormat::Png).map_or(Vec::new(), |()| bytes.into_inner())
}

/// Overwrites some bytes.
fn mutate(bytes: &mut [u8], changes: &[(usize, u8)]) {
    for &(place, value) in changes {
        let place = place % bytes.len().max(1);
        if let Some(byte) = bytes.get_mut(place) {
            *byte = value;
        }
    }
}

/// The lists of steps of the datasets here: every step there is.
fn steps() -> Vec<Preprocessing> {
    let read = |name: &str| {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../datasets").join(name).join("dataset.yaml");
        let text = std::fs::read_to_string(&path).unwrap();
        datasets::yaml::parse::<datasets::Description>(&text, &path).unwrap().preprocessing
    };
    ["mnist", "fashion-mnist"].map(read).to_vec()
}

/// Nothing on them, or far too much: an answer in time that does not grow with the number of parts.
#[test]
fn noise_and_textures_take_bounded_time() {
    let noise =
        |x: u32, y: u32| (x.wrapping_mul(2_654_435_761) ^ y.wrapping_mul(40_503)).wrapping_mul(2_246_822_519);
    type Levels<'a> = &'a dyn Fn(u32, u32) -> u8;
    let images: [(&str, Levels<'_>); 6] = [
        ("noise", &|x, y| (noise(x, y) >> 24) as u8),
        ("salt", &|x, y| if noise(x, y).is_multiple_of(40) { 255 } else { 0 }),
        ("dots", &|x, y| if x % 8 < 3 && y % 8 < 3 { 0 } else { 240 }),
        ("lines", &|x, _| if x % 6 < 2 { 0 } else { 240 }),
        ("squares", &|x, y| if (x / 20 + y / 20).is_multiple_of(2) { 0 } else { 255 }),
        ("mesh", &|x, y| if x.is_multiple_of(9) || y.is_multiple_of(9) { 20 } else { 200 }),
    ];
    for (name, level) in images {
        let image = DynamicImage::from(GrayImage::from_fn(1600, 1200, |x, y| image::Luma([level(x, y)])));
        for how in steps() {
            let start = std::time::Instant::now();
            assert_eq!(preprocess(&image, &how, SHAPE).len(), SHAPE.numel());
            // A second with optimisation; this leaves room for a debug build on a busy machine.
            assert!(start.elapsed().as_secs() < 20, "{name}: {:?}", start.elapsed());
        }
    }
}

proptest! {
    #[test]
    fn image_bytes(bytes in proptest::collection::vec(any::<u8>(), 0..200), kind in 0usize..6) {
        let start: &[u8] = [&b"\x89PNG\r\n\x1a\n"[..], b"\xff\xd8\xff\xe0", b"GIF89a", b"BM", b"RIFF\0\0\0\0WEBP", b""][kind];
        let _ = decode::decode(&[start, &bytes].concat(), Path::new("x"));
    }

    #[test]
    fn damaged_png(changes in proptest::collection::vec((any::<usize>(), any::<u8>()), 1..6)) {
        let mut bytes = png();
        mutate(&mut bytes, &changes);
        let _ = decode::decode(&bytes, Path::new("x"));
    }

    #[test]
    fn any_image_becomes_the_right_number_of_pixels(
        width in 1u32..60, height in 1u32..60, seed in any::<u32>(), alpha in any::<bool>(), how in 0usize..5,
    ) {
        let value = |x: u32, y: u32| (x.wrapping_mul(73).wrapping_add(y * 179).wrapping_mul(seed | 1) >> 11) as u8;
        let image: DynamicImage = if alpha {
            RgbaImage::from_fn(width, height, |x, y| image::Rgba([value(x, y), value(y, x), 7, value(x + 1, y)])).into()
        } else {
            GrayImage::from_fn(width, height, |x, y| image::Luma([value(x, y)])).into()
        };
        let procedures = [Procedure::Mnist, Procedure::Fashion, Procedure::Resize];
        let how = match procedures.get(how) {
            Some(procedure) => Preprocessing::Procedure(*procedure),
            None => steps().swap_remove(how - 3),
        };
        for channels in [1, 3].into_iter().filter(|&channels| how.check(channels).is_ok()) {
            let shape = ImageShape { channels, ..SHAPE };
            prop_assert_eq!(preprocess(&image, &how, shape).len(), shape.numel());
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// The graph's description is at the start of the file and after the big constants.
    #[test]
    fn damaged_onnx(changes in proptest::collection::vec((0usize..4000, any::<u8>()), 1..8), cut in any::<bool>(), at_end in any::<bool>()) {
        let mut bytes = published("model.onnx");
        let start = if at_end { bytes.len() - 4000 } else { 0 };
        mutate(&mut bytes[start..], &changes);
        if cut {
            bytes.truncate(start + changes[0].0);
        }
        if let Ok(Some(explainer)) = Explainer::load(bytes.clone(), SHAPE, Path::new("x.onnx")) {
            let _ = explainer.feature_maps(&[0; 784]);
        }
        let _ = Session::load(bytes, SHAPE, 10, Path::new("x.onnx"));
    }
}

/// Every mark of a page is looked at, and what is too much is told.
#[test]
fn a_page_of_many_marks_is_read_whole() {
    for (side, marks, left_out) in [(24, 24 * 24, 0..=0), (64, 3000, 1000..=64 * 64 - 3000)] {
        // Not in line: those would be rules of the paper.
        let bars = |x: u32, y: u32| {
            let (row, x) = (y / 16, x.wrapping_sub(y / 16 * 7 % 5 * 2));
            row < side && x % 16 < 5 && (1..14).contains(&(y % 16))
        };
        let page =
            GrayImage::from_fn(side * 16, side * 16, |x, y| image::Luma([if bars(x, y) { 0 } else { 255 }]));
        let [steps, _] = steps().try_into().unwrap();
        let found = infer::preprocess::prepare(&page.into(), &steps, SHAPE, None);
        assert_eq!(found.found.len(), marks, "{side}");
        assert!(left_out.contains(&found.left_out), "{side}: {}", found.left_out);
    }
}
