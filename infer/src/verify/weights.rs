//! From a version's weights to the constants of its network, as `trainer` exports them.
//!
//! Names are those of the recipe's layers (`conv1.weight`, `residual2.conv1.weight`). A batch normalisation after a
//! convolution or dense layer is folded into that layer's weight and bias, else it is a multiplication and an addition.

use std::collections::{BTreeMap, HashMap};

use datasets::Dataset;
use safetensors::{Dtype, SafeTensors};
use serde::Deserialize;

/// A shape, and values row-major.
pub(super) type Tensor = (Vec<usize>, Vec<f32>);

/// Added to the variance, as in PyTorch.
const EPSILON: f64 = 1e-5;

/// A layer of a recipe: its kind, with fields or without.
#[derive(Deserialize)]
#[serde(untagged)]
pub(super) enum Layer {
    Plain(String),
    WithFields(BTreeMap<String, Fields>),
}

/// Only the layers inside matter here: of a residual block, and of each member of an ensemble.
#[derive(Deserialize, Default)]
pub(super) struct Fields {
    #[serde(default)]
    body: Vec<Layer>,
    #[serde(default)]
    members: Vec<Vec<Layer>>,
}

/// A layer in its network.
pub(super) struct Place {
    name: String,
    kind: String,
    /// The batch normalisation that is folded into it.
    folded: Option<String>,
    /// Whether it is folded into the layer before it.
    is_folded: bool,
    /// Networks whose logits it averages.
    members: usize,
}

impl Place {
    fn new(name: String, kind: &str) -> Place {
        Place { name, kind: kind.to_owned(), folded: None, is_folded: false, members: 0 }
    }

    /// Names that its tensors may have, in state-dict order.
    pub(super) fn tensors(&self) -> Vec<String> {
        let parts = ["weight", "bias", "running_mean", "running_var"];
        parts.map(|part| format!("{}.{part}", self.name)).to_vec()
    }
}

/// All layers, those of blocks after their block, and the shortcut of a block last.
pub(super) fn layers(network: &[Layer]) -> Result<Vec<Place>, String> {
    let mut places = Vec::new();
    walk(network, "", 0, &mut places)?;
    Ok(places)
}

/// Deepest nesting of blocks.
const DEEPEST: usize = 16;
/// Most members of an ensemble, as `trainer` has it.
const MAX_MEMBERS: usize = 32;

fn walk(network: &[Layer], prefix: &str, depth: usize, places: &mut Vec<Place>) -> Result<(), String> {
    if depth > DEEPEST {
        return Err(format!("recipe.yaml: blocks within blocks, more than {DEEPEST}"));
    }
    let mut counts: HashMap<&str, usize> = HashMap::new();
    let mut linear: Option<usize> = None;
    for (index, layer) in network.iter().enumerate() {
        let (kind, body, members): (&str, &[Layer], &[Vec<Layer>]) = match layer {
            Layer::Plain(kind) => (kind, &[], &[]),
            Layer::WithFields(fields) => {
                let mut entries = fields.iter();
                let (Some((kind, fields)), None) = (entries.next(), entries.next()) else {
                    return Err("recipe.yaml: a layer that is not one kind".into());
                };
                (kind, &fields.body, &fields.members)
            }
        };
        let stem = kind.strip_suffix("2d").unwrap_or(kind);
        let count = counts.entry(stem).or_default();
        *count += 1;
        let name = format!("{prefix}{stem}{count}");
        let into = linear.take().filter(|_| kind == "batch_norm").and_then(|index| places.get_mut(index));
        let is_folded = into.is_some();
        if let Some(into) = into {
            into.folded = Some(name.clone());
        }
        if ["conv2d", "dense"].contains(&kind) {
            linear = Some(places.len());
        }
        places.push(Place { is_folded, members: members.len(), ..Place::new(name.clone(), kind) });
        match kind {
            "residual" => {
                walk(body, &format!("{name}."), depth + 1, places)?;
                places.push(Place::new(format!("{name}.skip"), "conv2d"));
            }
            "ensemble" => {
                if depth > 0 || index + 2 != network.len() || !(2..=MAX_MEMBERS).contains(&members.len()) {
                    return Err("recipe.yaml: an ensemble that no trainer makes".into());
                }
                for (index, member) in members.iter().enumerate() {
                    walk(member, &format!("{name}.member{}.", index + 1), depth + 1, places)?;
                }
            }
            _ => {}
        }
    }
    Ok(())
}

/// The tensors of a safetensors file.
pub(super) fn parse(bytes: &[u8]) -> Result<BTreeMap<String, Tensor>, String> {
    let tensors = SafeTensors::deserialize(bytes).map_err(|e| e.to_string())?;
    let read = |(name, view): (String, safetensors::tensor::TensorView<'_>)| {
        if view.dtype() != Dtype::F32 {
            return Err(format!("{name}: {:?}, expected F32", view.dtype()));
        }
        let values = view.data().as_chunks().0.iter().map(|&bytes| f32::from_le_bytes(bytes)).collect();
        Ok((name, (view.shape().to_vec(), values)))
    };
    tensors.tensors().into_iter().map(read).collect()
}

