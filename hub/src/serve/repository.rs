//! Which models are served: what is in the zoo, checked, and kept up to date while it changes.

use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::{Duration, Instant};

use serde::Serialize;
use zoo::{Spec, Zoo, check_name, parse_version};

use super::entry::{Entry, Stamp, stamp};
use super::metrics::Metrics;
use super::model::Model;
use super::options::Trust;

/// Why a model is not served that was taken out of service by request.
const UNLOADED: &str = "unloaded by request";

/// The models that are served.
pub(super) struct Repository {
    /// `None` if only the built-in model is served.
    zoo: Option<Zoo>,
    trust: Trust,
    /// So many of the newest good versions of each model are served.
    keep: usize,
    metrics: Arc<Metrics>,
    state: RwLock<State>,
    /// Models taken out of service by request.
    unloaded: Mutex<BTreeSet<String>>,
    /// Held while the zoo is looked through.
    scanning: Mutex<()>,
    scanned: AtomicBool,
}

#[derive(Default)]
struct State {
    models: BTreeMap<String, BTreeMap<u32, Entry>>,
    aliases: BTreeMap<String, BTreeMap<String, u32>>,
}

/// A version that failed is tried again when its files change, and after this time: the reason may
/// have been the machine's.
const TRY_AGAIN: Duration = Duration::from_secs(60);

/// Why there is no model.
#[derive(Debug, PartialEq)]
pub(super) enum NotServed {
    /// No such model or version.
    Unknown(String),
    /// It is there but must not be used.
    Unavailable(String),
}

/// A line of the index.
#[derive(Debug, PartialEq, Serialize)]
pub(super) struct IndexEntry {
    name: String,
    version: String,
    pub(super) state: &'static str,
    /// Why it is not ready, or what is wrong with its files; empty if nothing is.
    reason: String,
}

impl Repository {
    pub(super) fn new(zoo: Option<Zoo>, trust: Trust, keep: usize, metrics: Arc<Metrics>) -> Repository {
        Repository {
            zoo,
            trust,
            keep: keep.max(1),
            metrics,
            state: RwLock::default(),
            unloaded: Mutex::default(),
            scanning: Mutex::default(),
            scanned: AtomicBool::new(false),
        }
    }

    /// Whether the zoo has been looked through once.
    pub(super) fn scanned(&self) -> bool {
        self.scanned.load(Ordering::Acquire)
    }

    /// The model asked for: a version, an alias, or the newest good version.
    ///
    /// # Errors
    /// [`NotServed`].
    pub(super) fn find(&self, name: &str, version: Option<&str>) -> Result<Arc<Model>, NotServed> {
        let state = self.state();
        let unknown = || NotServed::Unknown(format!("no model {name:?}"));
        let versions = state.models.get(name).ok_or_else(unknown)?;
        let Some(version) = version.filter(|version| *version != "latest") else {
            let newest = versions.values().rev().find_map(Entry::ready);
            return newest.cloned().ok_or_else(|| {
                let reasons: Vec<String> = versions
                    .iter()
                    .filter_map(|(version, entry)| Some(format!("version {version}: {}", entry.reason()?)))
                    .collect();
                NotServed::Unavailable(format!("no version of {name} is ready; {}", reasons.join("; ")))
            });
        };
        let aliased = || state.aliases.get(name)?.get(version).copied();
        let number = parse_version(version).or_else(aliased);
        match number.and_then(|number| versions.get(&number)) {
            None => Err(NotServed::Unknown(format!("{name} has no version {version:?}"))),
            Some(Entry::Ready { model, .. }) => Ok(Arc::clone(model)),
            Some(Entry::Unavailable { reason, .. }) => {
                Err(NotServed::Unavailable(format!("{name} version {version}: {reason}")))
            }
        }
    }

    /// The versions of a model that are ready, ascending.
    pub(super) fn versions(&self, name: &str) -> Vec<String> {
        let state = self.state();
        let ready = state.models.get(name).into_iter().flatten();
        ready.filter(|(_, entry)| entry.ready().is_some()).map(|(version, _)| version.to_string()).collect()
    }

