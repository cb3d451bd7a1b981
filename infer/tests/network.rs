//! What an ONNX file may contain, and that nothing else is silently accepted.
#![allow(clippy::unwrap_used)]

use std::path::Path;

use datasets::ImageShape;
use infer::{Explainer, Session};
use prost::Message;
use tract_onnx::pb::{
    AttributeProto, GraphProto, ModelProto, NodeProto, TensorProto, ValueInfoProto, attribute_proto,
};

const SHAPE: ImageShape = ImageShape { channels: 1, height: 4, width: 4 };

fn ints(name: &str, values: &[i64]) -> AttributeProto {
    AttributeProto {
        name: name.into(),
        ints: values.to_vec(),
        r#type: attribute_proto::AttributeType::Ints.into(),
        ..Default::default()
    }
}

fn int(name: &str, value: i64) -> AttributeProto {
    AttributeProto {
        name: name.into(),
        i: value,
        r#type: attribute_proto::AttributeType::Int.into(),
        ..Default::default()
    }
}

fn node(op_type: &str, input: &[&str], output: &str, attribute: Vec<AttributeProto>) -> NodeProto {
    NodeProto {
        name: output.into(),
        op_type: op_type.into(),
        input: input.iter().map(|&i| i.into()).collect(),
        output: vec![output.into()],
        attribute,
        ..Default::default()
    }
}

fn tensor(name: &str, dims: &[i64]) -> TensorProto {
    let values = dims.iter().product::<i64>() as usize;
    let raw_data = (0..values).flat_map(|i| ((i % 7) as f32 / 7.0 - 0.4).to_le_bytes()).collect();
    TensorProto { name: name.into(), dims: dims.to_vec(), data_type: 1, raw_data, ..Default::default() }
}

/// cast, 3x3 convolution with padding, 2x2 max-pool, flatten, dense, softmax.
fn good() -> GraphProto {
    let window = |kernel: i64, stride: i64, pad: i64| {
        vec![ints("kernel_shape", &[kernel; 2]), ints("strides", &[stride; 2]), ints("pads", &[pad; 4])]
    };
    let value = |name: &str| vec![ValueInfoProto { name: name.into(), ..Default::default() }];
    GraphProto {
        node: vec![
            node("Cast", &["image"], "cast", vec![int("to", 1)]),
            node("Conv", &["cast", "conv.weight", "conv.bias"], "conv", window(3, 1, 1)),
            node("MaxPool", &["conv"], "pool", window(2, 2, 0)),
            node("Flatten", &["pool"], "flatten", vec![int("axis", 1)]),
            node("Gemm", &["flatten", "dense.weight"], "dense", vec![int("transB", 1)]),
            node("Softmax", &["dense"], "out", vec![int("axis", -1)]),
        ],
        initializer: vec![
            tensor("conv.weight", &[2, 1, 3, 3]),
            tensor("conv.bias", &[2]),
            tensor("dense.weight", &[3, 8]),
        ],
        input: value("image"),
        output: value("out"),
        ..Default::default()
    }
}

fn load(graph: GraphProto) -> infer::Result<Session> {
    let model = ModelProto { graph: Some(graph), ..Default::default() };
    Session::load(model.encode_to_vec(), SHAPE, 3, Path::new("model.onnx"))
}

#[test]
fn a_batch_gives_what_single_images_give() {
    let session = load(good()).unwrap();
    let mut worker = session.worker().unwrap();
    let pixels: Vec<u8> = (0..16 * 5).map(|i| (i * 37 % 256) as u8).collect();
    let together = worker.probabilities(&pixels).unwrap();
    assert_eq!(together.len(), 15);
    for (image, expected) in pixels.chunks(16).zip(together.chunks(3)) {
        let alone = worker.probabilities(image).unwrap();
        let sum: f32 = alone.iter().sum();
        assert!((sum - 1.0).abs() < 1e-6, "{alone:?}");
        assert!(alone.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-6), "{alone:?} {expected:?}");
    }
    assert!(worker.probabilities(&pixels[..15]).is_err());
    assert!(worker.probabilities(&[]).is_err());
}

