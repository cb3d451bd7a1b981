//! The bodies of the Open Inference Protocol v2 (REST), with the binary-tensor and
//! classification extensions, for models that take `UINT8 [N, C, H, W]` and give `FP32 [N, classes]`.
//!
//! Source: <https://github.com/kserve/open-inference-protocol> and, for the extensions, the
//! protocol documents of <https://github.com/triton-inference-server/server>.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use zoo::Manifest;

use super::lists::{Bytes, Few};

/// Says where JSON ends and tensors begin in a body with binary tensors.
pub(super) const HEADER_LENGTH: &str = "inference-header-content-length";

/// Longest `id`.
const MAX_ID_BYTES: usize = 1024;

/// A request, checked against the model.
#[derive(Debug, PartialEq)]
pub(super) struct Request {
    id: Option<String>,
    /// `[N, C, H, W]`.
    pub(super) pixels: Vec<u8>,
    /// Number of classes to name with each image, in place of all probabilities.
    classification: Option<usize>,
    binary: bool,
}

#[derive(Deserialize)]
#[serde(expecting = "an object with `inputs`")]
struct Body {
    id: Option<String>,
    parameters: Option<Parameters>,
    inputs: Few<Input>,
    #[serde(default)]
    outputs: Few<Output>,
}

#[derive(Deserialize)]
struct Input {
    name: String,
    shape: Few<u64>,
    datatype: String,
    parameters: Option<Parameters>,
    data: Option<Bytes>,
}

#[derive(Deserialize)]
struct Output {
    name: String,
    parameters: Option<Parameters>,
}

/// Those that mean something here; others are passed over, as the protocol says.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Parameters {
    binary_data_size: Option<usize>,
    binary_data: Option<bool>,
    binary_data_output: Option<bool>,
    classification: Option<usize>,
}

impl Request {
    /// Reads a body; `header_length` is the value of [`HEADER_LENGTH`], if there.
    ///
    /// # Errors
    /// What is wrong and what was expected.
    pub(super) fn parse(
        body: &[u8],
        header_length: Option<usize>,
        manifest: &Manifest,
    ) -> Result<Request, String> {
        let end = header_length.unwrap_or(body.len());
        let Some((json, binary)) = body.split_at_checked(end) else {
            return Err(format!("{HEADER_LENGTH}: {end}, but the body has {} bytes", body.len()));
        };
        let mut request: Body = serde_json::from_slice(json)
            .map_err(|e| format!("request: {}", datasets::plain_message(&e.to_string())))?;
        if request.id.as_ref().is_some_and(|id| id.len() > MAX_ID_BYTES) {
            return Err(format!("an id of more than {MAX_ID_BYTES} bytes"));
        }
        let [input] = request.inputs.0.as_mut_slice() else {
            return Err(format!("{} inputs, expected one", request.inputs.0.len()));
        };
        let pixels = input.pixels(binary, manifest)?;
        let expected = manifest.image_shape();
        check_shape(&input.shape.0, pixels.len(), expected)?;
        let output = match request.outputs.0.as_slice() {
            [] => None,
            [output] if output.name == manifest.output.name => output.parameters.as_ref(),
            [output] => {
                let found = start(&output.name);
                return Err(format!("output {found:?}, expected {:?}", manifest.output.name));
            }
            outputs => return Err(format!("{} outputs, expected one", outputs.len())),
        };
        let binary = output.and_then(|output| output.binary_data);
        Ok(Request {
            id: request.id,
            pixels,
            classification: output.and_then(|output| output.classification).filter(|&k| k > 0),
            binary: binary.or(request.parameters.unwrap_or_default().binary_data_output).unwrap_or(false),
        })
    }

    /// The answer: its body, and where the JSON ends if a tensor follows.
    pub(super) fn answer(
        &self,
        probabilities: &[f32],
        manifest: &Manifest,
        sha256: &datasets::Digest,
    ) -> (Vec<u8>, Option<usize>) {
        let classes = manifest.labels.len().max(1);
        let images = probabilities.len() / classes;
        let (datatype, width, data) = match self.classification {
            Some(k) => {
                let k = k.min(classes);
                let named = probabilities.chunks_exact(classes).flat_map(|row| top(row, k, &manifest.labels));
                ("BYTES", k, Data::Text(named.collect()))
            }
            None => ("FP32", classes, Data::Numbers(probabilities)),
        };
        let mut parameters = Map::new();
        let tail = self.binary.then(|| data.to_binary());
        if let Some(tail) = &tail {
            parameters.insert("binary_data_size".into(), json!(tail.len()));
        }
        let answer = Answer {
            model_name: &manifest.name,
            model_version: manifest.version.to_string(),
            id: self.id.as_deref(),
            parameters: json!({ "model_sha256": sha256 }),
            outputs: [Tensor {
                name: &manifest.output.name,
                shape: [images, width],
                datatype,
                parameters,
                data: tail.is_none().then_some(data),
            }],
        };
        let mut body = serde_json::to_vec(&answer).expect("numbers and strings always serialise");
        let json_length = tail.map(|tail| {
            let length = body.len();
            body.extend(tail);
            length
        });
        (body, json_length)
    }
}

