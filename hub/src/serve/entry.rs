//! What is known of a version in the zoo.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use super::model::Model;

/// A version in the zoo.
pub(super) enum Entry {
    Ready {
        model: Arc<Model>,
        stamp: Stamp,
        /// What became of its files since; the model in memory is the one that was checked.
        damage: Option<String>,
    },
    Unavailable {
        reason: String,
        stamp: Stamp,
        since: Instant,
    },
}

/// Length and time of every file of a version: tells cheaply whether to look again.
pub(super) type Stamp = Vec<(PathBuf, u64, Option<SystemTime>)>;

impl Entry {
    pub(super) fn ready(&self) -> Option<&Arc<Model>> {
        match self {
            Entry::Ready { model, .. } => Some(model),
            Entry::Unavailable { .. } => None,
        }
    }

    pub(super) fn reason(&self) -> Option<String> {
        match self {
            Entry::Ready { damage, .. } => damage.clone(),
            Entry::Unavailable { reason, .. } => Some(reason.clone()),
        }
    }
}

/// Empty if the folder cannot be listed.
pub(super) fn stamp(dir: &Path) -> Stamp {
    let files = zoo::list_files(dir).unwrap_or_default().into_iter().map(|file| dir.join(file));
    let stamped = |path: PathBuf| {
        let metadata = std::fs::symlink_metadata(&path).ok()?;
        Some((path, metadata.len(), metadata.modified().ok()))
    };
    files.filter_map(stamped).collect()
}
