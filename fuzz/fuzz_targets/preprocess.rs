//! Any bytes as an image file, and any pixels through every procedure.
#![no_main]

use std::path::Path;

use datasets::{Description, ImageShape, Preprocessing, Procedure};
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
    // Those of the datasets' descriptions are lists of every step there is.
    let steps = [include_str!("../../datasets/mnist/dataset.yaml"), include_str!("../../datasets/fashion-mnist/dataset.yaml")]
        .map(|text| datasets::yaml::parse::<Description>(text, Path::new("fuzz")).unwrap().preprocessing);
    let old = [Procedure::Mnist, Procedure::Fashion, Procedure::Resize].map(Preprocessing::Procedure);
    let procedures: Vec<Preprocessing> = steps.into_iter().chain(old).collect();
    for image in infer::decode::decode(bytes, Path::new("fuzz")).ok().into_iter().chain(pixels()) {
        if image.width() * image.height() > 1 << 20 {
            continue;
        }
        for how in &procedures {
            assert_eq!(preprocess(&image, how, SHAPE).len(), SHAPE.numel());
        }
    }
});
