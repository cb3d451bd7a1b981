//! Arguments and what they call.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, Subcommand};
use infer::{Error, Predictor, Report, Result, Source, decode, speed, verify_all};
use serde_json::{Value, json};
use zoo::signature::PublicKey;
use zoo::{Spec, Zoo};

use crate::render;

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
    Predict(PredictArgs),
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
struct PredictArgs {
    /// Image files (PNG, JPEG, BMP, GIF, WebP), folders of them, or `-`.
    #[arg(required = true)]
    images: Vec<PathBuf>,
    /// NAME or NAME@VERSION.
    #[arg(long, default_value = "mnist-cnn")]
    model: String,
    /// How many classes to print.
    #[arg(long, default_value_t = 3)]
    top_k: usize,
    /// Draw what the network sees.
    #[arg(long)]
    show: bool,
    #[command(flatten)]
    zoo: ZooArgs,
}

#[derive(clap::Args)]
struct ZooArgs {
    /// The zoo [default: ./zoo; `predict` uses its built-in model if that is not there].
    #[arg(long, env = "INFER_ZOO")]
    zoo: Option<PathBuf>,
    /// Print the result as JSON.
    #[arg(long)]
    json: bool,
}

impl ZooArgs {
    fn path(&self) -> &Path {
        self.zoo.as_deref().unwrap_or(Path::new("zoo"))
    }
}

