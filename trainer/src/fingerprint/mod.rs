//! Numeric fingerprints: what a fixed computation gives, to be compared with what it gave elsewhere.
//!
//! Each operator has probes (`probes.rs`): small networks around it that take two steps on fixed
//! images. What the portable profiles give for them is committed in `expected.yaml`, by libtorch's version
//! and number of threads. A recipe has a fingerprint of its own: the first two steps of its network on
//! fixed images, which its published versions carry.

mod probes;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use datasets::{Description, Digest, ImageShape, Samples, yaml};
use serde::{Deserialize, Serialize};
use tch::{Device, Tensor};

use crate::arithmetic::Arithmetic;
use crate::batches::Source;
use crate::error::{Error, Result};
use crate::layers::Layer;
use crate::network::Network;
use crate::normaliser::Normaliser;
use crate::optimizer::{Optimizer, OptimizerState};
use crate::parameters::Parameters;
use crate::profile::{Isa, NumericProfile};
use crate::recipe::Recipe;
use crate::step::{Rules, Weights};
use crate::tagged::Tagged;
use probes::Probe;

/// Most images of a step: enough for every way in which libtorch computes a layer.
const MAX_IMAGES: usize = 512;
/// Steps of a fingerprint: the second sees what the first changed.
const STEPS: usize = 2;

/// What the committed computations gave where they were recorded.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Expected {
    /// libtorch that gave them.
    libtorch: String,
    /// Of this profile by number of threads, then by probe.
    portable: BTreeMap<u32, BTreeMap<String, Digest>>,
    /// Of this one.
    portable2: BTreeMap<u32, BTreeMap<String, Digest>>,
}

impl Expected {
    fn read() -> Result<Expected> {
        Ok(yaml::parse(include_str!("expected.yaml"), Path::new("fingerprint/expected.yaml"))?)
    }

    /// By number of threads, then by probe; nothing for a profile that promises nothing.
    fn by_threads(self, isa: Isa) -> BTreeMap<u32, BTreeMap<String, Digest>> {
        match isa {
            Isa::Portable => self.portable,
            Isa::Portable2 => self.portable2,
            Isa::Baseline | Isa::Avx2 | Isa::Native => BTreeMap::new(),
        }
    }
}

/// What a probe gave here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Operator {
    /// Kind of layer, optimizer or `loss`, and what is special: `conv2d depthwise`.
    pub name: String,
    /// sha256 of its weights after two steps.
    pub sha256: Digest,
    /// The committed one; absent if there is none for so many threads.
    pub expected: Option<Digest>,
}

impl Operator {
    /// Whether it is what was committed.
    pub fn is_expected(&self) -> bool {
        self.expected == Some(self.sha256)
    }
}

/// Fingerprints of all operators.
///
/// # Errors
/// What libtorch says.
pub fn operators(profile: &NumericProfile) -> Result<Vec<Operator>> {
    profile.run(|| compute(profile, |_| true))
}

/// Why training `recipe` here would not give the bytes that it gives elsewhere; `None` if nothing speaks
/// against it. Only profiles that promise equal bytes can be asked.
///
/// # Errors
/// What libtorch says.
pub(crate) fn difference(recipe: &Recipe) -> Result<Option<String>> {
    let profile = &recipe.numeric_profile;
    let used = used(recipe);
    let found = compute(profile, |probe| used.contains(probe.kind()))?;
    if found.iter().any(|operator| operator.expected.is_none()) {
        let (threads, expected) = (profile.threads, Expected::read()?);
        let libtorch = expected.libtorch.clone();
        let known: Vec<String> = expected.by_threads(profile.isa).keys().map(u32::to_string).collect();
        return Ok(Some(format!(
            "no fingerprint is known for {threads} threads of libtorch {}, only for {} threads of libtorch {libtorch}",
            crate::LIBTORCH_VERSION,
            known.join(", "),
        )));
    }
    let other: Vec<String> = found.into_iter().filter(|o| !o.is_expected()).map(|o| o.name).collect();
    Ok((!other.is_empty()).then(|| format!("this machine computes differently: {}", other.join(", "))))
}

