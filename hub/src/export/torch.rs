//! A version as PyTorch: a readable `model.py`, and weights that `load_state_dict(strict=True)` takes.
//!
//! Layers are those of the recipe, under the names of the weights; what a layer means is in `docs/reference/recipe.md`.

mod blocks;
mod module;
mod window;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use datasets::yaml;
use safetensors::SafeTensors;
use serde::Deserialize;
use serde_json::{Map, Value};
use zoo::{ONNX, VersionDir};

use super::folder;
use crate::error::{Error, Result};
use module::{Module, View};
use window::Window;

/// The weights, under their state-dict names.
const WEIGHTS: &str = "model.safetensors";
/// Deepest nesting of blocks.
const DEEPEST: usize = 16;

/// What matters of a recipe.
#[derive(Deserialize)]
struct Recipe {
    network: Vec<Value>,
    #[serde(default)]
    output: Output,
}

#[derive(Default, Deserialize)]
struct Output {
    #[serde(default)]
    average: Vec<View>,
}

/// Writes `model.py` and the weights into `dir` and returns the files.
///
/// # Errors
/// [`Error::Usage`] for a version without a recipe, or a layer that is not known; [`Error::Zoo`] for a damaged file.
pub fn torch(version: &VersionDir, dir: &Path) -> Result<Vec<PathBuf>> {
    let manifest = &version.manifest;
    let model = format!("{}@{}", manifest.name, manifest.version);
    if manifest.recipe_sha256().is_none() {
        return Err(Error::Usage(format!("{model}: has no recipe, of whose layers a module could be made")));
    }
    let path = version.path.join("recipe.yaml");
    let text = String::from_utf8_lossy(&version.read("recipe.yaml")?).into_owned();
    let recipe: Recipe = yaml::parse(&text, &path)?;
    let weights = version.read(WEIGHTS)?;
    let tensors =
        SafeTensors::deserialize(&weights).map_err(|e| Error::Usage(format!("{model}: {WEIGHTS}: {e}")))?;
    let shapes = tensors.tensors().into_iter().map(|(name, view)| (name, view.shape().to_vec())).collect();
    let shape = manifest.image_shape();
    let input = vec![shape.channels, shape.height, shape.width];
    let mut modules = Modules { shapes, lines: Vec::new(), model: &model };
    let mut forward = Vec::new();
    modules.chain(&recipe.network, "", input, 0, &mut forward)?;
    // A dataset of that name may be another one by now: the graph has what the network was trained with.
    let outline = infer::outline(&version.read(ONNX)?)
        .map_err(|problem| Error::Usage(format!("{model}: {ONNX}: {problem}")))?;
    let constant = |name: &str| {
        let constant = outline.constants.get(name).and_then(|constant| constant.values.as_deref());
        constant
            .filter(|values| values.len() == shape.channels && values.iter().all(|value| value.is_finite()))
            .ok_or_else(|| {
                let expected = format!("{} numbers, what bytes are normalised with", shape.channels);
                Error::Usage(format!("{model}: {ONNX}: constant {name}: expected {expected}"))
            })
    };
    let python = Module {
        manifest,
        normalisation: [constant("scale.constant")?, constant("shift.constant")?],
        views: &recipe.output.average,
        layers: &modules.lines,
        forward: &forward,
    };
    folder::write(dir, &[(WEIGHTS, weights), ("model.py", python.text().into_bytes())], &[])
}

/// What `__init__` sets up.
struct Modules<'a> {
    /// Of every tensor of the weights.
    shapes: BTreeMap<String, Vec<usize>>,
    lines: Vec<String>,
    /// For errors.
    model: &'a str,
}

