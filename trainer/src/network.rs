//! A recipe's network: the typed layer list is the single source for shapes, parameter names and
//! counts, the forward pass, the ONNX graph and the table.

use datasets::Normalisation;
use tch::{Device, Tensor};

use crate::arithmetic::Arithmetic;
use crate::arithmetic::tape::Tape;
use crate::error::{Error, Result};
use crate::layers::chain::{self, Named};
use crate::layers::kind::{LayerKind, Pass, Placement, ReceptiveField};
use crate::layers::parameter::{ParameterSpec, SlotKind};
use crate::layers::{self, Layer, Mode, Shape};
use crate::normaliser::Normaliser;
use crate::onnx::graph::Graph;
use crate::parameters::Parameters;
use crate::views::View;

/// A network whose shapes have been proved to work.
#[derive(Debug, Clone, PartialEq)]
pub struct Network {
    /// Shape of one input image.
    pub input: Shape,
    /// In order; the last is `softmax`.
    layers: Vec<Layer>,
    /// One for each layer.
    placements: Vec<Placement>,
    /// Every tensor, in state-dict order.
    parameters: Vec<ParameterSpec>,
    /// Whose arithmetic computes it.
    arithmetic: Arithmetic,
    /// Views besides the image itself, over which logits are averaged in evaluation.
    views: Vec<View>,
    /// The normalised value of black in each channel.
    black: Vec<f32>,
}

impl Network {
    /// Infers every shape.
    ///
    /// # Errors
    /// [`Error::Layer`] with the number of the layer, what goes in and what it would need.
    pub fn build(layers: &[Layer], input: Shape, classes: usize) -> Result<Network> {
        let mut placements = chain::place(layers, input, None)?;
        let last = layers.last().zip(placements.last());
        let reaches = last.map_or(input, |(_, placement)| placement.output);
        let refuse = |problem: String| {
            let kind = layers.last().map_or("none", Layer::kind);
            let number = layers.len().to_string();
            Err(Error::Layer { number, kind, input: reaches.to_string(), problem })
        };
        match last {
            Some((Layer::Softmax(_), placement)) if placement.output == Shape::Vector(classes) => {}
            Some((Layer::Softmax(_), _)) => {
                let needs = format!("so [{classes}] must reach the softmax");
                return refuse(format!("the data set has {classes} classes, {needs}"));
            }
            _ => {
                return refuse(format!(
                    "the last layer must be softmax and give [{classes}], one probability per class"
                ));
            }
        }
        if let Some(index) = layers.iter().position(|layer| matches!(layer, Layer::Ensemble(_)))
            && index + 2 != layers.len()
        {
            let (number, input) = ((index + 1).to_string(), placements[index].input.to_string());
            let problem = "an ensemble may only stand right before the softmax".into();
            return Err(Error::Layer { number, kind: layers[index].kind(), input, problem });
        }
        let mut parameters = Vec::new();
        placements.iter_mut().for_each(|placement| number(placement, &mut parameters));
        Ok(Network {
            input,
            layers: layers.to_vec(),
            placements,
            parameters,
            arithmetic: Arithmetic::Libtorch,
            views: Vec::new(),
            black: Vec::new(),
        })
    }

    /// The same network, its logits in evaluation averaged over the image and views of it.
    pub fn averaged(self, views: &[View], normalisation: &Normalisation) -> Network {
        Network { views: views.to_vec(), black: Normaliser::new(normalisation).shift, ..self }
    }

    /// Views besides the image itself, over which logits are averaged in evaluation.
    pub(crate) fn views(&self) -> &[View] {
        &self.views
    }

    /// What the sum of the logits over all views is multiplied with.
    pub(crate) fn share(&self) -> f32 {
        1.0 / (1 + self.views.len()) as f32
    }

    /// The same network, computed by other arithmetic.
    pub(crate) fn with_arithmetic(self, arithmetic: Arithmetic) -> Network {
        Network { arithmetic, ..self }
    }

    /// Whose arithmetic computes it with tensors on `device`: ours works on the CPU.
    pub(crate) fn arithmetic(&self, device: Device) -> Arithmetic {
        if device == Device::Cpu { self.arithmetic } else { Arithmetic::Libtorch }
    }

