//! Any bytes as an image file, and any pixels through every procedure.
#![no_main]

use std::path::Path;

use datasets::{ImageShape, Preprocessing};
use image::{DynamicImage, GrayAlphaImage};
use infer::preprocess::preprocess;

const SHAPE: ImageShape = ImageShape { channels: 1, height: 28, width: 28 };

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let pixels = || {
        let (&width, rest) = bytes.split_first()?;
        let width = u32::from(width % 64) + 1;
        let height = rest.len() as u32 / 2 / width;
        let used = rest.get(..(2 * width * height) as usize)?.to_vec();
        GrayAlphaImage::from_raw(width, height, used).filter(|_| height > 0).map(DynamicImage::from)
    };
    for image in infer::decode::decode(bytes, Path::new("fuzz")).ok().into_iter().chain(pixels()) {
        if image.width() * image.height() > 1 << 20 {
            continue;
        }
        for how in [Preprocessing::Mnist, Preprocessing::Fashion, Preprocessing::Resize] {
            assert_eq!(preprocess(&image, how, SHAPE).len(), SHAPE.numel());
        }
    }
});
