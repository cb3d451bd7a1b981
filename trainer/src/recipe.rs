//! A recipe: everything that determines a trained model, in one strict YAML file.

use std::path::{Path, PathBuf};

use datasets::{Description, Digest, yaml};
use serde::{Deserialize, Serialize};
use zoo::VersionDir;

use crate::augment::Augmentation;
use crate::batches::Sampling;
use crate::distillation::Distillation;
use crate::early_stopping::EarlyStopping;
use crate::error::{Error, Result};
use crate::layers::{Layer, Shape};
use crate::network::Network;
use crate::optimizer::Optimizer;
use crate::outliers::Outliers;
use crate::profile::NumericProfile;
use crate::schedule::Schedule;
use crate::views::View;

/// Name of a recipe in the folder of a run or of a version.
pub const FILE: &str = "recipe.yaml";

/// The content of a recipe file. An unknown key is an error.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Recipe {
    /// Name under which the model is published.
    pub name: String,
    /// One line for people.
    pub(crate) description: String,
    /// Name of the dataset.
    pub dataset: String,
    /// Seed of all randomness.
    pub(crate) seed: u64,
    /// How the training set is divided.
    pub(crate) split: Split,
    /// What libtorch may use, so that sums come out the same.
    #[serde(default)]
    pub numeric_profile: NumericProfile,
    /// The layers, in order.
    pub network: Vec<Layer>,
    /// The optimizer.
    pub(crate) optimizer: Optimizer,
    /// The learning rate.
    pub(crate) schedule: Schedule,
    /// Passes over the training images.
    pub(crate) epochs: u32,
    /// Ends the run earlier, once validation no longer gets better.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) early_stopping: Option<EarlyStopping>,
    /// Images per step.
    pub batch_size: usize,
    /// Which images an epoch is made of.
    #[serde(default, skip_serializing_if = "Sampling::is_default")]
    pub(crate) sampling: Sampling,
    /// Share of the target spread over all classes (Szegedy et al. 2016, arXiv:1512.00567).
    #[serde(default)]
    pub(crate) label_smoothing: f64,
    /// A published model to learn from, beside the labels.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) distillation: Option<Distillation>,
    /// Decay of a moving average of the weights that is validated and published instead of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) ema: Option<f64>,
    /// Random changes to training images.
    #[serde(default)]
    pub(crate) augmentation: Augmentation,
    /// Epochs at the end that train on images as they are, without augmentation.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub(crate) plain_epochs: u32,
    /// Images of no class, made for each batch, on which the network learns to say nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) outliers: Option<Outliers>,
    /// What becomes the model.
    #[serde(default)]
    pub(crate) output: Output,
}

fn is_zero(value: &u32) -> bool {
    *value == 0
}

/// How the training set is divided.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Split {
    /// Training images held out to choose by; 0 for none.
    pub validation: usize,
    /// Images to train on, of the rest; all of them by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub train: Option<usize>,
}

/// What becomes the model.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Output {
    /// Which epoch's weights.
    #[serde(default)]
    pub select: Select,
    /// Views of the image, besides itself, over which the logits are averaged; inside the graph.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub average: Vec<View>,
    /// Also calibrate the probabilities on the validation images, inside the graph, and publish how far
    /// they can be believed.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub confidence: bool,
    /// Also measure the accuracy on the damaged test split: 20 kinds, five strengths.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub corruptions: bool,
}

/// Which epoch's weights become the model. Never looks at the test set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Select {
    /// The last.
    #[default]
    Last,
    /// The best on the validation images; of equals, the one with the lower loss.
    BestValidation,
}

/// A recipe with the exact text it was read from.
#[derive(Debug, Clone)]
pub struct RecipeFile {
    /// The parsed recipe.
    pub recipe: Recipe,
    /// The file's text.
    pub text: String,
    /// The file, for errors.
    pub path: PathBuf,
}

