//! Windows that slide over images, as recipes describe them.

use serde_json::{Map, Value};

use crate::error::{Error, Result};

/// Largest kernel, stride, padding: that of an image's side.
const LARGEST: u64 = 4096;

/// The first of a layer's numbers that no window has: recipes of others were not checked by the trainer.
pub(super) fn impossible<'a>(
    kind: &str,
    fields: &'a Map<String, Value>,
) -> Option<(&'static str, &'a Value)> {
    let numbers = [("kernel_size", 1), ("stride", 1), ("groups", 1), ("dilation", 1), ("padding", 0)];
    numbers.into_iter().find_map(|(field, least)| {
        let is_known = |value: &Value| match value {
            Value::String(word) => {
                kind == "conv2d" && field == "padding" && ["same", "valid"].contains(&word.as_str())
            }
            value => value.as_u64().is_some_and(|number| (least..=LARGEST).contains(&number)),
        };
        fields.get(field).filter(|value| !is_known(value)).map(|value| (field, value))
    })
}

/// A sliding window, as in a recipe.
pub(super) struct Window {
    pub(super) kernel: [usize; 2],
    pub(super) strides: [usize; 2],
    pub(super) dilation: usize,
    /// `[[top, bottom], [left, right]]`.
    pub(super) padding: [[usize; 2]; 2],
}

impl Window {
    pub(super) fn pool(kernel: usize, stride: usize, padding: usize) -> Window {
        Window { kernel: [kernel; 2], strides: [stride; 2], dilation: 1, padding: [[padding; 2]; 2] }
    }

    pub(super) fn convolution(fields: &Map<String, Value>, shape: &[usize], stride: usize) -> Window {
        let number = |field: &str| fields.get(field).and_then(Value::as_u64).map_or(1, |n| n as usize);
        let (kernel, dilation) = (number("kernel_size"), number("dilation"));
        let span = (kernel.max(1) - 1) * dilation + 1;
        let amounts = |length: usize| match fields.get("padding") {
            Some(Value::String(word)) if word == "same" => {
                let total = ((length.div_ceil(stride).max(1) - 1) * stride + span).saturating_sub(length);
                [total / 2, total - total / 2]
            }
            Some(Value::Number(pixels)) => [pixels.as_u64().unwrap_or(0) as usize; 2],
            _ => [0, 0],
        };
        let padding = [amounts(shape[1]), amounts(shape[2])];
        Window { kernel: [kernel; 2], strides: [stride; 2], dilation, padding }
    }

    /// The shape of what comes out, with the channels that go in.
    pub(super) fn image(&self, shape: &[usize]) -> Result<Vec<usize>> {
        let &[channels, height, width] = shape else {
            return Err(Error::Usage(format!("recipe.yaml: a window over {shape:?}, which is no image")));
        };
        let length = |length: usize, side: usize| {
            let span = (self.kernel[side].max(1) - 1) * self.dilation + 1;
            let padded = length + self.padding[side][0] + self.padding[side][1];
            padded.saturating_sub(span) / self.strides[side].max(1) + 1
        };
        Ok(vec![channels, length(height, 0), length(width, 1)])
    }
}
