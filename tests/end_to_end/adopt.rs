//! `zoo adopt`: networks from elsewhere, good and hostile.

mod forms;
mod hostile;
mod precision;

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
    succeed("zoo", dir, ["export", "hf", "out", "foreign"]);
    let card = std::fs::read_to_string(dir.join("out/foreign/README.md")).unwrap();
    assert!(!card.contains("- reproducible") && !card.contains("- safetensors"), "{card}");
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
