//! `zoo adopt`.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use clap::ValueEnum;
use datasets::Dataset;
use infer::cli::ZooArgs;
use rustix::process::{Resource, Rlimit, Signal, getrlimit, set_parent_process_death_signal, setrlimit};
use serde_json::json;
use terminal::ExitStatus;
use zoo::Zoo;

use crate::adopt::{Kind, Layout, Pixels, Request, adopt as publish};
use crate::error::{Error, Result};

#[derive(clap::Args)]
pub(super) struct AdoptArgs {
    /// The ONNX file.
    file: PathBuf,
    /// The name under which it is published.
    #[arg(long)]
    name: String,
    /// The dataset by which it is measured.
    #[arg(long)]
    dataset: String,
    /// One line for people [default: the name of the file].
    #[arg(long)]
    description: Option<String>,
    /// What its pixels are.
    #[arg(long, value_enum)]
    like: Option<Like>,
    /// Multiplies pixels of 0 to 255.
    #[arg(long, conflicts_with = "like")]
    scale: Option<f64>,
    /// Subtracted after that: one number, or one for each channel.
    #[arg(long, value_delimiter = ',', allow_negative_numbers = true)]
    mean: Vec<f64>,
    /// Divides after that: one number, or one for each channel.
    #[arg(long, value_delimiter = ',')]
    std: Vec<f64>,
    /// Where the channels are, if the input could be either: of equal sides, or flat and in colour.
    #[arg(long, value_enum)]
    layout: Option<Order>,
    /// A text file with the class of each output, a line each [default: the dataset's order].
    #[arg(long)]
    labels: Option<PathBuf>,
    /// Which output, if there are several, or a value within, such as the logits before a sigmoid.
    #[arg(long)]
    output: Option<String>,
    /// What that output is [default: seen on training images].
    #[arg(long, value_enum)]
    gives: Option<Gives>,
    /// Folder of golden data: `test_data_set_0/input_0.pb` and `output_0.pb`, made by the framework that exported the file.
    #[arg(long)]
    golden: Option<PathBuf>,
    /// Folder of the datasets [default: `datasets` beside the zoo, else ./datasets].
    #[arg(long)]
    datasets: Option<PathBuf>,
    /// Most memory that reading and running the file may take, in GiB.
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u64).range(1..1 << 20))]
    memory: u64,
    /// Most minutes of computing.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..1 << 20))]
    minutes: u64,
    /// Set by the program itself, for the process that works within these limits.
    #[arg(long, hide = true)]
    within_limits: bool,
    #[command(flatten)]
    zoo: ZooArgs,
}

/// How pixels of 0 to 255 are given to a network.
#[derive(Clone, Copy, ValueEnum)]
enum Like {
    /// Divided by 255, as `ToTensor` does.
    Torchvision,
    /// Divided by 255, as `Rescaling(1/255)` does.
    Keras,
    /// As they are.
    Raw,
}

/// What a network's output is.
#[derive(Clone, Copy, ValueEnum)]
enum Gives {
    /// Before a softmax.
    Logits,
    /// After a logarithmic softmax.
    LogProbabilities,
    /// After a softmax.
    Probabilities,
}

#[derive(Clone, Copy, ValueEnum)]
enum Order {
    /// Channels first, as in PyTorch.
    Nchw,
    /// Channels last, as in Keras.
    Nhwc,
}

/// Longest file of labels.
const MAX_LABELS: u64 = 1 << 20;

/// Adopts a network, and prints what came out. A file from elsewhere may make the reader fail, or ask for all memory or
/// time: it is read and run in a process of its own, which has limits.
pub(super) fn adopt(args: &AdoptArgs) -> Result<ExitStatus> {
    if args.within_limits {
        // Whoever ends the one that waits (a killed job, a time limit) does not want it to go on.
        if let Err(error) = set_parent_process_death_signal(Some(Signal::KILL)) {
            tracing::debug!(%error, "goes on if its parent ends");
        }
        limit(Resource::As, args.memory << 30);
        limit(Resource::Cpu, 60 * args.minutes);
        return adopt_here(args);
    }
    let program = std::env::current_exe().map_err(Error::system("this program"))?;
    let mut child = Command::new(program);
    // Before any `--`, after which nothing is an option.
    let mut given = std::env::args_os().skip(1);
    child.args(given.next()).arg("--within-limits").args(given).stdin(Stdio::null());
    let done =
        child.stdout(Stdio::inherit()).stderr(Stdio::piped()).output().map_err(Error::system("a process"))?;
    let said = String::from_utf8_lossy(&done.stderr);
    match done.status.code() {
        Some(0..=2) => {
            if !said.trim().is_empty() {
                terminal::log(said.trim_end());
            }
            let is_good = done.status.success();
            Ok(if is_good { ExitStatus::Success } else { ExitStatus::Usage })
        }
        code => {
            let first = said.lines().next().unwrap_or_default();
            let what = match code {
                Some(_) => format!("the reader of ONNX files fails on it: {first}"),
                None => format!(
                    "ended within {} GiB of memory and {} minutes (--memory, --minutes): {first}",
                    args.memory, args.minutes
                ),
            };
            Err(Error::Usage(format!("{}: {what}", args.file.display())))
        }
    }
}

