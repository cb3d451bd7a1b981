//! Images with zeros around them, so that no window needs a test for the edge.

use crate::buffer::at_least;

/// How much is put around images `[H, W, C]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Frame {
    /// `[H, W, C]` of an image.
    pub(crate) input: [usize; 3],
    /// Zeros above and to the left of it.
    pub(crate) before: [usize; 2],
    /// `[H, W, C]` with all zeros around it.
    pub(crate) padded: [usize; 3],
}

impl Frame {
    /// The images with the zeros around each; every value is written once. Without zeros nothing is copied.
    pub(crate) fn surround<'a>(&self, images: &'a [f32], buffer: &'a mut Vec<f32>) -> &'a [f32] {
        if self.padded == self.input {
            return images;
        }
        let ([height, width, channels], [rows, columns, _]) = (self.input, self.padded);
        let [top, left] = self.before;
        let count = images.len() / (height * width * channels);
        let padded = at_least(buffer, count * rows * columns * channels);
        let images = images.chunks_exact(height * width * channels);
        for (image, padded) in images.zip(padded.chunks_exact_mut(rows * columns * channels)) {
            let (above, rest) = padded.split_at_mut(top * columns * channels);
            let (inside, below) = rest.split_at_mut(height * columns * channels);
            above.fill(0.0);
            let rows = inside.chunks_exact_mut(columns * channels);
            for (row, values) in rows.zip(image.chunks_exact(width * channels)) {
                let (before, rest) = row.split_at_mut(left * channels);
                let (inside, after) = rest.split_at_mut(values.len());
                before.fill(0.0);
                inside.copy_from_slice(values);
                after.fill(0.0);
            }
            below.fill(0.0);
        }
        padded
    }

    /// The images without what is around each.
    pub(crate) fn take_out(&self, padded: &[f32], images: &mut [f32]) {
        let ([height, width, channels], [rows, columns, _]) = (self.input, self.padded);
        let [top, left] = self.before;
        let images = images.chunks_exact_mut(height * width * channels);
        for (image, padded) in images.zip(padded.chunks_exact(rows * columns * channels)) {
            let rows = padded.chunks_exact(columns * channels).skip(top);
            for (values, row) in image.chunks_exact_mut(width * channels).zip(rows) {
                values.copy_from_slice(&row[left * channels..][..values.len()]);
            }
        }
    }
}
