//! The text of `model.py`.

use serde::Deserialize;
use zoo::Manifest;

use super::WEIGHTS;

/// A view of the image, besides itself, over which the logits are averaged: `average` of a recipe's output.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum View {
    Mirrored,
    Up,
    Down,
    Left,
    Right,
}

impl View {
    /// As PyTorch makes it of bytes: black comes in where a move leaves nothing.
    fn python(self) -> &'static str {
        match self {
            View::Mirrored => "images.flip(3)",
            View::Up => "F.pad(images, (0, 0, -1, 1))",
            View::Down => "F.pad(images, (0, 0, 1, -1))",
            View::Left => "F.pad(images, (-1, 1, 0, 0))",
            View::Right => "F.pad(images, (1, -1, 0, 0))",
        }
    }
}

/// What the file says.
pub(super) struct Module<'a> {
    pub(super) manifest: &'a Manifest,
    /// What a byte of each channel is multiplied with, and what is added then.
    pub(super) normalisation: [&'a [f32]; 2],
    pub(super) views: &'a [View],
    /// What `__init__` sets up.
    pub(super) layers: &'a [String],
    /// From `x` to the logits.
    pub(super) forward: &'a [String],
}

impl Module<'_> {
    /// `forward`'s last lines.
    fn answer(&self) -> String {
        let temperature = self.manifest.confidence.as_ref().map_or(1.0, |confidence| confidence.temperature);
        let (divided, why) = match temperature {
            1.0 => (String::new(), ""),
            _ => (format!(" / {temperature:?}"), "  # the temperature of its calibration"),
        };
        if self.views.is_empty() {
            return format!("        return torch.softmax(self.logits(images){divided}, dim=1){why}\n");
        }
        let views: Vec<&str> = self.views.iter().map(|view| view.python()).collect();
        format!(
            "        views = [images, {}]\n\
             \x20       x = sum(self.logits(view) for view in views) / len(views)\n\
             \x20       return torch.softmax(x{divided}, dim=1){why}\n",
            views.join(", ")
        )
    }

    pub(super) fn text(&self) -> String {
        let indented =
            |lines: &[String]| lines.iter().map(|line| format!("        {line}\n")).collect::<String>();
        let list = |values: &[f32]| values.iter().map(f32::to_string).collect::<Vec<_>>().join(", ");
        let (name, version) = (&self.manifest.name, self.manifest.version);
        let labels = serde_json::to_string(&self.manifest.labels)
            .expect("texts are JSON, and JSON's texts are Python's");
        let [scale, shift] = self.normalisation.map(list);
        format!(
            "\"\"\"{name} {version}, as published: the probabilities of its model.onnx.\n\n\
             model = load(\"{WEIGHTS}\")\n\
             probabilities = model(images)  # uint8 [N, C, H, W]\n\
             \"\"\"\n\n\
             import torch\n\
             from safetensors.torch import load_file\n\
             from torch import nn\n\
             from torch.nn import functional as F\n\n\
             LABELS = {labels}\n\
             # Bytes of the training images become numbers of mean 0 and standard deviation 1.\n\
             SCALE = torch.tensor([{scale}]).view(1, -1, 1, 1)\n\
             SHIFT = torch.tensor([{shift}]).view(1, -1, 1, 1)\n\n\n\
             class Model(nn.Module):\n\
             \x20   def __init__(self):\n\
             \x20       super().__init__()\n\
             {layers}\n\
             \x20   def logits(self, images):\n\
             \x20       x = images.float() * SCALE.to(images.device) + SHIFT.to(images.device)\n\
             {forward}\
             \x20       return x\n\n\
             \x20   def forward(self, images):\n\
             {answer}\n\n\
             def load(path=\"{WEIGHTS}\"):\n\
             \x20   model = Model()\n\
             \x20   missing = {{name for name in model.state_dict() if name.endswith(\"num_batches_tracked\")}}\n\
             \x20   counters = {{name: torch.tensor(0) for name in missing}}\n\
             \x20   model.load_state_dict(load_file(path) | counters, strict=True)\n\
             \x20   return model.eval()\n",
            layers = indented(self.layers),
            forward = indented(self.forward),
            answer = self.answer(),
        )
    }
}
