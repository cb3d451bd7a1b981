//! The Fashion-MNIST procedure (Xiao et al. 2017, arXiv:1708.07747, section 2): the garment
//! bright on black, trimmed, padded to a square, 28x28.

use super::plane::Plane;

/// Levels that differ from the background by less are background.
const TOLERANCE: f32 = 12.0;

/// A garment as Fashion-MNIST would hold it, `height` x `width`.
pub(super) fn normalise(grey: &Plane, height: usize, width: usize) -> Plane {
    // The corners, not the whole border: many garments reach the edge between them.
    let background = grey.corner_median();
    let dark_ground = background <= 127.0;
    if dark_ground && (grey.height, grey.width) == (height, width) {
        return grey.clone();
    }
    let mut object = if dark_ground { grey.clone() } else { grey.inverted() };
    let background = if dark_ground { background } else { 255.0 - background };
    object.data.iter_mut().for_each(|v| *v = (*v - background).max(0.0));
    match object.bounds(TOLERANCE) {
        Some(bounds) => object.squared(bounds).resize_area(height, width),
        None => Plane::black(height, width),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dark_garment_on_white_fills_the_square_in_bright() {
        let mut photo = Plane { height: 90, width: 60, data: vec![255.0; 5400] };
        for row in 10..80 {
            for column in 15..50 {
                photo.data[row * 60 + column] = 40.0;
            }
        }
        let normal = normalise(&photo, 28, 28);
        assert_eq!(normal.at(14, 14), 215.0);
        assert_eq!((normal.at(0, 14), normal.at(27, 14)), (215.0, 215.0));
        assert_eq!((normal.at(14, 0), normal.at(14, 27)), (0.0, 0.0));
    }

    #[test]
    fn the_dataset_form_passes_unchanged() {
        let mut image = Plane::black(28, 28);
        image.data[14 * 28 + 14] = 77.0;
        assert_eq!(normalise(&image, 28, 28), image);
    }
}
