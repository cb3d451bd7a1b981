//! `zoo adopt`: networks from elsewhere, good and hostile.

use std::path::Path;
use std::time::{Duration, Instant};

use prost::Message;
use tests::{assert_refused, run, succeed, tiny_dataset};
use tract_onnx::pb::tensor_proto::{DataLocation, DataType};
use tract_onnx::pb::tensor_shape_proto::{Dimension, dimension};
use tract_onnx::pb::{
    AttributeProto, FunctionProto, GraphProto, ModelProto, NodeProto, OperatorSetIdProto,
    StringStringEntryProto, TensorProto, TensorShapeProto, TypeProto, ValueInfoProto, attribute_proto,
    type_proto,
};

fn node(operator: &str, inputs: &[&str], output: &str, attributes: Vec<AttributeProto>) -> NodeProto {
    NodeProto {
        name: format!("{operator} of {output}"),
        op_type: operator.into(),
        input: inputs.iter().map(|&input| input.into()).collect(),
        output: vec![output.into()],
        attribute: attributes,
        ..NodeProto::default()
    }
}

fn int(name: &str, value: i64) -> AttributeProto {
    let kind = attribute_proto::AttributeType::Int.into();
    AttributeProto { name: name.into(), i: value, r#type: kind, ..AttributeProto::default() }
}

fn graph_attribute(name: &str, graph: GraphProto) -> AttributeProto {
    let kind = attribute_proto::AttributeType::Graph.into();
    AttributeProto { name: name.into(), g: Some(graph), r#type: kind, ..AttributeProto::default() }
}

fn tensor_attribute(tensor: TensorProto) -> AttributeProto {
    let kind = attribute_proto::AttributeType::Tensor.into();
    AttributeProto { name: "value".into(), t: Some(tensor), r#type: kind, ..AttributeProto::default() }
}

fn floats(name: &str, dims: &[i64], values: &[f32]) -> TensorProto {
    let raw_data = values.iter().flat_map(|value| value.to_le_bytes()).collect();
    TensorProto {
        name: name.into(),
        dims: dims.to_vec(),
        data_type: DataType::Float.into(),
        raw_data,
        ..TensorProto::default()
    }
}

fn ints(name: &str, values: &[i64]) -> TensorProto {
    let raw_data = values.iter().flat_map(|value| value.to_le_bytes()).collect();
    let dims = vec![values.len() as i64];
    TensorProto {
        name: name.into(),
        dims,
        data_type: DataType::Int64.into(),
        raw_data,
        ..TensorProto::default()
    }
}

/// Lengths below 0 are free.
fn value(name: &str, element: DataType, lengths: &[i64]) -> ValueInfoProto {
    let dim = |&length: &i64| Dimension {
        value: Some(match length {
            ..0 => dimension::Value::DimParam("batch".into()),
            _ => dimension::Value::DimValue(length),
        }),
        ..Dimension::default()
    };
    let shape = Some(TensorShapeProto { dim: lengths.iter().map(dim).collect() });
    let tensor = type_proto::Tensor { elem_type: element.into(), shape };
    let kind = TypeProto { value: Some(type_proto::Value::TensorType(tensor)), ..TypeProto::default() };
    ValueInfoProto { name: name.into(), r#type: Some(kind), ..ValueInfoProto::default() }
}

/// The brightness of ten regions: a dense layer of logits over `[N, 1, 28, 28]`, whose weights are 1 in every tenth pixel.
fn perceptron() -> ModelProto {
    let weights: Vec<f32> =
        (0..7840).map(|i| if i % 784 % 10 == i / 784 { 0.01 * (1 + i % 7) as f32 } else { 0.0 }).collect();
    let graph = GraphProto {
        name: "perceptron".into(),
        node: vec![
            node("Flatten", &["x"], "flat", vec![int("axis", 1)]),
            node("Gemm", &["flat", "weight", "bias"], "y", vec![int("transB", 1)]),
        ],
        initializer: vec![floats("weight", &[10, 784], &weights), floats("bias", &[10], &[0.5; 10])],
        input: vec![value("x", DataType::Float, &[-1, 1, 28, 28])],
        output: vec![value("y", DataType::Float, &[-1, 10])],
        ..GraphProto::default()
    };
    ModelProto {
        ir_version: 8,
        producer_name: "by hand".into(),
        opset_import: vec![OperatorSetIdProto { domain: String::new(), version: 17 }],
        graph: Some(graph),
        ..ModelProto::default()
    }
}

/// What the perceptron gives for an image, pixels divided by 255.
fn logits(image: &[u8]) -> Vec<f32> {
    let model = perceptron();
    let raw = &model.graph.as_ref().unwrap().initializer[0].raw_data;
    let weights: Vec<f32> = raw.chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().unwrap())).collect();
    let one = |row: &[f32]| 0.5 + row.iter().zip(image).map(|(w, &p)| w * f32::from(p) / 255.0).sum::<f32>();
    weights.chunks_exact(784).map(one).collect()
}

fn workspace() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    tiny_dataset(dir.path(), 200, 100).unwrap();
    dir
}

fn write(dir: &Path, model: &ModelProto) {
    std::fs::write(dir.join("model.onnx"), model.encode_to_vec()).unwrap();
}

const ADOPT: [&str; 6] = ["adopt", "model.onnx", "--name", "foreign", "--dataset", "tiny"];

fn adopt(dir: &Path, more: &[&str]) -> tests::Outcome {
    run("zoo", dir, [&ADOPT[..], more].concat())
}

fn manifest(dir: &Path, version: u32) -> zoo::Manifest {
    datasets::yaml::read(&dir.join(format!("zoo/models/foreign/{version}/manifest.yaml"))).unwrap()
}

#[test]
fn a_foreign_network_is_adopted_verified_signed_and_used() {
    let dir = workspace();
    let dir = dir.path();
    write(dir, &perceptron());
    let unsaid = adopt(dir, &[]);
    assert_refused(
        "pixels",
        &unsaid,
        &["what its pixels are is not in the file", "--like raw: ", "--like torchvision"],
    );
    // Golden data of two images, as the framework saw them.
    let images: Vec<u8> = (0..2 * 784u32).map(|i| (i * 37 % 256) as u8).collect();
    let golden = dir.join("golden/test_data_set_0");
    std::fs::create_dir_all(&golden).unwrap();
    let pixels: Vec<f32> = images.iter().map(|&pixel| f32::from(pixel) / 255.0).collect();
    let outputs: Vec<f32> = images.chunks_exact(784).flat_map(logits).collect();
    std::fs::write(golden.join("input_0.pb"), floats("x", &[2, 1, 28, 28], &pixels).encode_to_vec()).unwrap();
    std::fs::write(golden.join("output_0.pb"), floats("y", &[2, 10], &outputs).encode_to_vec()).unwrap();
    let told = succeed("zoo", dir, [&ADOPT[..], &["--like", "torchvision", "--golden", "golden"]].concat());
    assert!(told.contains("adopted foreign@1") && told.contains("softmax added"), "{told}");
    let first = manifest(dir, 1);
    assert_eq!((first.self_check.golden_images, first.network.parameters), (2, 7850));
    let Some(zoo::Origin::Adopted(origin)) = &first.origin else { panic!("{:?}", first.origin) };
    assert_eq!((origin.file.as_str(), origin.producer.as_str()), ("model.onnx", "by hand"));
    let original = datasets::Digest::of(&std::fs::read(dir.join("model.onnx")).unwrap());
    assert_eq!(origin.sha256, original);

    let verified = succeed("infer", dir, ["verify", "foreign@1"]);
    assert!(verified.contains("golden") && !verified.contains("recipe"), "{verified}");
    succeed("infer", dir, ["show", "foreign", "--graph", "graph.svg"]);
    let drawn = std::fs::read_to_string(dir.join("graph.svg")).unwrap();
    assert!(drawn.contains("Gemm") && drawn.contains("N x 10 · 7,850 parameters"), "{drawn}");
    assert_eq!(drawn, std::fs::read_to_string(dir.join("zoo/models/foreign/1/graph.svg")).unwrap());
    let image = tests::root().join("docs/seven.png");
    succeed("infer", dir, ["predict", image.to_str().unwrap(), "--model", "foreign"]);
    assert_refused("no recipe", &run("zoo", dir, ["export", "torch", "out", "foreign"]), &["has no recipe"]);
    succeed("zoo", dir, ["export", "bom", "out", "foreign"]);
    succeed("zoo", dir, ["lint"]);

    // Without golden data, and in the words of another order of classes.
    let classes: Vec<String> = (0..10).rev().map(|class| first.labels[class].clone()).collect();
    std::fs::write(dir.join("labels.txt"), classes.join("\n")).unwrap();
    let told = succeed("zoo", dir, [&ADOPT[..], &["--like", "keras", "--labels", "labels.txt"]].concat());
    assert!(told.contains("no golden data") && told.contains("classes put in the order"), "{told}");
    let second = manifest(dir, 2);
    assert_ne!(second.test.predictions_sha256, first.test.predictions_sha256);
    let verified = succeed("infer", dir, ["verify", "foreign@2"]);
    assert!(verified.contains("none that is independent of the runtime"), "{verified}");

    // Another scale is not what the golden data say.
    let wrong = adopt(dir, &["--like", "raw", "--golden", "golden"]);
    assert_refused("another scale", &wrong, &["whole number of 0 to 255"]);
    // Golden data by somebody else are noticed.
    let other: Vec<f32> = outputs.iter().rev().copied().collect();
    std::fs::write(golden.join("output_0.pb"), floats("y", &[2, 10], &other).encode_to_vec()).unwrap();
    let wrong = adopt(dir, &["--like", "keras", "--golden", "golden"]);
    assert_refused("other outputs", &wrong, &["differs from its golden data"]);

    // A version of a recipe does not become an adopted one, or the other way round, without being noticed.
    let path = dir.join("zoo/models/foreign/1/manifest.yaml");
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, text.replace("parameters: 7850", "parameters: 7851")).unwrap();
    let found = run("infer", dir, ["verify", "foreign@1"]);
    assert!(found.code == Some(1) && found.stdout.contains("network.parameters"), "{found:?}");
}

