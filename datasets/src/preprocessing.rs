//! How a foreign image becomes an image of a dataset: named operations with their parameters.

use serde::de::value::SeqAccessDeserializer;
use serde::de::{self, IntoDeserializer, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

/// How a foreign image is brought into the form of the training images.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(untagged)]
pub enum Preprocessing {
    /// A whole procedure by its name.
    Procedure(Procedure),
    /// Operations, in order.
    Steps(Vec<Step>),
}

impl Preprocessing {
    /// Whether it looks for objects on a picture, instead of taking it as one.
    pub fn finds_objects(&self) -> bool {
        match self {
            Preprocessing::Procedure(_) => false,
            Preprocessing::Steps(steps) => steps
                .iter()
                .any(|step| matches!(step, Step::FindObjects { .. } | Step::SeparateObject { .. })),
        }
    }
}

/// By hand, because for an untagged enum serde says only that nothing fits.
impl<'de> Deserialize<'de> for Preprocessing {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Preprocessing, D::Error> {
        struct NameOrSteps;

        impl<'de> Visitor<'de> for NameOrSteps {
            type Value = Preprocessing;

            fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                formatter.write_str("`mnist`, `fashion`, `resize` or a list of steps")
            }

            fn visit_str<E: de::Error>(self, name: &str) -> Result<Preprocessing, E> {
                Procedure::deserialize(name.into_deserializer()).map(Preprocessing::Procedure)
            }

            fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<Preprocessing, A::Error> {
                Vec::deserialize(SeqAccessDeserializer::new(list)).map(Preprocessing::Steps)
            }
        }
        deserializer.deserialize_any(NameOrSteps)
    }
}

/// Procedures from before there were steps. What they do never changes: manifests name them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Procedure {
    /// Bright ink on black, cropped, fitted into a 20/28 box and centred by mass.
    Mnist,
    /// Bright object on black, padded to a square and resized.
    Fashion,
    /// Resized, nothing else.
    Resize,
}

/// One operation. Lengths are shares of the image's longer side where nothing else is said.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(tag = "step", rename_all = "snake_case", deny_unknown_fields)]
pub enum Step {
    /// An image of the network's size that looks like one of the dataset goes through unchanged: dark
    /// border, its content no longer than `box` pixels and balanced about the middle.
    KeepNormalForm {
        /// Pixels that the longer side of the content may have; 0 if it may reach the edge.
        r#box: u32,
    },
    /// Enlarged or shrunk so that the longer side has a number of pixels that the other steps suit.
    WorkingSize {
        /// Smallest longer side, pixels.
        shortest: u32,
        /// Largest longer side, pixels.
        longest: u32,
    },
    /// Gives everything beside a bright sheet of paper its colour, where one lies on a darker table.
    KeepPage {
        /// Smallest share of the image that is taken for a page.
        area: f64,
    },
    /// Divides by the light: the ground around each place, per colour, becomes even; what is left is how
    /// much darker or brighter than its ground each pixel is.
    FlattenLight {
        /// Side of the neighbourhood whose median is the first guess at the ground.
        window: f64,
    },
    /// Finds what is ink: darker than its ground or brighter, whichever there is more of, by more than the
    /// noise and by a share of the ink's typical contrast.
    SeparateInk {
        /// Least contrast, of 1.
        contrast: f64,
        /// Share of the typical contrast that a stroke reaches somewhere.
        share: f64,
    },
    /// Drops long thin straight lines, but not where a stroke crosses them.
    RemoveLines {
        /// Shortest line.
        length: f64,
        /// Thickest line.
        thickness: f64,
    },
    /// Drops what is no writing: frames around it, what hangs over the edge, specks.
    RemoveClutter {
        /// Share of the largest part's size below which a part is a speck.
        speck: f64,
    },
    /// Groups the parts of each object, in reading order.
    FindObjects {
        /// Smallest height, as a share of the highest object's.
        height: f64,
    },
    /// Makes strokes as wide as those of the training images, in pixels of the network's input.
    StrokeWidth {
        /// Thinner ones are thickened to this.
        thinnest: f64,
        /// Thicker ones are thinned to this.
        thickest: f64,
    },
    /// Fits the content into a square of so many pixels and puts it into the middle.
    FitBox {
        /// Pixels of the longer side.
        r#box: u32,
        /// What is in the middle: the centre of mass, or of the box.
        by_mass: bool,
    },
    /// Finds one object against any ground, even or not, brighter or darker, and shows it bright on black.
    SeparateObject {
        /// Least contrast to the ground, of 1.
        contrast: f64,
    },
    /// Squeezes the image to the network's size.
    Resize {},
}