impl Input {
    /// Takes the pixels out of the JSON, or from behind it.
    fn pixels(&mut self, binary: &[u8], manifest: &Manifest) -> Result<Vec<u8>, String> {
        let expect = |what: &str, found: &str, expected: &str| {
            if found == expected {
                Ok(())
            } else {
                Err(format!("input {what} {:?}, expected {expected:?}", start(found)))
            }
        };
        expect("name", &self.name, &manifest.input.name)?;
        expect("datatype", &self.datatype, "UINT8")?;
        let size = self.parameters.as_ref().and_then(|parameters| parameters.binary_data_size);
        match (self.data.take(), size) {
            (Some(_), Some(_)) => Err("input has both `data` and `binary_data_size`".into()),
            (None, None) => Err("input has neither `data` nor `binary_data_size`".into()),
            (Some(data), None) if binary.is_empty() => Ok(data.0),
            (None, Some(size)) if size == binary.len() => Ok(binary.to_vec()),
            (_, size) => {
                let announced = size.map_or("none".into(), |size| size.to_string());
                Err(format!("{} bytes after the JSON, expected {announced}", binary.len()))
            }
        }
    }
}

/// As much of a text as a message needs.
fn start(text: &str) -> &str {
    text.char_indices().nth(100).map_or(text, |(end, _)| &text[..end])
}

fn check_shape(shape: &[u64], pixels: usize, expected: datasets::ImageShape) -> Result<(), String> {
    let image = [expected.channels, expected.height, expected.width].map(|length| length as u64);
    let fits = matches!(shape, [n, rest @ ..] if *n > 0 && *rest == image);
    if !fits {
        let [c, h, w] = image;
        return Err(format!("input shape {shape:?}, expected [N, {c}, {h}, {w}] with N from 1"));
    }
    // The shape is only compared with what is there: nothing is made for a shape alone.
    let announced = shape.iter().try_fold(1u64, |all, &length| all.checked_mul(length));
    if announced != Some(pixels as u64) {
        let announced = announced.map_or("too many".into(), |values| values.to_string());
        return Err(format!("{pixels} values, but shape {shape:?} has {announced}"));
    }
    Ok(())
}

/// `score:index:label` of the `k` most probable classes, best first.
fn top<'a>(row: &'a [f32], k: usize, labels: &'a [String]) -> impl Iterator<Item = String> + use<'a> {
    let mut order: Vec<(usize, f32)> = row.iter().copied().enumerate().collect();
    order.sort_by(|a, b| b.1.total_cmp(&a.1));
    order.into_iter().take(k).map(|(index, score)| {
        let label = &labels[index];
        format!("{score:.6}:{index}:{label}")
    })
}

#[derive(Serialize)]
struct Answer<'a> {
    model_name: &'a str,
    model_version: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<&'a str>,
    parameters: Value,
    outputs: [Tensor<'a>; 1],
}

#[derive(Serialize)]
struct Tensor<'a> {
    name: &'a str,
    shape: [usize; 2],
    datatype: &'static str,
    #[serde(skip_serializing_if = "Map::is_empty")]
    parameters: Map<String, Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<Data<'a>>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Data<'a> {
    Numbers(&'a [f32]),
    Text(Vec<String>),
}

impl Data<'_> {
    /// Little-endian numbers, or texts with a length before each.
    fn to_binary(&self) -> Vec<u8> {
        match self {
            Data::Numbers(numbers) => numbers.iter().flat_map(|number| number.to_le_bytes()).collect(),
            Data::Text(texts) => {
                let element = |text: &String| [&(text.len() as u32).to_le_bytes(), text.as_bytes()].concat();
                texts.iter().flat_map(element).collect()
            }
        }
    }
}

/// `GET /v2/models/<name>`.
pub(super) fn metadata(manifest: &Manifest, versions: &[String], sha256: &datasets::Digest) -> Value {
    let shape = manifest.image_shape();
    json!({
        "name": manifest.name,
        "versions": versions,
        "platform": "tract_onnx",
        "inputs": [{
            "name": manifest.input.name,
            "datatype": "UINT8",
            "shape": [-1, shape.channels as i64, shape.height as i64, shape.width as i64],
        }],
        "outputs": [{
            "name": manifest.output.name,
            "datatype": "FP32",
            "shape": [-1, manifest.labels.len() as i64],
        }],
        "parameters": { "model_sha256": sha256, "labels": manifest.labels },
    })
}

