//! Bringing an ONNX graph into the zoo's form: raw pixels in, probabilities out, any number of images.

use std::collections::HashSet;

use datasets::ImageShape;
use infer::ADDED;
use tract_onnx::pb::tensor_proto::DataType;
use tract_onnx::pb::{AttributeProto, GraphProto, NodeProto, TensorProto, ValueInfoProto};

use super::ends::{self, Ends};
use super::precision;
use super::proto::{
    constant, described, fixed, float_tensor, free, int_attribute, int64_tensor, int64s, ints_attribute,
    value_info,
};

/// Name of the input, as of every version.
pub(super) const INPUT: &str = "image";
/// Name of the output.
pub(super) const OUTPUT: &str = "probabilities";

/// What a file's pixels are: `(pixel * scale - mean) / std` for each channel.
#[derive(Debug, Clone, PartialEq)]
pub struct Pixels {
    /// Multiplies pixels of 0 to 255.
    pub scale: f64,
    /// Subtracted, for each channel or for all.
    pub mean: Vec<f64>,
    /// Divides, for each channel or for all.
    pub std: Vec<f64>,
}

impl Pixels {
    /// Factor and addend for each channel.
    pub(super) fn affine(&self, channels: usize) -> Result<Vec<(f64, f64)>, String> {
        let of = |values: &[f64], channel: usize, or: f64| match values {
            [] => Some(or),
            [one] => Some(*one),
            several => several.get(channel).copied().filter(|_| several.len() == channels),
        };
        let one = |channel| {
            let (mean, std) = (of(&self.mean, channel, 0.0)?, of(&self.std, channel, 1.0)?);
            let (factor, addend) = (self.scale / std, -mean / std);
            let is_good = factor.is_finite() && addend.is_finite() && factor != 0.0 && std > 0.0;
            is_good.then_some((factor, addend))
        };
        let all: Option<Vec<(f64, f64)>> = (0..channels).map(one).collect();
        all.ok_or_else(|| {
            format!(
                "scale {}, mean {:?}, std {:?}: expected finite numbers, std above 0, one or {channels} of each",
                self.scale, self.mean, self.std
            )
        })
    }
}

/// Where the channels are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layout {
    /// `[N, C, H, W]`, as PyTorch has it.
    ChannelsFirst,
    /// `[N, H, W, C]`, as Keras has it.
    ChannelsLast,
}

/// What a network's output is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Before a softmax.
    Logits,
    /// After a logarithmic softmax.
    LogProbabilities,
    /// After a softmax.
    Probabilities,
}

/// Changes to a graph, and what they are in words.
pub(super) struct Rewriter<'a> {
    pub(super) graph: &'a mut GraphProto,
    pub(super) changes: Vec<String>,
}

