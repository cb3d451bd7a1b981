//! Every kind of layer gives the same numbers in libtorch and, exported, in `infer`.
#![allow(clippy::unwrap_used, clippy::panic)]

use datasets::{ImageShape, Normalisation};
use distortions::Stream;
use infer::Session;
use prost::Message;
use tch::{Device, Kind, Tensor};
use trainer::layers::{Layer, Mode, Shape};
use trainer::network::Network;
use trainer::normaliser::Normaliser;
use trainer::onnx::{Identity, export};
use trainer::views::View;

fn layers(yaml: &str) -> Vec<Layer> {
    datasets::yaml::parse(yaml, std::path::Path::new("network.yaml")).unwrap()
}

/// Largest difference between libtorch and `infer` over a few images, after some batches
/// have moved the running statistics away from their start.
fn difference(yaml: &str, shape: ImageShape) -> f32 {
    difference_over(yaml, &[], shape)
}

/// The same of a network whose logits are averaged over views.
fn difference_over(yaml: &str, views: &[View], shape: ImageShape) -> f32 {
    let ImageShape { channels, height, width } = shape;
    let statistics =
        Normalisation { mean: vec![0.3; channels], std: vec![0.2, 0.3, 0.4][..channels].to_vec() };
    let network = Network::build(&layers(yaml), Shape::Image { channels, height, width }, 5).unwrap();
    let network = network.averaged(views, &statistics);
    let parameters = network.initialise(3, Device::Cpu).unwrap();
    let normaliser = Normaliser::new(&statistics);
    let mut stream = Stream::new(1, "pixels", 0, 0);
    let mut pixels =
        |count: usize| (0..count * shape.numel()).map(|_| stream.below(256) as u8).collect::<Vec<u8>>();
    let tensor = |pixels: &[u8]| {
        let mut values: Vec<f32> = pixels.iter().map(|&p| p.into()).collect();
        values.chunks_exact_mut(shape.numel()).for_each(|image| normaliser.apply(image));
        let size = [-1, channels as i64, height as i64, width as i64];
        Tensor::from_slice(&values).view(size)
    };
    for _ in 0..3 {
        let batch = tensor(&pixels(8));
        let _ = tch::no_grad(|| network.logits(&batch, &parameters, Mode::Train));
    }
    let images = pixels(4);
    let expected = tch::no_grad(|| {
        let logits = network.logits(&tensor(&images), &parameters, Mode::Evaluate);
        (logits / f64::from(TEMPERATURE)).softmax(-1, Kind::Float)
    });
    let labels: Vec<String> = (0..5).map(|i| i.to_string()).collect();
    let identity = Identity {
        name: "test",
        version: 1,
        description: "",
        labels: &labels,
        recipe_sha256: "0".into(),
        trainer: "0",
        is_annotated: true,
    };
    let onnx = export(&network, &parameters, &normaliser, TEMPERATURE, &identity);
    let again = export(&network, &parameters, &normaliser, TEMPERATURE, &identity);
    assert_eq!(onnx, again, "two exports differ");
    check_shapes(&onnx, shape);
    let session = Session::load(onnx, shape, 5, std::path::Path::new("model.onnx")).unwrap();
    let mut worker = session.worker().unwrap();
    let mut largest = 0f32;
    for (index, image) in images.chunks_exact(shape.numel()).enumerate() {
        let found = worker.probabilities(image).unwrap();
        for (class, value) in found.iter().enumerate() {
            let expected = expected.double_value(&[index as i64, class as i64]) as f32;
            largest = largest.max((value - expected).abs());
        }
    }
    largest
}

/// The shapes that are written for inner values are those that follow from the network.
fn check_shapes(onnx: &[u8], shape: ImageShape) {
    use tract_onnx::pb::tensor_shape_proto::dimension::Value;
    let graph = tract_onnx::pb::ModelProto::decode(onnx).unwrap().graph.unwrap();
    let known = infer::shapes(onnx, shape).unwrap();
    assert_eq!(graph.value_info.len(), graph.node.len() - 1, "one for each node but the last");
    assert!(graph.node.iter().all(|node| !node.doc_string.is_empty()));
    for info in graph.value_info {
        let kind = info.r#type.and_then(|kind| kind.value);
        let Some(tract_onnx::pb::type_proto::Value::TensorType(tensor)) = kind else {
            panic!("{}", info.name)
        };
        let lengths = tensor.shape.unwrap().dim.into_iter().map(|dim| match dim.value.unwrap() {
            Value::DimValue(length) => length.to_string(),
            Value::DimParam(name) => name,
        });
        assert_eq!(lengths.collect::<Vec<_>>().join(" x "), known[&info.name], "{}", info.name);
    }
}

