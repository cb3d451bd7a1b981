//! One channel of an image.

/// A view of `height x width` grey levels, row-major, 0 to 255.
#[derive(Debug)]
pub struct Plane<'a> {
    /// The values.
    pub pixels: &'a mut [f32],
    /// Rows.
    pub height: usize,
    /// Columns.
    pub width: usize,
}

impl<'a> Plane<'a> {
    /// A view of `pixels`.
    ///
    /// # Panics
    /// If there are not `height * width`, or none.
    pub fn new(pixels: &'a mut [f32], height: usize, width: usize) -> Plane<'a> {
        assert!(!pixels.is_empty() && pixels.len() == height * width, "{} pixels", pixels.len());
        Plane { pixels, height, width }
    }

    /// The value at a place; that of the nearest edge outside.
    pub fn nearest(&self, row: isize, column: isize) -> f32 {
        let clamp = |at: isize, length: usize| at.clamp(0, length as isize - 1) as usize;
        self.pixels[clamp(row, self.height) * self.width + clamp(column, self.width)]
    }

    /// Calls `change(row, column, value)` for each pixel.
    pub fn each(&mut self, mut change: impl FnMut(usize, usize, &mut f32)) {
        for (row, line) in self.pixels.chunks_exact_mut(self.width).enumerate() {
            line.iter_mut().enumerate().for_each(|(column, pixel)| change(row, column, pixel));
        }
    }

    /// Changes each value by itself.
    pub fn map(&mut self, change: impl Fn(f32) -> f32) {
        self.pixels.iter_mut().for_each(|pixel| *pixel = change(*pixel));
    }

    /// Brings every value back into 0 to 255.
    pub fn clamp(&mut self) {
        self.map(|value| value.clamp(0.0, 255.0));
    }

    /// Mean value.
    pub fn mean(&self) -> f32 {
        self.pixels.iter().sum::<f32>() / self.pixels.len() as f32
    }
}
