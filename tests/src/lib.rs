//! What the end-to-end tests share: the binaries as processes, and small copies of real things.

mod server;

pub use server::{Answer, Server, read_all};

use std::ffi::OsStr;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use datasets::{Dataset, Digest, Idx, Samples, Split};

/// The workspace.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize().expect("the workspace is there")
}

/// A binary of the workspace, run from `dir`; it must have been built with `cargo build --workspace`.
pub fn command(binary: &str, dir: &Path) -> Command {
    // Test programs are in target/<profile>/deps.
    let profile = std::env::current_exe().ok().and_then(|exe| Some(exe.parent()?.parent()?.to_owned()));
    let path = profile.expect("a test program is in target/<profile>/deps").join(binary);
    assert_fresh(&path);
    let mut command = Command::new(path);
    command.current_dir(dir).env_remove("INFER_ZOO").env("NO_COLOR", "1");
    command
}

/// Refuses a binary that is not there, or is older than a source that it was built from: cargo
/// writes those beside it, for make.
fn assert_fresh(binary: &Path) {
    let built = |path: &Path| std::fs::metadata(path).and_then(|metadata| metadata.modified());
    let hint = "run `cargo build --workspace` first";
    let time = built(binary).unwrap_or_else(|e| panic!("{}: {e}: {hint}", binary.display()));
    let list = binary.with_extension("d");
    let list = std::fs::read_to_string(&list).unwrap_or_else(|e| panic!("{}: {e}: {hint}", list.display()));
    let (_, sources) = list.split_once(": ").expect("a rule of make");
    // Spaces in a path are escaped.
    let sources = sources.trim().replace("\\ ", "\0");
    for source in sources.split_whitespace().map(|source| PathBuf::from(source.replace('\0', " "))) {
        let newer = built(&source).map_or(true, |changed| changed > time);
        assert!(!newer, "{} is older than {}: {hint}", binary.display(), source.display());
    }
}

/// What a finished process said.
#[derive(Debug)]
pub struct Outcome {
    /// Exit code; `None` if a signal ended it.
    pub code: Option<i32>,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

impl From<Output> for Outcome {
    fn from(output: Output) -> Outcome {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Outcome { code: output.status.code(), stdout: text(&output.stdout), stderr: text(&output.stderr) }
    }
}

/// Makes `<name>.pem`, a certificate of 127.0.0.1 that signs itself, and `<name>-key.pem` in a folder.
pub fn self_signed(dir: &Path, name: &str) {
    let made = Command::new("openssl")
        .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"])
        .args(["-days", "2", "-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1"])
        .args(["-addext", "basicConstraints=critical,CA:FALSE"])
        .args(["-keyout", &format!("{name}-key.pem"), "-out", &format!("{name}.pem")])
        .current_dir(dir)
        .output();
    assert!(made.as_ref().is_ok_and(|made| made.status.success()), "openssl: {made:?}");
}

/// Runs a binary to its end.
pub fn run<S: AsRef<OsStr>>(binary: &str, dir: &Path, arguments: impl IntoIterator<Item = S>) -> Outcome {
    let output = command(binary, dir).args(arguments).output();
    output.unwrap_or_else(|e| panic!("{binary} does not start: {e}")).into()
}

/// Runs a binary with `input` on its standard input.
pub fn run_with_input(binary: &str, dir: &Path, arguments: &[&str], input: &[u8]) -> Outcome {
    let mut command = command(binary, dir);
    command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap_or_else(|e| panic!("{binary} does not start: {e}"));
    // A program that refuses its input may close it early.
    let _ = child.stdin.take().map(|mut stdin| stdin.write_all(input));
    child.wait_with_output().unwrap_or_else(|e| panic!("{binary} cannot be waited for: {e}")).into()
}

/// Runs a binary that must succeed; returns its standard output.
pub fn succeed<S: AsRef<OsStr>>(binary: &str, dir: &Path, arguments: impl IntoIterator<Item = S>) -> String {
    let outcome = run(binary, dir, arguments);
    assert_eq!(outcome.code, Some(0), "{outcome:?}");
    outcome.stdout
}

/// Checks one row of a table of bad inputs: exit code 2, an error that says `expected`, no panic.
pub fn assert_refused(row: &str, outcome: &Outcome, expected: &[&str]) {
    let stderr = &outcome.stderr;
    assert_eq!(outcome.code, Some(2), "{row}: {outcome:?}");
    assert!(!stderr.contains("panicked"), "{row}: {stderr}");
    assert!(stderr.contains("error: "), "{row}: {stderr}");
    for part in expected {
        assert!(stderr.contains(part), "{row}: no `{part}` in: {stderr}");
    }
}

/// Copies a folder.
pub fn copy_dir(from: &Path, to: &Path) -> std::io::Result<()> {
    std::fs::create_dir_all(to)?;
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy_dir(&entry.path(), &target)?
        } else {
            std::fs::copy(entry.path(), target).map(|_| ())?
        }
    }
    Ok(())
}