/// `GET /v2/models/{model}/config`: the fields of Triton's `ModelConfig` that mean something here.
pub(super) fn config(manifest: &Manifest) -> Value {
    let shape = manifest.image_shape();
    json!({
        "name": manifest.name,
        "platform": "tract_onnx",
        "backend": "",
        "version_policy": { "latest": { "num_versions": 1 } },
        // Any number of images; more than the queue has room for are refused.
        "max_batch_size": 1024,
        "input": [{
            "name": manifest.input.name,
            "data_type": "TYPE_UINT8",
            "format": "FORMAT_NCHW",
            "dims": [shape.channels, shape.height, shape.width],
        }],
        "output": [{
            "name": manifest.output.name,
            "data_type": "TYPE_FP32",
            "dims": [manifest.labels.len()],
            "label_filename": "",
        }],
        "instance_group": [],
        "default_model_filename": zoo::ONNX,
        "parameters": {},
    })
}

/// `GET /v2`.
pub(super) fn server_metadata() -> Value {
    json!({
        "name": "infer",
        "version": env!("CARGO_PKG_VERSION"),
        "extensions": ["binary_tensor_data", "classification", "model_configuration", "model_repository", "statistics"],
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn manifest() -> Manifest {
        infer::built_in_model().unwrap().0
    }

    fn body(images: usize, parameters: Value) -> Value {
        json!({ "inputs": [{
            "name": "image", "shape": [images, 1, 28, 28], "datatype": "UINT8", "parameters": parameters,
        }] })
    }

    #[test]
    fn unknown_fields_and_parameters_are_passed_over() {
        let mut body = body(1, json!({ "binary_data_size": 784, "shared_memory_region": "x" }));
        body["priority"] = json!(3);
        body["parameters"] = json!({ "timeout": 1, "sequence_id": "a" });
        let json = body.to_string();
        let bytes = [json.as_bytes(), &[9; 784]].concat();
        let request = Request::parse(&bytes, Some(json.len()), &manifest()).unwrap();
        assert_eq!((request.pixels, request.binary), (vec![9; 784], false));
    }

    #[test]
    fn null_is_nothing_and_long_lists_are_refused() {
        let mut body = body(1, json!({ "binary_data_size": 784 }));
        (body["parameters"], body["outputs"], body["id"]) = (Value::Null, Value::Null, Value::Null);
        let parse = |body: &Value| {
            let json = body.to_string();
            Request::parse(&[json.as_bytes(), &[0; 784]].concat(), Some(json.len()), &manifest())
        };
        assert!(parse(&body).is_ok());
        body["outputs"] = json!(vec![json!({ "name": "" }); 9]);
        assert!(parse(&body).unwrap_err().contains("more than 8"));
        (body["outputs"], body["id"]) = (Value::Null, json!("x".repeat(1025)));
        assert!(parse(&body).unwrap_err().contains("id of more than"));
        (body["id"], body["inputs"][0]["name"]) = (Value::Null, json!("\u{7f}".repeat(100_000)));
        assert!(parse(&body).unwrap_err().len() < 1000);
    }

    #[test]
    fn an_outputs_own_wish_for_binary_data_counts() {
        let mut body = body(1, json!({ "binary_data_size": 784 }));
        body["parameters"] = json!({ "binary_data_output": true });
        body["outputs"] = json!([{ "name": "probabilities", "parameters": { "binary_data": false } }]);
        let json = body.to_string();
        let bytes = [json.as_bytes(), &[0; 784]].concat();
        assert!(!Request::parse(&bytes, Some(json.len()), &manifest()).unwrap().binary);
    }

    proptest! {
        #[test]
        fn any_bytes_and_lengths(bytes in proptest::collection::vec(any::<u8>(), 0..300), length in proptest::option::of(0usize..400)) {
            let _ = Request::parse(&bytes, length, &manifest());
        }

        #[test]
        fn any_tensor(
            shape in prop_oneof![
                proptest::collection::vec(any::<u64>(), 0..6),
                (0u64..4).prop_map(|n| vec![n, 1, 28, 28]),
            ],
            size in prop_oneof![any::<usize>(), (0usize..4).prop_map(|n| n * 784)],
            data in (0usize..4).prop_map(|n| n * 784),
        ) {
            let mut body = body(1, json!({ "binary_data_size": size }));
            body["inputs"][0]["shape"] = json!(shape);
            let json = body.to_string();
            let bytes = [json.as_bytes(), &vec![0; data]].concat();
            let parsed = Request::parse(&bytes, Some(json.len()), &manifest());
            let fits = size == data && data > 0 && shape == [data as u64 / 784, 1, 28, 28];
            prop_assert_eq!(parsed.is_ok(), fits);
        }

        #[test]
        fn pixels_come_through_in_any_nesting(pixels in proptest::collection::vec(any::<u8>(), 784), row in 1usize..785) {
            let mut body = body(1, Value::Null);
            body["inputs"][0]["parameters"] = json!({});
            body["inputs"][0]["data"] = json!([[pixels.chunks(row).collect::<Vec<_>>()]]);
            let request = Request::parse(body.to_string().as_bytes(), None, &manifest()).unwrap();
            prop_assert_eq!(request.pixels, pixels);
        }
    }
}
