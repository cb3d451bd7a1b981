//! What several commands need: arguments, data, versions, keys, interruption.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use clap::ValueEnum;
use datasets::Dataset;
use terminal::ExitStatus;
use trainer::train::Options;
use trainer::{Error, Result};
use zoo::signature::PrivateKey;
use zoo::{Spec, VersionDir, Zoo};

use crate::progress::DownloadBar;

/// How long a step, and the checkpoint after it, may take after an interruption.
const GRACE: Duration = Duration::from_secs(8);

/// Signals that come so soon after the first are the same.
const SAME: Duration = Duration::from_millis(500);

/// Set by Ctrl-C; the training loop saves and stops.
pub(super) static INTERRUPTED: AtomicBool = AtomicBool::new(false);

#[derive(clap::Args)]
pub(super) struct Common {
    /// Folder of the datasets.
    #[arg(long, default_value = "datasets")]
    pub(super) datasets: PathBuf,
    /// Where to compute.
    #[arg(long, value_enum, default_value_t = Device::Cpu)]
    pub(super) device: Device,
    /// Print the result as JSON.
    #[arg(long)]
    pub(super) json: bool,
}

#[derive(Clone, Copy, ValueEnum)]
pub(super) enum Device {
    Cpu,
    Cuda,
}

impl Device {
    fn open(self) -> Result<tch::Device> {
        match self {
            Device::Cpu => Ok(tch::Device::Cpu),
            Device::Cuda if tch::Cuda::is_available() => Ok(tch::Device::Cuda(0)),
            Device::Cuda => Err(Error::Device("cuda".into())),
        }
    }
}

/// An argument that says how long to measure.
pub(super) fn seconds(text: &str) -> std::result::Result<f64, String> {
    let seconds: f64 = text.parse().map_err(|_| "expected a number".to_owned())?;
    if seconds > 0.0 && seconds <= 3600.0 {
        Ok(seconds)
    } else {
        Err("expected above 0, at most 3600".into())
    }
}

/// How to train, with Ctrl-C set up to save and stop; teachers are in `zoo`.
pub(super) fn options<'a>(resume: bool, common: &Common, zoo: &'a Path) -> Result<Options<'a>> {
    handle_interrupts(GRACE)?;
    Ok(Options { device: common.device.open()?, resume, interrupted: &INTERRUPTED, stop_after: None, zoo })
}

/// Lets Ctrl-C, SIGTERM and SIGHUP save and stop; whatever libtorch is doing, the process is gone after `grace`.
pub(super) fn handle_interrupts(grace: Duration) -> Result<()> {
    ctrlc::set_handler(move || interrupt(grace))
        .or_else(|e| if matches!(e, ctrlc::Error::MultipleHandlers) { Ok(()) } else { Err(e) })
        .map_err(|e| Error::run(Path::new("Ctrl-C"), e.to_string()))
}

/// Called by a thread of its own, for one signal after the other.
fn interrupt(grace: Duration) {
    static FIRST: OnceLock<Instant> = OnceLock::new();
    let end = |message: &str| {
        terminal::log(message);
        std::process::exit(ExitStatus::Usage.code().into());
    };
    let first = FIRST.get_or_init(Instant::now);
    if INTERRUPTED.swap(true, Ordering::Relaxed) {
        // `timeout` signals a process and its group, that is twice.
        if first.elapsed() > SAME {
            end("interrupted again: ended without a checkpoint of the step at hand");
        }
        return;
    }
    std::thread::spawn(move || {
        std::thread::sleep(grace);
        end("interrupted: the step at hand does not end; what follows goes on from the last checkpoint");
    });
}

/// A dataset, with the files that were missing fetched from its mirrors.
pub(super) fn whole_dataset(root: &Path, name: &str) -> Result<Dataset> {
    let dataset = Dataset::find(root, name)?;
    datasets::download_missing(&dataset, &mut DownloadBar::default())?;
    Ok(dataset)
}

/// A zoo and the version in it that `model` names.
pub(super) fn open_version(zoo: &Path, model: &str) -> Result<(Zoo, VersionDir)> {
    let spec: Spec = model.parse().map_err(|e| Error::run(Path::new(model), e))?;
    let zoo = Zoo::open(zoo)?;
    let version = zoo.version(&spec)?;
    Ok((zoo, version))
}

pub(super) fn read_key(path: &Path) -> Result<PrivateKey> {
    let text = datasets::yaml::read_text(path)?;
    PrivateKey::from_pem(&text).map_err(|problem| Error::run(path, problem))
}
