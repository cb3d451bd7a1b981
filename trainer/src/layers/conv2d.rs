//! `conv2d`.

use kernels::TrainedConv;
use serde::{Deserialize, Serialize};
use tch::Tensor;

use super::kind::{Context, LayerKind, Pass, Placement, ReceptiveField};
use super::linear;
use super::padding::Padding;
use super::shape::Shape;
use super::window::{MAX_WINDOW, Window};
use crate::arithmetic::tape::Recorded;
use crate::arithmetic::{Arithmetic, convolution};
use crate::error::Result;
use crate::onnx::graph::{Affine, Graph};
use crate::onnx::value::{int, ints};

/// 2-D convolution (cross-correlation, as everywhere in deep learning): `[C, H, W]` to
/// `[features, H', W']`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Conv2d {
    /// Output channels.
    #[schemars(range(min = 1, max = 65536))]
    pub features: usize,
    /// Rows and columns of the kernel.
    #[schemars(range(min = 1, max = 1024))]
    pub kernel_size: usize,
    /// Step, in pixels.
    #[serde(default = "one")]
    #[schemars(range(min = 1, max = 65536))]
    pub stride: usize,
    /// `valid` (none), `same`, or pixels on every side.
    #[serde(default)]
    pub padding: Padding,
    /// Whether a learnt bias is added.
    #[serde(default = "yes")]
    pub bias: bool,
    /// Divides channels and features into groups that do not see each other; as many as there are
    /// channels is a depthwise convolution.
    #[serde(default = "one", skip_serializing_if = "is_one")]
    #[schemars(range(min = 1, max = 65536))]
    pub groups: usize,
    /// Distance between neighbouring taps of the kernel, in pixels.
    #[serde(default = "one", skip_serializing_if = "is_one")]
    #[schemars(range(min = 1, max = 1024))]
    pub dilation: usize,
}

fn one() -> usize {
    1
}

// Recipes made from older ones keep their text, and so their hash.
fn is_one(value: &usize) -> bool {
    *value == 1
}

fn yes() -> bool {
    true
}

/// A convolution whose strides may differ between rows and columns: what the shortcut of a residual
/// block may need, and a recipe's layer never does.
#[derive(Debug, Clone)]
pub(crate) struct Convolution {
    pub(crate) features: usize,
    pub(crate) kernel_size: usize,
    pub(crate) strides: [usize; 2],
    pub(crate) padding: Padding,
    pub(crate) bias: bool,
    pub(crate) groups: usize,
    pub(crate) dilation: usize,
}

impl Conv2d {
    fn convolution(&self) -> Convolution {
        let Conv2d { features, kernel_size, stride, padding, bias, groups, dilation } = *self;
        Convolution { features, kernel_size, strides: [stride; 2], padding, bias, groups, dilation }
    }
}

impl LayerKind for Conv2d {
    fn place(&self, context: &Context) -> Result<Placement> {
        self.convolution().place(context)
    }

    fn forward(&self, placement: &Placement, x: &Tensor, pass: &Pass<'_>) -> Tensor {
        self.convolution().forward(placement, x, pass)
    }

    fn forward_pooled(&self, placement: &Placement, x: &Tensor, pass: &Pass<'_>) -> Option<Tensor> {
        self.convolution().ours(placement, x, pass, true)
    }

    fn export(&self, placement: &Placement, x: &str, folded: Option<&Affine>, graph: &mut Graph) -> String {
        self.convolution().export(placement, x, folded, graph)
    }

    fn receptive_field(&self, placement: &Placement, before: ReceptiveField) -> ReceptiveField {
        let window = self.convolution().window(placement.input);
        before.after_window(window.span(), window.strides)
    }

    fn is_linear(&self) -> bool {
        true
    }
}

impl Convolution {
    /// The window over an input; padding is worked out here and nowhere else.
    fn window(&self, input: Shape) -> Window {
        let mut window =
            Window { kernel: [self.kernel_size; 2], strides: self.strides, dilation: self.dilation, padding: [[0; 2]; 2] };
        if let Shape::Image { height, width, .. } = input {
            let span = window.span();
            let amounts = |axis: usize, length| self.padding.amounts(length, span[axis], self.strides[axis]);
            window.padding = [amounts(0, height), amounts(1, width)];
        }
        window
    }

