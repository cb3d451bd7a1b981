//! Shapes, types and files as other frameworks write them.

use super::*;

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
            "an outer value called as ours, within the graphs of a node",
            changed(&|graph| {
                graph.input[0].name = "image".into();
                let branch = |name: &str| GraphProto {
                    name: name.into(),
                    node: vec![node("Flatten", &["image"], name, vec![int("axis", 1)])],
                    output: vec![value(name, DataType::Float, &[-1, 784])],
                    ..GraphProto::default()
                };
                let branches = ["then_branch", "else_branch"]
                    .map(|name| graph_attribute(name, branch(&format!("of_{name}"))));
                graph.node[0] = node("If", &["is_flat"], "flat", branches.into());
                graph.initializer.push(TensorProto {
                    name: "is_flat".into(),
                    data_type: DataType::Bool.into(),
                    raw_data: vec![1],
                    ..TensorProto::default()
                });
            }),
            vec!["--like", "keras"],
            "softmax added",
        ),
        (
            "a bias that is reshaped, for one image",
            changed(&|graph| {
                graph.input[0] = value("x", DataType::Float, &[1, 1, 28, 28]);
                graph.node[1].input[2] = "row".into();
                graph.node.insert(0, node("Reshape", &["bias", "shape"], "row", vec![]));
                graph.initializer.push(ints("shape", &[1, -1]));
            }),
            vec!["--like", "keras"],
            "freed, which was 1",
        ),
        (
            "a value before sigmoids",
            changed(&|graph| {
                graph.node[1].output[0] = "logits".into();
                graph.node.push(node("Sigmoid", &["logits"], "y", vec![]));
            }),
            vec!["--like", "keras", "--output", "logits"],
            "1 nodes left out",
        ),
        (
            "a value before sigmoids for one image",
            changed(&|graph| {
                graph.input[0] = value("x", DataType::Float, &[1, 1, 28, 28]);
                graph.node[1].output[0] = "logits".into();
                graph.node.push(node("Sigmoid", &["logits"], "y", vec![]));
            }),
            vec!["--like", "keras", "--output", "logits", "--gives", "logits"],
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
    // Data of a constant inside a node, as `onnx.save(convert_attribute=True)` leaves them.
    let graph = model.graph.as_mut().unwrap();
    let mut constant = graph.initializer.remove(0);
    constant.raw_data.clear();
    constant.data_location = Some(DataLocation::External as i32);
    for (entries, expected) in [
        (vec![("location", "model.onnx.data"), ("offset", "16"), ("length", "31360")], None),
        (vec![("location", "other.data")], Some("other.data")),
    ] {
        let entry =
            |(key, value): (&str, &str)| StringStringEntryProto { key: key.into(), value: value.into() };
        constant.external_data = entries.into_iter().map(entry).collect();
        let mut model = model.clone();
        let nodes = &mut model.graph.as_mut().unwrap().node;
        nodes.insert(0, node("Constant", &[], "weight", vec![tensor_attribute(constant.clone())]));
        write(dir, &model);
        let outcome = adopt(dir, &["--like", "keras"]);
        match expected {
            None => assert_eq!(outcome.code, Some(0), "{outcome:?}"),
            Some(expected) => assert_refused("in a node", &outcome, &[expected]),
        }
    }
    let [first, second] = [1, 2].map(|version| manifest(dir, version).test.predictions_sha256);
    assert_eq!(first, second, "the same network, its weights in a node");
}

#[test]
fn what_a_file_says_of_itself_stays_with_it() {
    let dir = workspace();
    let dir = dir.path();
    let mut model = perceptron();
    model.doc_string = "Made for `tests`".into();
    model.metadata_props = [("license", "CC-BY-4.0"), ("model", "another"), ("names", &"long ".repeat(100))]
        .map(|(key, value)| StringStringEntryProto { key: key.into(), value: value.into() })
        .into();
    write(dir, &model);
    let told = succeed("zoo", dir, [&ADOPT[..], &["--like", "torchvision"]].concat());
    assert!(told.contains("4 entries of its metadata kept as \"original.*\""), "{told}");
    let version = dir.join("zoo/models/foreign/1");
    let card = std::fs::read_to_string(version.join("README.md")).unwrap();
    assert!(card.contains("- `original.license`: `CC-BY-4.0`\n") && card.contains("` ...\n"), "{card}");
    let published = std::fs::read(version.join("model.onnx")).unwrap();
    let published = ModelProto::decode(published.as_slice()).unwrap().metadata_props;
    let has = |key: &str, value: &str| published.iter().any(|entry| entry.key == key && entry.value == value);
    assert!(has("original.model", "another") && has("model", "foreign"), "{published:?}");
    assert!(has("original_description", "Made for `tests`"), "{published:?}");
    succeed("infer", dir, ["verify", "foreign@1"]);
}