/// The fingerprint of a recipe: its first steps on fixed images of its dataset's form.
///
/// # Errors
/// What is wrong with the recipe, or what libtorch says.
pub fn of_recipe(recipe: &Recipe, dataset: &Description) -> Result<Digest> {
    recipe.numeric_profile.run(|| {
        let network = recipe.build_network(dataset)?;
        let count = recipe.batch_size.min(MAX_IMAGES);
        let samples = images(dataset.image, STEPS * count, dataset.classes.len());
        let indices: Vec<usize> = (0..samples.len()).collect();
        let normaliser = Normaliser::new(&dataset.normalisation);
        let source = Source {
            samples: &samples,
            indices: &indices,
            normaliser: &normaliser,
            augmentation: &recipe.augmentation,
            sampling: recipe.sampling,
            outliers: recipe.outliers.as_ref(),
            batch_size: count,
            seed: recipe.seed,
        };
        let batches = std::thread::scope(|scope| source.epoch(1, 0, scope).collect::<Vec<_>>());
        let rules = Rules {
            network: &network,
            optimizer: &recipe.optimizer,
            label_smoothing: recipe.label_smoothing,
            ema: recipe.ema,
            seed: recipe.seed,
            // Its arithmetic is that of the other operators; the images here are nothing that it knows.
            teacher: None,
        };
        let batches = batches.into_iter().map(|batch| (batch.images, batch.labels));
        Ok(digest(&take_steps(&rules, dataset.image, batches)?))
    })
}

/// The same if the recipe's profile promises equal bytes everywhere.
pub(crate) fn of_portable(recipe: &Recipe, dataset: &Description) -> Result<Option<Digest>> {
    let portable = recipe.numeric_profile.isa.is_portable();
    portable.then(|| of_recipe(recipe, dataset)).transpose()
}

/// Kinds of layers and optimizer of a recipe, and what every recipe has.
fn used(recipe: &Recipe) -> BTreeSet<&'static str> {
    fn collect(layers: &[Layer], kinds: &mut BTreeSet<&'static str>) {
        for layer in layers {
            kinds.insert(layer.name());
            match layer {
                Layer::Residual(block) => {
                    // A shortcut may need a convolution of its own.
                    kinds.insert("conv2d");
                    collect(&block.body, kinds);
                }
                Layer::Ensemble(ensemble) => {
                    ensemble.members.iter().for_each(|member| collect(member, kinds))
                }
                _ => {}
            }
        }
    }
    let mut kinds = BTreeSet::from(["loss", recipe.optimizer.name()]);
    collect(&recipe.network, &mut kinds);
    kinds
}

fn compute(profile: &NumericProfile, wanted: impl Fn(&Probe) -> bool) -> Result<Vec<Operator>> {
    let expected = Expected::read()?;
    let is_recorded = expected.libtorch == crate::LIBTORCH_VERSION;
    let known = expected.by_threads(profile.isa).remove(&profile.threads).filter(|_| is_recorded);
    let probes = probes::PROBES.iter().filter(|probe| wanted(probe));
    let operators = probes.map(|probe| {
        let sha256 = probe.fingerprint(profile)?;
        let expected = known.as_ref().and_then(|digests| digests.get(probe.name)).copied();
        Ok(Operator { name: probe.name.into(), sha256, expected })
    });
    operators.collect()
}

/// Fixed images of noise, by integer arithmetic.
fn images(shape: ImageShape, count: usize, classes: usize) -> Samples {
    let pixel = |i: usize| ((i as u32).wrapping_mul(2_654_435_761).wrapping_add(12_345) >> 24) as u8;
    let labels = (0..count).map(|i| (i * 7 % classes.clamp(1, 256)) as u8).collect();
    Samples { shape, images: (0..count * shape.numel()).map(pixel).collect(), labels, validation: 0 }
}

/// sha256 over weights and their average.
fn digest(sets: &[Parameters; 2]) -> Digest {
    Digest::of(sets.each_ref().map(|set| *set.sha256().as_bytes()).as_flattened())
}

/// Takes a step for each batch; the weights then, and their average (or they again).
fn take_steps(
    rules: &Rules<'_>,
    shape: ImageShape,
    batches: impl Iterator<Item = (Vec<f32>, Vec<i64>)>,
) -> Result<[Parameters; 2]> {
    let mut parameters = rules.network.initialise(rules.seed, Device::Cpu)?;
    let mut optimizer = OptimizerState::new(parameters.trainable());
    let mut ema = rules.ema.map(|_| parameters.copy());
    for (images, labels) in batches {
        let all = images.len() / shape.numel();
        let size = [all, shape.channels, shape.height, shape.width].map(|d| d as i64);
        let images = Tensor::f_from_slice(&images)?.f_view(size)?;
        let mut weights =
            Weights { parameters: &mut parameters, ema: ema.as_mut(), optimizer: &mut optimizer };
        let found = rules.step(&mut weights, &images, &labels, 0.001)?;
        if !found.loss.is_finite() {
            let what = format!("the loss of the fingerprint became {}", found.loss);
            return Err(Error::Diverged { what, epoch: 1, step: optimizer.steps as usize + 1 });
        }
    }
    let model = ema.unwrap_or_else(|| parameters.copy());
    Ok([parameters, model])
}

