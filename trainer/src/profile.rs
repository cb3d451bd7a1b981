//! The numeric profile: what a network may be computed by, so that the same sums are added in the same order.
//!
//! Floating-point sums depend on how they are split over threads and vector lanes, and functions on whose
//! code computes them. The caps are environment variables that libtorch and its libraries read when they
//! load, which is before `main`: the binary sets them and executes itself again. What caps cannot make equal
//! on all processors is computed by the trainer itself (`arithmetic/`).

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::arithmetic::Arithmetic;
use crate::error::{Error, Result};
use crate::machine::{self, Processor};

/// Threads and instruction set that a recipe asks for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct NumericProfile {
    /// Threads of libtorch's operators. Some of its sums are split over them.
    pub threads: u32,
    /// Instruction set, and whose arithmetic.
    pub isa: Isa,
}

/// What instructions may be used, and by whom.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema, clap::ValueEnum,
)]
#[serde(rename_all = "snake_case")]
pub enum Isa {
    /// The same bytes on every x86-64 processor with AVX2 and FMA (servers since about 2015): libtorch is
    /// capped to them, and what it would take from MKL is computed by the trainer itself.
    Portable,
    /// The same, and convolutions of 3x3, 4x4 and 5x5 windows of stride 1 on multiples of 16 channels, and of 3x3 and 5x5 on
    /// one, with multiples of 16 features, are computed by the trainer too, in about half of the time. Other bytes than
    /// `portable`.
    Portable2,
    /// libtorch capped to SSE4.1: every x86-64 processor since about 2008. Slow.
    Baseline,
    /// libtorch capped to AVX2 and FMA. Reproducible only on the same kind of processor.
    Avx2,
    /// Whatever the machine has. Reproducible only on the same kind of machine.
    Native,
}

impl Default for NumericProfile {
    fn default() -> NumericProfile {
        NumericProfile { threads: 2, isa: Isa::Portable }
    }
}

/// Beginnings of the names of variables that change what libtorch and its libraries compute, or whether
/// they come to an end: `OMP_THREAD_LIMIT=1` makes oneDNN's backward pass wait for ever.
const STEERING: [&str; 10] =
    ["OMP_", "GOMP_", "KMP_", "MKL_", "ONEDNN_", "DNNL_", "ATEN_", "TORCH_", "PYTORCH_", "GLIBC_TUNABLES"];

/// `portable, 2 threads`.
impl std::fmt::Display for NumericProfile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let plural = if self.threads == 1 { "" } else { "s" };
        write!(f, "{}, {} thread{plural}", self.isa.name(), self.threads)
    }
}

impl Isa {
    /// Its name in a recipe.
    pub fn name(self) -> &'static str {
        match self {
            Isa::Portable => "portable",
            Isa::Portable2 => "portable2",
            Isa::Baseline => "baseline",
            Isa::Avx2 => "avx2",
            Isa::Native => "native",
        }
    }

    /// Whether it promises the same bytes on every processor with AVX2 and FMA.
    pub fn is_portable(self) -> bool {
        matches!(self, Isa::Portable | Isa::Portable2)
    }
}

