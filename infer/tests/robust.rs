//! Hostile input: whatever the bytes are, an error or an answer, never a panic.

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
        width in 1u32..60, height in 1u32..60, seed in any::<u32>(), alpha in any::<bool>(), how in 0usize..3,
    ) {
        let value = |x: u32, y: u32| (x.wrapping_mul(73).wrapping_add(y * 179).wrapping_mul(seed | 1) >> 11) as u8;
        let image: DynamicImage = if alpha {
            RgbaImage::from_fn(width, height, |x, y| image::Rgba([value(x, y), value(y, x), 7, value(x + 1, y)])).into()
        } else {
            GrayImage::from_fn(width, height, |x, y| image::Luma([value(x, y)])).into()
        };
        let how = [Procedure::Mnist, Procedure::Fashion, Procedure::Resize][how];
        for channels in [1, 3] {
            let shape = ImageShape { channels, ..SHAPE };
            prop_assert_eq!(preprocess(&image, &Preprocessing::Procedure(how), shape).len(), shape.numel());
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
