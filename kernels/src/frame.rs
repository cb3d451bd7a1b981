//! Images with zeros around them, so that no window needs a test for the edge.

use crate::buffer::AlignedBuffer;

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

/// Images with zeros around them, whose memory is kept from one call to the next.
#[derive(Debug, Default)]
pub(crate) struct FramedImages {
    values: AlignedBuffer,
    /// Whose zeros are in it, around so many images.
    zeros: Option<(Frame, usize)>,
}

/// Images with their padding, and the outputs of each.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Images<'a> {
    /// `[N, padded height, padded width, channels]`.
    pub(crate) values: &'a [f32],
    /// Rows and columns, at least as many as are read.
    pub(crate) padded: [usize; 2],
    /// Rows and columns that are convolved: even for those that are pooled.
    pub(crate) output: [usize; 2],
}

impl Frame {
    /// The images with the zeros around each. Without zeros nothing is copied; zeros that the last call left are not written
    /// again, which takes a twentieth off residual networks, whose layers of one shape follow each other.
    pub(crate) fn surround<'a>(&self, images: &'a [f32], buffer: &'a mut FramedImages) -> &'a [f32] {
        if self.padded == self.input {
            return images;
        }
        let ([height, width, channels], [rows, columns, _]) = (self.input, self.padded);
        let [top, left] = self.before;
        let count = images.len() / (height * width * channels);
        let padded = buffer.values.at_least(count * rows * columns * channels);
        let has_zeros = matches!(buffer.zeros, Some((frame, framed)) if frame == *self && framed >= count);
        if !has_zeros {
            buffer.zeros = Some((*self, count));
        }
        let clear = |values: &mut [f32]| {
            if !has_zeros {
                values.fill(0.0);
            }
        };
        let images = images.chunks_exact(height * width * channels);
        for (image, padded) in images.zip(padded.chunks_exact_mut(rows * columns * channels)) {
            let (above, rest) = padded.split_at_mut(top * columns * channels);
            let (inside, below) = rest.split_at_mut(height * columns * channels);
            clear(above);
            let rows = inside.chunks_exact_mut(columns * channels);
            for (row, values) in rows.zip(image.chunks_exact(width * channels)) {
                let (before, rest) = row.split_at_mut(left * channels);
                let (inside, after) = rest.split_at_mut(values.len());
                clear(before);
                inside.copy_from_slice(values);
                clear(after);
            }
            clear(below);
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Whatever was in the memory before: more and fewer images, and images of another shape.
    #[test]
    fn images_are_surrounded_by_zeros() {
        let frames = [
            Frame { input: [2, 3, 2], before: [1, 2], padded: [4, 6, 2] },
            Frame { input: [3, 2, 1], before: [0, 1], padded: [3, 4, 1] },
        ];
        let mut kept = FramedImages::default();
        for (which, count) in [(0, 2), (0, 1), (0, 3), (1, 5), (1, 2), (0, 2), (0, 3), (1, 7), (0, 1)] {
            let frame = frames[which];
            let images: Vec<f32> =
                (1u8..).map(f32::from).take(count * frame.input.iter().product::<usize>()).collect();
            let expected = frame.surround(&images, &mut FramedImages::default()).to_vec();
            let padded = frame.surround(&images, &mut kept).to_vec();
            assert_eq!(padded, expected);
            assert_eq!(padded.iter().sum::<f32>(), images.iter().sum::<f32>());
            let mut inside = vec![0.0; images.len()];
            frame.take_out(&padded, &mut inside);
            assert_eq!(inside, images);
        }
    }
}