impl NumericProfile {
    /// The environment under which libtorch must load.
    pub fn environment(&self) -> BTreeMap<&'static str, String> {
        let mut variables = BTreeMap::from([
            ("OMP_NUM_THREADS", self.threads.to_string()),
            ("MKL_NUM_THREADS", self.threads.to_string()),
            ("OMP_DYNAMIC", "FALSE".into()),
            ("MKL_DYNAMIC", "FALSE".into()),
            // Waiting threads soon sleep: on a busy machine spinning ones made an epoch 3 to 7 times
            // slower. Those that sleep at once cost an eighth of an epoch on an idle machine; the
            // few microseconds of spinning that avoid it cost nothing on a busy one (measured).
            ("OMP_WAIT_POLICY", "PASSIVE".into()),
            ("GOMP_SPINCOUNT", "1000".into()),
            // Not about numbers: keeps freed tensors in the process. glibc else returns them to
            // the system after every step, and a fifth of an epoch goes into page faults.
            ("MALLOC_MMAP_THRESHOLD_", (1u64 << 30).to_string()),
            ("MALLOC_TRIM_THRESHOLD_", (1u64 << 31).to_string()),
        ]);
        let caps = match self.isa {
            // MKL honours `AVX2` on Intel's processors only.
            Isa::Portable | Isa::Portable2 if Processor::detect().has("avx2") => {
                Some(("avx2", "AVX2", "COMPATIBLE"))
            }
            Isa::Portable | Isa::Portable2 | Isa::Baseline => Some(("default", "SSE41", "COMPATIBLE")),
            Isa::Avx2 => Some(("avx2", "AVX2", "AVX2")),
            Isa::Native => None,
        };
        if let Some((aten, onednn, mkl)) = caps {
            variables.insert("ATEN_CPU_CAPABILITY", aten.into());
            variables.insert("ONEDNN_MAX_CPU_ISA", onednn.into());
            variables.insert("MKL_CBWR", mkl.into());
        }
        variables
    }

    /// Variables of this process that would steer libtorch and are not the profile's, as `NAME=value`.
    pub fn foreign_variables(&self) -> Vec<(String, String)> {
        let own = self.environment();
        let foreign =
            |name: &str| STEERING.iter().any(|stem| name.starts_with(stem)) && !own.contains_key(name);
        let variables = std::env::vars_os();
        let text = |value: std::ffi::OsString| value.to_string_lossy().into_owned();
        variables.map(|(name, value)| (text(name), text(value))).filter(|(name, _)| foreign(name)).collect()
    }

    /// Whether this process was started with that environment.
    pub fn is_active(&self) -> bool {
        let set = self.environment().iter().all(|(name, value)| std::env::var(name).as_ref() == Ok(value));
        set && self.foreign_variables().is_empty()
    }

    /// Why this machine cannot give the profile, if it cannot.
    pub fn obstacle(&self) -> Option<String> {
        let processor = Processor::detect();
        if self.isa != Isa::Native && cfg!(not(target_arch = "x86_64")) {
            return Some(format!("{processor} is not an x86-64 processor"));
        }
        if (self.isa == Isa::Avx2 || self.isa.is_portable())
            && !(processor.has("avx2") && processor.has("fma"))
        {
            return Some(format!("{processor} has no AVX2 and FMA"));
        }
        let expected = crate::LIBTORCH_VERSION;
        if let Some(found) = machine::libtorch_version().filter(|found| found != expected) {
            let path = machine::libtorch().unwrap_or_default();
            return Some(format!("{} is libtorch {found}, expected {expected}", path.display()));
        }
        if let Some(problem) = other_openmp() {
            return Some(problem);
        }
        // As many again for our own arithmetic, and some for data and progress.
        let threads = 2 * self.threads as usize + 4;
        let started = machine::can_start_threads(threads).err();
        started.map(|e| format!("this system does not give {threads} threads: {e}"))
    }

    /// What is worth knowing before training, though the bytes do not depend on it.
    pub fn notice(&self) -> Option<String> {
        let processors = machine::available_processors();
        let threads = self.threads as usize;
        (processors < threads).then(|| {
            let plural = if processors == 1 { "" } else { "s" };
            format!(
                "{threads} threads share {processors} processor{plural}: the bytes are the same, and an epoch takes longer"
            )
        })
    }

    /// Calls `work` with so many threads for libtorch and for our own arithmetic.
    ///
    /// # Errors
    /// [`Error::Run`] if the system does not give them.
    pub(crate) fn run<T: Send>(&self, work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
        tch::set_num_threads(self.threads as i32);
        // The work is done by one of the pool's threads: it computes its share, and only the others wait
        // to be woken.
        let pool = rayon::ThreadPoolBuilder::new().num_threads(self.threads as usize).build();
        let refused = |e| Error::run(Path::new("numeric_profile.threads"), format!("{}: {e}", self.threads));
        pool.map_err(refused)?.install(work)
    }

    /// Whose arithmetic computes a network.
    pub(crate) fn arithmetic(&self) -> Arithmetic {
        match self.isa {
            Isa::Portable => Arithmetic::Portable { convolutions: false },
            Isa::Portable2 => Arithmetic::Portable { convolutions: true },
            Isa::Baseline | Isa::Avx2 | Isa::Native => Arithmetic::Libtorch,
        }
    }
}

/// What is wrong with the OpenMP runtime that is loaded: `LD_PRELOAD` may bring another one than libtorch's.
fn other_openmp() -> Option<String> {
    let folder = machine::libtorch()?.parent()?.to_owned();
    let files = std::fs::read_dir(&folder).ok()?;
    let has_own = files.flatten().any(|entry| entry.file_name().to_string_lossy().starts_with("libgomp"));
    let runtimes = machine::openmp_runtimes();
    let others: Vec<String> = runtimes
        .iter()
        .filter(|path| has_own && path.parent() != Some(&folder))
        .map(|path| path.display().to_string())
        .collect();
    (!others.is_empty()).then(|| {
        format!("another OpenMP runtime than libtorch's is loaded: {}; unset LD_PRELOAD", others.join(", "))
    })
}