impl Rewriter<'_> {
    /// Makes every value that is computed from constants alone by a `Constant` node a constant, so that shapes are found.
    pub(super) fn lift_constants(&mut self) {
        let graph = &mut *self.graph;
        let mut lifted = Vec::new();
        graph.node.retain(|node| match (node.op_type.as_str(), constant(node), node.output.first()) {
            ("Constant", Some(tensor), Some(name)) => {
                lifted.push(TensorProto { name: name.clone(), ..tensor });
                false
            }
            _ => true,
        });
        graph.initializer.extend(lifted);
    }

    /// Leaves out other outputs and what the chosen one does not need, such as the label beside probabilities.
    pub(super) fn keep_only_output(&mut self, output: &str) {
        self.graph.output.retain(|value| value.name == output);
        if self.graph.output.is_empty() {
            // A value within, whose shape follows from the nodes.
            self.graph.output.push(ValueInfoProto { name: output.into(), ..ValueInfoProto::default() });
        }
        match ends::keep_needed(self.graph, output) {
            0 => {}
            left_out => {
                self.changes.push(format!("{left_out} nodes left out, which {output:?} does not need"))
            }
        }
    }

    /// Lets the first length of input, outputs and constant shapes be any number.
    pub(super) fn free_batch(&mut self, ends: &Ends) {
        let Some(&Some(fixed)) = ends.shape.first() else { return };
        let of_images = self.of_images(&ends.input);
        let shapes: Vec<(usize, TensorProto)> = self
            .graph
            .node
            .iter()
            .enumerate()
            .filter(|(_, node)| node.op_type == "Reshape")
            .filter(|(_, node)| node.input.first().is_some_and(|data| of_images.contains(data)))
            .filter_map(|(index, node)| {
                let name = node.input.get(1)?;
                let shape = self.graph.initializer.iter().find(|tensor| tensor.name == *name)?;
                let mut lengths = int64s(shape);
                let is_empty = node.attribute.iter().any(|a| a.name == "allowzero" && a.i != 0);
                if lengths.first() != Some(&(fixed as i64)) || is_empty && lengths.contains(&0) {
                    return None;
                }
                // 0 is the length that goes in, -1 what is left.
                let open = lengths.contains(&-1);
                *lengths.first_mut()? = if open { 0 } else { -1 };
                Some((index, int64_tensor(&format!("{ADDED}shape{index}"), &lengths)))
            })
            .collect();
        for (index, tensor) in shapes {
            if let Some(node) = self.graph.node.get_mut(index) {
                // PyTorch sets it always; with it, 0 would be a length of nothing, and none is that here.
                node.attribute.retain(|attribute| attribute.name != "allowzero");
                if let Some(place) = node.input.get_mut(1) {
                    *place = tensor.name.clone();
                }
            }
            self.graph.initializer.push(tensor);
        }
        self.changes.push(format!("number of images freed, which was {fixed}"));
        // They may hold the old number.
        self.graph.value_info.clear();
    }

    /// Values that depend on the images: a bias may be reshaped as well, and to a length of 1.
    fn of_images(&self, input: &str) -> HashSet<String> {
        let mut found = HashSet::from([input.to_owned()]);
        // Nodes stand behind those whose values they take.
        for node in &self.graph.node {
            if ends::taken(node).iter().any(|name| found.contains(name)) {
                found.extend(node.output.iter().cloned());
            }
        }
        found
    }

    /// Puts pixels of `uint8 [N, C, H, W]` before the old input. Returns the layout that was found.
    pub(super) fn take_pixels(
        &mut self,
        ends: &Ends,
        shape: ImageShape,
        layout: Option<Layout>,
        pixels: Option<&Pixels>,
    ) -> Result<(), String> {
        let ImageShape { channels, height, width } = shape;
        let mut front = Front { nodes: Vec::new(), constants: Vec::new(), at: INPUT.into() };
        match (pixels, ends.element == i32::from(DataType::Uint8)) {
            (Some(_), true) => {
                return Err(format!(
                    "input {:?} is uint8 already; expected no --scale, --mean, --std, --like",
                    ends.input
                ));
            }
            (None, true) => {}
            (None, false) => return Err("what its pixels are is not known".into()),
            (Some(pixels), false) => {
                front.add("Cast", &[], vec![int_attribute("to", i32::from(DataType::Float).into())], "float");
                let affine = pixels.affine(channels)?;
                let factors: Vec<f32> = affine.iter().map(|(factor, _)| *factor as f32).collect();
                let addends: Vec<f32> = affine.iter().map(|(_, addend)| *addend as f32).collect();
                for (operator, name, values, nothing) in
                    [("Mul", "factor", factors, 1.0), ("Add", "addend", addends, 0.0)]
                {
                    if values.iter().any(|value| *value != nothing) {
                        front.constants.push(float_tensor(
                            &format!("{ADDED}{name}"),
                            &[1, channels, 1, 1],
                            &values,
                        ));
                        front.add(
                            operator,
                            &[format!("{ADDED}{name}")],
                            Vec::new(),
                            &format!("{name}.applied"),
                        );
                        self.changes
                            .push(format!("pixels: {} by channel {values:?}", operator.to_lowercase()));
                    }
                }
                if ends.element != i32::from(DataType::Float) {
                    let name = element_that_holds(ends.element, &affine)?;
                    front.add("Cast", &[], vec![int_attribute("to", ends.element.into())], "cast");
                    self.changes.push(format!("cast to {name}"));
                }
            }
        }
        self.arrange(&mut front, ends, [channels, height, width], layout)?;
        // The last node gives the old input.
        match front.nodes.last_mut().and_then(|node| node.output.first_mut()) {
            Some(name) => *name = ends.input.clone(),
            None => front.add_named("Identity", &[], Vec::new(), &ends.input),
        }
        self.graph.input.retain(|input| input.name != ends.input);
        let dims = [free(), fixed(channels), fixed(height), fixed(width)];
        self.graph.input.insert(0, value_info(INPUT, DataType::Uint8, dims.into()));
        // Constants are no inputs any more, which older files list.
        self.graph.input.truncate(1);
        self.graph.initializer.extend(front.constants);
        self.graph.node.splice(0..0, front.nodes);
        Ok(())
    }

    /// From `[N, C, H, W]` to the shape that the file takes.
    fn arrange(
        &mut self,
        front: &mut Front,
        ends: &Ends,
        [channels, height, width]: [usize; 3],
        layout: Option<Layout>,
    ) -> Result<(), String> {
        let is = |expected: &[usize]| {
            let given = ends.shape.get(1..).unwrap_or(&[]);
            given.len() == expected.len()
                && given
                    .iter()
                    .zip(expected)
                    .all(|(given, expected)| given.is_none_or(|given| given == *expected))
        };
        let (first, last) = (is(&[channels, height, width]), is(&[height, width, channels]));
        let flat = channels * height * width;
        match ends.shape.len() {
            4 if first
                && layout != Some(Layout::ChannelsLast)
                && (!last || layout.is_some() || channels == 1) =>
            {
                Ok(())
            }
            4 if last && layout != Some(Layout::ChannelsFirst) && (!first || layout.is_some()) => {
                front.add("Transpose", &[], vec![ints_attribute("perm", &[0, 2, 3, 1])], "channels_last");
                self.changes.push("channels moved last".into());
                Ok(())
            }
            4 if first && last => Err(format!(
                "input {:?} {}: channels first or last? name it with --layout",
                ends.input,
                described(&ends.shape)
            )),
            2 if is(&[flat]) && channels > 1 && layout.is_none() => Err(format!(
                "input {:?} {}: are its channels first or last? name it with --layout",
                ends.input,
                described(&ends.shape)
            )),
            2 if is(&[flat]) => {
                if channels > 1 && layout == Some(Layout::ChannelsLast) {
                    front.add("Transpose", &[], vec![ints_attribute("perm", &[0, 2, 3, 1])], "channels_last");
                    self.changes.push("channels moved last".into());
                }
                front.add("Flatten", &[], vec![int_attribute("axis", 1)], "flat");
                self.changes.push("image flattened".into());
                Ok(())
            }
            3 if channels == 1 && is(&[height, width]) => {
                front
                    .constants
                    .push(int64_tensor(&format!("{ADDED}plane"), &[0, height as i64, width as i64]));
                front.add("Reshape", &[format!("{ADDED}plane")], Vec::new(), "plane_of_image");
                self.changes.push("channel dropped".into());
                Ok(())
            }
            _ => Err(format!(
                "input {:?} {}: expected images of {channels}x{height}x{width}, as the dataset's are{}",
                ends.input,
                described(&ends.shape),
                if layout.is_some() { ", in the order of --layout" } else { "" }
            )),
        }
    }

    /// Lets the old output be probabilities in the order of the dataset's classes.
    pub(super) fn give_probabilities(
        &mut self,
        ends: &Ends,
        kind: Kind,
        order: Option<&[usize]>,
        classes: usize,
        is_flat: bool,
    ) {
        let mut at = ends.output.clone();
        let mut add =
            |operator: &str, extra: Option<String>, attributes: Vec<AttributeProto>, output: &str| {
                let inputs = std::iter::once(at.clone()).chain(extra).collect();
                at = if output == OUTPUT { OUTPUT.into() } else { format!("{ADDED}{output}") };
                let node = NodeProto {
                    name: format!("{ADDED}{output}"),
                    op_type: operator.into(),
                    input: inputs,
                    output: vec![at.clone()],
                    attribute: attributes,
                    ..NodeProto::default()
                };
                self.graph.node.push(node);
            };
        if !is_flat {
            add("Flatten", None, vec![int_attribute("axis", 1)], "flat_output");
        }
        match kind {
            Kind::Logits => add("Softmax", None, vec![int_attribute("axis", 1)], "softmax"),
            Kind::LogProbabilities => add("Exp", None, Vec::new(), "exp"),
            Kind::Probabilities => {}
        }
        if let Some(order) = order {
            let places: Vec<i64> = order.iter().map(|&place| place as i64).collect();
            self.graph.initializer.push(int64_tensor(&format!("{ADDED}order"), &places));
            add("Gather", Some(format!("{ADDED}order")), vec![int_attribute("axis", 1)], "ordered");
            self.changes.push(format!("classes put in the order {order:?}"));
        }
        add("Identity", None, Vec::new(), OUTPUT);
        if !is_flat {
            self.changes.push("output flattened".into());
        }
        match kind {
            Kind::Logits => self.changes.push("softmax added: it gives logits".into()),
            Kind::LogProbabilities => self.changes.push("exp added: it gives log-probabilities".into()),
            Kind::Probabilities => {}
        }
        self.graph.output = vec![value_info(OUTPUT, DataType::Float, vec![free(), fixed(classes)])];
    }
}

