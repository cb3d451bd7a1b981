//! The small networks whose results make up the fingerprint of the operators.

use datasets::ImageShape;

/// Classes of every probe.
pub(super) const CLASSES: usize = 10;
/// Images of a step: as many as libtorch needs to compute a convolution by oneDNN.
pub(super) const IMAGES: usize = 32;

/// A network around one operator.
pub(super) struct Probe {
    /// Kind of the operator, and what is special about this probe.
    pub(super) name: &'static str,
    /// Shape of its images.
    pub(super) input: ImageShape,
    /// Layers before the operator, so that a gradient goes through it.
    before: &'static str,
    /// The operator.
    layer: &'static str,
    /// Layers from there to the logits.
    after: &'static str,
    /// What takes the steps.
    pub(super) optimizer: &'static str,
}

impl Probe {
    /// Kind of the operator: a layer's or optimizer's name in a recipe.
    pub(super) fn kind(&self) -> &'static str {
        self.name.split(' ').next().unwrap_or(self.name)
    }

    /// Its network as YAML.
    pub(super) fn layers(&self) -> String {
        // An ensemble's members end in logits of their own.
        let logits = if self.kind() == "ensemble" { "" } else { "dense: {features: 10}" };
        let layers = [self.before, self.layer, self.after, logits, "softmax"];
        layers
            .iter()
            .flat_map(|part| part.split("; "))
            .filter(|layer| !layer.is_empty())
            .fold(String::new(), |text, layer| format!("{text}- {layer}\n"))
    }
}

const fn image(channels: usize, side: usize) -> ImageShape {
    ImageShape { channels, height: side, width: side }
}

/// A layer in the middle of a network: on 16 channels, and on vectors of 40.
const fn inner(name: &'static str, layer: &'static str, after: &'static str) -> Probe {
    let before = "conv2d: {features: 16, kernel_size: 3}";
    Probe { name, input: image(3, 14), before, layer, after, optimizer: "adam" }
}

const fn on_vectors(name: &'static str, layer: &'static str) -> Probe {
    Probe {
        name,
        input: image(1, 8),
        before: "flatten; dense: {features: 40}",
        layer,
        after: "",
        optimizer: "adam",
    }
}

/// A convolution as the first layer, of so many channels.
const fn first(name: &'static str, input: ImageShape, layer: &'static str) -> Probe {
    Probe { name, input, before: "", layer, after: "relu; flatten", optimizer: "adam" }
}

const fn optimizer(name: &'static str, optimizer: &'static str) -> Probe {
    let before = "conv2d: {features: 8, kernel_size: 3}; relu; flatten";
    Probe { name, input: image(1, 8), before, layer: "dense: {features: 24}", after: "relu", optimizer }
}