/// Name and version of everything that is published, in the order of the index.
pub fn published() -> Vec<(String, u32)> {
    let zoo = zoo::Zoo::open(&root().join("zoo")).expect("the published zoo is there");
    let models = zoo.models().expect("the published zoo can be read").into_iter();
    models
        .flat_map(|(name, versions)| versions.into_iter().map(move |version| (name.clone(), version)))
        .collect()
}

/// The newest published version of a model.
pub fn newest(model: &str) -> u32 {
    let versions = published().into_iter().filter(|(name, _)| name == model).map(|(_, version)| version);
    versions.max().expect("the model is published")
}

/// Writes the first images of real MNIST as a dataset `tiny` into `root/datasets/tiny`.
pub fn tiny_dataset(root: &Path, train: usize, test: usize) -> std::io::Result<PathBuf> {
    let mnist = Dataset::find(&self::root().join("datasets"), "mnist").map_err(std::io::Error::other)?;
    let dir = root.join("datasets/tiny");
    std::fs::create_dir_all(&dir)?;
    let mut text =
        std::fs::read_to_string(mnist.dir.join("dataset.yaml"))?.replace("name: mnist\n", "name: tiny\n");
    let mirrors = text.find("mirrors:").zip(text.find("classes:"));
    if let Some((start, end)) = mirrors {
        text.replace_range(start..end, "");
    }
    for (split, count) in [(Split::Train, train), (Split::Test, test)] {
        let samples = mnist.load(split).map_err(std::io::Error::other)?;
        let files = mnist.description.files(split);
        for (entry, idx) in
            [(&files.images, images(&samples, count)), (&files.labels, labels(&samples, count))]
        {
            let bytes = idx.map_err(std::io::Error::other)?.to_bytes();
            text = text.replace(&entry.sha256.to_string(), &Digest::of(&bytes).to_string());
            std::fs::write(dir.join(&entry.file), bytes)?;
        }
    }
    std::fs::write(dir.join("dataset.yaml"), text)?;
    Ok(dir)
}

fn images(samples: &Samples, count: usize) -> datasets::Result<Idx> {
    Idx::new_u8(&[count, 28, 28], samples.images.iter().take(count * 784).copied().collect())
}

fn labels(samples: &Samples, count: usize) -> datasets::Result<Idx> {
    Idx::new_u8(&[count], samples.labels.iter().take(count).copied().collect())
}

/// The inputs that fuzzing of a target has kept, in `fuzz/corpus/<target>`.
pub fn corpus(target: &str) -> Vec<Vec<u8>> {
    let dir = root().join("fuzz/corpus").join(target);
    let entries = std::fs::read_dir(&dir).unwrap_or_else(|e| panic!("{}: {e}", dir.display()));
    let mut paths: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    paths.sort();
    paths
        .iter()
        .map(|path| std::fs::read(path).unwrap_or_else(|e| panic!("{}: {e}", path.display())))
        .collect()
}
