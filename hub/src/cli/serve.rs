//! `zoo serve`.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::ValueEnum;
use infer::cli::{ZooArgs, read_public_key};
use serde_json::json;
use terminal::ExitStatus;
use zoo::signature::Policy;

use crate::error::{Error, Result};
use crate::serve::{Limits, Options, Trust, host_name};

/// More of anything is a mistake of typing.
const MAX_NUMBER: usize = 1 << 20;
/// Semaphores count bytes in 32 bits.
const MAX_BODY_MIB: usize = 2048;

#[derive(clap::Args)]
pub(super) struct ServeArgs {
    /// Address to listen on; port 0 takes a free one.
    #[arg(long, default_value = "127.0.0.1:8080")]
    listen: SocketAddr,
    /// Certificate chain (PEM) for HTTPS.
    #[arg(long, requires = "tls_key")]
    tls_cert: Option<PathBuf>,
    /// Its private key (PEM).
    #[arg(long, requires = "tls_cert")]
    tls_key: Option<PathBuf>,
    /// File with the token that clients must send as `Authorization: Bearer TOKEN`.
    #[arg(long)]
    token_file: Option<PathBuf>,
    /// File with the token for loading and unloading models; without one, nobody can.
    #[arg(long)]
    admin_token_file: Option<PathBuf>,
    /// A name under which clients may ask, beside addresses and `localhost`; may be given several times [default: any
    /// name, or none if only this machine can connect].
    #[arg(long = "host")]
    hosts: Vec<String>,
    /// Serve only versions that this P-256 public key (PEM) signed.
    #[arg(long)]
    key: Option<PathBuf>,
    /// Serve only versions that fulfil this policy (YAML): trusted keys, and how many must have retrained it.
    #[arg(long)]
    policy: Option<PathBuf>,
    /// How many of the newest versions of each model to serve, beside those with an alias.
    #[arg(long, default_value_t = 2)]
    versions: usize,
    /// Seconds between looks for new versions.
    #[arg(long, default_value_t = 2.0)]
    poll: f64,
    /// Threads that classify [default: one for each processor].
    #[arg(long)]
    threads: Option<usize>,
    /// Longest request body, in MiB.
    #[arg(long, default_value_t = 16)]
    max_body: usize,
    /// Images that may wait; more get 429.
    #[arg(long, default_value_t = 4096)]
    max_queue: usize,
    /// Requests at a time; more get 503.
    #[arg(long, default_value_t = 256)]
    max_requests: usize,
    /// Connections at a time; more get 503.
    #[arg(long, default_value_t = 512)]
    max_connections: usize,
    /// Seconds for a request's head, its body, its answer, and each write.
    #[arg(long, default_value_t = 10.0)]
    timeout: f64,
    /// Seconds after SIGTERM in which new requests are still answered, while readiness says no.
    #[arg(long, default_value_t = 3.0)]
    shutdown_delay: f64,
    /// Seconds that open requests may go on after that.
    #[arg(long, default_value_t = 30.0)]
    drain: f64,
    /// How log lines look.
    #[arg(long, default_value = "text")]
    log_format: LogFormat,
    /// What is logged.
    #[arg(long, default_value = "info")]
    log_level: LogLevel,
    #[command(flatten)]
    zoo: ZooArgs,
}

#[derive(Clone, Copy, ValueEnum)]
enum LogFormat {
    Text,
    Json,
}

#[derive(Clone, Copy, ValueEnum)]
enum LogLevel {
    Error,
    Warn,
    Info,
    /// Also every request.
    Debug,
}

/// Serves until it is told to stop.
pub(super) fn serve(args: ServeArgs) -> Result<ExitStatus> {
    // A panic ends a request, not the server.
    terminal::log_panics("zoo");
    start_log(args.log_format, args.log_level);
    let options = options(&args)?;
    if options.zoo.is_none() {
        if args.key.is_some() || args.policy.is_some() {
            let problem = "no zoo here, and the built-in model is signed by nobody; expected a zoo with --key or --policy";
            return Err(Error::Usage(problem.into()));
        }
        tracing::warn!("no zoo here: serving the built-in model");
    }
    let scheme = if options.tls.is_some() { "https" } else { "http" };
    crate::serve::serve(options, |address| {
        if args.zoo.json {
            terminal::json(&json!({ "url": format!("{scheme}://{address}") }));
        } else {
            terminal::line(format_args!("listening on {scheme}://{address}"));
        }
    })?;
    Ok(ExitStatus::Success)
}