    /// Every model that is ready, by name and version.
    pub(super) fn ready_models(&self) -> Vec<Arc<Model>> {
        let state = self.state();
        state.models.values().flat_map(BTreeMap::values).filter_map(Entry::ready).cloned().collect()
    }

    /// A message for clients, whom it does not concern where on this machine the zoo is.
    pub(super) fn without_root(&self, message: &str) -> String {
        let root = self.zoo.as_ref().map(|zoo| format!("{}/", zoo.root().display()));
        root.map_or_else(|| message.to_owned(), |root| message.replace(&root, ""))
    }

    /// Every version that is there, by name.
    pub(super) fn index(&self) -> Vec<IndexEntry> {
        let state = self.state();
        let versions = state.models.iter().flat_map(|(name, versions)| {
            versions.iter().map(move |(version, entry)| IndexEntry {
                name: name.clone(),
                version: version.to_string(),
                state: if entry.ready().is_some() { "READY" } else { "UNAVAILABLE" },
                reason: entry.reason().unwrap_or_default(),
            })
        });
        versions.collect()
    }

    /// Whether there may be such a model, served or not.
    pub(super) fn may_have(&self, name: &str) -> bool {
        let in_zoo = |zoo: &Zoo| check_name(name).is_ok() && zoo.models_dir().join(name).is_dir();
        self.state().models.contains_key(name) || self.zoo.as_ref().is_some_and(in_zoo)
    }

    /// Takes a model into service again, looking at its files anew.
    ///
    /// # Errors
    /// [`NotServed`] if it is not ready afterwards.
    pub(super) fn load(&self, name: &str) -> Result<(), NotServed> {
        self.unloaded().remove(name);
        if let Some(versions) = self.state_mut().models.get_mut(name) {
            versions.retain(|_, entry| entry.ready().is_some());
        }
        self.scan();
        self.find(name, None).map(|_| ())
    }

    /// Takes a model out of service; requests that it has are answered.
    ///
    /// # Errors
    /// [`NotServed::Unknown`], or [`NotServed::Unavailable`] for the built-in model.
    pub(super) fn unload(&self, name: &str) -> Result<(), NotServed> {
        if self.zoo.is_none() {
            return Err(NotServed::Unavailable("the built-in model stays in service".into()));
        }
        let versions = self.state().models.get(name).map(|versions| versions.keys().copied().collect());
        let versions: Vec<u32> = versions.ok_or_else(|| NotServed::Unknown(format!("no model {name:?}")))?;
        self.unloaded().insert(name.to_owned());
        versions.into_iter().for_each(|version| self.take_out(name, version, UNLOADED));
        Ok(())
    }

    /// Looks through the zoo: takes new good versions into service, and old ones out of it.
    /// If the zoo cannot be read, everything stays as it is.
    pub(super) fn scan(&self) {
        let _alone = self.scanning.lock().unwrap_or_else(PoisonError::into_inner);
        let scanned = match &self.zoo {
            None => self.scan_built_in(),
            Some(zoo) => self.scan_zoo(zoo).map_err(|e| e.to_string()),
        };
        match scanned {
            Ok(()) => self.scanned.store(true, Ordering::Release),
            Err(error) => tracing::error!(error, "the zoo cannot be read; serving what is loaded"),
        }
    }

    fn scan_built_in(&self) -> Result<(), String> {
        if self.state().models.is_empty() {
            let model = Model::built_in()?;
            let (name, version) = (model.name().to_owned(), model.version());
            self.take_in(&name, version, model, Stamp::new());
        }
        Ok(())
    }