    /// Shape of the output: `[classes]`.
    pub(crate) fn output(&self) -> Shape {
        self.placements.last().expect("a network has a softmax at least").output
    }

    /// Every tensor, in state-dict order.
    pub(crate) fn parameters(&self) -> &[ParameterSpec] {
        &self.parameters
    }

    /// The layers in their places.
    pub(crate) fn placements(&self) -> &[Placement] {
        &self.placements
    }

    /// The same, the members of an ensemble in its place.
    pub(crate) fn rows(&self) -> Vec<&Placement> {
        let layers = self.layers.iter().zip(&self.placements);
        let rows = layers.flat_map(|(layer, placement)| match layer {
            Layer::Ensemble(_) => placement.body.as_slice(),
            _ => std::slice::from_ref(placement),
        });
        rows.collect()
    }

    /// Number of trainable values.
    pub fn parameter_count(&self) -> usize {
        trainable(&self.parameters)
    }

    /// Multiply-accumulates for one image, in all of its views.
    pub fn macs(&self) -> u64 {
        let once = self.placements.iter().map(|placement| placement.macs).fold(0, u64::saturating_add);
        once.saturating_mul(1 + self.views.len() as u64)
    }

    /// The first layer that has weights: what `first_layer.safetensors` holds.
    pub(crate) fn first_weighted(&self) -> Option<&Placement> {
        let layers = all_layers(&self.layers, &self.placements).into_iter();
        layers.filter(|(layer, _)| layer.is_linear()).map(|(_, placement)| placement).next()
    }

    /// Whether training draws random numbers inside the network.
    pub(crate) fn is_random(&self) -> bool {
        self.layers.iter().any(LayerKind::is_random)
    }

    /// The fewest images that it can be trained on at a time.
    pub(crate) fn smallest_batch(&self) -> usize {
        let layers = self.layers.iter().zip(&self.placements);
        layers.map(|(layer, placement)| layer.smallest_batch(placement)).max().unwrap_or(1)
    }

    /// Its tensors, freshly initialised from `seed`.
    ///
    /// # Errors
    /// [`Error::Torch`] if there is not enough memory.
    pub fn initialise(&self, seed: u64, device: Device) -> Result<Parameters> {
        Parameters::initialise(&self.parameters, seed, device)
    }

    /// How many networks it trains side by side: the members of its ensemble, or one.
    pub(crate) fn members(&self) -> usize {
        layers::members(&self.layers)
    }

    /// Trainable values of the layers before an ensemble, which come first in the buffer.
    pub(crate) fn shared(&self) -> usize {
        let mut layers = self.layers.iter().zip(&self.placements);
        let ensemble = layers.find(|(layer, _)| matches!(layer, Layer::Ensemble(_)));
        ensemble.map_or(0, |(_, placement)| trainable(&self.parameters[..placement.first_parameter]))
    }

    /// Logits `[N, classes]` for normalised images `[N, C, H, W]`; in training, by libtorch alone and with
    /// its gradient, of each member of an ensemble, `[N * members, classes]`.
    pub fn logits(&self, images: &Tensor, parameters: &Parameters, mode: Mode) -> Tensor {
        let arithmetic = match mode {
            Mode::Train => Arithmetic::Libtorch,
            Mode::Evaluate => self.arithmetic(images.device()),
        };
        let pass = Pass { parameters, mode, arithmetic, tape: None };
        let logits = |images: &Tensor| chain::forward(&self.layers, &self.placements, images, &pass);
        if mode == Mode::Train || self.views.is_empty() {
            return logits(images);
        }
        let views = self.views.iter().map(|view| logits(&view.of(images, &self.black)));
        views.fold(logits(images), |sum, logits| sum + logits) * f64::from(self.share())
    }

    /// The same in training and in our arithmetic; the tape has the gradient.
    pub(crate) fn logits_on_tape(&self, images: &Tensor, parameters: &Parameters, tape: &Tape) -> Tensor {
        let pass = Pass { parameters, mode: Mode::Train, arithmetic: self.arithmetic, tape: Some(tape) };
        chain::forward(&self.layers, &self.placements, images, &pass)
    }

