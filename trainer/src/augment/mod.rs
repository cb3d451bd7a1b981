//! Random changes to training images, each drawn from the image's own stream.
//!
//! Small networks are best trained with weaker ones: with a tenth of the work, the recipe of
//! `fashion-cnn` loses 1.3 points on validation after 12 epochs (`studies/lite-fashion/`).

mod change;

use distortions::warp::{Affine, Elastic, warp};
use distortions::{Plane, Stream, marks};
use serde::{Deserialize, Serialize};

use datasets::ImageShape;

/// Which changes, and how strong. Everything is off by default. They happen in the order of the fields;
/// a strength is drawn anew for each image, from none up to the one given. Of `tone`, `fog` and `noise`
/// an image gets one at most: noise on what has hardly any contrast leaves nothing to learn from.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Augmentation {
    /// Probability that an image stays as it is.
    #[serde(skip_serializing_if = "is_default")]
    pub keep: f32,
    /// Probability that an image, if it is changed, is only shifted, flipped and erased: enough to learn the
    /// undamaged images by.
    #[serde(skip_serializing_if = "is_default")]
    pub gentle: f32,
    /// A stroke that rises to the top of the writing, as many people begin a 1 and few of the training images have it;
    /// comes before all other changes.
    #[serde(skip_serializing_if = "is_default")]
    pub upstroke: Upstroke,
    /// Largest shift along rows and along columns, whole pixels.
    pub shift: u32,
    /// Largest rotation either way, degrees.
    pub rotate: f32,
    /// Largest change of size: 0.1 is 0.9 to 1.1.
    pub scale: f32,
    /// Probability of a left-right flip.
    pub horizontal_flip: f32,
    /// Largest slant either way, as a tangent: 0.5 moves a row by half of its distance from the middle.
    #[serde(skip_serializing_if = "is_default")]
    pub shear: f32,
    /// Deformation like rubber (Simard et al. 2003).
    #[serde(skip_serializing_if = "is_default")]
    pub elastic: Deformation,
    /// Outlines instead of the image, mixed with it by a share.
    #[serde(skip_serializing_if = "is_default")]
    pub edges: Amount,
    /// Strokes made thinner or thicker by up to so many pixels on each side.
    #[serde(skip_serializing_if = "is_default")]
    pub stroke: Amount,
    /// Up to so many lines across: plain, dotted or zigzag.
    #[serde(skip_serializing_if = "is_default")]
    pub lines: Amount,
    /// Contrast divided by up to so much, and brightness moved as far as that leaves room.
    #[serde(skip_serializing_if = "is_default")]
    pub tone: Amount,
    /// Uneven light: a cloud up to so many times as bright as the image.
    #[serde(skip_serializing_if = "is_default")]
    pub fog: Amount,
    /// A band at the edges, up to this share of the width on either side, turned into its negative.
    #[serde(skip_serializing_if = "is_default")]
    pub negative: Amount,
    /// Gaussian, motion or glass blur with a sigma of up to so many pixels.
    #[serde(skip_serializing_if = "is_default")]
    pub blur: Amount,
    /// Gaussian, shot or impulse noise with a deviation of up to this share of the range.
    #[serde(skip_serializing_if = "is_default")]
    pub noise: Amount,
    /// Pixels enlarged up to so many times.
    #[serde(skip_serializing_if = "is_default")]
    pub pixelate: Amount,
    /// A part set to the mean (Zhong et al. 2017, arXiv:1708.04896).
    pub erasing: Erasing,
}

/// Fields of `upstroke`.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Upstroke {
    /// Probability, for images of `classes`.
    pub probability: f32,
    /// Classes that stay what they are with it.
    pub classes: Vec<u8>,
}

/// How often, and how strong at most.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Amount {
    /// Probability.
    pub probability: f32,
    /// Largest strength; its unit is the field's.
    pub strength: f32,
}

/// Fields of `elastic`.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Deformation {
    /// Probability.
    pub probability: f32,
    /// What the smoothed noise of -1 to 1 is multiplied by at most: pixels.
    pub amplitude: f32,
    /// Smoothness of the noise, pixels.
    pub sigma: f32,
}

/// Fields of `erasing`: a square of `size` or a rectangle of up to `area`.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Erasing {
    /// Probability.
    pub probability: f32,
    /// Rows and columns of the square; it may hang over the edge.
    pub size: u32,
    /// Largest share of the area of a rectangle, from 0.02; its sides differ by a factor of up to 3.3.
    #[serde(skip_serializing_if = "is_default")]
    pub area: f32,
}

/// A field that is not there and one that says the default are the same.
fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

impl Augmentation {
    /// Whether nothing is changed.
    pub(crate) fn is_off(&self) -> bool {
        is_default(self)
    }

    /// `(field, value, whether it is in range, range)` of every field, for checking a recipe.
    pub fn fields(&self) -> Vec<(String, f64, bool, &'static str)> {
        let within = |name: &str, value: f32, high: f32, range| {
            let good = (0.0..=high).contains(&value);
            (format!("augmentation.{name}"), f64::from(value), good, range)
        };
        let chance = |name: &str, value: f32| within(&format!("{name}.probability"), value, 1.0, "0 to 1");
        let mut fields = vec![
            within("keep", self.keep, 1.0, "0 to 1"),
            within("gentle", self.gentle, 1.0, "0 to 1"),
            chance("upstroke", self.upstroke.probability),
            within("shift", self.shift as f32, 1024.0, "0 to 1024 pixels"),
            within("rotate", self.rotate, 180.0, "0 to 180 degrees"),
            within("scale", self.scale, 0.9, "0 to 0.9"),
            within("horizontal_flip", self.horizontal_flip, 1.0, "0 to 1"),
            within("shear", self.shear, 4.0, "0 to 4"),
            chance("elastic", self.elastic.probability),
            within("elastic.amplitude", self.elastic.amplitude, 1000.0, "0 to 1000 pixels"),
            within("elastic.sigma", self.elastic.sigma, 64.0, "0 to 64 pixels"),
            chance("erasing", self.erasing.probability),
            within("erasing.size", self.erasing.size as f32, 4096.0, "0 to 4096 pixels"),
            within("erasing.area", self.erasing.area, 1.0, "0 to 1"),
        ];
        for (name, amount, high, range) in [
            ("edges", self.edges, 1.0, "0 to 1"),
            ("stroke", self.stroke, 8.0, "0 to 8 pixels"),
            ("lines", self.lines, 16.0, "0 to 16 lines"),
            ("tone", self.tone, 100.0, "0 to 100"),
            ("fog", self.fog, 10.0, "0 to 10"),
            ("negative", self.negative, 0.5, "0 to 0.5"),
            ("blur", self.blur, 32.0, "0 to 32 pixels"),
            ("noise", self.noise, 1.0, "0 to 1"),
            ("pixelate", self.pixelate, 64.0, "0 to 64"),
        ] {
            fields.push(chance(name, amount.probability));
            fields.push(within(&format!("{name}.strength"), amount.strength, high, range));
        }
        let both = self.erasing.size > 0 && self.erasing.area > 0.0;
        fields.push((
            "augmentation.erasing.area".into(),
            self.erasing.area.into(),
            !both,
            "0 together with a size: a square or a rectangle",
        ));
        fields
    }

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
