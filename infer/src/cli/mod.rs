//! Arguments and what they call.

mod models;
mod predict;
#[cfg(feature = "serve")]
mod serve;
mod share;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use infer::{Error, Result};
use serde_json::Value;
use zoo::signature::PublicKey;

/// Classifies images with published models and re-checks what they claim.
#[derive(Parser)]
#[command(version, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Says what is on images: files, folders of files, or `-` for standard input.
    Predict(predict::PredictArgs),
    /// Lists the models of a zoo.
    List(ZooArgs),
    /// Prints a model's card.
    Show {
        /// NAME or NAME@VERSION.
        model: String,
        #[command(flatten)]
        zoo: ZooArgs,
    },
    /// Re-checks files, golden outputs and the exact test accuracy of published models.
    Verify {
        /// NAME or NAME@VERSION; all versions of all models if none is given.
        models: Vec<String>,
        /// Also check that this P-256 public key (PEM) signed every version.
        #[arg(long)]
        key: Option<PathBuf>,
        /// Folder of the datasets.
        #[arg(long, default_value = "datasets")]
        datasets: PathBuf,
        #[command(flatten)]
        zoo: ZooArgs,
    },
    /// Measures how fast models run on this machine.
    Bench {
        /// NAME or NAME@VERSION.
        #[arg(default_value = "mnist-cnn")]
        models: Vec<String>,
        /// Images to a call.
        #[arg(long, value_delimiter = ',', default_value = "1,32,256")]
        batch: Vec<usize>,
        /// Threads that classify independently of each other.
        #[arg(long, value_delimiter = ',', default_value = "1,2")]
        threads: Vec<usize>,
        /// About how long to measure each combination.
        #[arg(long, default_value_t = 1.0)]
        seconds: f64,
        #[command(flatten)]
        zoo: ZooArgs,
    },
    /// Serves models over HTTP (Open Inference Protocol v2), with a page to draw on.
    #[cfg(feature = "serve")]
    Serve(serve::ServeArgs),
    /// Copies a version into an OCI registry, as a CNCF ModelPack.
    #[cfg(feature = "registry")]
    Push {
        /// NAME or NAME@VERSION.
        model: String,
        /// HOST/REPOSITORY or HOST/REPOSITORY:TAG; the tag is the version's number if there is none.
        reference: String,
        #[command(flatten)]
        registry: share::RegistryArgs,
        #[command(flatten)]
        zoo: ZooArgs,
    },
    /// Copies a version from an OCI registry into the zoo, which is made if it is not there.
    #[cfg(feature = "registry")]
    Pull {
        /// HOST/REPOSITORY:TAG or HOST/REPOSITORY@DIGEST.
        reference: String,
        #[command(flatten)]
        registry: share::RegistryArgs,
        #[command(flatten)]
        zoo: ZooArgs,
    },
    /// Writes models in the form of other hubs.
    Export {
        /// Which form.
        form: share::Form,
        /// Where to.
        dir: PathBuf,
        /// NAME or NAME@VERSION; the newest version of every model if none is given.
        models: Vec<String>,
        #[command(flatten)]
        zoo: ZooArgs,
    },
    /// Checks that Triton, KServe and OpenVINO Model Server can load the zoo as it is.
    Lint(ZooArgs),
    /// Writes index.json from the manifests, and prints the table of results.
    Index {
        /// Write nothing; exit with 1 if index.json is not what the manifests say.
        #[arg(long)]
        check: bool,
        #[command(flatten)]
        zoo: ZooArgs,
    },
    /// Lets an alias such as `stable` point to a version, or lists a model's aliases with their history.
    Alias {
        /// NAME or NAME@VERSION.
        model: String,
        /// The alias to set.
        alias: Option<String>,
        #[command(flatten)]
        zoo: ZooArgs,
    },
}

#[derive(clap::Args)]
struct ZooArgs {
    /// The zoo [default: ./zoo; `predict` and `serve` use the built-in model if that is not there].
    #[arg(long, env = "INFER_ZOO")]
    zoo: Option<PathBuf>,
    /// Print the result as JSON.
    #[arg(long)]
    json: bool,
}

impl ZooArgs {
    /// Whether a zoo was named, or is at hand.
    fn is_there(&self) -> bool {
        self.zoo.is_some() || self.path().join("models").is_dir()
    }

    fn path(&self) -> &Path {
        self.zoo.as_deref().unwrap_or(Path::new("zoo"))
    }
}

/// Runs the command line of this process.
pub fn run() -> ExitCode {
    let result = match Cli::parse().command {
        Command::Predict(args) => predict::predict(&args),
        Command::List(args) => models::list(&args),
        Command::Show { model, zoo } => models::show(&model, &zoo),
        Command::Verify { models, key, datasets, zoo } => {
            models::verify_models(&models, key.as_deref(), &datasets, &zoo)
        }
        Command::Bench { models, batch, threads, seconds, zoo } => {
            models::bench(&models, &batch, &threads, seconds, &zoo)
        }
        #[cfg(feature = "serve")]
        Command::Serve(args) => serve::serve(args),
        #[cfg(feature = "registry")]
        Command::Push { model, reference, registry, zoo } => share::push(&model, &reference, &registry, &zoo),
        #[cfg(feature = "registry")]
        Command::Pull { reference, registry, zoo } => share::pull(&reference, &registry, &zoo),
        Command::Export { form, dir, models, zoo } => share::export(form, &dir, &models, &zoo),
        Command::Lint(args) => models::lint(&args),
        Command::Index { check, zoo } => models::index(check, &zoo),
        Command::Alias { model, alias, zoo } => models::set_or_list_alias(&model, alias.as_deref(), &zoo),
    };
    result.unwrap_or_else(|error| {
        report(&error);
        ExitCode::from(2)
    })
}

fn report(error: &Error) {
    eprintln!("error: {error}");
    let hint = match error {
        Error::Zoo(zoo::Error::NotFound { .. }) => {
            "name the zoo with --zoo DIR; `infer list` shows its models"
        }
        Error::Zoo(zoo::Error::Damaged { .. }) => {
            "the model was not used; restore the file, for example with git checkout"
        }
        Error::Data(datasets::Error::Missing { .. }) => "name the folder of the datasets with --datasets DIR",
        _ => return,
    };
    eprintln!("hint: {hint}");
}

fn print_json(value: &Value) {
    println!("{value:#}");
}

fn read_public_key(path: &Path) -> Result<PublicKey> {
    let text = datasets::yaml::read_text(path)?;
    PublicKey::from_pem(&text).map_err(|problem| Error::Usage(format!("{}: {problem}", path.display())))
}
