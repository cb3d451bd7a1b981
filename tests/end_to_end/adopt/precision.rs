//! Networks of halves and doubles.

use super::*;

/// The bits of a half for a number above 0 of few bits.
fn half(value: f32) -> u16 {
    match value.to_bits() {
        0 => 0,
        bits => ((bits >> 23) as u16 + 15 - 127) << 10 | (bits >> 13) as u16 & 0x3ff,
    }
}

fn values(tensor: &TensorProto) -> Vec<f32> {
    tensor.raw_data.as_chunks().0.iter().map(|&bytes| f32::from_le_bytes(bytes)).collect()
}

/// The perceptron with weights that every type holds, its constants and ends of the type that is named.
fn of_type(element: DataType) -> ModelProto {
    let mut model = perceptron();
    let graph = model.graph.as_mut().unwrap();
    for tensor in &mut graph.initializer {
        // k/128 has few bits.
        let values = values(tensor).into_iter().map(|value| (value * 100.0).round() / 128.0);
        tensor.data_type = element.into();
        tensor.raw_data = values
            .flat_map(|value| match element {
                DataType::Float16 => half(value).to_le_bytes().to_vec(),
                DataType::Bfloat16 => ((value.to_bits() >> 16) as u16).to_le_bytes().to_vec(),
                DataType::Double => f64::from(value).to_le_bytes().to_vec(),
                _ => value.to_le_bytes().to_vec(),
            })
            .collect();
    }
    graph.input[0] = value("x", element, &[-1, 1, 28, 28]);
    graph.output[0] = value("y", element, &[-1, 10]);
    model
}

/// Networks of halves, whole or between casts, and of doubles.
#[test]
fn halves_and_doubles_are_computed_in_float32() {
    let dir = workspace();
    let dir = dir.path();
    let mut between_casts = of_type(DataType::Float16);
    let graph = between_casts.graph.as_mut().unwrap();
    graph.input[0] = value("x", DataType::Float, &[-1, 1, 28, 28]);
    graph.output[0] = value("y", DataType::Float, &[-1, 10]);
    graph.node[0].input[0] = "half".into();
    graph.node[1].output[0] = "logits".into();
    graph.node.insert(0, node("Cast", &["x"], "half", vec![int("to", 10)]));
    graph.node.push(node("Cast", &["logits"], "y", vec![int("to", 1)]));
    let mut predictions = Vec::new();
    for (version, (model, told)) in (1..).zip([
        (of_type(DataType::Float), None),
        (of_type(DataType::Float16), Some("float16 made float32")),
        (of_type(DataType::Bfloat16), Some("bfloat16 made float32")),
        (of_type(DataType::Double), Some("double made float32")),
        (between_casts, Some("float16 made float32")),
    ]) {
        write(dir, &model);
        let outcome = adopt(dir, &["--like", "torchvision"]);
        assert_eq!(outcome.code, Some(0), "{told:?}: {outcome:?}");
        assert_eq!(outcome.stdout.contains("made float32"), told.is_some(), "{outcome:?}");
        assert!(told.is_none_or(|told| outcome.stdout.contains(told)), "{told:?}: {outcome:?}");
        predictions.push(manifest(dir, version).test.predictions_sha256);
        succeed("infer", dir, ["verify", &format!("foreign@{version}")]);
    }
    assert!(predictions.iter().all(|other| *other == predictions[0]), "{predictions:?}");

    // Half a value too much.
    let mut model = of_type(DataType::Float16);
    model.graph.as_mut().unwrap().initializer[0].raw_data.push(0);
    write(dir, &model);
    assert_refused("an odd byte", &adopt(dir, &["--like", "keras"]), &["15681 bytes for"]);
}

