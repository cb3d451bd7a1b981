//! How raw pixels are normalised.

use datasets::Normalisation;

/// Turns raw pixels into what the network takes: `pixel * scale + shift`, per channel.
#[derive(Debug, Clone)]
pub struct Normaliser {
    /// `1 / (255 std)`.
    pub scale: Vec<f32>,
    /// `-mean / std`.
    pub shift: Vec<f32>,
    /// `255 mean`: the raw value that becomes 0.
    pub mean: Vec<f32>,
}

impl Normaliser {
    /// For a dataset's statistics.
    pub fn new(statistics: &Normalisation) -> Normaliser {
        let pairs = || statistics.mean.iter().zip(&statistics.std);
        Normaliser {
            scale: pairs().map(|(_, std)| (1.0 / (255.0 * std)) as f32).collect(),
            shift: pairs().map(|(mean, std)| (-mean / std) as f32).collect(),
            mean: statistics.mean.iter().map(|mean| (255.0 * mean) as f32).collect(),
        }
    }

    /// Normalises one image `[C, H, W]` in place.
    pub fn apply(&self, image: &mut [f32]) {
        let plane = image.len() / self.scale.len().max(1);
        for ((channel, scale), shift) in
            image.chunks_exact_mut(plane.max(1)).zip(&self.scale).zip(&self.shift)
        {
            channel.iter_mut().for_each(|pixel| *pixel = *pixel * scale + shift);
        }
    }
}