/// ReLU and max-pooling become part of the convolution before them; a leaky ReLU that does not
/// leak is the same function and stays on its own.
#[test]
fn joined_layers_give_what_they_give_apart() {
    let with = |relu: &str, both: bool| {
        let mut graph = good();
        let leak = AttributeProto {
            name: "alpha".into(),
            r#type: attribute_proto::AttributeType::Float.into(),
            ..Default::default()
        };
        let attributes = if relu == "Relu" { Vec::new() } else { vec![leak] };
        graph.node.insert(2, node(relu, &["conv"], "relu", attributes));
        graph.node[3].input[0] = "relu".into();
        if both {
            graph.node.insert(3, node("Add", &["relu", "conv"], "sum", Vec::new()));
            graph.node[4].input[0] = "sum".into();
        }
        let pixels: Vec<u8> = (0..16 * 3).map(|i| (i * 91 % 256) as u8).collect();
        load(graph).unwrap().worker().unwrap().probabilities(&pixels).unwrap()
    };
    // With `both`, the convolution's own values are needed too, so nothing may join it.
    for both in [false, true] {
        let (joined, apart) = (with("Relu", both), with("LeakyRelu", both));
        assert!(joined.iter().zip(&apart).all(|(a, b)| (a - b).abs() < 1e-6), "{joined:?} {apart:?}");
    }
    assert_ne!(with("Relu", false), with("Relu", true));
}

/// What each operator gives for a value that each of its branches sees, computed by hand.
#[test]
fn operators_give_what_onnx_says() {
    let through = |op: &str, attributes: Vec<AttributeProto>, constants: Vec<TensorProto>| {
        let mut graph = good();
        graph.node.drain(1..3);
        let mut names: Vec<String> = vec!["cast".into()];
        names.extend(constants.iter().map(|constant| constant.name.clone()));
        let inputs: Vec<&str> = names.iter().map(String::as_str).collect();
        graph.node.insert(1, node(op, &inputs, "under", attributes));
        graph.node[2].input[0] = "under".into();
        graph.initializer.extend(constants);
        // The dense layer picks the first three values, softmax is left out.
        let width = if op == "GlobalMaxPool" { 1 } else { 16 };
        let rows =
            (0..3).flat_map(|row| (0..width).map(move |column| if row == column { 1f32 } else { 0.0 }));
        let weight = graph.initializer.iter_mut().find(|tensor| tensor.name == "dense.weight").unwrap();
        weight.dims = vec![3, width];
        weight.raw_data = rows.flat_map(f32::to_le_bytes).collect();
        graph.node.pop();
        graph.output[0].name = "dense".into();
        let pixels: Vec<u8> = (0..16).map(|i| [0, 2, 9, 40][i % 4]).collect();
        load(graph).unwrap().worker().unwrap().probabilities(&pixels).unwrap()
    };
    assert_eq!(through("GlobalMaxPool", vec![], vec![]), [40.0, 0.0, 0.0]);
    let swish = through("HardSwish", vec![], vec![]);
    assert!(
        (swish[1] - 2.0 * (2.0 / 6.0 + 0.5)).abs() < 1e-6 && (swish[0], swish[2]) == (0.0, 9.0),
        "{swish:?}"
    );
    let constant = |name: &str, value: f32| TensorProto {
        name: name.into(),
        dims: vec![1, 4, 4],
        data_type: 1,
        raw_data: value.to_le_bytes().repeat(16),
        ..Default::default()
    };
    let normal =
        through("LayerNormalization", vec![int("axis", 1)], vec![constant("s", 2.0), constant("b", 1.0)]);
    let (mean, variance) =
        (12.75f32, (12.75f32.powi(2) + 10.75f32.powi(2) + 3.75f32.powi(2) + 27.25f32.powi(2)) / 4.0);
    for (found, x) in normal.iter().zip([0.0f32, 2.0, 9.0]) {
        let expected = 2.0 * (x - mean) / (variance + 1e-5).sqrt() + 1.0;
        assert!((found - expected).abs() < 1e-5, "{normal:?}, {expected}");
    }
}

/// Integers as a constant.
fn list(name: &str, values: &[i64]) -> TensorProto {
    let raw_data = values.iter().flat_map(|value| value.to_le_bytes()).collect();
    let dims = vec![values.len() as i64];
    TensorProto { name: name.into(), dims, data_type: 7, raw_data, ..Default::default() }
}

