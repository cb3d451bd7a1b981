//! Adopting a network from elsewhere: checked, brought into the zoo's form, measured, published.
//!
//! Nothing is trained, and no test image decides anything: what the pixels are is said by the caller, and what the outputs
//! are is seen on training images.

mod card;
mod ends;
mod file;
mod golden;
mod graph;
mod names;
mod opset;
mod outputs;
mod precision;
mod proto;
mod release;

use std::path::Path;

use datasets::{Dataset, Samples, Split};
use infer::Session;
use prost::Message;
use tract_onnx::pb::ModelProto;
use zoo::{Adopted, VersionDir, Zoo};

pub use graph::{Kind, Layout, Pixels};

use crate::error::{Error, Result};
use ends::Ends;
use file::Original;
use graph::Rewriter;
use release::Release;

/// What to adopt, and what the file does not say.
pub struct Request<'a> {
    /// The ONNX file.
    pub file: &'a Path,
    /// The name under which it is published.
    pub name: &'a str,
    /// One line for people.
    pub description: &'a str,
    /// The dataset by which it is measured.
    pub dataset: &'a Dataset,
    /// What its pixels are; `None` for a network that takes `uint8`.
    pub pixels: Option<Pixels>,
    /// Where its channels are, if its input could be either.
    pub layout: Option<Layout>,
    /// The class of each output, if they are not in the dataset's order.
    pub labels: Option<Vec<String>>,
    /// Which output, if there are several, or a value within.
    pub output: Option<&'a str>,
    /// What that output is; `None` to see it on training images.
    pub gives: Option<Kind>,
    /// Folder of golden data.
    pub golden: Option<&'a Path>,
}

/// Largest difference of a probability from golden data.
const TOLERANCE: f64 = 1e-5;
/// The same for a network that computed in halves, which have 11 bits (`float16`).
const TOLERANCE_OF_HALVES: f64 = 1e-3;
/// Training images by which ways to scale pixels are compared for a hint.
const HINT: usize = 1000;
/// Most images of golden data that are published with a version.
const MAX_GOLDEN: usize = 64;

/// A network in the zoo's form, ready to be measured.
struct Form {
    model: ModelProto,
    changes: Vec<String>,
    kind: Kind,
    ends: Ends,
    is_last: bool,
    order: Option<Vec<usize>>,
    classes: usize,
    /// Largest difference of a probability from golden data.
    tolerance: f64,
}

/// Publishes a network from elsewhere as the next version of a name.
///
/// # Errors
/// [`Error::Usage`] with what is wrong with the file, naming the node, and what was expected; else what is wrong with
/// dataset or zoo. Nothing is published then.
pub fn adopt(zoo: &Zoo, request: &Request<'_>) -> Result<VersionDir> {
    zoo::check_name(request.name)
        .map_err(|expected| Error::Usage(format!("name {:?}: expected {expected}", request.name)))?;
    let original = Original::read(request.file)?;
    let producer = [original.model.producer_name.as_str(), original.model.producer_version.as_str()];
    let producer = producer.join(" ").trim().to_owned();
    let sha256 = original.sha256;
    let beside = original.beside.clone();
    let training = request.dataset.load(Split::Train)?;
    let form = bring_into_form(request, original.model, &training)?;
    let shape = training.shape;
    let golden = request.golden.map(|dir| golden::read(dir, &form.ends)).transpose()?;
    let golden = golden.map(|pairs| golden::in_zoo_form(&pairs, &form, request.pixels.as_ref(), shape));
    let golden = golden.transpose()?;
    let session = load(request, &form.model)?;
    if let Some(golden) = &golden {
        let difference = golden.max_difference(&session)?;
        if f64::from(difference) > form.tolerance {
            return Err(wrong(
                request,
                format!(
                    "differs from its golden data by {difference:.2e}, expected at most {:.0e}: are scale, mean and std \
                 those that it was trained with?",
                    form.tolerance
                ),
            ));
        }
    }
    let test = request.dataset.load(Split::Test)?;
    let evaluation = infer::evaluate(&session, &test, &request.dataset.description.classes)?;
    let mut changes: Vec<String> =
        beside.iter().map(|name| format!("data of {name} taken into the file")).collect();
    changes.extend(form.changes.iter().cloned());
    let of_original = release::of_original(&form.model);
    if !of_original.is_empty() {
        changes.push(format!("{} entries of its metadata kept as \"original.*\"", of_original.len()));
    }
    let adopted = Adopted {
        file: request.file.file_name().unwrap_or_default().to_string_lossy().into_owned(),
        sha256,
        producer,
        changes,
        golden: golden.as_ref().map(|golden| {
            let count = golden.shape[0];
            let kept =
                if count > MAX_GOLDEN { format!(", of which {MAX_GOLDEN} are kept") } else { String::new() };
            format!("outputs of the framework that exported it, for {count} images{kept}")
        }),
    };
    // All were compared; a zoo keeps some.
    let golden = golden.map(|golden| golden.first(MAX_GOLDEN));
    let release = Release { request, form: &form, session: &session, golden, adopted, evaluation, shape };
    Ok(zoo.publish(request.name, |dir, version| release.write(dir, version))?)
}