impl Probe {
    fn fingerprint(&self, profile: &NumericProfile) -> Result<Digest> {
        let path = Path::new("fingerprint");
        let layers: Vec<Layer> = yaml::parse(&self.layers(), path)?;
        let optimizer: Optimizer = yaml::parse(self.optimizer, path)?;
        Ok(digest(&self.steps(&layers, &optimizer, profile.arithmetic())?))
    }

    fn steps(
        &self,
        layers: &[Layer],
        optimizer: &Optimizer,
        arithmetic: Arithmetic,
    ) -> Result<[Parameters; 2]> {
        let ImageShape { channels, height, width } = self.input;
        let input = crate::layers::Shape::Image { channels, height, width };
        let network = Network::build(layers, input, probes::CLASSES)?.with_arithmetic(arithmetic);
        let rules = Rules {
            network: &network,
            optimizer,
            label_smoothing: 0.1,
            ema: Some(0.9),
            seed: 1,
            teacher: None,
        };
        let count = probes::IMAGES;
        let samples = images(self.input, STEPS * count, probes::CLASSES);
        let batches = (0..STEPS).map(|step| {
            let range = step * count..(step + 1) * count;
            let pixels = range.clone().flat_map(|image| samples.image(image));
            let values = pixels.map(|&pixel| f32::from(pixel) / 128.0 - 1.0).collect();
            (values, samples.labels[range].iter().map(|&label| label.into()).collect())
        });
        take_steps(&rules, self.input, batches)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_operator_has_a_probe_and_every_probe_is_committed() {
        let probed: BTreeSet<&str> = probes::PROBES.iter().map(Probe::kind).collect();
        for name in Layer::NAMES.iter().chain(Optimizer::NAMES) {
            assert!(probed.contains(name), "no probe of {name}");
        }
        let names: BTreeSet<&str> = probes::PROBES.iter().map(|probe| probe.name).collect();
        assert_eq!(names.len(), probes::PROBES.len());
        let expected = Expected::read().unwrap();
        assert_eq!(expected.libtorch, crate::LIBTORCH_VERSION);
        for (threads, digests) in expected.portable.iter().chain(&expected.portable2) {
            assert_eq!(
                digests.keys().map(String::as_str).collect::<BTreeSet<_>>(),
                names,
                "{threads} threads"
            );
        }
        let [one, other] = [&expected.portable[&2], &expected.portable2[&2]];
        for (name, digest) in one {
            let ours = ["conv2d 5x5 ", "conv2d 3x3 and", "conv2d 4x4 of", "residual after"];
            let ours = ours.iter().any(|start| name.starts_with(start)) && name != "conv2d 5x5 stride 2";
            assert!(!ours || other[name] != *digest, "{name}: the kernels did not differ");
        }
    }

    /// All of our arithmetic and its gradients are libtorch's, but for rounding; dropout draws other numbers.
    #[test]
    fn two_steps_are_those_of_libtorch_alone() {
        for probe in probes::PROBES.iter().filter(|probe| probe.kind() != "dropout") {
            let layers: Vec<Layer> = yaml::parse(&probe.layers(), Path::new("probe")).unwrap();
            // Adam and RMSprop divide by gradients, which blows up roundings where a gradient is 0.
            let adaptive = ["adam", "adamw", "rmsprop"].contains(&probe.optimizer);
            let text = if adaptive { "sgd" } else { probe.optimizer };
            let optimizer: Optimizer = yaml::parse(text, Path::new("probe")).unwrap();
            let steps = |arithmetic| probe.steps(&layers, &optimizer, arithmetic).unwrap();
            let theirs = steps(Arithmetic::Libtorch);
            let ours = [false, true].map(|convolutions| steps(Arithmetic::Portable { convolutions }));
            assert!(theirs[0].is_finite());
            for (ours, theirs) in ours.iter().flat_map(|ours| ours.iter().zip(&theirs)) {
                let (ours, theirs) = (ours.state_dict(), theirs.state_dict());
                for ((name, _, ours), (_, _, theirs)) in ours.iter().zip(&theirs) {
                    let pairs = ours.iter().zip(theirs);
                    let worst = pairs.map(|(a, b)| (a - b).abs() / (1.0 + b.abs())).fold(0.0, f32::max);
                    assert!(worst < 2e-6, "{}: {name}: {worst:e}", probe.name);
                }
            }
        }
    }
}