    fn scan_zoo(&self, zoo: &Zoo) -> zoo::Result<()> {
        // Aliases before versions: what an alias points to was there before it.
        let aliases = match zoo.check_aliases().and_then(|()| zoo.alias_history()) {
            Ok(history) => {
                let mut aliases: BTreeMap<String, BTreeMap<String, u32>> = BTreeMap::new();
                for entry in history {
                    aliases.entry(entry.model).or_default().insert(entry.alias, entry.version);
                }
                aliases
            }
            Err(error) => {
                let error = error.to_string();
                tracing::error!(error, "aliases stay as they are; versions are served by their numbers");
                self.state().aliases.clone()
            }
        };
        let (found, unreadable) = zoo.models_and_unreadable()?;
        // A folder that is away for a moment (a mount, a swap) is no zoo without models.
        let models = zoo.models_dir();
        if found.is_empty() && !models.is_dir() && !self.state().models.is_empty() {
            return Err(zoo::Error::NotFound {
                path: models,
                hint: "expected the folder of all models".into(),
            });
        }
        for model in &unreadable {
            tracing::error!(model, "its folder cannot be listed; serving what is loaded");
        }
        // First what is new, then the aliases, last what goes: no request falls between.
        let mut leaving = Vec::new();
        for (name, versions) in &found {
            let aliased: Vec<u32> = {
                let state = self.state();
                let both = [aliases.get(name), state.aliases.get(name)];
                both.into_iter().flatten().flat_map(BTreeMap::values).copied().collect()
            };
            leaving.extend(self.scan_model(zoo, name, versions, &aliased));
        }
        self.move_aliases(aliases);
        for (name, version, reason) in leaving {
            self.take_out(&name, version, &reason);
        }
        let known: Vec<String> = self.state().models.keys().cloned().collect();
        for name in known.into_iter().filter(|name| !unreadable.contains(name)) {
            let there = found.iter().find(|(other, _)| *other == name);
            self.keep_only(&name, there.map_or(&[], |(_, versions)| versions));
        }
        Ok(())
    }

    /// Lets aliases point where the zoo says, except to versions that are not ready: until they are,
    /// an alias stays where it was.
    fn move_aliases(&self, mut aliases: BTreeMap<String, BTreeMap<String, u32>>) {
        let mut state = self.state_mut();
        for (name, targets) in &mut aliases {
            let ready = |version: &u32| {
                let versions = state.models.get(name);
                versions.and_then(|versions| versions.get(version)).is_some_and(|e| e.ready().is_some())
            };
            for (alias, version) in targets {
                let old = state.aliases.get(name).and_then(|old| old.get(alias));
                if let Some(old) = old.filter(|old| !ready(version) && ready(old)) {
                    *version = *old;
                }
            }
        }
        state.aliases = aliases;
    }

    /// Loads the newest good versions and those with an alias; returns the others, and why they leave.
    fn scan_model(
        &self,
        zoo: &Zoo,
        name: &str,
        versions: &[u32],
        aliased: &[u32],
    ) -> Vec<(String, u32, String)> {
        let unloaded = self.unloaded().contains(name);
        let (mut ready, mut leaving) = (0, Vec::new());
        for &version in versions.iter().rev() {
            if unloaded {
                leaving.push((name.to_owned(), version, UNLOADED.to_owned()));
            } else if ready < self.keep || aliased.contains(&version) {
                ready += usize::from(self.keep_in_service(zoo, name, version));
            } else {
                let reason = format!("older than the newest {}, which are served", self.keep);
                leaving.push((name.to_owned(), version, reason));
            }
        }
        leaving
    }