/// The network on the mirrored image.
fn mirrored() -> GraphProto {
    let mut graph = good();
    graph.node.insert(1, node("Slice", &["cast", "starts", "ends", "axes", "steps"], "view", vec![]));
    graph.node[2].input[0] = "view".into();
    let parts = [("starts", -1), ("ends", i64::MIN), ("axes", 3), ("steps", -1)];
    graph.initializer.extend(parts.map(|(name, value)| list(name, &[value])));
    graph
}

/// The network on the image moved by `pads`.
fn moved(pads: &[i64]) -> GraphProto {
    let mut graph = good();
    graph.node.insert(1, node("Pad", &["cast", "pads"], "view", vec![]));
    graph.node[2].input[0] = "view".into();
    graph.initializer.push(list("pads", pads));
    graph
}

#[test]
fn a_network_sees_views_of_the_image() {
    let of = |graph: GraphProto, pixels: &[u8]| {
        load(graph).unwrap().worker().unwrap().probabilities(pixels).unwrap()
    };
    let pixels: Vec<u8> = (0..16).map(|i| (i * 37 % 256) as u8).collect();
    let flipped: Vec<u8> = pixels.chunks(4).flat_map(|row| row.iter().rev().copied()).collect();
    assert_eq!(of(mirrored(), &pixels), of(good(), &flipped));
    let down: Vec<u8> = [0; 4].into_iter().chain(pixels[..12].iter().copied()).collect();
    assert_eq!(of(moved(&[0, 0, 1, 0, 0, 0, -1, 0]), &pixels), of(good(), &down));
    let left: Vec<u8> = pixels.chunks(4).flat_map(|row| [row[1], row[2], row[3], 0]).collect();
    assert_eq!(of(moved(&[0, 0, 0, -1, 0, 0, 0, 1]), &pixels), of(good(), &left));
}

#[test]
fn other_slices_and_pads_are_refused() {
    let parts = [("starts", 0), ("ends", -1), ("ends", 2), ("axes", 2), ("steps", 1), ("steps", i64::MIN)];
    for (part, value) in parts {
        let mut graph = mirrored();
        graph.initializer.retain(|tensor| tensor.name != part);
        graph.initializer.push(list(part, &[value]));
        let error = load(graph).map(drop).unwrap_err().to_string();
        assert!(error.contains("expected all columns, mirrored"), "{part} {value}: {error}");
    }
    for pads in [
        vec![0, 0, 1, 0, 0, 0, 0, 0],
        vec![1, 0, 0, 0, -1, 0, 0, 0],
        vec![0, 0, 4, 0, 0, 0, -4, 0],
        vec![0, 0, i64::MIN, 0, 0, 0, i64::MIN, 0],
        vec![0, 0, 1, 0],
        vec![],
    ] {
        let error = load(moved(&pads)).map(drop).unwrap_err().to_string();
        assert!(error.contains("expected a move"), "{pads:?}: {error}");
    }
    let mut long = moved(&[0; 9]);
    let error = load(long.clone()).map(drop).unwrap_err().to_string();
    assert!(error.contains("a list of at most 8"), "{error}");
    long.initializer.pop();
    long.initializer.push(TensorProto { raw_data: vec![0; 63], ..list("pads", &[0; 8]) });
    assert!(load(long).is_err());
    // Integers where numbers are expected, and the other way round.
    let mut graph = good();
    graph.initializer[0] = list("conv.weight", &[1]);
    assert!(load(graph).is_err());
    let mut graph = moved(&[0; 8]);
    graph.initializer.pop();
    graph.initializer.push(tensor("pads", &[8]));
    assert!(load(graph).map(drop).unwrap_err().to_string().contains("no constant of integers"));
}

type Change = fn(&mut GraphProto);