/// Lowers a limit of this process; where the system does not let it, there is none.
fn limit(resource: Resource, most: u64) {
    let now = getrlimit(resource);
    let most = now.maximum.map_or(most, |maximum| maximum.min(most));
    if let Err(error) = setrlimit(resource, Rlimit { current: Some(most), maximum: now.maximum }) {
        tracing::debug!(%error, ?resource, "without a limit");
    }
}

fn adopt_here(args: &AdoptArgs) -> Result<ExitStatus> {
    let scale = match (args.like, args.scale) {
        (Some(Like::Torchvision | Like::Keras), _) => Some(1.0 / 255.0),
        (Some(Like::Raw), _) => Some(1.0),
        (None, scale) => scale,
    };
    let (mean, std) = (args.mean.clone(), args.std.clone());
    let pixels = match scale {
        Some(scale) => Some(Pixels { scale, mean, std }),
        None if mean.is_empty() && std.is_empty() => None,
        None => {
            return Err(Error::Usage(
                "--mean or --std without --scale or --like, which come before them".into(),
            ));
        }
    };
    let zoo = Zoo::new(args.zoo.path());
    let dataset = Dataset::find(&zoo.datasets(args.datasets.as_deref()), &args.dataset)?;
    let labels = args.labels.as_deref().map(labels).transpose()?;
    let name = args.file.file_name().unwrap_or_default().to_string_lossy();
    let description = args.description.clone().unwrap_or_else(|| format!("Adopted from {name}."));
    let request = Request {
        file: &args.file,
        name: &args.name,
        description: &description,
        dataset: &dataset,
        pixels,
        layout: args.layout.map(|order| match order {
            Order::Nchw => Layout::ChannelsFirst,
            Order::Nhwc => Layout::ChannelsLast,
        }),
        labels,
        output: args.output.as_deref(),
        gives: args.gives.map(|gives| match gives {
            Gives::Logits => Kind::Logits,
            Gives::LogProbabilities => Kind::LogProbabilities,
            Gives::Probabilities => Kind::Probabilities,
        }),
        golden: args.golden.as_deref(),
    };
    let version = publish(&zoo, &request)?;
    let manifest = &version.manifest;
    if args.zoo.json {
        terminal::json(&json!({ "path": version.path.display().to_string(), "manifest": manifest }));
        return Ok(ExitStatus::Success);
    }
    let share = 100.0 * manifest.test.correct.share();
    terminal::line(format_args!(
        "adopted {}@{}  test {} = {share:.2} %  {}",
        manifest.name,
        manifest.version,
        manifest.test.correct,
        version.path.display()
    ));
    if let Some(zoo::Origin::Adopted(adopted)) = &manifest.origin {
        adopted.changes.iter().for_each(|change| terminal::line(format_args!("  {change}")));
        if adopted.golden.is_none() {
            terminal::line("  no golden data that is independent of the runtime");
        }
    }
    Ok(ExitStatus::Success)
}

fn labels(path: &Path) -> Result<Vec<String>> {
    let bytes = datasets::files::read(path, MAX_LABELS).map_err(Error::io(path))?;
    let text = String::from_utf8(bytes).map_err(|e| Error::Usage(format!("{}: {e}", path.display())))?;
    // Editors on Windows begin a file with a byte order mark.
    let text = text.trim_start_matches('\u{feff}');
    Ok(text.lines().map(|line| line.trim().to_owned()).filter(|line| !line.is_empty()).collect())
}
