//! The gradient of what a convolution gave out.

/// Gradient of the outputs.
#[derive(Debug, Clone, Copy)]
pub struct Slopes<'a> {
    /// Like the outputs.
    pub values: &'a [f32],
    /// What the pass wrote, if it pooled.
    pub winners: Option<&'a [f32]>,
}

impl<'a> Slopes<'a> {
    /// So many values from `first` on.
    pub fn part(&self, first: usize, count: usize) -> Slopes<'a> {
        let part = |values: &'a [f32]| &values[first..][..count];
        Slopes { values: part(self.values), winners: self.winners.map(part) }
    }
}