impl Step {
    /// Its name in YAML.
    pub fn name(&self) -> &'static str {
        match self {
            Step::KeepNormalForm { .. } => "keep_normal_form",
            Step::WorkingSize { .. } => "working_size",
            Step::FlattenLight { .. } => "flatten_light",
            Step::SeparateInk { .. } => "separate_ink",
            Step::KeepPage { .. } => "keep_page",
            Step::RemoveLines { .. } => "remove_lines",
            Step::RemoveClutter { .. } => "remove_clutter",
            Step::FindObjects { .. } => "find_objects",
            Step::StrokeWidth { .. } => "stroke_width",
            Step::FitBox { .. } => "fit_box",
            Step::SeparateObject { .. } => "separate_object",
            Step::Resize {} => "resize",
        }
    }

    /// What a step works on, and what it makes of it.
    fn stages(&self) -> (Stage, Stage) {
        match self {
            Step::KeepNormalForm { .. } | Step::WorkingSize { .. } | Step::KeepPage { .. } => {
                (Stage::Image, Stage::Image)
            }
            Step::FlattenLight { .. } => (Stage::Image, Stage::Contrast),
            Step::SeparateInk { .. } => (Stage::Contrast, Stage::Ink),
            Step::RemoveLines { .. } | Step::RemoveClutter { .. } => (Stage::Ink, Stage::Ink),
            Step::FindObjects { .. } => (Stage::Ink, Stage::Objects),
            Step::SeparateObject { .. } => (Stage::Image, Stage::Objects),
            Step::StrokeWidth { .. } => (Stage::Objects, Stage::Objects),
            Step::FitBox { .. } => (Stage::Objects, Stage::Input),
            Step::Resize {} => (Stage::Image, Stage::Input),
        }
    }

    /// Numbers that are out of range: `(field, found, expected)`.
    fn out_of_range(&self) -> Option<(&'static str, f64, &'static str)> {
        let within = |name, value: f64, low: f64, high: f64, expected| {
            (!(low..=high).contains(&value)).then_some((name, value, expected))
        };
        let share = |name, value| within(name, value, 0.0, 1.0, "0 to 1");
        match *self {
            Step::KeepNormalForm { r#box } => within("box", r#box.into(), 0.0, 4096.0, "0 to 4096 pixels"),
            Step::WorkingSize { shortest, longest } => {
                within("longest", longest.into(), 16.0, 2048.0, "16 to 2048 pixels").or_else(|| {
                    within("shortest", shortest.into(), 1.0, longest.into(), "1 pixel to `longest`")
                })
            }
            Step::FlattenLight { window } => within("window", window, 0.05, 1.0, "0.05 to 1"),
            Step::SeparateInk { contrast, share: part } => {
                share("contrast", contrast).or_else(|| share("share", part))
            }
            Step::KeepPage { area } => share("area", area),
            Step::RemoveLines { length, thickness } => {
                within("length", length, 0.1, 1.0, "0.1 to 1").or_else(|| share("thickness", thickness))
            }
            Step::RemoveClutter { speck } => share("speck", speck),
            Step::FindObjects { height } => share("height", height),
            Step::StrokeWidth { thinnest, thickest } => {
                within("thickest", thickest, 0.5, 64.0, "0.5 to 64 pixels")
                    .or_else(|| within("thinnest", thinnest, 0.0, thickest, "0 to `thickest`"))
            }
            Step::FitBox { r#box, .. } => within("box", r#box.into(), 1.0, 4096.0, "1 to 4096 pixels"),
            Step::SeparateObject { contrast } => share("contrast", contrast),
            Step::Resize {} => None,
        }
    }
}

/// How far an image has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Image,
    Contrast,
    Ink,
    Objects,
    Input,
}