/// What calibration divides the logits by; 1 would leave the graph without a node for it.
const TEMPERATURE: f32 = 1.25;
const GREY: ImageShape = ImageShape { channels: 1, height: 13, width: 10 };
const COLOUR: ImageShape = ImageShape { channels: 3, height: 9, width: 12 };

#[test]
fn convolutions_pools_and_paddings() {
    for (padding, stride, kernel) in [
        ("valid", 1, 3),
        ("valid", 2, 3),
        ("same", 1, 3),
        ("same", 1, 4),
        ("same", 2, 5),
        ("same", 3, 2),
        ("2", 1, 5),
        ("1", 2, 3),
        // As wide as the kernel, and wider.
        ("3", 1, 3),
        ("7", 2, 3),
    ] {
        let conv = format!(
            "- conv2d: {{features: 6, kernel_size: {kernel}, stride: {stride}, padding: {padding}, bias: false}}"
        );
        let tail = "- flatten\n- dense: {features: 5}\n- softmax\n";
        for shape in [GREY, COLOUR] {
            let found = difference(&format!("{conv}\n{tail}"), shape);
            assert!(found <= 1e-5, "{conv} {shape:?}: {found:e}");
        }
    }
    for pool in [
        "max_pool: {kernel_size: 2, stride: 2}",
        "max_pool: {kernel_size: 3, stride: 2, padding: 1}",
        "avg_pool: {kernel_size: 2, stride: 2}",
        "avg_pool: {kernel_size: 3, stride: 1, padding: 1}",
        "global_avg_pool",
        "global_max_pool",
    ] {
        let flatten = if pool.starts_with("global") { "" } else { "- flatten\n" };
        let yaml = format!(
            "- conv2d: {{features: 4, kernel_size: 3}}\n- relu\n- {pool}\n{flatten}- dense: {{features: 5, bias: false}}\n- softmax\n"
        );
        for shape in [GREY, COLOUR] {
            let found = difference(&yaml, shape);
            assert!(found <= 1e-5, "{pool} {shape:?}: {found:e}");
        }
    }
}

#[test]
fn activations() {
    for activation in
        ["relu", "leaky_relu", "elu", "gelu", "silu", "hard_swish", "tanh", "sigmoid", "layer_norm"]
    {
        let yaml = format!(
            "- conv2d: {{features: 4, kernel_size: 3}}\n- {activation}\n- flatten\n- dense: {{features: 7}}\n- {activation}\n- dense: {{features: 5}}\n- softmax\n"
        );
        let found = difference(&yaml, COLOUR);
        assert!(found <= 1e-5, "{activation}: {found:e}");
    }
}

#[test]
fn batch_norm_is_folded_or_becomes_scale_and_shift() {
    let networks = [
        // After a convolution with and without bias, and after a dense layer: folded.
        "- conv2d: {features: 4, kernel_size: 3, bias: false}\n- batch_norm\n- relu\n- flatten\n- dense: {features: 6}\n- batch_norm\n- relu\n- dense: {features: 5}\n- softmax\n",
        // First of all, after a pool, after flatten, twice: a multiplication and an addition.
        "- batch_norm\n- conv2d: {features: 4, kernel_size: 3}\n- batch_norm\n- batch_norm\n- max_pool: {kernel_size: 2, stride: 2}\n- batch_norm\n- flatten\n- batch_norm\n- dropout: {rate: 0.5}\n- dense: {features: 5}\n- softmax\n",
    ];
    for yaml in networks {
        for shape in [GREY, COLOUR] {
            let found = difference(yaml, shape);
            assert!(found <= 1e-5, "{yaml}{found:e}");
        }
    }
}

#[test]
fn groups_and_dilation() {
    for (fields, folded) in [
        ("groups: 2", false),
        ("groups: 2, bias: false", true),
        ("groups: 6, features: 6", true),
        ("groups: 6, features: 12, stride: 2, padding: same", false),
        ("dilation: 2", false),
        ("dilation: 3, padding: same", true),
        ("dilation: 2, stride: 2, padding: 4, groups: 3", true),
        ("kernel_size: 2, dilation: 4, padding: 1, groups: 2", false),
    ] {
        let with = |name: &str, default: &str| match fields.contains(name) {
            true => String::new(),
            false => format!("{name}: {default}, "),
        };
        let conv = format!("{{{}{}{fields}}}", with("features", "6"), with("kernel_size", "3"));
        let norm = if folded { "- batch_norm\n" } else { "" };
        let yaml = format!(
            "- conv2d: {{features: 6, kernel_size: 3, padding: same}}\n- conv2d: {conv}\n{norm}- relu\n- flatten\n- dense: {{features: 5}}\n- softmax\n"
        );
        for shape in [GREY, COLOUR] {
            let found = difference(&yaml, shape);
            assert!(found <= 1e-5, "{yaml} {shape:?}: {found:e}");
        }
    }
}

