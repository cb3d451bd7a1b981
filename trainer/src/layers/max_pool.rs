//! `max_pool`.

use serde::{Deserialize, Serialize};
use tch::Tensor;

use super::kind::{Context, LayerKind, Pass, Placement, ReceptiveField};
use super::window::Window;
use crate::error::Result;
use crate::onnx::graph::{Affine, Graph};

/// Maximum over windows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MaxPool {
    /// Rows and columns of the window.
    #[schemars(range(min = 1, max = 1024))]
    pub kernel_size: usize,
    /// Step, in pixels.
    #[schemars(range(min = 1, max = 65536))]
    pub stride: usize,
    /// Pixels on every side, at most half the window.
    #[serde(default)]
    #[schemars(range(max = 512))]
    pub padding: usize,
}

impl MaxPool {
    fn window(&self) -> Window {
        Window::square(self.kernel_size, self.stride, self.padding)
    }
}

impl LayerKind for MaxPool {
    fn place(&self, context: &Context) -> Result<Placement> {
        self.window().place_pool(context)
    }

    fn forward(&self, _: &Placement, x: &Tensor, _: &Pass<'_>) -> Tensor {
        let window = self.window();
        let [height, width] = window.kernel.map(|length| length as i64);
        let [[top, _], [left, _]] = window.padding.map(|sides| sides.map(|pixels| pixels as i64));
        x.max_pool2d([height, width], window.stride(), [top, left], [1, 1], false)
    }

    fn export(&self, placement: &Placement, x: &str, _: Option<&Affine>, graph: &mut Graph) -> String {
        self.window().export_pool("MaxPool", placement, x, graph)
    }

    fn receptive_field(&self, _: &Placement, before: ReceptiveField) -> ReceptiveField {
        before.after_window([self.kernel_size; 2], [self.stride; 2])
    }

    fn is_max_pool(&self) -> bool {
        true
    }

    fn halves(&self) -> bool {
        (self.kernel_size, self.stride, self.padding) == (2, 2, 0)
    }
}
