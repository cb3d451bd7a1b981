//! Random changes to training images, each drawn from the image's own stream.

mod change;
mod colour;
mod fields;

use distortions::warp::{Affine, Elastic, warp};
use distortions::{Plane, Stream, marks};

use datasets::ImageShape;

pub(crate) use fields::Augmentation;
#[cfg(test)]
use fields::Upstroke;
use fields::{Amount, Deformation, Erasing};

impl Augmentation {
    /// Writes a changed copy of `image` (`[C, H, W]`, 0 to 255) of class `label` to `out`; `fill` is the
    /// per-channel value of erased pixels.
    pub fn apply(
        &self,
        (image, label): (&[u8], u8),
        shape: ImageShape,
        fill: &[f32],
        stream: &mut Stream,
        out: &mut [f32],
    ) {
        let mut source: Vec<f32> = image.iter().map(|&pixel| pixel.into()).collect();
        if self.upstroke.classes.contains(&label) && stream.unit() < self.upstroke.probability {
            let mut after = stream.clone();
            for plane in source.chunks_exact_mut(shape.height * shape.width) {
                after = stream.clone();
                change::upstroke(&mut Plane::new(plane, shape.height, shape.width), &mut after);
            }
            *stream = after;
        }
        self.apply_to(&source, shape, fill, stream, out);
    }

    /// The same for an image of `f32`.
    pub(crate) fn apply_to(
        &self,
        source: &[f32],
        shape: ImageShape,
        fill: &[f32],
        stream: &mut Stream,
        out: &mut [f32],
    ) {
        let ImageShape { height, width, .. } = shape;
        if self.keep > 0.0 && stream.unit() < self.keep {
            out.copy_from_slice(source);
            return;
        }
        if self.gentle > 0.0 && stream.unit() < self.gentle {
            return self.gently().apply_to(source, shape, fill, stream, out);
        }
        let size = height * width;
        let map = self.draw_map(stream);
        let elastic = self.draw_elastic(shape, stream);
        for (source, target) in source.chunks_exact(size).zip(out.chunks_exact_mut(size)) {
            warp(source, &mut Plane::new(target, height, width), &map, elastic.as_ref());
        }
        let changes: [(Amount, change::Change, bool); 9] = [
            (self.edges, change::outlines, false),
            (self.stroke, change::thickness, false),
            (self.lines, change::lines, false),
            (self.tone, change::tone, true),
            (self.fog, change::fog, true),
            (self.negative, change::negative, false),
            (self.blur, change::blur, false),
            (self.noise, change::grain, true),
            (self.pixelate, change::pixelate, false),
        ];
        let mut is_faint = false;
        for (amount, change, makes_faint) in changes {
            let drawn = amount.probability > 0.0 && stream.unit() < amount.probability;
            if drawn && !(is_faint && makes_faint) {
                is_faint |= makes_faint;
                // All channels alike; the stream goes on from where the last one left it.
                let mut after = stream.clone();
                for plane in out.chunks_exact_mut(size) {
                    after = stream.clone();
                    change(&mut Plane::new(plane, height, width), amount.strength, &mut after);
                }
                *stream = after;
            }
        }
        self.colour.apply(out, size, stream);
        self.erasing.apply(out, shape, fill, stream);
    }

    /// Shift, flip and erasing alone.
    fn gently(&self) -> Augmentation {
        let Augmentation { shift, horizontal_flip, erasing, .. } = self;
        Augmentation {
            shift: *shift,
            horizontal_flip: *horizontal_flip,
            erasing: erasing.clone(),
            ..Augmentation::default()
        }
    }

    fn draw_map(&self, stream: &mut Stream) -> Affine {
        let angle = stream.symmetric(self.rotate);
        let scale = 1.0 + stream.symmetric(self.scale);
        let range = 2 * self.shift as usize + 1;
        let down = stream.below(range) as f32 - self.shift as f32;
        let right = stream.below(range) as f32 - self.shift as f32;
        let flip = if stream.unit() < self.horizontal_flip { -1.0 } else { 1.0 };
        // Nothing more is drawn for what a recipe does not use: published recipes keep their streams.
        let shear = if self.shear > 0.0 { stream.symmetric(self.shear) } else { 0.0 };
        Affine::new(angle, scale, shear, flip, [down, right])
    }

