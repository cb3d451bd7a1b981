//! The numeric profile: what libtorch may use, so that the same sums are added in the same order.
//!
//! Floating-point sums depend on how they are split over threads and vector lanes.
//! The caps are environment variables that libtorch and its libraries read when
//! they load, which is before `main`: the binary sets them and executes itself again.

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::arithmetic::Arithmetic;
use crate::error::{Error, Result};

/// Threads and instruction set that a recipe asks for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct NumericProfile {
    /// Threads of libtorch's operators.
    pub threads: u32,
    /// Widest instruction set.
    pub isa: Isa,
}

/// Widest instruction set that libtorch may use.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema, clap::ValueEnum,
)]
#[serde(rename_all = "snake_case")]
pub enum Isa {
    /// SSE4.1: every x86-64 processor since about 2008. Slow.
    Baseline,
    /// AVX2 and FMA: every x86-64 server since about 2015.
    Avx2,
    /// Whatever the machine has. Reproducible only on the same kind of machine.
    Native,
    /// AVX2 and FMA at least, and the same bytes on every processor that has them: what libtorch would
    /// take from MKL is computed by the trainer itself.
    Portable,
}

impl Default for NumericProfile {
    fn default() -> NumericProfile {
        NumericProfile { threads: 2, isa: Isa::Portable }
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
            Isa::Baseline => Some(("default", "SSE41", "COMPATIBLE")),
            Isa::Avx2 => Some(("avx2", "AVX2", "AVX2")),
            // MKL honours `AVX2` only on Intel's processors.
            Isa::Portable => Some(("avx2", "AVX2", "COMPATIBLE")),
            Isa::Native => None,
        };
        if let Some((aten, onednn, mkl)) = caps {
            variables.insert("ATEN_CPU_CAPABILITY", aten.into());
            variables.insert("ONEDNN_MAX_CPU_ISA", onednn.into());
            variables.insert("MKL_CBWR", mkl.into());
        }
        variables
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
        if self.isa == Isa::Portable { Arithmetic::Portable } else { Arithmetic::Libtorch }
    }

    /// Whether this process was started with that environment.
    pub fn is_active(&self) -> bool {
        self.environment().iter().all(|(name, value)| std::env::var(name).as_ref() == Ok(value))
    }

    /// Why this machine cannot give the profile, if it cannot.
    pub fn obstacle(&self) -> Option<String> {
        #[cfg(target_arch = "x86_64")]
        if matches!(self.isa, Isa::Avx2 | Isa::Portable)
            && !(is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma"))
        {
            return Some("this processor has no AVX2 and FMA".into());
        }
        #[cfg(not(target_arch = "x86_64"))]
        if self.isa != Isa::Native {
            return Some("this is not an x86-64 processor".into());
        }
        None
    }
}

/// The processor's model name, for the manifest; `unknown` if the system does not tell.
pub(crate) fn cpu_model() -> String {
    let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    info.lines()
        .find_map(|line| line.strip_prefix("model name"))
        .map_or("unknown", |rest| rest.trim_start_matches([' ', '\t', ':']))
        .to_owned()
}
