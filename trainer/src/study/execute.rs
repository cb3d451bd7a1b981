//! Training a study's runs, each in a process of its own.

use std::collections::VecDeque;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use datasets::{Dataset, Digest};

use super::file::StudyFile;
use super::plan::{Plan, Trial};
use super::results::{self, Results};
use super::stage::{self, Stage};
use crate::error::{Error, Result};
use crate::run::RunDir;

/// Told about a study as it goes; binaries draw a table from it.
pub trait Observer {
    /// After every run, and at the start with what was there already.
    fn progress(&mut self, results: &Results);
}

/// How runs are carried out.
pub struct Workers<'a> {
    /// Runs at a time.
    pub count: usize,
    /// The command that trains a recipe into a run folder, for so many epochs or all.
    pub command: &'a dyn Fn(&Path, &Path, Option<u32>) -> Command,
    /// Where recipes and logs go.
    pub dir: &'a Path,
    /// Set from a signal handler: wait for the runs at hand to save, and stop.
    pub interrupted: &'a AtomicBool,
}

/// How often running processes are looked at.
const POLL: Duration = Duration::from_millis(50);
/// How long an interrupted run may take to save before it is killed.
pub const GRACE: Duration = Duration::from_secs(60);
/// What is shown of a failed run's log.
const LOG_TAIL: usize = 600;

/// Trains stage after stage until nothing is left. Runs that diverge are noted, and the others go on.
///
/// # Errors
/// [`Error::Run`] with the end of the log of a run that failed otherwise; [`Error::Study`] if interrupted.
pub fn execute(
    file: &StudyFile,
    plan: &Plan,
    dataset: &Dataset,
    workers: &Workers<'_>,
    observer: &mut dyn Observer,
) -> Result<()> {
    observer.progress(&results::collect(plan, dataset)?);
    while let Some(stage) = stage::next(file, plan, dataset)? {
        let mut progress = || -> Result<()> {
            observer.progress(&results::collect(plan, dataset)?);
            Ok(())
        };
        train(stage, workers, dataset.description.training_sha256(), &mut progress)?;
    }
    Ok(())
}

struct Running<'a> {
    trial: &'a Trial,
    child: Child,
    log: PathBuf,
}

fn train(
    stage: Stage<'_>,
    workers: &Workers<'_>,
    data: Digest,
    progress: &mut dyn FnMut() -> Result<()>,
) -> Result<()> {
    let Stage { trials, epochs } = stage;
    let mut waiting: VecDeque<&Trial> = trials.into();
    let mut running: Vec<Running<'_>> = Vec::new();
    while !waiting.is_empty() || !running.is_empty() {
        if workers.interrupted.load(Ordering::Relaxed) {
            let left = waiting.len() + running.len();
            stop(running)?;
            return Err(Error::Study(format!("interrupted; {left} runs are left")));
        }
        let started = start_next(&mut waiting, &mut running, epochs, workers, data)?;
        let finished = reap(&mut running)?;
        for (run, status) in &finished {
            // Another study was a moment faster: it waits, as for one that began before.
            if !status.success() && RunDir::is_busy(&run.trial.run) {
                waiting.push_back(run.trial);
                continue;
            }
            let is_done = status.success() || results::is_done(run.trial, epochs, data)?;
            if !is_done && !workers.interrupted.load(Ordering::Relaxed) {
                let problem =
                    format!("the run failed ({status}); {} ends with: {}", run.log.display(), tail(&run.log));
                stop(running)?;
                return Err(Error::run(&run.trial.run, problem));
            }
        }
        if !finished.is_empty() {
            progress()?;
        }
        if !started && finished.is_empty() {
            std::thread::sleep(POLL);
        }
    }
    Ok(())
}

/// Starts one run if there is room. A folder that another process is training into (that of a
/// study that was killed, perhaps) goes to the end of the queue.
fn start_next<'a>(
    waiting: &mut VecDeque<&'a Trial>,
    running: &mut Vec<Running<'a>>,
    epochs: Option<u32>,
    workers: &Workers<'_>,
    data: Digest,
) -> Result<bool> {
    if running.len() >= workers.count.max(1) {
        return Ok(false);
    }
    let Some(trial) = waiting.pop_front() else { return Ok(false) };
    if RunDir::is_busy(&trial.run) {
        waiting.push_back(trial);
        return Ok(false);
    }
    if results::is_done(trial, epochs, data)? {
        return Ok(true);
    }
    let recipe = write_recipe(workers.dir, trial)?;
    let log = recipe.with_extension("log");
    let file = File::create(&log).map_err(Error::io(&log))?;
    let errors = file.try_clone().map_err(Error::io(&log))?;
    let mut command = (workers.command)(&recipe, &trial.run, epochs);
    // In a group of its own Ctrl-C does not reach it: a second signal would end it without a checkpoint.
    #[cfg(unix)]
    std::os::unix::process::CommandExt::process_group(&mut command, 0);
    let child = command.stdin(std::process::Stdio::null()).stdout(file).stderr(errors).spawn();
    let child = child.map_err(Error::io(Path::new(command.get_program())))?;
    running.push(Running { trial, child, log });
    Ok(true)
}

/// Writes a trial's recipe as `<dir>/recipes/<name of its run folder>.yaml`.
///
/// # Errors
/// If it cannot be written.
pub fn write_recipe(dir: &Path, trial: &Trial) -> Result<PathBuf> {
    let name = trial.run.file_name().expect("a run folder is named by its recipe").to_string_lossy();
    let path = dir.join("recipes").join(format!("{name}.yaml"));
    if let Some(parent) = path.parent() {
        std::fs::create_dir_all(parent).map_err(Error::io(parent))?;
    }
    zoo::write_atomic(&path, trial.recipe.text.as_bytes())?;
    Ok(path)
}

fn reap<'a>(running: &mut Vec<Running<'a>>) -> Result<Vec<(Running<'a>, ExitStatus)>> {
    let mut finished = Vec::new();
    for mut run in std::mem::take(running) {
        match run.child.try_wait().map_err(Error::io(&run.log))? {
            Some(status) => finished.push((run, status)),
            None => running.push(run),
        }
    }
    Ok(finished)
}

/// Tells the runs to save and stop; whoever takes longer than the grace is killed, which loses no more than the epoch at
/// hand.
fn stop(mut running: Vec<Running<'_>>) -> Result<()> {
    #[cfg(unix)]
    for run in &running {
        // One that has just ended needs no signal.
        let _ = rustix::process::kill_process(
            rustix::process::Pid::from_child(&run.child),
            rustix::process::Signal::TERM,
        );
    }
    let start = Instant::now();
    while !running.is_empty() && start.elapsed() < GRACE {
        reap(&mut running)?;
        std::thread::sleep(POLL);
    }
    for mut run in running {
        run.child.kill().map_err(Error::io(&run.log))?;
        run.child.wait().map_err(Error::io(&run.log))?;
    }
    Ok(())
}

fn tail(log: &Path) -> String {
    let text = match std::fs::read(log) {
        Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
        Err(error) => format!("(the log cannot be read: {error})"),
    };
    let skipped = text.chars().count().saturating_sub(LOG_TAIL);
    let end: String = text.chars().skip(skipped).collect();
    end.lines().filter(|line| !line.trim().is_empty()).collect::<Vec<_>>().join("; ")
}