/// Each view alone, all together, and with convolutions that batch normalisation is folded into; the network itself is
/// another function.
#[test]
fn logits_averaged_over_views() {
    let yaml = "- conv2d: {features: 4, kernel_size: 3, padding: same}\n- batch_norm\n- relu\n\
        - max_pool: {kernel_size: 2, stride: 2}\n- residual: {body: [batch_norm]}\n- flatten\n- dense: {features: 5}\n- softmax\n";
    let all = [View::Mirrored, View::Up, View::Down, View::Left, View::Right];
    let each = all.iter().map(|view| vec![*view]);
    for views in each.chain([all.to_vec()]) {
        for shape in [GREY, COLOUR] {
            let found = difference_over(yaml, &views, shape);
            assert!(found <= 1e-5, "{views:?} {shape:?}: {found:e}");
        }
    }
}

#[test]
fn residual_blocks() {
    let yaml = "- conv2d: {features: 4, kernel_size: 3, padding: same}\n\
        - residual:\n    body:\n    - conv2d: {features: 4, kernel_size: 3, padding: same}\n    - batch_norm\n    - relu\n    - conv2d: {features: 4, kernel_size: 3, padding: same}\n\
        - relu\n\
        - residual:\n    body:\n    - conv2d: {features: 8, kernel_size: 3, stride: 2, padding: 1}\n    - residual: {body: [gelu]}\n\
        - global_avg_pool\n- residual: {body: [tanh]}\n- dense: {features: 5}\n- softmax\n";
    for shape in [GREY, COLOUR] {
        let found = difference(yaml, shape);
        assert!(found <= 1e-5, "{found:e}");
    }
}

/// Members that are alike and members that are not, with a batch normalisation folded in and one that is not, behind a
/// layer that they share; averaged over views as well.
#[test]
fn ensembles() {
    let yaml = "- conv2d: {features: 4, kernel_size: 3, padding: same}\n- batch_norm\n- relu\n\
        - ensemble:\n    members:\n    - [flatten, {dense: {features: 5}}]\n    - [flatten, {dense: {features: 5}}]\n\
        \x20   - [batch_norm, {conv2d: {features: 6, kernel_size: 3}}, batch_norm, gelu, {residual: {body: [tanh]}}, \
        global_avg_pool, {dense: {features: 5}}]\n- softmax\n";
    for views in [vec![], vec![View::Up, View::Mirrored]] {
        for shape in [GREY, COLOUR] {
            let found = difference_over(yaml, &views, shape);
            assert!(found <= 1e-5, "{views:?} {shape:?}: {found:e}");
        }
    }
}

/// `[C, 1, 28]` with stride 2, `[C, 5, 28]` to `[C, 2, 7]`, and one that needs other strides along
/// rows than along columns.
#[test]
fn shortcuts_of_flat_and_uneven_images() {
    let conv = |kernel: usize, stride: usize, padding: usize| {
        format!("{{conv2d: {{features: 4, kernel_size: {kernel}, stride: {stride}, padding: {padding}}}}}")
    };
    let tall = "{max_pool: {kernel_size: 2, stride: 2}}";
    for (height, width, body) in [
        (1, 28, conv(3, 2, 1)),
        (5, 28, format!("{}, {}", conv(3, 2, 0), conv(3, 2, 1))),
        (5, 28, conv(3, 4, 1)),
        (9, 12, format!("{}, {tall}", conv(3, 1, 1))),
    ] {
        let yaml =
            format!("- residual: {{body: [{body}]}}\n- flatten\n- dense: {{features: 5}}\n- softmax\n");
        let shape = ImageShape { channels: 3, height, width };
        let layers = layers(&yaml);
        if Network::build(&layers, Shape::Image { channels: 3, height, width }, 5).is_ok() {
            let found = difference(&yaml, shape);
            assert!(found <= 1e-5, "{yaml} {shape:?}: {found:e}");
        } else {
            assert_eq!((height, width), (9, 12), "{yaml}: refused");
        }
    }
}

#[test]
fn the_table_of_mnist_cnn() {
    let recipe =
        trainer::recipe::RecipeFile::read(std::path::Path::new("../recipes/mnist-cnn.yaml")).unwrap().recipe;
    let network =
        Network::build(&recipe.network, Shape::Image { channels: 1, height: 28, width: 28 }, 10).unwrap();
    insta::assert_snapshot!(trainer::table::table(&network));
}
