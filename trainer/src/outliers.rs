//! Images that are of no class, made from the training images and from nothing, on which a network learns
//! to say nothing: outlier exposure (Hendrycks et al. 2019, arXiv:1812.04606), with the uniform
//! distribution as the target. No other data is needed, and so none has to be published.

use datasets::{ImageShape, Samples};
use distortions::warp::{Affine, warp};
use distortions::{Plane, Stream, filter, marks, strokes};
use serde::{Deserialize, Serialize};

use crate::augment::Augmentation;

/// Fields of `outliers`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Outliers {
    /// Outliers for each training image: 0.25 adds 32 to a batch of 128.
    pub(crate) share: f32,
    /// Classes whose mirror image is of no class, as that of a 7.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) mirrored: Vec<u8>,
    /// Classes that are of no class when they lie on their side, as a 3 does.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) turned: Vec<u8>,
}

impl Outliers {
    /// How many are added to a batch.
    pub(crate) fn count(&self, batch: usize) -> usize {
        libm::roundf(self.share * batch as f32) as usize
    }

    /// Fields that name classes.
    pub(crate) fn classes(&self) -> [(&'static str, &[u8]); 2] {
        [("outliers.mirrored", &self.mirrored), ("outliers.turned", &self.turned)]
    }

    /// Checks that there are images to make outliers of.
    ///
    /// # Errors
    /// The field, and the classes of which there are none.
    pub(crate) fn check(&self, samples: &Samples) -> Result<(), (&'static str, String)> {
        for (field, classes) in self.classes() {
            if !classes.is_empty() && !samples.labels.iter().any(|label| classes.contains(label)) {
                return Err((field, format!("{classes:?}")));
            }
        }
        Ok(())
    }

    /// Writes an outlier (`[C, H, W]`, 0 to 255) to `out`, changed as training images are.
    pub(crate) fn draw(
        &self,
        samples: &Samples,
        augmentation: &Augmentation,
        fill: &[f32],
        stream: &mut Stream,
        out: &mut [f32],
    ) {
        let shape = samples.shape;
        let mut image = vec![0.0; shape.numel()];
        // Drawings of a pen are the hardest to tell from digits: most of them.
        match stream.below(16) {
            0..6 => pen(shape, stream, &mut image),
            6..9 if !self.mirrored.is_empty() => mirrored(samples, &self.mirrored, stream, &mut image),
            9..11 if !self.turned.is_empty() => turned(samples, &self.turned, stream, &mut image),
            6..14 => {
                let kinds = [halves, jigsaw, side_by_side, on_top_of_each_other];
                kinds[stream.below(kinds.len())](samples, stream, &mut image);
            }
            _ => return texture(shape, stream, out),
        }
        augmentation.apply_to(&image, shape, fill, stream, out);
    }
}

/// An image of the training split, by channels.
fn any(samples: &Samples, stream: &mut Stream) -> Vec<f32> {
    samples.image(stream.below(samples.len())).iter().map(|&pixel| pixel.into()).collect()
}

/// An image of one of some classes, of which there is one: see [`Outliers::check`].
fn one_of(samples: &Samples, classes: &[u8], stream: &mut Stream) -> Vec<f32> {
    let is_one = |index: &usize| classes.contains(&samples.labels[*index]);
    let drawn = (0..1000).map(|_| stream.below(samples.len())).find(is_one);
    // Where they are so rare that none is drawn, the first will do.
    let index =
        drawn.or_else(|| (0..samples.len()).find(is_one)).expect("the training images have such classes");
    samples.image(index).iter().map(|&pixel| pixel.into()).collect()
}

/// Left and right exchanged.
fn mirrored(samples: &Samples, classes: &[u8], stream: &mut Stream, out: &mut [f32]) {
    let image = one_of(samples, classes, stream);
    let width = samples.shape.width;
    for (to, from) in out.chunks_exact_mut(width).zip(image.chunks_exact(width)) {
        to.iter_mut().zip(from.iter().rev()).for_each(|(to, from)| *to = *from);
    }
}

/// A quarter turn, either way.
fn turned(samples: &Samples, classes: &[u8], stream: &mut Stream, out: &mut [f32]) {
    let image = one_of(samples, classes, stream);
    let ImageShape { height, width, .. } = samples.shape;
    let map = Affine::new(if stream.unit() < 0.5 { 90.0 } else { -90.0 }, 1.0, 0.0, 1.0, [0.0; 2]);
    for (to, from) in out.chunks_exact_mut(height * width).zip(image.chunks_exact(height * width)) {
        warp(from, &mut Plane::new(to, height, width), &map, None);
    }
}

/// The same for each channel.
fn planes(shape: ImageShape, out: &mut [f32]) -> impl Iterator<Item = Plane<'_>> {
    let ImageShape { height, width, .. } = shape;
    out.chunks_exact_mut(height * width).map(move |plane| Plane::new(plane, height, width))
}

/// Strokes of a pen.
fn pen(shape: ImageShape, stream: &mut Stream, out: &mut [f32]) {
    let (count, thickness) = (2 + stream.below(5), 1.0 + 3.0 * stream.unit());
    let start = stream.clone();
    for mut plane in planes(shape, out) {
        *stream = start.clone();
        strokes::draw(&mut plane, count, thickness, stream);
    }
}