impl Stage {
    fn name(self) -> &'static str {
        match self {
            Stage::Image => "an image",
            Stage::Contrast => "contrast to the ground",
            Stage::Ink => "ink",
            Stage::Objects => "objects",
            Stage::Input => "the network's input",
        }
    }
}

/// Most steps in a list.
const MAX_STEPS: usize = 64;

impl Preprocessing {
    /// Checks that the steps can follow each other, end in the network's input and suit its channels.
    ///
    /// # Errors
    /// `(field, found, expected)`.
    pub fn check(&self, channels: usize) -> Result<(), (String, String, String)> {
        let Preprocessing::Steps(steps) = self else { return Ok(()) };
        if steps.len() > MAX_STEPS {
            return Err(("".into(), format!("{} steps", steps.len()), format!("at most {MAX_STEPS}")));
        }
        let mut stage = Stage::Image;
        for (index, step) in steps.iter().enumerate() {
            let (from, to) = step.stages();
            let place = |field: &str| format!("[{index}].{}{field}", step.name());
            if from != stage {
                return Err((place(""), stage.name().into(), format!("{} before this step", from.name())));
            }
            if channels != 1 && !matches!(step, Step::Resize {} | Step::WorkingSize { .. }) {
                return Err((
                    place(""),
                    format!("{channels} channels"),
                    "1 channel: this step gives grey images".into(),
                ));
            }
            if let Some((field, found, expected)) = step.out_of_range() {
                return Err((place(&format!(".{field}")), found.to_string(), expected.into()));
            }
            stage = to;
        }
        if stage == Stage::Input {
            Ok(())
        } else {
            Err((
                "".into(),
                format!("steps that end in {}", stage.name()),
                "fit_box or resize as the last step".into(),
            ))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Preprocessing {
        crate::yaml::parse(text, "x".as_ref()).unwrap()
    }

    #[test]
    fn names_and_lists_are_read_and_written() {
        assert_eq!(parse("mnist"), Preprocessing::Procedure(Procedure::Mnist));
        let steps = parse("- {step: flatten_light, window: 0.6}\n- {step: resize}\n");
        let Preprocessing::Steps(list) = &steps else { panic!("{steps:?}") };
        assert_eq!(list[0], Step::FlattenLight { window: 0.6 });
        assert_eq!(parse(&crate::yaml::to_string(&steps).unwrap()), steps);
        for wrong in ["lanczos", "- {step: sharpen}", "- {step: resize, size: 3}", "- {step: flatten_light}"]
        {
            let message = crate::yaml::parse::<Preprocessing>(wrong, "x".as_ref()).unwrap_err().to_string();
            assert!(
                ["lanczos", "sharpen", "size", "window"].iter().any(|what| message.contains(what)),
                "{message}"
            );
        }
    }

    #[test]
    fn what_cannot_be_is_refused() {
        let check = |text: &str, channels| parse(text).check(channels).map_err(|(field, ..)| field);
        assert_eq!(check("- {step: resize}", 3), Ok(()));
        assert_eq!(check("- {step: fit_box, box: 20, by_mass: true}", 1), Err("[0].fit_box".into()));
        assert_eq!(
            check("- {step: separate_object, contrast: 0.1}\n- {step: fit_box, box: 28, by_mass: false}", 1),
            Ok(())
        );
        assert_eq!(check("- {step: separate_object, contrast: 0.1}", 1), Err("".into()));
        assert_eq!(check("- {step: separate_object, contrast: 0.1}", 3), Err("[0].separate_object".into()));
        assert_eq!(
            check("- {step: working_size, shortest: 9, longest: 5}", 1),
            Err("[0].working_size.longest".into())
        );
        assert_eq!(check("[]", 1), Err("".into()));
    }
}