    /// What each layer gives in evaluation, those of an ensemble's members before it, for normalised images `[N, C, H, W]`.
    pub(crate) fn activations(&self, images: &Tensor, parameters: &Parameters) -> Vec<(&Placement, Tensor)> {
        fn collect<'a>(
            layers: &'a [Layer],
            placements: &'a [Placement],
            images: &Tensor,
            pass: &Pass<'_>,
            found: &mut Vec<(&'a Placement, Tensor)>,
        ) {
            let mut value = images.shallow_clone();
            for (layer, placement) in layers.iter().zip(placements) {
                if matches!(layer, Layer::Ensemble(_)) {
                    for (layers, placements) in layer.inner(placement) {
                        collect(layers, placements, &value, pass, found);
                    }
                }
                value = layer.forward(placement, &value, pass);
                found.push((placement, value.shallow_clone()));
            }
        }
        let arithmetic = self.arithmetic(images.device());
        let pass = Pass { parameters, mode: Mode::Evaluate, arithmetic, tape: None };
        let mut found = Vec::new();
        collect(&self.layers, &self.placements, images, &pass, &mut found);
        found
    }

    /// Adds the nodes of all layers but the softmax to a graph, from the value called `x`; returns the name of the logits.
    pub(crate) fn export_logits(&self, x: String, graph: &mut Graph) -> String {
        let before = self.layers.len() - 1;
        chain::export(&self.layers[..before], &self.placements[..before], x, graph)
    }

    /// Adds the softmax.
    pub(crate) fn export_probabilities(&self, logits: String, graph: &mut Graph) -> String {
        let before = self.layers.len() - 1;
        chain::export(&self.layers[before..], &self.placements[before..], logits, graph)
    }

    /// How much of the image a value of each layer depends on; those inside blocks follow
    /// their block.
    pub(crate) fn receptive_fields(&self) -> Vec<(&Placement, ReceptiveField)> {
        fn collect<'a>(
            layers: &'a [Layer],
            placements: &'a [Placement],
            mut field: ReceptiveField,
            fields: &mut Vec<(&'a Placement, ReceptiveField)>,
        ) {
            for (layer, placement) in layers.iter().zip(placements) {
                let before = field;
                field = layer.receptive_field(placement, before);
                fields.push((placement, field));
                for (layers, placements) in layer.inner(placement) {
                    collect(layers, placements, before, fields);
                }
            }
        }
        let image = match self.input {
            Shape::Image { height, width, .. } => [height, width],
            Shape::Vector(_) => [1, 1],
        };
        let mut fields = Vec::new();
        collect(
            &self.layers,
            &self.placements,
            ReceptiveField { size: [1; 2], stride: [1; 2], image },
            &mut fields,
        );
        fields
    }
}

/// Trainable values among tensors.
pub(crate) fn trainable(parameters: &[ParameterSpec]) -> usize {
    parameters.iter().filter(|p| p.kind == SlotKind::Trainable).map(ParameterSpec::numel).sum()
}

/// Tells a layer, and those inside it, where their tensors begin among all of the network's.
fn number(placement: &mut Placement, parameters: &mut Vec<ParameterSpec>) {
    placement.first_parameter = parameters.len();
    parameters.extend(placement.parameters.iter().cloned());
    let inner = placement.body.iter_mut().chain(placement.skip.as_deref_mut());
    inner.for_each(|placement| number(placement, parameters));
}

/// Layers in their places, each block before those inside it.
fn all_layers<'a>(layers: &'a [Layer], placements: &'a [Placement]) -> Vec<(&'a Layer, &'a Placement)> {
    let with_inner = |(layer, placement): (&'a Layer, &'a Placement)| {
        let inner = layer.inner(placement).into_iter();
        let inner = inner.flat_map(|(layers, placements)| all_layers(layers, placements));
        std::iter::once((layer, placement)).chain(inner)
    };
    layers.iter().zip(placements).flat_map(with_inner).collect()
}