/// The upper or left half of one image, the other half of another.
fn halves(samples: &Samples, stream: &mut Stream, out: &mut [f32]) {
    let (one, other) = (any(samples, stream), any(samples, stream));
    let ImageShape { height, width, .. } = samples.shape;
    let by_rows = stream.unit() < 0.5;
    for (index, pixel) in out.iter_mut().enumerate() {
        let (row, column) = (index / width % height, index % width);
        let first = if by_rows { row < height / 2 } else { column < width / 2 };
        *pixel = if first { one[index] } else { other[index] };
    }
}

/// The quarters of an image, one step or two further round.
fn jigsaw(samples: &Samples, stream: &mut Stream, out: &mut [f32]) {
    let image = any(samples, stream);
    let ImageShape { height, width, .. } = samples.shape;
    let way = stream.below(3);
    for (index, pixel) in out.iter_mut().enumerate() {
        let (start, row, column) = (index / (height * width), index / width % height, index % width);
        let row = if way != 1 { (row + height / 2) % height } else { row };
        let column = if way != 0 { (column + width / 2) % width } else { column };
        *pixel = image[start * height * width + row * width + column];
    }
}

/// Two images beside each other, each squeezed to half of the width.
fn side_by_side(samples: &Samples, stream: &mut Stream, out: &mut [f32]) {
    let (one, other) = (any(samples, stream), any(samples, stream));
    let width = samples.shape.width;
    for (index, pixel) in out.iter_mut().enumerate() {
        let (line, column) = (index / width * width, index % width);
        let half = width.div_ceil(2);
        let (source, place) = if column < half { (&one, column) } else { (&other, column - half) };
        let at = |place: usize| source[line + place.min(width - 1)];
        *pixel = (at(2 * place) + at(2 * place + 1)) / 2.0;
    }
}

/// The brighter of two images, the second moved a little.
fn on_top_of_each_other(samples: &Samples, stream: &mut Stream, out: &mut [f32]) {
    let (one, other) = (any(samples, stream), any(samples, stream));
    let moved = samples.shape.width / 7;
    for (index, pixel) in out.iter_mut().enumerate() {
        *pixel = one[index].max(other.get(index + moved).copied().unwrap_or(0.0));
    }
}

/// Noise, clouds, gratings and plain grounds.
fn texture(shape: ImageShape, stream: &mut Stream, out: &mut [f32]) {
    let (low, high) = (255.0 * stream.unit(), 255.0 * stream.unit());
    let (kind, start) = (stream.below(4), stream.clone());
    for mut plane in planes(shape, out) {
        *stream = start.clone();
        match kind {
            0 => {
                plane.pixels.iter_mut().for_each(|pixel| *pixel = stream.unit());
                let sigma = 3.0 * stream.unit() - 1.0;
                filter::gaussian(&mut plane, sigma);
            }
            1 => {
                let (cloud, side) = marks::cloud(plane.height.max(plane.width), 1.2 + stream.unit(), stream);
                plane.each(|row, column, pixel| *pixel = cloud[row * side + column]);
            }
            2 => {
                let mut wave = || (2.0 * stream.unit(), stream.unit() * std::f32::consts::TAU);
                let ((down, phase), (right, _)) = (wave(), wave());
                plane.each(|row, column, pixel| {
                    *pixel = 0.5 + 0.5 * libm::sinf(down * row as f32 + right * column as f32 + phase);
                });
            }
            _ => {
                let slope = stream.unit();
                plane.each(|row, _, pixel| *pixel = slope * row as f32 / 28.0);
            }
        }
        let is_sharp = stream.unit() < 0.3;
        plane.map(|value| {
            let share = if is_sharp { f32::from(u8::from(value > 0.5)) } else { value };
            low + (high - low) * share
        });
        plane.clamp();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outliers_are_within_levels_and_drawn_by_the_seed() {
        for channels in [1, 3] {
            let shape = ImageShape { channels, height: 13, width: 12 };
            let images = (0..shape.numel() * 5).map(|i| (i * 31 % 251) as u8).collect();
            let samples = Samples { shape, images, labels: vec![0, 1, 2, 3, 4], validation: 0 };
            let outliers = Outliers { share: 0.5, mirrored: vec![1, 2], turned: vec![3] };
            let draw = |seed| {
                let mut out = vec![0.0; shape.numel()];
                let stream = &mut Stream::new(seed, "outlier", 1, 0);
                outliers.draw(&samples, &Augmentation::default(), &[0.0; 3][..channels], stream, &mut out);
                out
            };
            for seed in 0..60 {
                assert!(draw(seed).iter().all(|value| (0.0..=255.0).contains(value)), "{seed}");
                assert_eq!(draw(seed), draw(seed));
            }
            assert_ne!(draw(1), draw(2));
        }
    }

    #[test]
    fn rare_classes_are_found() {
        let shape = ImageShape { channels: 1, height: 1, width: 1 };
        let mut labels = vec![0; 500_000];
        labels[499_999] = 1;
        let images = labels.iter().map(|label| label * 9).collect();
        let samples = Samples { shape, images, labels, validation: 0 };
        for seed in 0..20 {
            assert_eq!(one_of(&samples, &[1], &mut Stream::new(seed, "outlier", 1, 0)), [9.0]);
        }
        let outliers = |mirrored| Outliers { share: 0.5, mirrored, turned: Vec::new() };
        assert_eq!(outliers(vec![1, 2]).check(&samples), Ok(()));
        assert_eq!(outliers(vec![2]).check(&samples), Err(("outliers.mirrored", "[2]".into())));
    }

    #[test]
    fn the_share_is_of_the_batch() {
        let outliers = |share| Outliers { share, mirrored: Vec::new(), turned: Vec::new() };
        assert_eq!((outliers(0.25).count(128), outliers(0.0).count(128)), (32, 0));
    }
}