fn options(args: &ServeArgs) -> Result<Options> {
    // Numbers first: no file is read for what cannot be.
    let limits = limits(args)?;
    let threads = match args.threads {
        Some(threads) => number("threads", threads)?,
        None => std::thread::available_parallelism().map_or(1, usize::from),
    };
    Ok(Options {
        zoo: args.zoo.is_there().then(|| args.zoo.path().to_owned()),
        listen: args.listen,
        tls: args.tls_cert.clone().zip(args.tls_key.clone()),
        token: args.token_file.as_deref().map(read_token).transpose()?,
        admin_token: args.admin_token_file.as_deref().map(read_token).transpose()?,
        hosts: args.hosts.iter().map(|host| named_host(host)).collect::<Result<_>>()?,
        trust: Trust {
            key: args.key.as_deref().map(read_public_key).transpose()?,
            policy: args.policy.as_deref().map(Policy::read).transpose()?,
        },
        versions: number("versions", args.versions)?,
        poll: seconds("poll", args.poll)?,
        threads,
        limits,
    })
}

fn limits(args: &ServeArgs) -> Result<Limits> {
    let body_bytes = match args.max_body {
        1..=MAX_BODY_MIB => args.max_body << 20,
        other => {
            return Err(Error::Usage(format!("--max-body {other}: expected 1 to {MAX_BODY_MIB} MiB")));
        }
    };
    Ok(Limits {
        body_bytes,
        all_bodies_bytes: Limits::default().all_bodies_bytes.max(body_bytes),
        queue_images: number("max-queue", args.max_queue)?,
        requests: number("max-requests", args.max_requests)?,
        connections: number("max-connections", args.max_connections)?,
        timeout: seconds("timeout", args.timeout)?,
        shutdown_delay: match args.shutdown_delay {
            0.0 => Duration::ZERO,
            delay => seconds("shutdown-delay", delay)?,
        },
        drain: seconds("drain", args.drain)?,
    })
}

fn seconds(name: &str, value: f64) -> Result<Duration> {
    match value {
        0.01..=86_400.0 => Ok(Duration::from_secs_f64(value)),
        _ => Err(Error::Usage(format!("--{name} {value}: expected 0.01 to 86400 seconds"))),
    }
}

fn number(name: &str, value: usize) -> Result<usize> {
    match value {
        1..=MAX_NUMBER => Ok(value),
        _ => Err(Error::Usage(format!("--{name} {value}: expected 1 to {MAX_NUMBER}"))),
    }
}

fn read_token(path: &Path) -> Result<String> {
    let token = datasets::yaml::read_text(path)?.trim().to_owned();
    let visible = !token.is_empty() && token.bytes().all(|byte| byte.is_ascii_graphic());
    let problem =
        || Error::Usage(format!("{}: expected a token of visible ASCII characters", path.display()));
    visible.then_some(token).ok_or_else(problem)
}

fn start_log(format: LogFormat, level: LogLevel) {
    let level = match level {
        LogLevel::Error => tracing::Level::ERROR,
        LogLevel::Warn => tracing::Level::WARN,
        LogLevel::Info => tracing::Level::INFO,
        LogLevel::Debug => tracing::Level::DEBUG,
    };
    // Without `log_internal_errors`, a log that nobody reads any more is not an error.
    let log = tracing_subscriber::fmt().with_writer(std::io::stderr).log_internal_errors(false);
    let log = log.with_max_level(level);
    match format {
        LogFormat::Text => log.with_ansi(false).init(),
        LogFormat::Json => log.json().flatten_event(true).init(),
    }
}

/// A name for this server as requests are compared with it: whoever copies it from an address may leave the port.
fn named_host(host: &str) -> Result<String> {
    let name = host_name(host);
    let is_of_names = |c: char| c.is_ascii_alphanumeric() || "-._:".contains(c);
    if name.is_empty() || host.contains('/') || !name.chars().all(is_of_names) {
        return Err(Error::Usage(format!("--host {host:?}: expected a name, as zoo.example.org")));
    }
    Ok(name)
}
