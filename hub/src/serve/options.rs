//! What to serve, where, and within which limits.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use zoo::signature::{Policy, PublicKey};

/// Who must vouch for a version.
#[derive(Default)]
pub struct Trust {
    /// The key that must have signed it.
    pub key: Option<PublicKey>,
    /// Trusted keys, and how many must have retrained it.
    pub policy: Option<Policy>,
}

/// What to serve, and where.
pub struct Options {
    /// The zoo; `None` for the built-in model alone.
    pub zoo: Option<PathBuf>,
    /// Address; port 0 takes a free one.
    pub listen: SocketAddr,
    /// Certificate chain and private key, PEM; `None` for plain HTTP.
    pub tls: Option<(PathBuf, PathBuf)>,
    /// What clients must send as `Authorization: Bearer`; `None` lets everybody in.
    pub token: Option<String>,
    /// What those must send who load and unload models; `None` lets nobody.
    pub admin_token: Option<String>,
    /// Names under which clients may ask; addresses and `localhost` always may. Empty: any, unless only this machine
    /// can connect.
    pub hosts: Vec<String>,
    /// Serve only versions that fulfil this.
    pub trust: Trust,
    /// So many of the newest versions of each model are served, and those with an alias.
    pub versions: usize,
    /// How often to look for new versions.
    pub poll: Duration,
    /// Threads that classify.
    pub threads: usize,
    /// What is refused.
    pub limits: Limits,
}

/// Limits that keep memory and time bounded.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Longest body, in bytes.
    pub body_bytes: usize,
    /// All bodies being received or worked on, in bytes; as much again for files being sent.
    pub all_bodies_bytes: usize,
    /// Images that wait or are being classified.
    pub queue_images: usize,
    /// Requests at a time.
    pub requests: usize,
    /// Connections at a time.
    pub connections: usize,
    /// For a request's head, its body, its answer, and each write; an idle connection is closed after it.
    pub timeout: Duration,
    /// How long new requests are still answered after the signal to stop, while readiness says no.
    pub shutdown_delay: Duration,
    /// How long open requests may go on after that.
    pub drain: Duration,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            body_bytes: 16 << 20,
            all_bodies_bytes: 96 << 20,
            queue_images: 4096,
            requests: 256,
            connections: 512,
            timeout: Duration::from_secs(10),
            shutdown_delay: Duration::from_secs(3),
            drain: Duration::from_secs(30),
        }
    }
}