impl Modules<'_> {
    /// Layers one after the other, from a shape without the batch; returns the shape that comes out.
    fn chain(
        &mut self,
        layers: &[Value],
        prefix: &str,
        mut shape: Vec<usize>,
        depth: usize,
        forward: &mut Vec<String>,
    ) -> Result<Vec<usize>> {
        if depth > DEEPEST {
            return Err(self.refuse("blocks within blocks", &DEEPEST.to_string()));
        }
        let mut counts: BTreeMap<String, usize> = BTreeMap::new();
        for (index, layer) in layers.iter().enumerate() {
            let (kind, fields) = self.parts(layer)?;
            let behind = layers.len() - index - 1;
            if kind == "softmax" && (depth, behind) != (0, 0)
                || kind == "ensemble" && (depth, behind) != (0, 1)
            {
                return Err(self.refuse(&format!("{prefix}{kind}"), "a layer where no trainer has it"));
            }
            let stem = kind.strip_suffix("2d").unwrap_or(kind).to_owned();
            let count = counts.entry(stem.clone()).or_default();
            *count += 1;
            let name = format!("{prefix}{stem}{count}");
            shape = self.layer(kind, &fields, &name, shape, depth, forward)?;
        }
        Ok(shape)
    }

    /// Kind and fields.
    fn parts<'v>(&self, layer: &'v Value) -> Result<(&'v str, Cow<'v, Map<String, Value>>)> {
        match layer {
            Value::String(kind) => Ok((kind, Cow::Owned(Map::new()))),
            Value::Object(map) if map.len() == 1 => {
                let (kind, fields) = map.iter().next().expect("there is one");
                Ok((kind, fields.as_object().map_or_else(|| Cow::Owned(Map::new()), Cow::Borrowed)))
            }
            other => Err(self.refuse("layer", &other.to_string())),
        }
    }

    fn refuse(&self, what: &str, found: &str) -> Error {
        Error::Usage(format!(
            "{}: recipe.yaml: {what}: {found}, which cannot be written as PyTorch",
            self.model
        ))
    }

    /// The shape of a tensor of the weights, with so many dimensions.
    fn shape_of<const RANK: usize>(&self, name: &str) -> Result<[usize; RANK]> {
        let shape =
            self.shapes.get(name).ok_or_else(|| self.refuse("weights", &format!("no tensor {name}")))?;
        let expected =
            || self.refuse("weights", &format!("{name} of shape {shape:?}, expected {RANK} dimensions"));
        shape.as_slice().try_into().map_err(|_| expected())
    }

    /// Adds a layer, and returns the shape that it gives.
    fn layer(
        &mut self,
        kind: &str,
        fields: &Map<String, Value>,
        name: &str,
        shape: Vec<usize>,
        depth: usize,
        forward: &mut Vec<String>,
    ) -> Result<Vec<usize>> {
        let number =
            |field: &str, or: usize| fields.get(field).and_then(Value::as_u64).map_or(or, |n| n as usize);
        let mut function = |call: &str| forward.push(format!("x = {call}  # {name}"));
        let image = |window: &Window| window.image(&shape);
        if let Some((field, value)) = window::impossible(kind, fields) {
            return Err(self.refuse(&format!("{name}: {field}"), &value.to_string()));
        }
        if ["conv2d", "global_avg_pool", "global_max_pool"].contains(&kind) && shape.len() != 3 {
            return Err(self.refuse(name, &format!("{kind} of {shape:?}, which is no image")));
        }
        match kind {
            "relu" => function("F.relu(x)"),
            "leaky_relu" => function("F.leaky_relu(x)"),
            "elu" => function("F.elu(x)"),
            "gelu" => function("F.gelu(x)"),
            "silu" => function("F.silu(x)"),
            "hard_swish" => function("F.hardswish(x)"),
            "tanh" => function("torch.tanh(x)"),
            "sigmoid" => function("torch.sigmoid(x)"),
            // Its place is at the end, with the temperature.
            "softmax" => {}
            "flatten" => {
                function("x.flatten(1)");
                return Ok(vec![shape.iter().product()]);
            }
            "global_avg_pool" => {
                function("x.mean(dim=(2, 3))");
                return Ok(shape[..1].to_vec());
            }
            "global_max_pool" => {
                function("x.amax(dim=(2, 3))");
                return Ok(shape[..1].to_vec());
            }
            "max_pool" | "avg_pool" => {
                let window =
                    Window::pool(number("kernel_size", 1), number("stride", 1), number("padding", 0));
                let Window { kernel: [kernel, _], strides: [stride, _], padding: [[padding, _], _], .. } =
                    window;
                let (call, rest) = match kind {
                    "max_pool" => ("max_pool2d", ""),
                    _ => ("avg_pool2d", ", count_include_pad=False"),
                };
                function(&format!("F.{call}(x, {kernel}, {stride}, {padding}{rest})"));
                return image(&window);
            }
            "dropout" => {
                let rate = fields.get("rate").map_or_else(|| "0.5".into(), Value::to_string);
                function(&format!("F.dropout(x, {rate}, self.training)"));
            }
            "dense" => {
                let [features, inputs] = self.shape_of(&format!("{name}.weight"))?;
                let bias = no_bias(self.shapes.contains_key(&format!("{name}.bias")));
                self.add(name, &format!("nn.Linear({inputs}, {features}{bias})"), forward);
                return Ok(vec![features]);
            }
            "batch_norm" => {
                let [channels] = self.shape_of(&format!("{name}.weight"))?;
                let dimensions = if shape.len() == 3 { "2d" } else { "1d" };
                self.add(name, &format!("nn.BatchNorm{dimensions}({channels})"), forward);
            }
            "layer_norm" => self.add(name, &format!("nn.LayerNorm({shape:?})"), forward),
            "conv2d" => {
                let window = Window::convolution(fields, &shape, number("stride", 1));
                return self.convolution(name, &window, number("groups", 1), &shape, forward);
            }
            "residual" => return self.residual(fields, name, shape, depth, forward),
            "ensemble" => return self.ensemble(fields, name, &shape, depth, forward),
            other => return Err(self.refuse("layer", other)),
        }
        Ok(shape)
    }

    /// A layer with weights.
    fn add(&mut self, name: &str, module: &str, forward: &mut Vec<String>) {
        self.lines.push(format!("self.{name} = {module}"));
        forward.push(format!("x = self.{name}(x)"));
    }

    fn convolution(
        &mut self,
        name: &str,
        window: &Window,
        groups: usize,
        shape: &[usize],
        forward: &mut Vec<String>,
    ) -> Result<Vec<usize>> {
        let [features, _, rows, columns] = self.shape_of(&format!("{name}.weight"))?;
        let bias = self.shapes.contains_key(&format!("{name}.bias"));
        let [[top, bottom], [left, right]] = window.padding;
        let mut options = String::new();
        if window.strides != [1, 1] {
            options += &match window.strides {
                [down, across] if down == across => format!(", stride={down}"),
                [down, across] => format!(", stride=({down}, {across})"),
            };
        }
        if window.dilation != 1 {
            options += &format!(", dilation={}", window.dilation);
        }
        if groups != 1 {
            options += &format!(", groups={groups}");
        }
        // PyTorch pads both sides alike; an odd pixel is padded before.
        if top == bottom && left == right {
            if (top, left) != (0, 0) {
                options += &format!(", padding=({top}, {left})");
            }
        } else {
            forward.push(format!("x = F.pad(x, ({left}, {right}, {top}, {bottom}))"));
        }
        let channels = shape[0];
        let no_bias = no_bias(bias);
        let module = format!("nn.Conv2d({channels}, {features}, ({rows}, {columns}){options}{no_bias})");
        self.add(name, &module, forward);
        let mut output = window.image(shape)?;
        output[0] = features;
        Ok(output)
    }
}