/// Shapes and types that other frameworks have.
#[test]
fn layouts_batches_and_types_of_other_frameworks() {
    let dir = workspace();
    let dir = dir.path();
    let changed = |change: &dyn Fn(&mut GraphProto)| {
        let mut model = perceptron();
        change(model.graph.as_mut().unwrap());
        model
    };
    let mut version = 0;
    let mut predictions = Vec::new();
    for (row, model, more, expected) in [
        ("as it is", perceptron(), vec!["--like", "keras"], "softmax added"),
        (
            "channels last",
            changed(&|graph| graph.input[0] = value("x", DataType::Float, &[-1, 28, 28, 1])),
            vec!["--like", "keras", "--layout", "nhwc"],
            "channels moved last",
        ),
        (
            "flat",
            changed(&|graph| graph.input[0] = value("x", DataType::Float, &[-1, 784])),
            vec!["--like", "keras"],
            "image flattened",
        ),
        (
            "without a channel",
            changed(&|graph| graph.input[0] = value("x", DataType::Float, &[-1, 28, 28])),
            vec!["--like", "keras"],
            "channel dropped",
        ),
        (
            "one image",
            changed(&|graph| graph.input[0] = value("x", DataType::Float, &[1, 1, 28, 28])),
            vec!["--like", "keras"],
            "freed, which was 1",
        ),
        (
            "a fixed shape in a constant",
            changed(&|graph| {
                graph.input[0] = value("x", DataType::Float, &[1, 1, 28, 28]);
                graph.node[0] = node("Reshape", &["x", "shape"], "flat", vec![]);
                graph.initializer.push(ints("shape", &[1, 784]));
            }),
            vec!["--like", "keras"],
            "freed, which was 1",
        ),
        (
            "a shape in a node",
            changed(&|graph| {
                graph.node[0] = node("Reshape", &["x", "shape"], "flat", vec![]);
                let shape = vec![tensor_attribute(ints("", &[-1, 784]))];
                graph.node.insert(0, node("Constant", &[], "shape", shape));
            }),
            vec!["--like", "keras"],
            "softmax added",
        ),
        (
            "probabilities",
            changed(&|graph| {
                graph.node[1].output[0] = "logits".into();
                graph.node.push(node("Softmax", &["logits"], "y", vec![int("axis", 1)]));
            }),
            vec!["--like", "keras"],
            "pixels: mul",
        ),
        (
            "log-probabilities",
            changed(&|graph| {
                graph.node[1].output[0] = "logits".into();
                graph.node.push(node("LogSoftmax", &["logits"], "y", vec![int("axis", 1)]));
            }),
            vec!["--like", "keras"],
            "exp added",
        ),
        (
            "raw pixels",
            changed(&|graph| {
                graph.input[0] = value("x", DataType::Uint8, &[-1, 1, 28, 28]);
                graph.node.insert(0, node("Cast", &["x"], "float", vec![int("to", 1)]));
                graph.node.insert(1, node("Mul", &["float", "scale"], "scaled", vec![]));
                graph.node[2].input[0] = "scaled".into();
                graph.initializer.push(floats("scale", &[], &[1.0 / 255.0]));
            }),
            vec![],
            "softmax added",
        ),
        (
            "names that are ours",
            changed(&|graph| {
                graph.input[0].name = "probabilities".into();
                graph.node[0].input[0] = "probabilities".into();
                graph.output[0].name = "image".into();
                graph.node[1].output[0] = "image".into();
            }),
            vec!["--like", "keras"],
            "softmax added",
        ),
        (
            "constants among the inputs, as older files have it",
            changed(&|graph| {
                graph.input.push(value("weight", DataType::Float, &[10, 784]));
                graph.input.push(value("bias", DataType::Float, &[10]));
            }),
            vec!["--like", "keras"],
            "softmax added",
        ),
        (
            "one of two outputs",
            changed(&|graph| graph.output.push(value("flat", DataType::Float, &[-1, 784]))),
            vec!["--like", "keras", "--output", "y"],
            "softmax added",
        ),
    ] {
        write(dir, &model);
        let outcome = adopt(dir, &more);
        assert_eq!(outcome.code, Some(0), "{row}: {outcome:?}");
        assert!(outcome.stdout.contains(expected), "{row}: {outcome:?}");
        version += 1;
        predictions.push(manifest(dir, version).test.predictions_sha256);
        succeed("infer", dir, ["verify", &format!("foreign@{version}")]);
    }
    assert!(
        predictions.iter().all(|other| *other == predictions[0]),
        "they are all the same network: {predictions:?}"
    );
}