/// Pixels and outputs as a network of halves sees and gives them: they have 11 bits.
#[test]
fn golden_data_may_be_of_halves() {
    let dir = workspace();
    let dir = dir.path();
    write(dir, &of_type(DataType::Float16));
    let golden = dir.join("golden/test_data_set_0");
    std::fs::create_dir_all(&golden).unwrap();
    let put = |name: &str, dims: &[i64], values: &[f32]| {
        let tensor = TensorProto {
            dims: dims.to_vec(),
            data_type: DataType::Float16.into(),
            raw_data: values.iter().flat_map(|&value| half(value).to_le_bytes()).collect(),
            ..TensorProto::default()
        };
        std::fs::write(golden.join(name), tensor.encode_to_vec()).unwrap();
    };
    // Every pixel there is; its 255th part has more bits than a half.
    let image: Vec<f32> = (0..784).map(|place| (place % 256) as f32 / 255.0).collect();
    put("input_0.pb", &[1, 1, 28, 28], &image);
    let weights = values(&of_type(DataType::Float).graph.unwrap().initializer[0]);
    let outputs = |shift: f32| {
        let of = |row: &[f32]| row.iter().zip(&image).map(|(w, p)| w * p).sum::<f32>() + 50.0 / 128.0;
        let mut outputs: Vec<f32> = weights.chunks_exact(784).map(of).collect();
        outputs[3] += shift;
        outputs
    };
    put("output_0.pb", &[1, 10], &outputs(0.0));
    succeed("zoo", dir, [&ADOPT[..], &["--like", "torchvision", "--golden", "golden"]].concat());
    assert_eq!(manifest(dir, 1).self_check.tolerance, 1e-3);
    succeed("infer", dir, ["verify", "foreign@1"]);
    put("output_0.pb", &[1, 10], &outputs(0.1));
    let outcome = adopt(dir, &["--like", "torchvision", "--golden", "golden"]);
    assert_refused("another network's", &outcome, &["differs from its golden data", "at most 1e-3"]);
}

/// `QuantizeLinear` and `DequantizeLinear` around every value, as `onnxruntime.quantization.quantize_static` leaves them, up to
/// the probabilities.
#[test]
fn a_quantised_softmax_is_no_table() {
    let dir = workspace();
    let dir = dir.path();
    let whole = |name: &str, element: DataType, value: u8| TensorProto {
        name: name.into(),
        data_type: element.into(),
        raw_data: vec![value],
        ..TensorProto::default()
    };
    let mut predictions = Vec::new();
    for (version, (element, zero)) in (1..).zip([(DataType::Uint8, 0), (DataType::Int8, 128)]) {
        let mut model = of_type(DataType::Float);
        let graph = model.graph.as_mut().unwrap();
        graph.node[1].output[0] = "logits".into();
        let around = |from: &str, to: &str, scale: &str, zero: &str| {
            [
                node("QuantizeLinear", &[from, scale, zero], &format!("{to}.levels"), vec![]),
                node("DequantizeLinear", &[&format!("{to}.levels"), scale, zero], to, vec![]),
            ]
        };
        graph.node.extend(around("logits", "rounded", "logits.scale", "zero"));
        graph.node.push(node("Softmax", &["rounded"], "shares", vec![int("axis", 1)]));
        graph.node.extend(around("shares", "y", "shares.scale", "zero"));
        graph.initializer.push(floats("logits.scale", &[], &[0.1]));
        graph.initializer.push(floats("shares.scale", &[], &[1.0 / 255.0]));
        graph.initializer.push(whole("zero", element, zero));
        write(dir, &model);
        let outcome = adopt(dir, &["--like", "torchvision", "--gives", "probabilities"]);
        assert_eq!(outcome.code, Some(0), "{outcome:?}");
        // Of equal probabilities the first class would be the answer, always.
        let right = manifest(dir, version).test.per_class;
        assert!(right[1..].iter().filter(|class| class.correct.correct > 0).count() > 1, "{right:?}");
        predictions.push(manifest(dir, version).test.predictions_sha256);
        // Scales are no parameters.
        assert_eq!(manifest(dir, version).network.parameters, 7850);
        succeed("infer", dir, ["verify", &format!("foreign@{version}")]);
    }
    assert_eq!(predictions[0], predictions[1], "levels of 0 to 255 and of -128 to 127");
}
