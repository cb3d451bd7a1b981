//! Entering a recipe's numeric profile, which libtorch reads when it loads.

use std::path::Path;

use trainer::profile::NumericProfile;
use trainer::{Error, Result};

/// Marks a process that has executed itself again for its numeric profile.
const PROFILE_MARK: &str = "TRAINER_NUMERIC_PROFILE";

/// Executes this program again under the profile's environment, unless it is in force.
pub(super) fn enter_profile(profile: &NumericProfile) -> Result<()> {
    if profile.is_active() {
        if let Some(obstacle) = profile.obstacle() {
            terminal::log(format_args!(
                "warning: numeric profile {profile}: {obstacle}; the bytes will differ from those of a machine that gives it"
            ));
        }
        if let Some(notice) = profile.notice() {
            terminal::log(format_args!("note: numeric profile {profile}: {notice}"));
        }
        return Ok(());
    }
    if std::env::var_os(PROFILE_MARK).is_some() {
        return Err(Error::run(Path::new("numeric profile"), "could not be set for this process"));
    }
    let program = std::env::current_exe().map_err(Error::io(Path::new("trainer")))?;
    let mut command = std::process::Command::new(&program);
    command.args(std::env::args_os().skip(1)).envs(profile.environment()).env(PROFILE_MARK, "1");
    // They may change the bytes, or let a run wait for ever.
    for (name, value) in profile.foreign_variables() {
        terminal::log(format_args!("{name}={value} is set aside: numeric profile {profile}"));
        command.env_remove(name);
    }
    Err(replace_process(command, &program))
}

#[cfg(unix)]
fn replace_process(mut command: std::process::Command, program: &Path) -> Error {
    use std::os::unix::process::CommandExt;
    Error::io(program)(command.exec())
}

#[cfg(not(unix))]
fn replace_process(mut command: std::process::Command, program: &Path) -> Error {
    match command.status() {
        Ok(status) => std::process::exit(status.code().unwrap_or(2)),
        Err(error) => Error::io(program)(error),
    }
}