fn wrong(request: &Request<'_>, problem: impl std::fmt::Display) -> Error {
    Error::Usage(format!("{}: {problem}", request.file.display()))
}

/// Loads a network whose input is pixels already.
fn load(request: &Request<'_>, model: &ModelProto) -> Result<Session> {
    let (shape, classes) = (request.dataset.description.image, request.dataset.description.classes.len());
    Ok(Session::load_adopted(model.encode_to_vec(), shape, classes, request.file)?)
}

fn bring_into_form(request: &Request<'_>, mut model: ModelProto, training: &Samples) -> Result<Form> {
    let renamed = names::reserve(&mut model).map_err(|problem| wrong(request, problem))?;
    // Before it, constants were inputs as well (ONNX IR.md), which no version's are.
    model.ir_version = model.ir_version.max(4);
    let order = order(request)?;
    let raised = opset::raise(&mut model);
    let precision::Changed { changes: mut found, has_halves } =
        model.graph.as_mut().map(precision::to_float32).unwrap_or_default();
    found.extend(raised);
    let tolerance = if has_halves { TOLERANCE_OF_HALVES } else { TOLERANCE };
    let ends = {
        let graph = model.graph.as_ref().ok_or_else(|| wrong(request, "without a graph"))?;
        let output = request.output.map(|name| {
            let other = renamed.iter().find(|(reserved, _)| *reserved == name);
            other.map_or(name.to_owned(), |(_, other)| other.clone())
        });
        Ends::find(graph, output.as_deref()).map_err(|problem| wrong(request, problem))?
    };
    let changes =
        |pixels: Option<&Pixels>, model: &mut ModelProto| -> std::result::Result<Vec<String>, String> {
            let graph = model.graph.as_mut().ok_or("without a graph")?;
            let mut rewriter = Rewriter { graph, changes: Vec::new() };
            rewriter.keep_only_output(&ends.output);
            rewriter.lift_constants();
            rewriter.free_batch(&ends);
            rewriter.take_pixels(&ends, training.shape, request.layout, pixels)?;
            Ok(rewriter.changes)
        };
    let raw_element = i32::from(tract_onnx::pb::tensor_proto::DataType::Uint8);
    if request.pixels.is_none() && ends.element != raw_element {
        return Err(wrong(request, hint(request, &model, training, order.as_deref(), &changes)));
    }
    let before = model.clone();
    let mut rewritten =
        changes(request.pixels.as_ref(), &mut model).map_err(|problem| wrong(request, problem))?;
    found.append(&mut rewritten);
    let is_last = found.iter().any(|change| change == "channels moved last");
    let session = load(request, &model).map_err(|error| wrong(request, explained(&error, &before)))?;
    let outputs = outputs::of_training_images(request, &session, training, &before)?;
    let classes = request.dataset.description.classes.len();
    let kind = match request.gives {
        Some(kind) => {
            outputs::check_kind(kind, &outputs).map_or(Ok(kind), |problem| Err(wrong(request, problem)))?
        }
        None => outputs::kind(&outputs, classes).map_err(|problem| {
            let before = before.graph.as_ref().and_then(|graph| ends::before(graph, &ends.output));
            wrong(
                request,
                problem + &before.map_or(String::new(), |name| format!("; before it comes {name:?}")),
            )
        })?,
    };
    let shapes = infer::shapes(&model.encode_to_vec(), training.shape).map_err(|e| wrong(request, e))?;
    let is_flat = shapes.get(&ends.output).is_some_and(|shape| shape.split(" x ").count() == 2);
    let graph = model.graph.as_mut().ok_or_else(|| wrong(request, "without a graph"))?;
    let mut rewriter = Rewriter { graph, changes: Vec::new() };
    rewriter.give_probabilities(&ends, kind, order.as_deref(), classes, is_flat);
    found.append(&mut rewriter.changes);
    Ok(Form { model, changes: found, kind, ends, is_last, order, classes, tolerance })
}