impl RecipeFile {
    /// Reads and checks a recipe.
    ///
    /// # Errors
    /// [`Error::Data`] with line and column, or [`Error::Recipe`] naming the field.
    pub fn read(path: &Path) -> Result<RecipeFile> {
        RecipeFile::parse(yaml::read_text(path)?, path)
    }

    /// Parses and checks the text of a recipe, which is, or will be, in the file `path`.
    ///
    /// # Errors
    /// As for [`RecipeFile::read`].
    pub fn parse(text: String, path: &Path) -> Result<RecipeFile> {
        let recipe: Recipe = yaml::parse(&text, path)?;
        recipe.check(path)?;
        Ok(RecipeFile { recipe, text, path: path.to_owned() })
    }

    /// The recipe that a version was made by.
    ///
    /// # Errors
    /// If the file is damaged or no recipe.
    pub fn of_version(version: &VersionDir) -> Result<RecipeFile> {
        let path = version.path.join(FILE);
        let text = String::from_utf8(version.read(FILE)?).map_err(|e| Error::run(&path, e.to_string()))?;
        RecipeFile::parse(text, &path)
    }

    /// The network for a dataset.
    ///
    /// # Errors
    /// [`Error::Network`] if shapes do not work out; [`Error::Recipe`] for classes that the dataset does not have.
    pub fn build_network(&self, dataset: &Description) -> Result<Network> {
        self.recipe.build_network(dataset).map_err(|error| self.in_file(error))
    }

    /// Puts the file in the place of the recipe's name in an error of this recipe.
    pub(crate) fn in_file(&self, error: Error) -> Error {
        let path = self.path.clone();
        match error {
            Error::Recipe { path: name, field, found, expected } if name == Path::new(&self.recipe.name) => {
                Error::Recipe { path, field, found, expected }
            }
            layer @ Error::Layer { .. } => Error::Network { path, source: Box::new(layer) },
            other => other,
        }
    }

    /// sha256 of the text.
    pub fn sha256(&self) -> Digest {
        Digest::of(self.text.as_bytes())
    }
}

impl Recipe {
    /// The network for a dataset.
    ///
    /// # Errors
    /// [`Error::Layer`] if shapes do not work out; [`Error::Recipe`] for classes that the dataset does not have.
    pub fn build_network(&self, dataset: &Description) -> Result<Network> {
        self.check_classes(dataset.classes.len())?;
        let datasets::ImageShape { channels, height, width } = dataset.image;
        let input = Shape::Image { channels, height, width };
        let network = Network::build(&self.network, input, dataset.classes.len())?;
        let network = network.averaged(&self.output.average, &dataset.normalisation);
        Ok(network.with_arithmetic(self.numeric_profile.arithmetic()))
    }

    fn check_classes(&self, count: usize) -> Result<()> {
        let upstroke = ("augmentation.upstroke.classes", self.augmentation.upstroke.classes.as_slice());
        let lists = self.outliers.iter().flat_map(Outliers::classes).chain([upstroke]);
        for (field, classes) in lists {
            if let Some(class) = classes.iter().find(|class| usize::from(**class) >= count) {
                return Err(Error::Recipe {
                    path: self.name.clone().into(),
                    field: field.into(),
                    found: class.to_string(),
                    expected: format!("classes of the dataset, 0 to {}", count - 1),
                });
            }
        }
        Ok(())
    }

    /// Whether an epoch, counted from 1, trains on images as they are.
    pub(crate) fn is_plain(&self, epoch: u32) -> bool {
        epoch > self.epochs.saturating_sub(self.plain_epochs)
    }

    /// Passes over the training images, at most.
    pub fn epochs(&self) -> u32 {
        self.epochs
    }

    /// Whether a version is calibrated on validation images.
    pub fn promises_confidence(&self) -> bool {
        self.output.confidence
    }

    /// Checks what the types cannot say.
    fn check(&self, path: &Path) -> Result<()> {
        let wrong = self.wrong_alone().or_else(|| self.wrong_together());
        wrong.map_or(Ok(()), |(field, found, expected)| {
            Err(Error::Recipe { path: path.to_owned(), field, found, expected })
        })
    }