/// The constants that weights become in the network, and what the mean over an ensemble's members is made with.
pub(super) fn exported(
    layers: &[Place],
    weights: &BTreeMap<String, Tensor>,
    classes: usize,
) -> BTreeMap<String, Tensor> {
    let mut constants = BTreeMap::new();
    for place in layers {
        if place.kind == "ensemble" {
            let share = vec![1.0 / place.members as f32; classes];
            constants.insert(format!("{}.constant", place.name), (vec![1, classes], share));
        }
        let part = |part: &str| weights.get(&format!("{}.{part}", place.name)).cloned();
        if place.kind == "batch_norm" {
            if let Some((scale, shift)) = affine(&place.name, weights).filter(|_| !place.is_folded) {
                // Beside its channels, as many dimensions as its input has; the values are what counts.
                constants.insert(format!("{}.scale.constant", place.name), (vec![scale.len()], scale));
                constants.insert(format!("{}.constant", place.name), (vec![shift.len()], shift));
            }
            continue;
        }
        let (Some(mut weight), bias) = (part("weight"), part("bias")) else { continue };
        let mut bias = bias;
        if let Some((scale, shift)) = place.folded.as_ref().and_then(|name| affine(name, weights)) {
            let row = weight.1.len() / scale.len().max(1);
            for (row, scale) in weight.1.chunks_exact_mut(row.max(1)).zip(&scale) {
                row.iter_mut().for_each(|value| *value *= scale);
            }
            let old = bias.map_or_else(|| vec![0.0; scale.len()], |(_, values)| values);
            let folded = old.iter().zip(&scale).zip(&shift).map(|((b, scale), shift)| b * scale + shift);
            bias = Some((vec![scale.len()], folded.collect()));
        }
        constants.insert(format!("{}.weight", place.name), weight);
        if let Some(bias) = bias {
            constants.insert(format!("{}.bias", place.name), bias);
        }
    }
    constants
}

/// `y = x * scale + shift`, which a batch normalisation is in evaluation.
fn affine(name: &str, weights: &BTreeMap<String, Tensor>) -> Option<(Vec<f32>, Vec<f32>)> {
    let part = |part: &str| weights.get(&format!("{name}.{part}")).map(|(_, values)| values);
    let (weight, bias, mean, variance) =
        (part("weight")?, part("bias")?, part("running_mean")?, part("running_var")?);
    let scale = |(w, v): (&f32, &f32)| (f64::from(*w) / (f64::from(*v) + EPSILON).sqrt()) as f32;
    let scale: Vec<f32> = weight.iter().zip(variance).map(scale).collect();
    let shift = bias.iter().zip(mean).zip(&scale).map(|((b, m), s)| b - m * s).collect();
    Some((scale, shift))
}

/// The constants that bring pixels to mean 0 and standard deviation 1.
pub(super) fn normalisation(dataset: &Dataset) -> BTreeMap<String, Tensor> {
    let normalisation = &dataset.description.normalisation;
    let scale = normalisation.std.iter().map(|std| (1.0 / (255.0 * std)) as f32).collect::<Vec<_>>();
    let shift = normalisation.mean.iter().zip(&normalisation.std).map(|(mean, std)| (-mean / std) as f32);
    let shape = vec![1, scale.len(), 1, 1];
    let shift = (shape.clone(), shift.collect());
    [("scale.constant".into(), (shape, scale)), ("shift.constant".into(), shift)].into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(recipe: &str) -> Result<Vec<String>, String> {
        let network: Vec<Layer> = datasets::yaml::parse(recipe, "recipe.yaml".as_ref()).expect("YAML");
        Ok(layers(&network)?.into_iter().map(|place| place.name).collect())
    }

    #[test]
    fn members_of_an_ensemble_have_names_of_their_own() {
        let recipe = "[{conv2d: {features: 2}}, batch_norm, {ensemble: {members: [[flatten, dense], [batch_norm, dense]]}}, softmax]";
        let expected = [
            "conv1",
            "batch_norm1",
            "ensemble1",
            "ensemble1.member1.flatten1",
            "ensemble1.member1.dense1",
            "ensemble1.member2.batch_norm1",
            "ensemble1.member2.dense1",
            "softmax1",
        ];
        assert_eq!(names(recipe).expect("a network"), expected);
    }

    #[test]
    fn ensembles_that_no_trainer_makes_are_refused() {
        let many = vec!["[dense]"; 33].join(", ");
        for recipe in [
            "[{ensemble: {members: []}}, softmax]".to_owned(),
            "[{ensemble: {members: [[dense]]}}, softmax]".to_owned(),
            format!("[{{ensemble: {{members: [{many}]}}}}, softmax]"),
            "[{ensemble: {members: [[dense], [dense]]}}, relu, softmax]".to_owned(),
            "[{residual: {body: [{ensemble: {members: [[dense], [dense]]}}, softmax]}}, softmax]".to_owned(),
            "[{ensemble: {members: [[dense], [{ensemble: {members: [[dense], [dense]]}}, softmax]]}}, softmax]".to_owned(),
        ] {
            assert!(names(&recipe).expect_err(&recipe).contains("an ensemble"), "{recipe}");
        }
    }
}
