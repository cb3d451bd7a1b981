//! What a recipe says about augmentation, and in which ranges.

use serde::{Deserialize, Serialize};

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
    /// Brightness, contrast, saturation and hue, as light and cameras differ.
    #[serde(skip_serializing_if = "is_default")]
    pub colour: Colour,
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

/// Fields of `colour`; a grey image has only the first two.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Colour {
    /// Probability.
    pub probability: f32,
    /// Largest change of brightness: 0.3 multiplies by 0.7 to 1.3.
    pub brightness: f32,
    /// Largest change of contrast, around the image's mean, likewise.
    pub contrast: f32,
    /// Largest change of saturation, around its grey, likewise.
    pub saturation: f32,
    /// Largest turn of the hue either way, degrees.
    pub hue: f32,
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
            chance("colour", self.colour.probability),
            within("colour.brightness", self.colour.brightness, 1.0, "0 to 1"),
            within("colour.contrast", self.colour.contrast, 1.0, "0 to 1"),
            within("colour.saturation", self.colour.saturation, 1.0, "0 to 1"),
            within("colour.hue", self.colour.hue, 180.0, "0 to 180 degrees"),
            chance("erasing", self.erasing.probability),
            within("erasing.size", self.erasing.size as f32, 4096.0, "0 to 4096 pixels"),
            within("erasing.area", self.erasing.area, 1.0, "0 to 1"),
        ];
        for (name, amount, high, range) in [
            ("edges", self.edges, 1.0, "0 to 1"),
            ("stroke", self.stroke, 8.0, "0 to 8 pixels"),
            ("lines", self.lines, 16.0, "0 to 16 lines"),
            ("fog", self.fog, 10.0, "0 to 10"),
            ("negative", self.negative, 0.5, "0 to 0.5"),
            ("blur", self.blur, 32.0, "0 to 32 pixels"),
            ("noise", self.noise, 1.0, "0 to 1"),
            ("pixelate", self.pixelate, 64.0, "0 to 64"),
        ] {
            fields.push(chance(name, amount.probability));
            fields.push(within(&format!("{name}.strength"), amount.strength, high, range));
        }
        // What contrast is divided by.
        let Amount { probability, strength } = self.tone;
        let good = (1.0..=100.0).contains(&strength) || self.tone == Amount::default();
        fields.push(chance("tone", probability));
        fields.push(("augmentation.tone.strength".into(), strength.into(), good, "1 to 100"));
        let both = self.erasing.size > 0 && self.erasing.area > 0.0;
        fields.push((
            "augmentation.erasing.area".into(),
            self.erasing.area.into(),
            !both,
            "0 together with a size: a square or a rectangle",
        ));
        fields
    }
}