/// Runs the command line of this process.
pub fn run() -> ExitCode {
    let result = match Cli::parse().command {
        Command::Predict(args) => predict(&args),
        Command::List(args) => list(&args),
        Command::Show { model, zoo } => show(&model, &zoo),
        Command::Verify { models, key, datasets, zoo } => {
            verify_models(&models, key.as_deref(), &datasets, &zoo)
        }
        Command::Bench { models, batch, threads, seconds, zoo } => {
            bench(&models, &batch, &threads, seconds, &zoo)
        }
        Command::Index { check, zoo } => index(check, &zoo),
        Command::Alias { model, alias, zoo } => set_or_list_alias(&model, alias.as_deref(), &zoo),
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

/// The model asked for; the built-in one where no zoo is at hand.
fn open_predictor(args: &PredictArgs) -> Result<Predictor> {
    if args.zoo.zoo.is_some() || args.zoo.path().join("models").is_dir() {
        return Predictor::open(args.zoo.path(), &args.model);
    }
    let predictor = Predictor::embedded()?;
    let spec: Spec = args.model.parse().map_err(Error::Usage)?;
    let manifest = predictor.manifest();
    let fits =
        spec == Spec::latest(&manifest.name) || spec == Spec::version(&manifest.name, manifest.version);
    if !fits {
        let built_in = format!("{}@{}", manifest.name, manifest.version);
        return Err(Error::Usage(format!(
            "no zoo here, and the built-in model is {built_in}, not {spec}; name the zoo with --zoo DIR"
        )));
    }
    Ok(predictor)
}

fn predict(args: &PredictArgs) -> Result<ExitCode> {
    let predictor = open_predictor(args)?;
    let manifest = predictor.manifest();
    let embedded = *predictor.source() == Source::Embedded;
    if embedded && !args.zoo.json {
        eprintln!("no zoo here: using the built-in {}@{}", manifest.name, manifest.version);
    }
    let mut code = ExitCode::SUCCESS;
    let mut results = Vec::new();
    for path in &args.images {
        for file in decode::image_files(path).unwrap_or_else(|error| {
            report(&error);
            code = ExitCode::from(2);
            Vec::new()
        }) {
            let name = file.display().to_string();
            match decode::read_image(&file).and_then(|image| predictor.predict(&image)) {
                Ok(prediction) if args.zoo.json => results.push(json!({
                    "file": name,
                    "label": prediction.label,
                    "classes": prediction.classes.iter().take(args.top_k).collect::<Vec<_>>(),
                })),
                Ok(prediction) => {
                    println!("{}", render::prediction(&name, &prediction, args.top_k));
                    if args.show {
                        print!("{}", render::picture(&prediction, manifest));
                    }
                }
                Err(error) => {
                    report(&error);
                    code = ExitCode::from(2);
                }
            }
        }
    }
    if args.zoo.json {
        print_json(&json!({
            "model": manifest.name,
            "version": manifest.version,
            "model_sha256": manifest.files.get(zoo::ONNX).map(|record| record.sha256),
            "embedded": embedded,
            "predictions": results,
        }));
    }
    Ok(code)
}

fn list(args: &ZooArgs) -> Result<ExitCode> {
    let zoo = Zoo::open(args.path())?;
    let header = ["model", "version", "dataset", "test accuracy", "parameters", "MACs"];
    let mut rows = vec![header.map(String::from).to_vec()];
    let mut entries = Vec::new();
    let mut code = ExitCode::SUCCESS;
    for (name, versions) in zoo.models()? {
        for version in versions {
            let opened = match zoo.version(&Spec::version(&name, version)) {
                Ok(opened) => opened.manifest,
                Err(error) => {
                    report(&error.into());
                    code = ExitCode::from(2);
                    continue;
                }
            };
            rows.push(vec![
                name.clone(),
                version.to_string(),
                opened.dataset.name.clone(),
                format!("{:.2} % ({})", 100.0 * opened.test.correct.share(), opened.test.correct),
                opened.network.parameters.to_string(),
                opened.network.macs.to_string(),
            ]);
            entries.push(json!({
                "model": name,
                "version": version,
                "dataset": opened.dataset.name,
                "test_correct": opened.test.correct,
                "parameters": opened.network.parameters,
                "macs": opened.network.macs,
            }));
        }
    }
    if args.json {
        print_json(&Value::Array(entries));
    } else {
        print!("{}", render::columns(&rows));
    }
    Ok(code)
}

fn show(model: &str, args: &ZooArgs) -> Result<ExitCode> {
    let spec: Spec = model.parse().map_err(Error::Usage)?;
    let version = Zoo::open(args.path())?.version(&spec)?;
    if args.json {
        let value = serde_json::to_value(&version.manifest).map_err(|e| Error::Usage(e.to_string()))?;
        print_json(&value);
    } else {
        let card = version.read("README.md")?;
        println!("{}", String::from_utf8_lossy(&card).trim_end());
    }
    Ok(ExitCode::SUCCESS)
}

fn verify_models(models: &[String], key: Option<&Path>, datasets: &Path, args: &ZooArgs) -> Result<ExitCode> {
    let zoo = Zoo::open(args.path())?;
    let key = key.map(read_public_key).transpose()?;
    let specs: Vec<Spec> = if models.is_empty() {
        let all = zoo.models()?.into_iter();
        all.flat_map(|(name, versions)| {
            versions.into_iter().map(move |version| Spec::version(&name, version))
        })
        .collect()
    } else {
        models.iter().map(|model| model.parse().map_err(Error::Usage)).collect::<Result<_>>()?
    };
    if specs.is_empty() {
        return Err(Error::Usage(format!(
            "{}: the zoo is empty; expected models to verify",
            args.path().display()
        )));
    }
    let reports = verify_all(&zoo, &specs, datasets, key.as_ref())?;
    if args.json {
        print_json(&json!(reports));
    } else {
        print!("{}", render::reports(&reports));
    }
    Ok(if reports.iter().all(Report::ok) { ExitCode::SUCCESS } else { ExitCode::from(1) })
}

fn read_public_key(path: &Path) -> Result<PublicKey> {
    let text = datasets::yaml::read_text(path)?;
    PublicKey::from_pem(&text).map_err(|problem| Error::Usage(format!("{}: {problem}", path.display())))
}

fn bench(
    models: &[String],
    batches: &[usize],
    threads: &[usize],
    seconds: f64,
    args: &ZooArgs,
) -> Result<ExitCode> {
    let duration = Duration::try_from_secs_f64(seconds)
        .map_err(|problem| Error::Usage(format!("--seconds {seconds}: {problem}")))?;
    let mut results = Vec::new();
    for model in models {
        let predictor = Predictor::open(args.path(), model)?;
        let manifest = predictor.manifest();
        let name = format!("{}@{}", manifest.name, manifest.version);
        for &threads in threads {
            for &batch in batches {
                results.push((name.clone(), speed(predictor.session(), batch, threads, duration)?));
            }
        }
    }
    if args.json {
        let results = results.iter().map(|(model, speed)| json!({ "model": model, "speed": speed }));
        print_json(&results.collect());
    } else {
        print!("{}", render::speeds(&results));
    }
    Ok(ExitCode::SUCCESS)
}

fn index(check: bool, args: &ZooArgs) -> Result<ExitCode> {
    let zoo = Zoo::open(args.path())?;
    let index = zoo.index()?;
    let text = index.to_json()?;
    let path = zoo.root().join(zoo::INDEX);
    if check && std::fs::read_to_string(&path).ok().as_ref() != Some(&text) {
        eprintln!("error: {}: is not what the manifests say", path.display());
        eprintln!("hint: `infer index` writes it anew");
        return Ok(ExitCode::from(1));
    }
    if !check {
        zoo.write_index()?;
    }
    print!("{}", if args.json { text } else { index.to_markdown() });
    Ok(ExitCode::SUCCESS)
}

fn set_or_list_alias(model: &str, alias: Option<&str>, args: &ZooArgs) -> Result<ExitCode> {
    let spec: Spec = model.parse().map_err(Error::Usage)?;
    let zoo = Zoo::open(args.path())?;
    let entries = match alias {
        Some(alias) => vec![zoo.set_alias(&spec, alias)?],
        None => zoo.alias_history()?.into_iter().filter(|entry| entry.model == spec.name).collect(),
    };
    if args.json {
        print_json(&json!(entries));
    } else {
        for entry in entries {
            println!("{}@{} -> {}@{}", entry.model, entry.alias, entry.model, entry.version);
        }
    }
    Ok(ExitCode::SUCCESS)
}
