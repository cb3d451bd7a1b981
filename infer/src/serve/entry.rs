//! What is known of a version in the zoo.

use std::path::Path;
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
pub(super) type Stamp = Vec<(std::path::PathBuf, u64, Option<SystemTime>)>;

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

/// Empty if the folder cannot be read.
pub(super) fn stamp(dir: &Path) -> Stamp {
    let mut stamp = Stamp::new();
    let mut folders = vec![dir.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).into_iter().flatten().flatten() {
            let Ok(metadata) = entry.metadata() else { continue };
            if metadata.is_dir() {
                folders.push(entry.path());
            } else {
                stamp.push((entry.path(), metadata.len(), metadata.modified().ok()));
            }
        }
    }
    stamp.sort();
    stamp
}