#[test]
fn what_is_not_understood_is_refused() {
    let rows: &[(&str, Change, &str)] = &[
        ("ceil_mode", |g| g.node[2].attribute.push(int("ceil_mode", 1)), "unknown attribute \"ceil_mode\""),
        ("no groups", |g| g.node[1].attribute.push(int("group", 0)), "in 0 groups"),
        ("two groups of one channel", |g| g.node[1].attribute.push(int("group", 2)), "in 2 groups"),
        ("negative groups", |g| g.node[1].attribute.push(int("group", -1)), "node \"conv\""),
        ("dilation 0", |g| g.node[1].attribute.push(ints("dilations", &[0, 1])), "dilation 0"),
        ("a wide dilation", |g| g.node[1].attribute.push(ints("dilations", &[9, 9])), "does not fit 4"),
        ("one dilation", |g| g.node[1].attribute.push(ints("dilations", &[1])), "expected 2 numbers"),
        ("no strides", |g| drop(g.node[1].attribute.remove(1)), "strides"),
        ("stride 0", |g| g.node[1].attribute[1].ints = vec![0, 1], "stride 0"),
        ("negative stride", |g| g.node[1].attribute[1].ints = vec![-1, 1], "strides"),
        ("padding as wide as the pool", |g| g.node[2].attribute[2].ints = vec![2; 4], "does not fit"),
        ("much padding", |g| g.node[1].attribute[2].ints = vec![60_000; 4], "more than 33554432 values"),
        (
            "a constant and an image used many times",
            |g| {
                // Of another size each: equal ones share their weights.
                for copy in 0..6 {
                    let pads = ints("pads", &[1400 - copy; 4]);
                    let window = vec![ints("kernel_shape", &[3; 2]), ints("strides", &[1; 2]), pads];
                    let name = format!("copy{copy}");
                    g.node.insert(1, node("Conv", &["cast", "conv.weight"], &name, window));
                }
            },
            "weights and windows need too much memory",
        ),
        (
            "large values that are all kept",
            |g| {
                let window =
                    vec![ints("kernel_shape", &[1; 2]), ints("strides", &[1; 2]), ints("pads", &[2000; 4])];
                g.initializer.push(tensor("one", &[1, 1, 1, 1]));
                g.node.insert(1, node("Conv", &["cast", "one"], "large", window));
                for at in 0..12 {
                    let name = if at == 0 { "large".to_owned() } else { format!("large{at}") };
                    g.node.insert(2 + at, node("Tanh", &[&name], &format!("large{}", at + 1), vec![]));
                }
            },
            "values between operators need too much memory",
        ),
        ("an enormous stride", |g| g.node[2].attribute[1].ints = vec![i64::MAX; 2], "does not fit"),
        ("enormous padding", |g| g.node[1].attribute[2].ints = vec![i64::MAX; 4], "does not fit"),
        (
            "enormous window and padding",
            |g| {
                g.node[2].attribute[0].ints = vec![i64::MAX; 2];
                g.node[2].attribute[2].ints = vec![i64::MAX - 1; 4];
            },
            "does not fit",
        ),
        ("three pads", |g| g.node[1].attribute[2].ints = vec![0; 3], "expected 4 numbers"),
        ("another kernel than the weight's", |g| g.node[1].attribute[0].ints = vec![2, 3], "kernel_shape"),
        ("window larger than the image", |g| g.node[2].attribute[0].ints = vec![5, 5], "does not fit 4"),
        ("no transposition", |g| g.node[4].attribute.clear(), "transB"),
        ("softmax over the batch", |g| g.node[5].attribute[0].i = 0, "axis"),
        ("cast to double", |g| g.node[0].attribute[0].i = 11, "expected 1"),
        ("unknown operator", |g| g.node[5].op_type = "Hardmax".into(), "unknown operator"),
        ("custom domain", |g| g.node[5].domain = "ai.example".into(), "unknown domain"),
        ("two inputs of a softmax", |g| g.node[5].input.push("dense".into()), "2 inputs, expected 1"),
        ("no input", |g| g.node[5].input.clear(), "0 inputs, expected 1"),
        ("two outputs", |g| g.node[2].output.push("indices".into()), "expected one output"),
        ("an output twice", |g| g.node[2].output[0] = "conv".into(), "twice"),
        ("a constant twice", |g| g.initializer.push(tensor("conv.bias", &[2])), "twice"),
        ("a value that is nowhere", |g| g.node[2].input[0] = "conv9".into(), "nowhere"),
        ("a value from later on", |g| g.node[1].input[0] = "dense".into(), "nowhere"),
        ("an output that is nowhere", |g| g.output[0].name = "probabilities".into(), "nowhere"),
        ("two graph inputs", |g| g.input.push(g.input[0].clone()), "2 inputs"),
        ("weight for two channels", |g| g.initializer[0] = tensor("conv.weight", &[2, 2, 3, 3]), "fit"),
        (
            "weight of rank 3",
            |g| g.initializer[0] = tensor("conv.weight", &[2, 3, 3]),
            "does not fit weight [2, 3, 3]",
        ),
        ("weight that is no constant", |g| g.node[1].input[1] = "cast".into(), "expected a value, a weight"),
        ("bias of another length", |g| g.initializer[1] = tensor("conv.bias", &[3]), "bias"),
        ("dense weight of another width", |g| g.initializer[2] = tensor("dense.weight", &[3, 9]), "fit"),
        ("double weights", |g| g.initializer[0].data_type = 11, "element type 11"),
        ("too few bytes", |g| g.initializer[0].raw_data.truncate(8), "conv.weight"),
        ("half a value", |g| g.initializer[0].raw_data.truncate(7), "conv.weight"),
        ("negative length", |g| g.initializer[0].dims[0] = -2, "conv.weight"),
        ("lengths that overflow", |g| g.initializer[0].dims = vec![1 << 32, 1 << 32, 1, 1], "conv.weight"),
        ("four classes", |g| g.initializer[2] = tensor("dense.weight", &[4, 8]), "4 values, expected 3"),
        ("not a number", |g| g.initializer[1].raw_data = f32::NAN.to_le_bytes().repeat(2), "not finite"),
    ];
    for (row, change, expected) in rows {
        let mut graph = good();
        change(&mut graph);
        let problem = load(graph).err().unwrap_or_else(|| panic!("{row}: accepted")).to_string();
        assert!(problem.contains(expected), "{row}: {problem}");
    }
}

