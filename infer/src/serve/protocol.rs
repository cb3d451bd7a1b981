//! The bodies of the Open Inference Protocol v2 (REST), with the binary-tensor and
//! classification extensions, for models that take `UINT8 [N, C, H, W]` and give `FP32 [N, classes]`.
//!
//! Source: <https://github.com/kserve/open-inference-protocol> and, for the extensions, the
//! protocol documents of <https://github.com/triton-inference-server/server>.

use std::fmt;

use serde::de::{Deserializer, SeqAccess, Visitor};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use zoo::Manifest;

/// Says where JSON ends and tensors begin in a body with binary tensors.
pub(super) const HEADER_LENGTH: &str = "inference-header-content-length";

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
struct Body {
    id: Option<String>,
    #[serde(default)]
    parameters: Parameters,
    inputs: Vec<Input>,
    #[serde(default)]
    outputs: Vec<Output>,
}

#[derive(Deserialize)]
struct Input {
    name: String,
    shape: Vec<u64>,
    datatype: String,
    #[serde(default)]
    parameters: Parameters,
    data: Option<Bytes>,
}

#[derive(Deserialize)]
struct Output {
    name: String,
    #[serde(default)]
    parameters: Parameters,
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

/// Numbers 0 to 255, in one list or in lists of lists.
#[derive(Default)]
struct Bytes(Vec<u8>);

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut bytes = Bytes::default();
        deserializer.deserialize_seq(Flat(&mut bytes.0))?;
        Ok(bytes)
    }
}

/// Appends a list's numbers. `serde_json` refuses lists more than 128 deep.
struct Flat<'a>(&'a mut Vec<u8>);

/// Appends a number, or a list's numbers.
struct Element<'a>(&'a mut Vec<u8>);

impl<'de> Visitor<'de> for Flat<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of numbers from 0 to 255")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        while list.next_element_seed(Element(self.0))?.is_some() {}
        Ok(())
    }
}

impl<'de> serde::de::DeserializeSeed<'de> for Element<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Element<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a number from 0 to 255")
    }

    fn visit_u64<E: serde::de::Error>(self, value: u64) -> Result<(), E> {
        let value = u8::try_from(value).map_err(|_| E::custom(format!("{value}, expected 0 to 255")))?;
        self.0.push(value);
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<(), A::Error> {
        Flat(self.0).visit_seq(list)
    }
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
        let mut request: Body = serde_json::from_slice(json).map_err(|e| format!("request: {e}"))?;
        let [input] = request.inputs.as_mut_slice() else {
            return Err(format!("{} inputs, expected one", request.inputs.len()));
        };
        let pixels = input.pixels(binary, manifest)?;
        let expected = manifest.image_shape();
        check_shape(&input.shape, pixels.len(), expected)?;
        let output = match request.outputs.as_slice() {
            [] => None,
            [output] if output.name == manifest.output.name => Some(&output.parameters),
            [output] => {
                return Err(format!("output {:?}, expected {:?}", output.name, manifest.output.name));
            }
            outputs => return Err(format!("{} outputs, expected one", outputs.len())),
        };
        let binary = output.and_then(|output| output.binary_data);
        Ok(Request {
            id: request.id,
            pixels,
            classification: output.and_then(|output| output.classification).filter(|&k| k > 0),
            binary: binary.or(request.parameters.binary_data_output).unwrap_or(false),
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
        // Numbers and strings always serialise.
        let mut body = serde_json::to_vec(&answer).unwrap_or_default();
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
                Err(format!("input {what} {found:?}, expected {expected:?}"))
            }
        };
        expect("name", &self.name, &manifest.input.name)?;
        expect("datatype", &self.datatype, "UINT8")?;
        match (self.data.take(), self.parameters.binary_data_size) {
            (Some(_), Some(_)) => Err("input has both `data` and `binary_data_size`".into()),
            (None, None) => Err("input has neither `data` nor `binary_data_size`".into()),
            (Some(data), None) if binary.is_empty() => Ok(data.0),
            (None, Some(size)) if size == binary.len() => Ok(binary.to_vec()),
            (_, size) => {
                let announced = size.unwrap_or(0);
                Err(format!("{} bytes after the JSON, expected {announced}", binary.len()))
            }
        }
    }
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
        return Err(format!("{pixels} values, but shape {shape:?} has {announced:?}"));
    }
    Ok(())
}

/// `score:index:label` of the `k` most probable classes, best first.
fn top<'a>(row: &'a [f32], k: usize, labels: &'a [String]) -> impl Iterator<Item = String> + use<'a> {
    let mut order: Vec<(usize, f32)> = row.iter().copied().enumerate().collect();
    order.sort_by(|a, b| b.1.total_cmp(&a.1));
    order.into_iter().take(k).map(|(index, score)| {
        let label = labels.get(index).map_or("", String::as_str);
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

/// `GET /v2`.
pub(super) fn server_metadata() -> Value {
    json!({
        "name": "infer",
        "version": env!("CARGO_PKG_VERSION"),
        "extensions": ["binary_tensor_data", "classification", "model_repository"],
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn manifest() -> Manifest {
        crate::embedded::model().unwrap().0
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
        fn any_tensor(shape in proptest::collection::vec(any::<u64>(), 0..6), size in any::<usize>(), data in 0usize..2000) {
            let mut body = body(1, json!({ "binary_data_size": size }));
            body["inputs"][0]["shape"] = json!(shape);
            let json = body.to_string();
            let bytes = [json.as_bytes(), &vec![0; data]].concat();
            let parsed = Request::parse(&bytes, Some(json.len()), &manifest());
            prop_assert!(parsed.is_err() || (size == data && shape[0] == data as u64 / 784));
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