/// What tract does not take, with what can be done about it where that is known.
fn explained(error: &Error, original: &ModelProto) -> String {
    let opset = original.opset_import.iter().find(|set| matches!(set.domain.as_str(), "" | "ai.onnx"));
    let opset = opset.map_or(0, |set| set.version);
    format!("{error} (opset {opset})")
}

/// For every class of the dataset the output that is it; `None` if the outputs are in the dataset's order.
fn order(request: &Request<'_>) -> Result<Option<Vec<usize>>> {
    let Some(labels) = &request.labels else { return Ok(None) };
    let classes = &request.dataset.description.classes;
    let place = |class: &String| {
        let found = labels.iter().position(|label| label == class);
        found.ok_or_else(|| {
            Error::Usage(format!("labels {labels:?}: without {class:?}, a class of the dataset"))
        })
    };
    let order = classes.iter().map(place).collect::<Result<Vec<usize>>>()?;
    if labels.len() != classes.len() {
        return Err(Error::Usage(format!(
            "{} labels, expected the dataset's {} classes",
            labels.len(),
            classes.len()
        )));
    }
    Ok((!order.iter().copied().eq(0..classes.len())).then_some(order))
}

/// Brings a model's input into the zoo's form, and says what was changed.
type Changes<'a> = dyn Fn(Option<&Pixels>, &mut ModelProto) -> std::result::Result<Vec<String>, String> + 'a;

/// What the usual ways to scale pixels give on training images.
fn hint(
    request: &Request<'_>,
    model: &ModelProto,
    training: &Samples,
    order: Option<&[usize]>,
    changes: &Changes<'_>,
) -> String {
    let count = HINT.min(training.len());
    let mut some = training.select(&(0..count).collect::<Vec<usize>>());
    // The outputs are not in the dataset's order yet, so the labels take theirs.
    if let Some(order) = order {
        for label in &mut some.labels {
            *label = order[usize::from(*label)] as u8;
        }
    }
    let classes = &request.dataset.description.classes;
    let normalisation = &request.dataset.description.normalisation;
    let list = |values: &[f64]| values.iter().map(f64::to_string).collect::<Vec<_>>().join(",");
    let own =
        format!("--like torchvision --mean {} --std {}", list(&normalisation.mean), list(&normalisation.std));
    let ways = [
        ("--like raw".to_owned(), Pixels { scale: 1.0, mean: vec![], std: vec![] }),
        (
            "--like torchvision (or keras)".to_owned(),
            Pixels { scale: 1.0 / 255.0, mean: vec![], std: vec![] },
        ),
        (
            "--scale 0.00784313725490196 --mean 1".to_owned(),
            Pixels { scale: 2.0 / 255.0, mean: vec![1.0], std: vec![] },
        ),
        (
            own,
            Pixels { scale: 1.0 / 255.0, mean: normalisation.mean.clone(), std: normalisation.std.clone() },
        ),
    ];
    let (mut lines, mut problems) = (Vec::new(), Vec::new());
    let file = format!("{}: ", request.file.display());
    for (name, pixels) in ways {
        let mut model = model.clone();
        let measured = changes(Some(&pixels), &mut model).and_then(|_| {
            let session = load(request, &model).map_err(|error| error.to_string())?;
            infer::evaluate(&session, &some, classes).map_err(|error| error.to_string())
        });
        match measured {
            Ok(found) => lines.push(format!("{name}: {:.1} %", 100.0 * found.correct.share())),
            Err(problem) => {
                let problem = problem.strip_prefix(&file).unwrap_or(&problem).to_owned();
                lines.push(format!("{name}: {problem}"));
                problems.push(problem);
            }
        }
    }
    // If none can be measured, it is no matter of the pixels.
    if problems.len() == lines.len() {
        return problems.swap_remove(0);
    }
    format!(
        "what its pixels are is not in the file: name it by --like, or by --scale, --mean and --std. Of {count} training images \
         it gets right with {}",
        lines.join("; ")
    )
}
