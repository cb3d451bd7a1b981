//! From any image to what a network was trained on, as its manifest says.

mod fashion;
mod mnist;
mod plane;

use datasets::{ImageShape, Preprocessing};
use image::DynamicImage;

use plane::Plane;

/// Longest side of an image that is worked on as it is.
const LONGEST_SIDE: u32 = 1024;

/// Pixels `[C, H, W]`, 0 to 255, for a network that takes `shape`.
pub fn preprocess(image: &DynamicImage, how: Preprocessing, shape: ImageShape) -> Vec<u8> {
    let (height, width) = (shape.height, shape.width);
    let smaller = shrunk(image, height.max(width));
    let image = smaller.as_ref().unwrap_or(image);
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

/// An image with a side longer than [`LONGEST_SIDE`], and than twice the network's, made smaller:
/// what comes after needs some 30 bytes for each pixel, and more for very long images.
fn shrunk(image: &DynamicImage, side: usize) -> Option<DynamicImage> {
    let longest = LONGEST_SIDE.max(side.saturating_mul(2).try_into().unwrap_or(u32::MAX));
    (image.width().max(image.height()) > longest).then(|| image.thumbnail(longest, longest))
}

/// The image squeezed to the network's size and nothing else: what most programs do.
pub fn naive_resize(image: &DynamicImage, shape: ImageShape) -> Vec<u8> {
    Plane::grey(image).resize_area(shape.height, shape.width).to_bytes()
}