#[test]
fn external_data_are_taken_in_from_the_folder_alone() {
    let dir = workspace();
    let dir = dir.path();
    let mut model = perceptron();
    let weights = model.graph.as_ref().unwrap().initializer[0].raw_data.clone();
    std::fs::write(dir.join("model.onnx.data"), [vec![0; 16], weights].concat()).unwrap();
    let external = |entries: &[(&str, &str)]| {
        let entry =
            |&(key, value): &(&str, &str)| StringStringEntryProto { key: key.into(), value: value.into() };
        let mut model = perceptron();
        let tensor = &mut model.graph.as_mut().unwrap().initializer[0];
        tensor.raw_data.clear();
        tensor.data_location = Some(DataLocation::External as i32);
        tensor.external_data = entries.iter().map(entry).collect();
        model
    };
    write(dir, &external(&[("location", "model.onnx.data"), ("offset", "16"), ("length", "31360")]));
    succeed("zoo", dir, [&ADOPT[..], &["--like", "keras"]].concat());
    assert_eq!(manifest(dir, 1).network.parameters, 7850);
    std::os::unix::fs::symlink("/etc/passwd", dir.join("link")).unwrap();
    std::fs::create_dir(dir.join("folder")).unwrap();
    for (row, entries, expected) in [
        ("another folder", vec![("location", "../model.onnx.data")], "expected a file in the folder"),
        ("the root", vec![("location", "/etc/passwd")], "expected a file in the folder"),
        ("a link out", vec![("location", "link")], "leads out of the folder"),
        ("no such file", vec![("location", "other.data")], "other.data"),
        ("a folder", vec![("location", "folder")], "folder"),
        ("nowhere", vec![], "without a location"),
        (
            "beyond the end",
            vec![("location", "model.onnx.data"), ("offset", "17"), ("length", "31360")],
            "which has 31376",
        ),
        ("below zero", vec![("location", "model.onnx.data"), ("offset", "-1")], "offset"),
        (
            "all numbers",
            vec![("location", "model.onnx.data"), ("offset", "1"), ("length", "18446744073709551615")],
            "bytes from 1",
        ),
        ("too few", vec![("location", "model.onnx.data"), ("length", "16")], "16 bytes for"),
    ] {
        write(dir, &external(&entries));
        assert_refused(row, &adopt(dir, &["--like", "keras"]), &[expected]);
    }
    // Data of a constant inside a node.
    let graph = model.graph.as_mut().unwrap();
    let mut constant = graph.initializer.remove(1);
    (constant.raw_data, constant.data_location) = (Vec::new(), Some(DataLocation::External as i32));
    graph.node.insert(0, node("Constant", &[], "bias", vec![tensor_attribute(constant)]));
    write(dir, &model);
    assert_refused("in a node", &adopt(dir, &["--like", "keras"]), &["data in another file"]);
}