    /// Loads a version that is not loaded; returns whether it is ready.
    fn keep_in_service(&self, zoo: &Zoo, name: &str, version: u32) -> bool {
        let mut files = stamp(&zoo.models_dir().join(name).join(version.to_string()));
        files.extend(stamp(&zoo.signature_dir_of(name, version)));
        let loaded = {
            let state = self.state();
            match state.models.get(name).and_then(|versions| versions.get(&version)) {
                Some(Entry::Ready { stamp: old, .. }) if *old == files => return true,
                Some(Entry::Unavailable { stamp: old, since, .. })
                    if *old == files && since.elapsed() < TRY_AGAIN =>
                {
                    return false;
                }
                Some(Entry::Ready { model, .. }) => Some(Arc::clone(model)),
                _ => None,
            }
        };
        let spec = Spec::version(name, version);
        let load = AssertUnwindSafe(|| Model::load(zoo, &spec, &self.trust));
        let opened = catch_unwind(load).unwrap_or_else(|_| Err("loading it made the program panic".into()));
        match (opened, loaded) {
            (Ok(new), Some(old)) if new.manifest_sha256() != old.manifest_sha256() => {
                self.note_damage(name, version, files, "another version under the same number".into());
            }
            (Ok(new), _) => self.take_in(name, version, new, files),
            (Err(problem), Some(_)) => self.note_damage(name, version, files, problem),
            (Err(reason), None) => {
                tracing::error!(model = name, version, reason, "not served");
                let reason = self.without_root(&reason);
                self.set(name, version, Entry::Unavailable { reason, stamp: files, since: Instant::now() });
                return false;
            }
        }
        true
    }

    /// The files of a loaded version changed, which they never should. It stays in service.
    fn note_damage(&self, name: &str, version: u32, new: Stamp, problem: String) {
        tracing::error!(model = name, version, problem, "a published version changed");
        let problem = self.without_root(&problem);
        let mut state = self.state_mut();
        let entry = state.models.get_mut(name).and_then(|versions| versions.get_mut(&version));
        if let Some(Entry::Ready { stamp, damage, .. }) = entry {
            *stamp = new;
            *damage = Some(format!("on disk: {problem}; serving the copy that was checked"));
        }
    }

    fn take_in(&self, name: &str, version: u32, model: Model, stamp: Stamp) {
        let sha256 = model.sha256;
        {
            let mut state = self.state_mut();
            // Asked to leave while it was being loaded: whoever unloads says so before taking the state.
            if self.unloaded().contains(name) {
                return;
            }
            let entry = Entry::Ready { model: Arc::new(model), stamp, damage: None };
            state.models.entry(name.to_owned()).or_default().insert(version, entry);
        }
        tracing::info!(model = name, version, %sha256, "ready");
        self.metrics.model_ready.get_or_create(&Metrics::version(name, version)).set(1);
    }

    /// Requests that hold the model are answered; new ones do not find it.
    fn take_out(&self, name: &str, version: u32, reason: &str) {
        let entry = Entry::Unavailable { reason: reason.into(), stamp: Stamp::new(), since: Instant::now() };
        if self.set(name, version, entry).is_some_and(|old| old.ready().is_some()) {
            tracing::info!(model = name, version, reason, "taken out of service");
            self.metrics.model_ready.remove(&Metrics::version(name, version));
        }
    }

    /// Forgets versions whose folders are gone.
    fn keep_only(&self, name: &str, versions: &[u32]) {
        let mut state = self.state_mut();
        let Some(entries) = state.models.get_mut(name) else { return };
        entries.retain(|version, entry| {
            let stays = versions.contains(version);
            if !stays && entry.ready().is_some() {
                tracing::info!(model = name, version, "its folder is gone; taken out of service");
                self.metrics.model_ready.remove(&Metrics::version(name, *version));
            }
            stays
        });
        if entries.is_empty() {
            state.models.remove(name);
        }
    }

    fn set(&self, name: &str, version: u32, entry: Entry) -> Option<Entry> {
        self.state_mut().models.entry(name.to_owned()).or_default().insert(version, entry)
    }

    // No code that holds one of these locks can panic, so a poisoned one is as good as any.

    fn state(&self) -> RwLockReadGuard<'_, State> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn state_mut(&self) -> RwLockWriteGuard<'_, State> {
        self.state.write().unwrap_or_else(PoisonError::into_inner)
    }

    fn unloaded(&self) -> MutexGuard<'_, BTreeSet<String>> {
        self.unloaded.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
