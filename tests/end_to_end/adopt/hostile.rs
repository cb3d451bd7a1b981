//! Hostile and broken files.

use super::*;

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