    /// Field, value and what is expected of the first that cannot be, whatever the others are.
    fn wrong_alone(&self) -> Option<(String, String, String)> {
        if let Err(expected) = zoo::check_name(&self.name) {
            return Some(("name".into(), self.name.clone(), expected));
        }
        if !datasets::is_plain_name(&self.dataset) {
            return Some(("dataset".into(), format!("`{}`", self.dataset), datasets::PLAIN_NAME.into()));
        }
        let of_optimizer = self.optimizer.constants().into_iter();
        let of_optimizer = of_optimizer
            .map(|(field, value, good, range)| (format!("optimizer.{field}"), value, good, range));
        let named = |(field, value, good, range): (&str, f64, bool, &'static str)| {
            (field.to_owned(), value, good, range)
        };
        let smoothing = self.label_smoothing;
        let own = [
            self.ema.map(|ema| ("ema", ema, (0.0..1.0).contains(&ema), "0 <= value < 1")),
            Some(("label_smoothing", smoothing, (0.0..1.0).contains(&smoothing), "0 <= value < 1")),
        ];
        let reals = of_optimizer
            .chain(self.schedule.fields().into_iter().map(named))
            .chain(self.distillation.iter().flat_map(Distillation::fields).map(named))
            .chain(own.into_iter().flatten().map(named))
            .map(|(field, value, good, range)| (field, value.to_string(), good, range));
        // As they were written: a 4.1 in `f32` is 4.099999904632568 in `f64`.
        let singles = self.augmentation.fields().into_iter();
        let singles = singles
            .map(|(field, value, good, range)| (field, (value as f32).to_string(), good, range))
            .chain(self.outliers.iter().map(|Outliers { share, .. }| {
                ("outliers.share".to_owned(), share.to_string(), (0.0..=4.0).contains(share), "0 to 4")
            }));
        let patience = self.early_stopping.as_ref().map_or(1, |EarlyStopping { patience }| *patience);
        let counts = [
            ("epochs", self.epochs as usize, 1..=100_000, "1 to 100000"),
            ("batch_size", self.batch_size, 1..=65_536, "1 to 65536"),
            ("numeric_profile.threads", self.numeric_profile.threads as usize, 1..=256, "1 to 256"),
            ("split.train", self.split.train.unwrap_or(1), 1..=usize::MAX, "at least 1 image"),
            ("early_stopping.patience", patience as usize, 1..=usize::MAX, "at least 1 epoch"),
        ];
        let counts = counts.into_iter().map(|(field, value, range, expected)| {
            (field.to_owned(), value.to_string(), range.contains(&value), expected)
        });
        let average = &self.output.average;
        if average.iter().enumerate().any(|(index, view)| average[..index].contains(view)) {
            let names: Vec<&str> = average.iter().map(|view| view.name()).collect();
            return Some(("output.average".into(), names.join(", "), "each view once".into()));
        }
        let wrong = reals.chain(singles).chain(counts).find(|(_, _, good, _)| !good);
        wrong.map(|(field, found, _, range)| (field, found, range.to_owned()))
    }

    /// Field, value and what another field demands of it, of the first that does not go with another one.
    fn wrong_together(&self) -> Option<(String, String, String)> {
        let wrong = |field: &str, found: &dyn ToString, expected: &str| {
            Some((field.to_owned(), found.to_string(), expected.to_owned()))
        };
        if self.plain_epochs > self.epochs {
            return wrong("plain_epochs", &self.plain_epochs, "at most as many as `epochs`");
        }
        if self.output.select == Select::BestValidation && self.split.validation == 0 {
            let expected = "at least 1 image, because output.select is best_validation";
            return wrong("split.validation", &0, expected);
        }
        if self.early_stopping.is_some() && self.output.select != Select::BestValidation {
            let expected = "best_validation, because early_stopping chooses by it";
            return wrong("output.select", &"last", expected);
        }
        if self.output.confidence && self.split.validation == 0 {
            let expected = "at least 1 image, because output.confidence is fitted on them";
            return wrong("split.validation", &0, expected);
        }
        None
    }
}
