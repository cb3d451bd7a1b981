//! What this process runs on: the processor and the libraries it has loaded.

use std::path::{Path, PathBuf};

use serde::Serialize;

/// A kind of processor, as it tells by its `cpuid` instruction.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Processor {
    /// `AMD EPYC`.
    pub name: String,
    /// `AuthenticAMD`.
    pub vendor: String,
    /// Family and model number, which tell kinds apart that share a name.
    pub family: u8,
    /// See `family`.
    pub model: u8,
    /// Whether QEMU translates its instructions.
    pub emulated: bool,
    /// Vector instructions that matter here, of those it has: `avx2`, `fma`, `avx512f`.
    pub instructions: Vec<&'static str>,
}

impl Processor {
    /// The one that runs this.
    #[cfg(target_arch = "x86_64")]
    pub fn detect() -> Processor {
        let cpuid = raw_cpuid::CpuId::new();
        let features = cpuid.get_feature_info();
        let number = |of: fn(&raw_cpuid::FeatureInfo) -> u8| features.as_ref().map_or(0, of);
        let brand = cpuid.get_processor_brand_string();
        let hypervisor = cpuid.get_hypervisor_info();
        let all = [
            ("avx2", is_x86_feature_detected!("avx2")),
            ("fma", is_x86_feature_detected!("fma")),
            ("avx512f", is_x86_feature_detected!("avx512f")),
        ];
        Processor {
            name: brand.map_or("unknown".into(), |brand| brand.as_str().trim().to_owned()),
            vendor: cpuid.get_vendor_info().map_or("unknown".into(), |vendor| vendor.as_str().to_owned()),
            family: number(|info| info.family_id()),
            model: number(|info| info.model_id()),
            emulated: hypervisor.is_some_and(|info| info.identify() == raw_cpuid::Hypervisor::QEMU),
            instructions: all.into_iter().filter(|(_, has)| *has).map(|(name, _)| name).collect(),
        }
    }

    /// The one that runs this.
    #[cfg(not(target_arch = "x86_64"))]
    pub fn detect() -> Processor {
        Processor {
            name: std::env::consts::ARCH.into(),
            vendor: "unknown".into(),
            family: 0,
            model: 0,
            emulated: false,
            instructions: Vec::new(),
        }
    }

    /// Whether it has an instruction set of [`Processor::instructions`].
    pub(crate) fn has(&self, instruction: &str) -> bool {
        self.instructions.contains(&instruction)
    }
}

/// `AMD EPYC (AuthenticAMD 25.17)`.
impl std::fmt::Display for Processor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Processor { name, vendor, family, model, emulated, .. } = self;
        let emulated = if *emulated { ", emulated" } else { "" };
        write!(f, "{name} ({vendor} {family}.{model}{emulated})")
    }
}

/// Processors that the system gives this process, its limits considered.
pub(crate) fn available_processors() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// The shared libraries of this process whose file name begins with one of `stems`, in the order in which
/// they lie in memory; none where the system does not tell.
pub(crate) fn loaded_libraries(stems: &[&str]) -> Vec<PathBuf> {
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap_or_default();
    let mut libraries: Vec<PathBuf> = Vec::new();
    for path in maps.lines().filter_map(|line| line.find('/').map(|at| Path::new(&line[at..]))) {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if stems.iter().any(|stem| name.starts_with(stem)) && !libraries.iter().any(|other| other == path) {
            libraries.push(path.to_owned());
        }
    }
    libraries
}

/// Where libtorch was loaded from.
pub(crate) fn libtorch() -> Option<PathBuf> {
    loaded_libraries(&["libtorch_cpu."]).into_iter().next()
}

/// The version that the loaded libtorch's folder tells: `build-version` of the C++ package, `version.py` of
/// PyTorch's.
pub(crate) fn libtorch_version() -> Option<String> {
    let library = libtorch()?;
    let root = library.parent()?.parent()?;
    let read = |name: &str| std::fs::read_to_string(root.join(name)).ok();
    let python = |text: String| {
        let line = text.lines().find_map(|line| line.strip_prefix("__version__ = ").map(str::to_owned))?;
        Some(line.trim_matches(['\'', '"']).to_owned())
    };
    let version = read("build-version").or_else(|| python(read("version.py")?))?;
    // `2.13.0+cpu` is 2.13.0.
    version.trim().split('+').next().map(str::to_owned)
}

/// OpenMP runtimes of this process.
pub(crate) fn openmp_runtimes() -> Vec<PathBuf> {
    loaded_libraries(&["libgomp", "libiomp", "libomp"])
}

/// Whether the system gives so many threads at once.
pub(crate) fn can_start_threads(count: usize) -> std::io::Result<()> {
    let gate = std::sync::RwLock::new(());
    let closed = gate.write();
    std::thread::scope(|scope| {
        let started = (0..count).try_for_each(|_| {
            let thread = std::thread::Builder::new().stack_size(64 << 10);
            thread.spawn_scoped(scope, || drop(gate.read())).map(drop)
        });
        drop(closed);
        started
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_tells_what_it_is() {
        let processor = Processor::detect();
        assert!(!processor.name.is_empty() && processor.to_string().contains(&processor.vendor));
        assert!(available_processors() >= 1);
        can_start_threads(4).unwrap();
        if cfg!(target_os = "linux") {
            tch::manual_seed(1);
            assert_eq!(libtorch_version().as_deref(), Some(crate::LIBTORCH_VERSION));
            assert_eq!(openmp_runtimes().len(), 1, "{:?}", openmp_runtimes());
        }
    }
}
