//! Views of an image over which a network's answer is averaged, besides the image as it is.

use serde::{Deserialize, Serialize};
use tch::Tensor;

use crate::onnx::graph::Graph;

/// A view of an image. Black comes in where a shift leaves nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum View {
    /// Left and right changed.
    Mirrored,
    /// One pixel up.
    Up,
    /// One pixel down.
    Down,
    /// One pixel to the left.
    Left,
    /// One pixel to the right.
    Right,
}

impl View {
    /// Its name in recipes, and before that of a node in ONNX files.
    pub(crate) fn name(self) -> &'static str {
        match self {
            View::Mirrored => "mirrored",
            View::Up => "up",
            View::Down => "down",
            View::Left => "left",
            View::Right => "right",
        }
    }

    /// By how many pixels the image moves, `[down, right]`.
    fn shift(self) -> [i64; 2] {
        match self {
            View::Mirrored => [0, 0],
            View::Up => [-1, 0],
            View::Down => [1, 0],
            View::Left => [0, -1],
            View::Right => [0, 1],
        }
    }

    /// The view of normalised images `[N, C, H, W]`; `black` is the value of black in each channel.
    pub(crate) fn of(self, images: &Tensor, black: &[f32]) -> Tensor {
        if self == View::Mirrored {
            return images.flip([3]);
        }
        let [down, right] = self.shift();
        let moved = moved(images, black, 2, down);
        self::moved(&moved, black, 3, right)
    }

    /// Adds the node that makes the view of the pixels called `x`, `[N, C, H, W]`.
    pub(crate) fn export(self, x: &str, graph: &mut Graph) -> String {
        if self == View::Mirrored {
            // From the last column to before the first, as PyTorch exports `flip`.
            let parts = [("starts", -1), ("ends", -i64::from(i32::MAX)), ("axes", 3), ("steps", -1)];
            let names = parts.map(|(part, value)| graph.integers(&format!("view.{part}"), &[value]));
            let [starts, ends, axes, steps] = names.each_ref().map(String::as_str);
            return graph.node("Slice", "view", &[x, starts, ends, axes, steps], Vec::new());
        }
        // Pixels are added on one side and taken away on the other.
        let [down, right] = self.shift();
        let pads = graph.integers("view.pads", &[0, 0, down, right, 0, 0, -down, -right]);
        graph.node("Pad", "view", &[x, &pads], Vec::new())
    }
}

/// Images moved along an axis by `by` pixels.
fn moved(images: &Tensor, black: &[f32], axis: usize, by: i64) -> Tensor {
    if by == 0 {
        return images.shallow_clone();
    }
    let mut size = images.size();
    let length = size[axis];
    let step = by.abs().min(length);
    size[axis] = step;
    let black = Tensor::from_slice(black).to_device(images.device()).view([1, -1, 1, 1]).expand(&size, false);
    let axis = axis as i64;
    let kept = images.narrow(axis, if by > 0 { 0 } else { step }, length - step);
    Tensor::cat(&if by > 0 { [black, kept] } else { [kept, black] }, axis)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn views_move_columns_and_rows() {
        let image = Tensor::from_slice(&[1f32, 2.0, 3.0, 4.0, 5.0, 6.0]).view([1, 1, 2, 3]);
        for (view, expected) in [
            (View::Mirrored, [3f32, 2.0, 1.0, 6.0, 5.0, 4.0]),
            (View::Up, [4.0, 5.0, 6.0, 9.0, 9.0, 9.0]),
            (View::Down, [9.0, 9.0, 9.0, 1.0, 2.0, 3.0]),
            (View::Left, [2.0, 3.0, 9.0, 5.0, 6.0, 9.0]),
            (View::Right, [9.0, 1.0, 2.0, 9.0, 4.0, 5.0]),
        ] {
            let found = Vec::<f32>::try_from(view.of(&image, &[9.0]).reshape([-1])).unwrap();
            assert_eq!(found, expected, "{view:?}");
        }
    }
}