/// All of them. What one gives is committed under its name: what is changed gets a new one.
pub(super) const PROBES: &[Probe] = &[
    first("conv2d 5x5 of an image", image(1, 28), "conv2d: {features: 32, kernel_size: 5}"),
    first(
        "conv2d 3x3 of a colour image",
        image(3, 16),
        "conv2d: {features: 16, kernel_size: 3, padding: same}",
    ),
    first(
        "conv2d 5x5 stride 2",
        image(1, 28),
        "conv2d: {features: 16, kernel_size: 5, stride: 2, bias: false}",
    ),
    inner("conv2d 5x5", "conv2d: {features: 64, kernel_size: 5}", "flatten"),
    inner("conv2d 3x3", "conv2d: {features: 48, kernel_size: 3, padding: same, bias: false}", "flatten"),
    first(
        "conv2d 5x5 and pooling of an image",
        image(1, 28),
        "conv2d: {features: 32, kernel_size: 5}; relu; max_pool: {kernel_size: 2, stride: 2}",
    ),
    first(
        "conv2d 3x3 and pooling of an image",
        image(1, 15),
        "conv2d: {features: 16, kernel_size: 3, padding: 1}; relu; max_pool: {kernel_size: 2, stride: 2}",
    ),
    inner(
        "conv2d 5x5 and pooling",
        "conv2d: {features: 64, kernel_size: 5, padding: same}; relu; max_pool: {kernel_size: 2, stride: 2}",
        "flatten",
    ),
    inner(
        "conv2d 3x3 and pooling",
        "conv2d: {features: 48, kernel_size: 3}; relu; max_pool: {kernel_size: 2, stride: 2}",
        "flatten",
    ),
    Probe {
        name: "conv2d 5x5 after pooling",
        input: image(1, 28),
        before: "conv2d: {features: 16, kernel_size: 5}; relu; max_pool: {kernel_size: 2, stride: 2}",
        layer: "conv2d: {features: 32, kernel_size: 5}; relu; max_pool: {kernel_size: 2, stride: 2}",
        after: "flatten",
        optimizer: "adam",
    },
    inner("conv2d 4x4 of vectors", "conv2d: {features: 16, kernel_size: 4}", "flatten"),
    inner(
        "conv2d 3x3 stride 2",
        "conv2d: {features: 32, kernel_size: 3, stride: 2, padding: same}",
        "flatten",
    ),
    inner("conv2d 1x1", "conv2d: {features: 24, kernel_size: 1}", "flatten"),
    inner("conv2d 1x1 stride 2", "conv2d: {features: 24, kernel_size: 1, stride: 2}", "flatten"),
    inner("conv2d 4x4", "conv2d: {features: 12, kernel_size: 4, padding: same}", "flatten"),
    inner("conv2d odd features", "conv2d: {features: 7, kernel_size: 3}", "flatten"),
    inner("conv2d depthwise", "conv2d: {features: 16, kernel_size: 3, groups: 16}", "flatten"),
    inner("conv2d grouped", "conv2d: {features: 32, kernel_size: 3, groups: 4}", "flatten"),
    inner("conv2d dilated", "conv2d: {features: 16, kernel_size: 3, dilation: 2}", "flatten"),
    inner("relu", "relu", "flatten"),
    inner("leaky_relu", "leaky_relu", "flatten"),
    inner("elu", "elu", "flatten"),
    inner("gelu", "gelu", "flatten"),
    inner("silu", "silu", "flatten"),
    inner("hard_swish", "hard_swish", "flatten"),
    inner("tanh", "tanh", "flatten"),
    inner("sigmoid", "sigmoid", "flatten"),
    inner("max_pool", "max_pool: {kernel_size: 2, stride: 2}", "flatten"),
    inner("max_pool overlapping", "max_pool: {kernel_size: 3, stride: 2, padding: 1}", "flatten"),
    inner("avg_pool", "avg_pool: {kernel_size: 2, stride: 2}", "flatten"),
    inner("avg_pool overlapping", "avg_pool: {kernel_size: 3, stride: 2, padding: 1}", "flatten"),
    inner("global_avg_pool", "global_avg_pool", ""),
    inner("global_max_pool", "global_max_pool", ""),
    inner("batch_norm", "batch_norm", "relu; flatten"),
    on_vectors("batch_norm of vectors", "batch_norm"),
    inner("layer_norm", "layer_norm", "relu; flatten"),
    on_vectors("layer_norm of vectors", "layer_norm"),
    inner("dropout", "dropout: {rate: 0.3}", "flatten"),
    on_vectors("dropout of vectors", "dropout: {rate: 0.5}"),
    inner("flatten", "flatten", ""),
    on_vectors("dense", "dense: {features: 100}"),
    on_vectors("dense without bias", "dense: {features: 33, bias: false}"),
    inner(
        "residual",
        "residual: {body: [{conv2d: {features: 16, kernel_size: 3, padding: same}}, batch_norm, relu]}",
        "relu; flatten",
    ),
    inner(
        "residual with a convolution on its shortcut",
        "residual: {body: [{conv2d: {features: 24, kernel_size: 3, stride: 2, padding: same}}, gelu]}",
        "flatten",
    ),
    Probe {
        name: "residual after residual",
        input: image(1, 12),
        before: "conv2d: {features: 16, kernel_size: 3}; \
                 residual: {body: [{conv2d: {features: 16, kernel_size: 3, padding: same}}, batch_norm, relu]}",
        layer: "residual: {body: [{conv2d: {features: 32, kernel_size: 3, padding: same}}, batch_norm, relu]}; relu",
        after: "global_avg_pool; residual: {body: [{dense: {features: 32}}, relu]}",
        optimizer: "sgd",
    },
    on_vectors(
        "residual around dense layers",
        "residual: {body: [{dense: {features: 20}}, silu, {dense: {features: 40}}]}",
    ),
    inner(
        "ensemble",
        "ensemble: {members: [[flatten, {dense: {features: 10}}], \
         [{conv2d: {features: 16, kernel_size: 3}}, batch_norm, relu, global_avg_pool, {dense: {features: 10}}]]}",
        "",
    ),
    on_vectors("softmax", "relu"),
    on_vectors("loss", "tanh"),
    optimizer("adam", "adam"),
    optimizer("adam with weight decay", "adam: {weight_decay: 0.01}"),
    optimizer("adamw", "adamw: {weight_decay: 0.01}"),
    optimizer("sgd", "sgd: {weight_decay: 0.01}"),
    optimizer("sgd without nesterov", "sgd: {nesterov: false}"),
    optimizer("rmsprop", "rmsprop"),
    optimizer("rmsprop with momentum", "rmsprop: {momentum: 0.9, weight_decay: 0.01}"),
];
