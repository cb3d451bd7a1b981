//! What the convolutions of a network look for, and what they find on an image.

use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use datasets::ImageShape;
use tract_onnx::prelude::*;

use crate::error::{Error, Result};
use crate::network::{Convolutions, problem};
use crate::part::{Plan, first, plan};

/// Runs the convolutions of a network and keeps what each gives.
pub struct Explainer {
    plan: Plan,
    layers: Vec<String>,
    filters: Planes,
    shape: ImageShape,
    path: std::path::PathBuf,
}

/// Planes of equal size: filters of a convolution, or feature maps.
#[derive(Debug, Clone, PartialEq)]
pub struct Planes {
    /// Name of the convolution.
    pub layer: String,
    /// Planes: one for each feature, or for filters one for each feature and channel.
    pub count: usize,
    /// Rows of each.
    pub height: usize,
    /// Columns of each.
    pub width: usize,
    /// `[count, height, width]`.
    pub values: Vec<f32>,
}

impl Explainer {
    /// Loads the convolutions of an ONNX file; `None` if it has none. `path` is only for the error.
    ///
    /// # Errors
    /// [`Error::Model`].
    pub fn load(onnx: impl Into<Bytes>, shape: ImageShape, path: &Path) -> Result<Option<Explainer>> {
        let wrong = |e: TractError| Error::model(path, problem(&e));
        let Some(convolutions) = Convolutions::read(onnx.into(), shape).map_err(wrong)? else {
            return Ok(None);
        };
        let Convolutions { model, names: layers, filters: (dims, values) } = convolutions;
        let layer = layers.first().expect("convolutions were found, so there is a first").clone();
        let &[features, channels, height, width] = dims.as_slice() else {
            return Err(Error::model(
                path,
                format!("filters of {layer}: shape {dims:?}, expected 4 lengths"),
            ));
        };
        let filters = Planes { layer, count: features * channels, height, width, values };
        let plan = plan(model).map_err(wrong)?;
        Ok(Some(Explainer { plan, layers, filters, shape, path: path.to_owned() }))
    }

    /// Weights of the first convolution, a plane for each feature and channel.
    pub fn filters(&self) -> &Planes {
        &self.filters
    }

    /// What each convolution makes of an image `[C, H, W]`, after its activation.
    ///
    /// # Errors
    /// [`Error::Usage`] for a wrong number of pixels, [`Error::Model`] if the network misbehaves.
    pub fn feature_maps(&self, pixels: &[u8]) -> Result<Vec<Planes>> {
        let ImageShape { channels, height, width } = self.shape;
        if pixels.len() != self.shape.numel() {
            let expected = format!("{channels}x{height}x{width}");
            return Err(Error::Usage(format!("{} pixels, expected {expected}", pixels.len())));
        }
        let maps = || -> TractResult<Vec<Planes>> {
            let input = Tensor::from_shape(&[1, channels, height, width], pixels)?;
            let outputs = Arc::clone(&self.plan).run(tvec![input.into()])?;
            self.layers.iter().zip(&outputs).map(|(layer, value)| planes(layer, value)).collect()
        };
        maps().map_err(|e| Error::model(&self.path, problem(&e)))
    }
}

/// `[1, H, W, features]` as a plane for each feature.
fn planes(layer: &str, value: &TValue) -> TractResult<Planes> {
    let shape = value.shape().to_vec();
    let values = first(std::slice::from_ref(value))?;
    let [_, height, width, count] = shape[..] else {
        return Err(TractError::msg(format!("{layer} gives {shape:?}, expected [1, H, W, features]")));
    };
    let plane = |feature: usize| values.iter().copied().skip(feature).step_by(count);
    Ok(Planes { layer: layer.into(), count, height, width, values: (0..count).flat_map(plane).collect() })
}