/// What a caller says of outputs is believed where it can be.
#[test]
fn what_outputs_are_said_to_be_is_checked() {
    let dir = workspace();
    let dir = dir.path();
    let mut model = perceptron();
    write(dir, &model);
    for gives in ["probabilities", "log-probabilities"] {
        let outcome = adopt(dir, &["--like", "keras", "--gives", gives]);
        assert_refused(gives, &outcome, &["gives values of", gives, "--gives"]);
    }
    assert_refused("a name", &adopt(dir, &["--like", "keras", "--output", "z"]), &["\"z\"", "\"y\""]);
    let graph = model.graph.as_mut().unwrap();
    graph.node[1].output[0] = "logits".into();
    graph.node.push(node("Sigmoid", &["logits"], "y", vec![]));
    write(dir, &model);
    let outcome = adopt(dir, &["--like", "keras"]);
    assert_refused("sigmoids", &outcome, &["not to 1", "--output", "--gives", "before it comes \"logits\""]);
    let outcome = adopt(dir, &["--like", "keras", "--gives", "log-probabilities"]);
    assert_refused("sigmoids", &outcome, &["expected at most 0"]);
    assert_eq!(adopt(dir, &["--like", "keras", "--gives", "probabilities"]).code, Some(0));
}

/// Logits so far apart that a probability is no float any more: its logarithm still is one.
#[test]
fn small_log_probabilities_are_numbers() {
    let dir = workspace();
    let dir = dir.path();
    write(dir, &perceptron());
    succeed("zoo", dir, [&ADOPT[..], &["--like", "keras"]].concat());
    let mut model = perceptron();
    let graph = model.graph.as_mut().unwrap();
    graph.node[1].output[0] = "logits".into();
    graph.node.push(node("Mul", &["logits", "factor"], "far", vec![]));
    graph.node.push(node("LogSoftmax", &["far"], "y", vec![int("axis", 1)]));
    graph.initializer.push(floats("factor", &[], &[1000.0]));
    write(dir, &model);
    assert_refused("which pixels", &adopt(dir, &[]), &["training images", "--like raw: ", " %"]);
    let told = succeed("zoo", dir, [&ADOPT[..], &["--like", "keras"]].concat());
    assert!(told.contains("exp added"), "{told}");
    let [plain, far] = [1, 2].map(|version| manifest(dir, version).test.predictions_sha256);
    assert_eq!(plain, far, "the same answers");
    succeed("infer", dir, ["verify", "foreign@2"]);
}

/// onnxruntime has the operators that opset 7 changed from that on only, and asks for the name of a graph.
#[test]
fn opset_6_and_graphs_without_a_name_become_what_other_engines_take() {
    let dir = workspace();
    let dir = dir.path();
    let mut model = perceptron();
    model.opset_import[0].version = 6;
    let graph = model.graph.as_mut().unwrap();
    graph.name.clear();
    graph.node[1].attribute.push(int("broadcast", 1));
    write(dir, &model);
    let told = succeed("zoo", dir, [&ADOPT[..], &["--like", "keras"]].concat());
    assert!(told.contains("opset 6 made 7"), "{told}");
    let published = std::fs::read(dir.join("zoo/models/foreign/1/model.onnx")).unwrap();
    let published = ModelProto::decode(published.as_slice()).unwrap();
    assert_eq!(published.opset_import[0].version, 7);
    let graph = published.graph.unwrap();
    assert_eq!(graph.name, "foreign");
    assert!(graph.node.iter().flat_map(|node| &node.attribute).all(|a| a.name != "broadcast"));
    succeed("infer", dir, ["verify", "foreign@1"]);
}