fn explain(graph: GraphProto) -> infer::Result<Option<Explainer>> {
    let model = ModelProto { graph: Some(graph), ..Default::default() };
    Explainer::load(model.encode_to_vec(), SHAPE, Path::new("model.onnx"))
}

/// A kernel that is 1 in the middle and 0 elsewhere gives the image back; ReLU and the bias show
/// that the map is what the next layer gets, and pooling that it is not what comes after.
#[test]
fn feature_maps_are_what_a_convolution_gives_after_its_activation() {
    let mut graph = good();
    let mut kernel = [0f32; 18];
    (kernel[4], kernel[13]) = (1.0, -1.0);
    let raw = |values: &[f32]| values.iter().flat_map(|v| v.to_le_bytes()).collect::<Vec<u8>>();
    graph.initializer[0].raw_data = raw(&kernel);
    graph.initializer[1].raw_data = raw(&[0.0, 10.0]);
    graph.node.insert(2, node("Relu", &["conv"], "relu", vec![]));
    graph.node[3].input[0] = "relu".into();
    let explainer = explain(graph).unwrap().unwrap();
    let filters = explainer.filters();
    assert_eq!((filters.layer.as_str(), filters.count, filters.height, filters.width), ("conv", 2, 3, 3));
    assert_eq!(filters.values, kernel);
    let pixels: Vec<u8> = (0..16).collect();
    let maps = explainer.feature_maps(&pixels).unwrap();
    assert_eq!(maps.len(), 1);
    let expected: Vec<f32> =
        (0..16).map(|v| v as f32).chain((0..16).map(|v| (10 - v).max(0) as f32)).collect();
    assert_eq!((maps[0].count, maps[0].height, maps[0].width, &maps[0].values), (2, 4, 4, &expected));
    assert!(explainer.feature_maps(&pixels[1..]).is_err());
}

#[test]
fn explaining_what_cannot_be_explained() {
    let mut without = good();
    without.node.drain(1..3);
    without.node[1].input[0] = "cast".into();
    assert!(explain(without).unwrap().is_none());
    // In circles: it ends, and what is used to classify is refused.
    let mut circle = good();
    circle.node[2] = node("Relu", &["conv"], "a", vec![]);
    circle.node.insert(3, node("Relu", &["a"], "conv", vec![]));
    let _ = explain(circle.clone());
    assert!(load(circle).is_err());
    let mut nothing = good();
    nothing.node[1].output.clear();
    assert!(explain(nothing).is_err());
    let mut flat = good();
    flat.node[1].input[1] = "dense.weight".into();
    assert!(explain(flat).is_err());
}
