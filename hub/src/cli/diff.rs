//! `zoo diff`.

use std::path::{Path, PathBuf};

use datasets::Dataset;
use infer::cli::ZooArgs;
use terminal::ExitStatus;
use zoo::{Spec, Zoo, write_output};

use crate::compare::{Change, Comparison, Side, compare, page};
use crate::error::{Error, Result};

#[derive(clap::Args)]
pub(super) struct DiffArgs {
    /// NAME, NAME@VERSION, or an ONNX file in the form of the other's network.
    a: String,
    /// The same; at least one of the two is a version.
    b: String,
    /// Also write the comparison as a page, with the images on which they disagree.
    #[arg(long)]
    html: Option<PathBuf>,
    /// Also write those images as PNG.
    #[arg(long)]
    picture: Option<PathBuf>,
    /// Folder of the datasets [default: `datasets` beside the zoo, else ./datasets].
    #[arg(long)]
    datasets: Option<PathBuf>,
    #[command(flatten)]
    zoo: ZooArgs,
}

/// Lines of a list that are printed.
const LINES: usize = 30;

/// Compares two versions, and prints what differs.
pub(super) fn diff(args: &DiffArgs) -> Result<ExitStatus> {
    let outputs: Vec<&Path> = args.html.iter().chain(&args.picture).map(PathBuf::as_path).collect();
    let inputs = [Path::new(&args.a), Path::new(&args.b)];
    for (index, output) in outputs.iter().enumerate() {
        zoo::refuse_same(output, &[&inputs[..], &outputs[..index]].concat())?;
    }
    let zoo = args.zoo.open()?;
    let (a, b) = (open(&zoo, &args.a, &args.b)?, open(&zoo, &args.b, &args.a)?);
    let folder = zoo.datasets(args.datasets.as_deref());
    let found = compare(&a, &b, &Dataset::find(&folder, &a.dataset)?)?;
    if let Some(path) = &args.html {
        write_output(path, page(&found).as_bytes())?;
    }
    if let Some(path) = &args.picture {
        write_output(path, &found.picture)?;
    }
    if args.zoo.json {
        terminal::json(&found)
    } else {
        print(&found)
    }
    Ok(ExitStatus::Success)
}

/// A version, or a file beside one.
fn open(zoo: &Zoo, name: &str, other: &str) -> Result<Side> {
    // What can be the name of a model is one, also where a file is called so; `./mnist-cnn` is that file.
    let is_file = |name: &str| {
        name.ends_with(".onnx")
            || name.contains('/')
            || name.parse::<Spec>().is_err() && Path::new(name).is_file()
    };
    if !is_file(name) {
        let spec: Spec = name.parse().map_err(Error::Usage)?;
        return Side::version(zoo, &spec);
    }
    if is_file(other) {
        return Err(Error::Usage(format!("{name} and {other}: two files, expected one version at least")));
    }
    let spec: Spec = other.parse().map_err(Error::Usage)?;
    Side::file(Path::new(name), &zoo.version(&spec)?.manifest)
}

fn print(found: &Comparison) {
    let [a, b] = &found.names;
    let (dataset, images) = &found.dataset;
    terminal::line(format_args!("{a} and {b}, {images} test images of {dataset}"));
    let percent = |count: &zoo::Count| format!("{count} = {:.2} %", 100.0 * count.share());
    terminal::line(format_args!(
        "right      {}    {}",
        percent(&found.accuracy[0]),
        percent(&found.accuracy[1])
    ));
    for (label, [one, other]) in &found.classes {
        if one != other {
            terminal::line(format_args!("  {label}: {}    {}", percent(one), percent(other)));
        }
    }
    terminal::line(found.verdict());
    let [one, other] = found.calibration_error;
    terminal::line(format_args!("calibration error {one:.4} and {other:.4}"));
    for speed in &found.speed {
        let ([one, other], [low, median, high]) = (speed.microseconds, speed.ratio);
        terminal::line(format_args!(
            "{} to a call: {one:.1} and {other:.1} µs an image, {median:.2} ({low:.2} to {high:.2}) of the time",
            speed.batch
        ));
    }
    list("size", &found.sizes);
    if let Some(recipe) = &found.recipe {
        list("recipe", recipe);
    }
    list("data", &found.data);
    list("operators", &found.operators);
    list("weights", &found.weights);
    terminal::line(format_args!("{} constants are the same", found.same_weights));
    terminal::line(format_args!("{} answers differ", found.disagreements.len()));
}

fn list(what: &str, changes: &[Change]) {
    for Change { what: name, a, b } in changes.iter().take(LINES) {
        let side = |side: &Option<String>| side.clone().unwrap_or_else(|| "-".into());
        terminal::line(format_args!("{what} {name}: {} -> {}", side(a), side(b)));
    }
    if changes.len() > LINES {
        terminal::line(format_args!("{what}: {} more", changes.len() - LINES));
    }
}