    pub(crate) fn place(&self, context: &Context) -> Result<Placement> {
        let [channels, ..] = context.image()?;
        context.positive("features", self.features)?;
        context.positive("kernel_size", self.kernel_size)?;
        context.positive("dilation", self.dilation)?;
        for (field, value) in [("kernel_size", self.kernel_size), ("dilation", self.dilation)] {
            if value > MAX_WINDOW {
                return Err(context.refuse(format!("{field} {value}: expected at most {MAX_WINDOW}")));
            }
        }
        context.positive("groups", self.groups)?;
        for (what, count) in [("channels", channels), ("features", self.features)] {
            if !count.is_multiple_of(self.groups) {
                return Err(context.refuse(format!("groups {}: expected a divisor of the {count} {what}", self.groups)));
            }
        }
        self.strides.iter().try_for_each(|&stride| context.positive("stride", stride))?;
        let [height, width] = self.window(context.input).output(context)?;
        context.check_size(&[self.features, height, width])?;
        let weight = vec![self.features, channels / self.groups, self.kernel_size, self.kernel_size];
        context.check_size(&weight)?;
        let fan_in = channels / self.groups * self.kernel_size * self.kernel_size;
        let output = Shape::Image { channels: self.features, height, width };
        let placed = context.placed(output).linear(weight, fan_in, self.bias);
        Ok(Placement { macs: output.numel() as u64 * fan_in as u64, ..placed })
    }

    pub(crate) fn forward(&self, placement: &Placement, x: &Tensor, pass: &Pass<'_>) -> Tensor {
        if let Some(y) = self.ours(placement, x, pass, false) {
            return y;
        }
        let (weight, bias) = (pass.tensor(placement, 0), self.bias.then(|| pass.tensor(placement, 1)));
        let window = self.window(placement.input);
        let dilation = [self.dilation as i64; 2];
        let convolve = |x: &Tensor, padding: [i64; 2]| {
            x.conv2d(weight, bias, window.stride(), padding, dilation, self.groups as i64)
        };
        match window.even_padding() {
            Some(padding) => convolve(x, padding),
            None => {
                let [[top, bottom], [left, right]] = window.padding;
                let padded = x.constant_pad_nd([left, right, top, bottom].map(|pixels| pixels as i64));
                convolve(&padded, [0, 0])
            }
        }
    }

    /// By our own kernels, with ReLU and max-pooling after it or without, if there is one for it.
    fn ours(&self, placement: &Placement, x: &Tensor, pass: &Pass<'_>, is_pooled: bool) -> Option<Tensor> {
        let (Arithmetic::Portable { convolutions: true }, 1) = (pass.arithmetic, self.groups) else {
            return None;
        };
        let Shape::Image { channels, height, width } = placement.input else { return None };
        let Window { kernel, strides, dilation, padding } = self.window(placement.input);
        let window = kernels::Window { kernel, strides, dilations: [dilation; 2], padding };
        let layer = TrainedConv::new(window, [height, width, channels], self.features, is_pooled)?;
        if x.requires_grad() && !layer.has_input_slopes() {
            return None;
        }
        let (weight, bias) = (pass.tensor(placement, 0), self.bias.then(|| pass.tensor(placement, 1)));
        let (output, convolved) = convolution::forward(layer, x, weight, bias);
        let Some(tape) = pass.tape else { return Some(output) };
        let convolved = Recorded::Convolution(placement.slots(self.bias), Box::new(convolved));
        Some(tape.record(x, output, convolved))
    }

    pub(crate) fn export(
        &self,
        placement: &Placement,
        x: &str,
        folded: Option<&Affine>,
        graph: &mut Graph,
    ) -> String {
        let window = self.window(placement.input);
        let mut attributes = vec![
            ints("kernel_shape", window.kernel),
            ints("pads", window.pads()),
            ints("strides", window.strides),
        ];
        // Only where they say something: networks without them keep their bytes.
        if self.dilation != 1 {
            attributes.push(ints("dilations", [self.dilation; 2]));
        }
        if self.groups != 1 {
            attributes.push(int("group", self.groups as i64));
        }
        linear::export("Conv", placement, x, folded, attributes, graph)
    }
}
