//! What several commands need: arguments, data, versions, keys, interruption.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use clap::ValueEnum;
use datasets::Dataset;
use trainer::train::Options;
use trainer::{Error, Result};
use zoo::signature::PrivateKey;
use zoo::{Spec, VersionDir, Zoo};

use crate::progress::DownloadBar;

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

/// How to train, with Ctrl-C set up to save and stop.
pub(super) fn options(resume: bool, common: &Common) -> Result<Options<'static>> {
    handle_interrupts()?;
    Ok(Options { device: common.device.open()?, resume, interrupted: &INTERRUPTED, stop_after: None })
}

pub(super) fn handle_interrupts() -> Result<()> {
    ctrlc::set_handler(|| INTERRUPTED.store(true, Ordering::Relaxed))
        .or_else(|e| if matches!(e, ctrlc::Error::MultipleHandlers) { Ok(()) } else { Err(e) })
        .map_err(|e| Error::run(Path::new("Ctrl-C"), e.to_string()))
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