    fn draw_elastic(&self, shape: ImageShape, stream: &mut Stream) -> Option<Elastic> {
        let Deformation { probability, amplitude, sigma } = self.elastic;
        let drawn = probability > 0.0 && stream.unit() < probability;
        drawn.then(|| {
            let amplitude = amplitude * stream.unit();
            Elastic::draw(shape.height, shape.width, amplitude, sigma, stream)
        })
    }
}

impl Erasing {
    fn apply(&self, out: &mut [f32], shape: ImageShape, fill: &[f32], stream: &mut Stream) {
        if self.probability == 0.0 || stream.unit() >= self.probability {
            return;
        }
        let ImageShape { height, width, .. } = shape;
        let (rows, columns) = if self.area > 0.0 {
            let area = (0.02 + (self.area - 0.02).max(0.0) * stream.unit()) * (height * width) as f32;
            let ratio = libm::expf(stream.symmetric(libm::logf(3.3)));
            let side =
                |value: f32, length: usize| (libm::roundf(libm::sqrtf(value)) as usize).clamp(1, length);
            let (tall, wide) = (side(area * ratio, height), side(area / ratio, width));
            let (top, left) = (stream.below(height - tall + 1), stream.below(width - wide + 1));
            (top..top + tall, left..left + wide)
        } else {
            let size = self.size as usize;
            let (y, x) = (stream.below(height), stream.below(width));
            let span = |center: usize, length: usize| {
                center.saturating_sub(size / 2)..(center + size - size / 2).min(length)
            };
            (span(y, height), span(x, width))
        };
        for (channel, value) in out.chunks_exact_mut(height * width).zip(fill) {
            marks::rectangle(&mut Plane::new(channel, height, width), rows.clone(), columns.clone(), *value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHAPE: ImageShape = ImageShape { channels: 1, height: 4, width: 5 };

    fn run(augmentation: &Augmentation, seed: u64) -> Vec<f32> {
        let image: Vec<u8> = (1..=20).collect();
        let mut out = vec![0.0; 20];
        augmentation.apply((&image, 1), SHAPE, &[99.0], &mut Stream::new(seed, "augment", 0, 0), &mut out);
        out
    }

    #[test]
    fn nothing_changes_by_default() {
        assert_eq!(run(&Augmentation::default(), 1), (1..=20u8).map(f32::from).collect::<Vec<_>>());
    }

    #[test]
    fn an_upstroke_begins_some_classes_at_their_top() {
        let shape = ImageShape { channels: 1, height: 28, width: 28 };
        // A stem.
        let image: Vec<u8> = (0..784)
            .map(|i| if (4..24).contains(&(i / 28)) && (13..16).contains(&(i % 28)) { 255 } else { 0 })
            .collect();
        let upstroke = Upstroke { probability: 1.0, classes: vec![1] };
        let augmentation = Augmentation { upstroke, ..Default::default() };
        let changed = |label: u8, seed: u64| {
            let mut out = vec![0.0; 784];
            let stream = &mut Stream::new(seed, "augment", 0, 0);
            augmentation.apply((&image, label), shape, &[0.0], stream, &mut out);
            out
        };
        let before: Vec<f32> = image.iter().map(|&pixel| pixel.into()).collect();
        for seed in 0..20 {
            assert_eq!(changed(7, seed), before);
            let after = changed(1, seed);
            let added: Vec<usize> = (0..784).filter(|&i| after[i] > before[i] + 100.0).collect();
            assert!((6..60).contains(&added.len()), "{added:?}");
            // To the left of the stem, in the upper part.
            assert!(added.iter().all(|i| i % 28 < 16 && i / 28 < 16), "{added:?}");
        }
    }

    #[test]
    fn flip_mirrors_columns_exactly() {
        let flipped = run(&Augmentation { horizontal_flip: 1.0, ..Default::default() }, 1);
        assert_eq!(flipped[..5], [5.0, 4.0, 3.0, 2.0, 1.0]);
    }

    #[test]
    fn a_shift_moves_whole_pixels_and_brings_in_black() {
        for seed in 0..20 {
            let shifted = run(&Augmentation { shift: 1, ..Default::default() }, seed);
            assert!(shifted.iter().all(|v| v.fract() == 0.0 && (0.0..=20.0).contains(v)));
        }
    }

    #[test]
    fn a_rotation_by_nothing_and_a_scale_keep_the_range() {
        let strong = Augmentation { rotate: 30.0, scale: 0.3, ..Default::default() };
        for seed in 0..20 {
            assert!(run(&strong, seed).iter().all(|v| (0.0..=20.0).contains(v)));
        }
        assert_ne!(run(&strong, 1), run(&strong, 2));
    }

    #[test]
    fn erasing_fills_a_square_or_a_rectangle_with_the_mean() {
        let count = |erasing: &Erasing, seed| {
            let erased = run(&Augmentation { erasing: erasing.clone(), ..Default::default() }, seed);
            erased.iter().filter(|&&v| v == 99.0).count()
        };
        let square = Erasing { probability: 1.0, size: 2, area: 0.0 };
        let rectangle = Erasing { probability: 1.0, size: 0, area: 0.5 };
        for seed in 0..50 {
            assert!((1..=4).contains(&count(&square, seed)));
            assert!((1..=16).contains(&count(&rectangle, seed)), "{}", count(&rectangle, seed));
        }
    }

    #[test]
    fn some_images_are_kept_or_changed_gently() {
        let strong = Augmentation { rotate: 90.0, ..Default::default() };
        let original: Vec<f32> = (1..=20u8).map(f32::from).collect();
        let kept = |augmentation: &Augmentation| {
            (0..200).filter(|&seed| run(augmentation, seed) == original).count()
        };
        assert_eq!(kept(&strong), 0);
        for some in
            [Augmentation { keep: 0.5, ..strong.clone() }, Augmentation { gentle: 0.5, ..strong.clone() }]
        {
            assert!((60..140).contains(&kept(&some)), "{}", kept(&some));
        }
    }

    /// Every change, alone and together, on grey and on colour: levels stay levels, and channels that are
    /// equal stay equal.
    #[test]
    fn every_change_keeps_the_range_and_treats_channels_alike() {
        let amount = |strength| Amount { probability: 1.0, strength };
        let none = Augmentation::default;
        let each = [
            Augmentation { shear: 0.5, ..none() },
            Augmentation { elastic: Deformation { probability: 1.0, amplitude: 9.0, sigma: 2.0 }, ..none() },
            Augmentation { edges: amount(1.0), ..none() },
            Augmentation { stroke: amount(2.0), ..none() },
            Augmentation { lines: amount(3.0), ..none() },
            Augmentation { tone: amount(20.0), ..none() },
            Augmentation { fog: amount(3.0), ..none() },
            Augmentation { negative: amount(0.5), ..none() },
            Augmentation { blur: amount(3.0), ..none() },
            Augmentation { noise: amount(0.4), ..none() },
            Augmentation { pixelate: amount(4.0), ..none() },
        ];
        let shape = ImageShape { channels: 3, height: 12, width: 11 };
        let plane: Vec<u8> =
            (0..132u32).map(|i| if i % 11 > 4 && i / 11 > 3 { 200 } else { (i % 7) as u8 }).collect();
        let image = plane.repeat(3);
        for augmentation in each {
            let mut changed = 0;
            for seed in 0..20 {
                let mut out = vec![0.0; image.len()];
                let stream = &mut Stream::new(seed, "augment", 0, 0);
                augmentation.apply((&image, 1), shape, &[0.0; 3], stream, &mut out);
                assert!(out.iter().all(|value| (-0.01..=255.01).contains(value)), "{augmentation:?}");
                let (first, rest) = out.split_at(132);
                assert!(rest.chunks_exact(132).all(|channel| channel == first), "{augmentation:?}");
                changed += usize::from(first.iter().zip(&plane).any(|(a, &b)| *a != f32::from(b)));
            }
            assert!(changed > 10, "{augmentation:?}: {changed} of 20");
        }
    }
}