/// The name of an element type that holds all pixels, scaled.
fn element_that_holds(element: i32, affine: &[(f64, f64)]) -> Result<String, String> {
    let kind = DataType::try_from(element).map_err(|_| format!("element type {element} of its input"))?;
    let name = precision::name(kind);
    let (least, most) = match kind {
        DataType::Int8 => (-128.0, 127.0),
        DataType::Uint16 => (0.0, 65535.0),
        DataType::Int16 => (-32768.0, 32767.0),
        DataType::Int32 | DataType::Int64 => (f64::from(i32::MIN), f64::from(i32::MAX)),
        DataType::Uint32 | DataType::Uint64 => (0.0, f64::from(u32::MAX)),
        _ => return Err(format!("its input is of {name}, expected numbers")),
    };
    let ends = affine.iter().flat_map(|(factor, addend)| [*addend, 255.0 * factor + addend]);
    // A cast drops what follows the point.
    match ends.clone().find(|value| !(least..=most).contains(&value.trunc())) {
        Some(value) => {
            Err(format!("a pixel would be {value}, and its input is of {name}, {least} to {most}"))
        }
        None => Ok(name),
    }
}

/// Nodes before the old input, one after the other.
struct Front {
    nodes: Vec<NodeProto>,
    constants: Vec<TensorProto>,
    /// The value that the next one takes.
    at: String,
}

impl Front {
    fn add(&mut self, operator: &str, extra: &[String], attributes: Vec<AttributeProto>, output: &str) {
        self.add_named(operator, extra, attributes, &format!("{ADDED}{output}"));
    }

    fn add_named(&mut self, operator: &str, extra: &[String], attributes: Vec<AttributeProto>, output: &str) {
        let input = std::iter::once(self.at.clone()).chain(extra.iter().cloned()).collect();
        self.nodes.push(NodeProto {
            name: format!("{ADDED}{}", operator.to_lowercase()) + &self.nodes.len().to_string(),
            op_type: operator.into(),
            input,
            output: vec![output.into()],
            attribute: attributes,
            ..NodeProto::default()
        });
        self.at = output.into();
    }
}