#[test]
fn hostile_and_broken_files_are_refused_in_time_and_memory() {
    let dir = workspace();
    let dir = dir.path();
    let model = |change: &dyn Fn(&mut ModelProto)| {
        let mut model = perceptron();
        change(&mut model);
        model.encode_to_vec()
    };
    let graph = |change: &dyn Fn(&mut GraphProto)| model(&|model| change(model.graph.as_mut().unwrap()));
    // Between the flat image and the dense layer.
    let between = |nodes: Vec<NodeProto>, constants: Vec<TensorProto>| {
        graph(&|graph| {
            let last = nodes.last().unwrap().output[0].clone();
            graph.node[1].input[0] = last;
            graph.node.splice(1..1, nodes.clone());
            graph.initializer.extend(constants.clone());
        })
    };
    let nested = |depth: usize| {
        let mut inner = GraphProto::default();
        for _ in 0..depth {
            let body = vec![graph_attribute("body", inner)];
            inner = GraphProto { node: vec![node("Loop", &[], "o", body)], ..GraphProto::default() };
        }
        inner
    };
    let full = perceptron().encode_to_vec();
    let rows: Vec<(&str, Vec<u8>, &str)> = vec![
        ("empty", Vec::new(), "graph"),
        ("text", b"hello, this is no model".to_vec(), "not an ONNX file"),
        (
            "a pointer of Git LFS",
            b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n".to_vec(),
            "git lfs pull",
        ),
        ("a pickle", b"PK\x03\x04archive/data.pkl".to_vec(), "not an ONNX file"),
        ("cut off", full[..full.len() / 2].to_vec(), "not an ONNX file"),
        (
            "a length beyond all",
            [&[0x3a, 0xff, 0xff, 0xff, 0xff, 0x07][..], &full].concat(),
            "not an ONNX file",
        ),
        ("no graph", model(&|model| model.graph = None), "without a graph"),
        ("no nodes", graph(&|graph| graph.node.clear()), "y"),
        ("no inputs", graph(&|graph| graph.input.clear()), "inputs , expected one"),
        (
            "two inputs",
            graph(&|graph| graph.input.push(value("z", DataType::Float, &[1]))),
            "inputs \"x\", \"z\"",
        ),
        ("no outputs", graph(&|graph| graph.output.clear()), "outputs , expected one"),
        (
            "two outputs",
            graph(&|graph| graph.output.push(value("flat", DataType::Float, &[-1, 784]))),
            "--output NAME",
        ),
        ("an output of nothing", graph(&|graph| graph.output[0].name = "nowhere".into()), "nowhere"),
        ("an input without a type", graph(&|graph| graph.input[0].r#type = None), "no type"),
        (
            "other sides",
            graph(&|graph| graph.input[0] = value("x", DataType::Float, &[-1, 3, 32, 32])),
            "expected images of 1x28x28",
        ),
        (
            "five dimensions",
            graph(&|graph| graph.input[0] = value("x", DataType::Float, &[-1, 1, 1, 28, 28])),
            "expected images of 1x28x28",
        ),
        (
            "text as input",
            graph(&|graph| graph.input[0] = value("x", DataType::String, &[-1, 1, 28, 28])),
            "model.onnx",
        ),
        (
            "other classes",
            graph(&|graph| graph.initializer[0] = floats("weight", &[7, 784], &[0.1; 7 * 784])),
            "model.onnx",
        ),
        ("a missing constant", graph(&|graph| graph.initializer.truncate(1)), "bias"),
        ("a cycle", graph(&|graph| graph.node[0].input[0] = "y".into()), "model.onnx"),
        ("a node of itself", graph(&|graph| graph.node[1].input[0] = "y".into()), "model.onnx"),
        (
            "a value twice",
            graph(&|graph| graph.node.push(node("Relu", &["flat"], "y", vec![]))),
            "model.onnx",
        ),
        ("an unknown operator", between(vec![node("Blur", &["flat"], "b", vec![])], vec![]), "Blur"),
        (
            "a foreign domain",
            graph(&|graph| graph.node[1].domain = "com.microsoft".into()),
            "unknown domain \"com.microsoft\"",
        ),
        ("functions", model(&|model| model.functions.push(FunctionProto::default())), "onnx.inliner"),
        (
            "fewer values than declared",
            graph(&|graph| graph.initializer[0].raw_data.truncate(100)),
            "100 bytes for",
        ),
        ("lengths below zero", graph(&|graph| graph.initializer[0].dims = vec![-10, -784]), "[-10, -784]"),
        (
            "lengths beyond all",
            graph(&|graph| graph.initializer[0].dims = vec![i64::MAX, i64::MAX]),
            "more than",
        ),
        ("two gigabytes declared", graph(&|graph| graph.initializer[0].dims = vec![1 << 29]), "more than"),
        ("an unknown type", graph(&|graph| graph.initializer[0].data_type = 99), "element type 99"),
        (
            "doubles where floats are needed",
            graph(&|graph| {
                let bias = &mut graph.initializer[1];
                (bias.data_type, bias.raw_data) = (DataType::Double.into(), vec![0; 80]);
            }),
            "model.onnx",
        ),
        (
            "not numbers",
            graph(&|graph| graph.initializer[1] = floats("bias", &[10], &[f32::NAN; 10])),
            "not numbers",
        ),
        (
            "a name that is ours",
            graph(&|graph| graph.initializer[1].name = "adopted.bias".into()),
            "was it adopted already?",
        ),
        ("opset 0", model(&|model| model.opset_import.clear()), "model.onnx"),
        (
            "a huge filled constant",
            between(
                vec![
                    node("ConstantOfShape", &["huge"], "big", vec![]),
                    node("ReduceSum", &["big"], "sum", vec![int("keepdims", 0)]),
                    node("Add", &["flat", "sum"], "a", vec![]),
                ],
                vec![ints("huge", &[1 << 20, 1 << 20])],
            ),
            "at most",
        ),
        (
            "a huge expansion",
            between(
                vec![node("Expand", &["flat", "huge"], "a", vec![])],
                vec![ints("huge", &[1 << 16, 1 << 10, 784])],
            ),
            "at most",
        ),
        (
            "many tiles",
            between(
                vec![node("Tile", &["flat", "huge"], "a", vec![])],
                vec![ints("huge", &[1 << 16, 1 << 16])],
            ),
            "at most",
        ),
        (
            "many images for one",
            between(vec![node("Tile", &["flat", "two"], "a", vec![])], vec![ints("two", &[2, 1])]),
            "model.onnx",
        ),
        (
            "images mixed",
            between(
                vec![
                    node("ReduceMean", &["flat"], "mean", vec![int("keepdims", 1)]),
                    node("Sub", &["flat", "mean"], "a", vec![]),
                ],
                vec![],
            ),
            "model.onnx",
        ),
        (
            "deep recursion",
            between(vec![node("Loop", &["flat"], "a", vec![graph_attribute("body", nested(8))])], vec![]),
            "graphs within graphs",
        ),
        (
            "deeper than a parser goes",
            between(vec![node("Loop", &["flat"], "a", vec![graph_attribute("body", nested(400))])], vec![]),
            "model.onnx",
        ),
        (
            "too many nodes",
            between(
                (0..10_001)
                    .map(|i| {
                        node(
                            "Relu",
                            &[&if i == 0 { "flat".to_owned() } else { format!("r{}", i - 1) }],
                            &format!("r{i}"),
                            vec![],
                        )
                    })
                    .collect(),
                vec![],
            ),
            "nodes, at most 10000",
        ),
    ];
    assert!(rows.len() >= 40, "{}", rows.len());
    let mut wrong = Vec::new();
    for (row, bytes, expected) in rows {
        std::fs::write(dir.join("model.onnx"), bytes).unwrap();
        let start = Instant::now();
        let outcome = adopt(dir, &["--like", "keras", "--memory", "2", "--minutes", "1"]);
        let is_refused =
            outcome.code == Some(2) && outcome.stderr.contains(expected) && outcome.stdout.is_empty();
        if !is_refused || start.elapsed() > Duration::from_secs(60) {
            let said: String = outcome.stderr.chars().take(300).collect();
            wrong.push(format!("{row}: {:?} {said}", outcome.code));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(!dir.join("zoo/models/foreign").exists(), "something was published");
    // A folder, a pipe, and a file that is not there.
    std::fs::remove_file(dir.join("model.onnx")).unwrap();
    assert_refused("no file", &adopt(dir, &["--like", "keras"]), &["model.onnx"]);
    std::fs::create_dir(dir.join("model.onnx")).unwrap();
    assert_refused("a folder", &adopt(dir, &["--like", "keras"]), &["model.onnx"]);
}
