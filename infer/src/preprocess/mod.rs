//! From any image to what a network was trained on, as its manifest says.

mod fashion;
mod mnist;
mod plane;

use datasets::{ImageShape, Preprocessing};
use image::DynamicImage;

pub use plane::Plane;

/// Pixels `[C, H, W]`, 0 to 255, for a network that takes `shape`.
pub fn preprocess(image: &DynamicImage, how: Preprocessing, shape: ImageShape) -> Vec<u8> {
    let (height, width) = (shape.height, shape.width);
    if shape.channels != 1 {
        return Plane::colours(image)
            .iter()
            .flat_map(|plane| plane.resize_area(height, width).to_bytes())
            .collect();
    }
    let grey = Plane::grey(image);
    match how {
        Preprocessing::Mnist => mnist::normalise(&grey, height, width),
        Preprocessing::Fashion => fashion::normalise(&grey, height, width),
        Preprocessing::Resize => grey.resize_area(height, width),
    }
    .to_bytes()
}

/// The image squeezed to the network's size and nothing else: what most programs do.
pub fn naive_resize(image: &DynamicImage, shape: ImageShape) -> Vec<u8> {
    Plane::grey(image).resize_area(shape.height, shape.width).to_bytes()
}