fn no_bias(bias: bool) -> &'static str {
    if bias { "" } else { ", bias=False" }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a recipe that the trainer never saw is refused for.
    #[test]
    fn impossible_layers_are_refused() {
        let shapes =
            [("dense1.weight", vec![7]), ("conv1.weight", vec![8, 1, 3]), ("conv2.weight", vec![8, 1, 3, 3])];
        let shapes: BTreeMap<String, Vec<usize>> =
            shapes.into_iter().map(|(name, shape)| (name.to_owned(), shape)).collect();
        let conv = |fields: &str| format!("- conv2d: {{features: 8, kernel_size: 3, {fields}}}");
        for (recipe, expected) in [
            ("- dense: {features: 7}".to_owned(), "expected 2 dimensions"),
            (conv("stride: 1"), "expected 4 dimensions"),
            (conv("stride: 0, padding: same"), "stride: 0"),
            (conv("dilation: 0"), "dilation: 0"),
            (conv("padding: -1"), "padding: -1"),
            (conv("padding: 1.5"), "padding: 1.5"),
            (conv("padding: [1, 2]"), "padding: [1,2]"),
            (conv("padding: circular"), "padding: \"circular\""),
            (conv("stride: two"), "stride: \"two\""),
            ("- max_pool: {kernel_size: -2, stride: 2}".to_owned(), "kernel_size: -2"),
            (conv("padding: 18446744073709551615"), "padding: 18446744073709551615"),
            (conv("groups: 5000"), "groups: 5000"),
            (format!("- flatten\n{}", conv("stride: 1")), "which is no image"),
            ("- flatten\n- global_avg_pool".to_owned(), "which is no image"),
            ("- flatten\n- max_pool: {kernel_size: 2, stride: 2}".to_owned(), "which is no image"),
            ("- max_pool: {kernel_size: 2, stride: 0}".to_owned(), "stride: 0"),
            ("- batch_norm".to_owned(), "no tensor"),
            ("- residual: {body: [flatten]}".to_owned(), "residual1"),
            ("- ensemble: {members: []}\n- softmax".to_owned(), "ensemble1: 0 members"),
            (
                "- ensemble: {members: [[relu], [relu]]}\n- softmax".to_owned(),
                "members that give [[1, 28, 28]",
            ),
            (
                "- ensemble: {members: [[relu], [flatten]]}\n- softmax".to_owned(),
                "members that give [[1, 28, 28]",
            ),
            ("- ensemble: {members: [relu, relu]}\n- softmax".to_owned(), "ensemble1.member1: \"relu\""),
            ("- ensemble: {members: [[relu]]}\n- softmax".to_owned(), "1 members, expected 2 to 32"),
            (
                "- ensemble: {members: [[flatten], [flatten]]}\n- relu\n- softmax".to_owned(),
                "ensemble: a layer where",
            ),
            (
                "- ensemble: {members: [[flatten, softmax], [flatten]]}\n- softmax".to_owned(),
                "member1.softmax: a layer where",
            ),
        ] {
            let layers: Vec<Value> = yaml::parse(&recipe, Path::new("recipe.yaml")).expect("YAML");
            let mut modules = Modules { shapes: shapes.clone(), lines: Vec::new(), model: "x@1" };
            let refused = modules.chain(&layers, "", vec![1, 28, 28], 0, &mut Vec::new());
            let said = refused.expect_err(&recipe).to_string();
            assert!(said.contains(expected), "{recipe}: {said}");
        }
    }
}
