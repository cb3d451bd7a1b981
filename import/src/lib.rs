//! Makes a dataset of what people have: folders of images in any depth, with splits in any spelling, zip and tar files of
//! them, lists of files with their classes, tables of pixels, IDX files, numpy's arrays, Parquet files.
//!
//! [`import`] looks at a [`Request`], reads every image once, brings it into form on all processors with its pixels on disk
//! (memory does not grow with their number but for a hundred bytes each), checks what it found, and writes
//! `<datasets>/<name>/` whole or not at all. Nothing is left out without a word: [`Imported`] says what was, and why.

#![forbid(unsafe_code)]

mod archive;
mod card;
mod check;
mod classes;
mod corrections;
mod croissant;
mod error;
mod hash;
mod item;
mod layout;
mod near;
mod newlines;
mod page;
mod pipeline;
mod range;
mod report;
mod request;
mod sheet;
mod sideways;
mod source;
mod split;
mod spool;
mod text;
mod tree;
mod write;

use std::path::{Path, PathBuf};

use datasets::ImageShape;
use regex::Regex;

pub use error::{Error, Result};
pub use page::STYLE;
pub use report::{ClassInfo, Imported, LeftOut, NearPair};
pub use request::Request;
pub use sheet::sheet;

use classes::Names;
use corrections::Corrected;
use item::Part;
use pipeline::{Collected, Form, Record};
use source::Source;

/// Most pairs of near images that are reported.
const NEAR_PAIRS: usize = 1000;

/// Told how many images were read, and of how many if that is known.
pub type Progress<'a> = dyn Fn(usize, Option<usize>) + Sync + 'a;

/// Imports a source as `<datasets>/<request.name>`.
///
/// # Errors
/// [`Error::Source`] naming what is wrong; nothing is written then.
pub fn import(request: &Request, datasets: &Path, progress: &Progress<'_>) -> Result<Imported> {
    let path = datasets.join(&request.name);
    zoo::check_name(&request.name).map_err(|expected| {
        Error::new(Path::new(&request.name), format!("a dataset's name must be {expected}"))
    })?;
    if path.exists() {
        return Err(Error::new(&path, "is there already; choose another --name, or remove it first"));
    }
    let group_by = group_pattern(request)?;
    let mut source = Source::open(request)?;
    let staging = Staging::create(datasets, &request.name)?;
    // Rows of values get their form where they are read.
    let size = if source.is_rows() { None } else { request.size };
    let form = Form { size, channels: request.channels, preprocessing: request.preprocessing.clone() };
    let count = source.count();
    let mut collected =
        pipeline::collect(|each| source.read(each), &form, &staging.dir, &|done| progress(done, count))?;
    collected.unreadable.splice(0..0, std::mem::take(&mut source.unreadable));
    refuse_unreadable(request, &collected)?;
    shorten(request, &mut collected);
    let names = match request.classes.as_slice() {
        [] => Names { names: &source.classes, is_from_zero: true, from: "the classes in the file" },
        names => Names { names, is_from_zero: false, from: "--classes" },
    };
    let made = made(request, collected, names, group_by.as_ref())?;
    finish(request, source, made, &staging, path)
}

fn group_pattern(request: &Request) -> Result<Option<Regex>> {
    let pattern = request.group_by.as_deref().map(Regex::new).transpose();
    pattern.map_err(|error| Error::new(&request.source, format!("--group-by: {error}")))
}

fn refuse_unreadable(request: &Request, collected: &Collected) -> Result<()> {
    let unreadable = &collected.unreadable;
    if unreadable.is_empty() || request.skip_unreadable {
        return Ok(());
    }
    let shown: Vec<String> =
        unreadable.iter().take(5).map(|LeftOut { name, why }| format!("{name}: {why}")).collect();
    let more = unreadable.len().saturating_sub(5);
    let rest = if more > 0 { format!("; and {more} more") } else { String::new() };
    let problem = format!("unreadable: {}{rest} (--skip-unreadable leaves them out)", shown.join("; "));
    Err(Error::new(&request.source, problem))
}

/// Names no longer say in which folder of this machine the source lies.
fn shorten(request: &Request, collected: &mut Collected) {
    let paths = [Some(&request.source), request.images.as_ref(), request.test.as_ref()].into_iter().flatten();
    let mut folders: Vec<String> = paths
        .filter_map(|path| Some(path.parent()?.join("").display().to_string()))
        .filter(|folder| !folder.is_empty())
        .collect();
    folders.sort_by_key(|folder| std::cmp::Reverse(folder.len()));
    let short =
        |name: &str| folders.iter().find_map(|folder| name.strip_prefix(folder.as_str()).map(str::to_owned));
    for record in &mut collected.records {
        if let Some(name) = short(&record.origin) {
            record.origin = name.into();
        }
    }
    for out in collected.unreadable.iter_mut().chain(&mut collected.left_out) {
        if let Some(name) = short(&out.name) {
            out.name = name;
        }
    }
}

/// A source that was read, checked and split.
struct Prepared {
    collected: Collected,
    classes: Vec<String>,
    duplicates: usize,
    leaked: usize,
    contradictions: Vec<String>,
    corrected: Corrected,
    size_outliers: Vec<String>,
    imbalance: f64,
    notes: Vec<String>,
    warnings: Vec<String>,
}

fn made(
    request: &Request,
    mut collected: Collected,
    names: Names<'_>,
    group_by: Option<&Regex>,
) -> Result<Prepared> {
    let source = request.source.as_path();
    let records = &mut collected.records;
    if records.is_empty() {
        return Err(Error::new(source, "no readable images"));
    }
    let classes = classes::number(source, &collected.labels, records, names)?;
    let (exclude, relabel) = (request.exclude.as_deref(), request.relabel.as_deref());
    let mut corrected = corrections::correct(records, &classes, exclude, relabel)?;
    let before = records.len();
    let contradictions = check::remove_contradictions(records, &classes);
    let contradicting = before - records.len();
    let duplicates = check::remove_duplicates(records);
    let leaked = check::remove_leaked(records);
    let mut notes = Vec::new();
    if collected.several > 0 {
        let files = match collected.several {
            1 => "1 file has".into(),
            several => format!("{several} files have"),
        };
        notes.push(format!("{files} several images (pages or frames), of which the first was taken"));
    }
    notes.extend(split::hold_out_test(request, records, classes.len(), group_by)?);
    let removed = check::Removed { duplicates, leaked, contradicting, excluded: corrected.left_out.len() };
    let (imbalance, mut warnings) = check::balance(source, records, &classes, &removed)?;
    warnings.append(&mut corrected.warnings);
    let size_outliers = check::size_outliers(records);
    warnings.extend(doubts(request, records, leaked, &size_outliers));
    if sideways::look_transposed(&collected.records, &collected.spool, collected.shape, classes.len())? {
        warnings.push(
            "the images look like characters on their side: --transpose changes rows and columns (EMNIST's files need it)"
                .into(),
        );
    }
    Ok(Prepared {
        collected,
        classes,
        duplicates,
        leaked,
        contradictions,
        corrected,
        size_outliers,
        imbalance,
        notes,
        warnings,
    })
}

/// What is worth a look before anybody trains on these images.
fn doubts(request: &Request, records: &[Record], leaked: usize, size_outliers: &[String]) -> Vec<String> {
    let mut warnings = Vec::new();
    if request.licence == "unknown" {
        warnings
            .push("who may use these images? --licence says it, --origin says where they are from".into());
    }
    let constant = records.iter().filter(|record| record.is_constant).count();
    if constant > 0 {
        warnings.push(format!("{constant} images are of one colour all over"));
    }
    if leaked > 0 {
        warnings.push(format!(
            "{leaked} images to train or validate with were also in the test or validation split and were left out there"
        ));
    }
    if let Some(first) = size_outliers.first() {
        warnings
            .push(format!("{} images are of quite another size than most, as {first}", size_outliers.len()));
    }
    warnings
}

fn finish(
    request: &Request,
    source: Source,
    prepared: Prepared,
    staging: &Staging,
    path: PathBuf,
) -> Result<Imported> {
    let dir = staging.dir.join(&request.name);
    std::fs::create_dir(&dir).map_err(Error::io(&dir))?;
    let near = near::near_pairs(&prepared.collected.records, &prepared.collected.spool, NEAR_PAIRS)?;
    let pairs = named(&near.pairs, &prepared.collected.records);
    let Collected { shape, ref records, ref spool, .. } = prepared.collected;
    let made = write::Made { shape, classes: &prepared.classes, records, spool };
    let written = made.write(&dir, request)?;
    let (imported, collected) = report(source, prepared, path, pairs, near.is_complete);
    let page = page::page(&imported, &collected, &near.pairs)?;
    let named = Imported { path: request.name.clone().into(), ..imported.clone() };
    let json = serde_json::to_string_pretty(&named).map_err(|error| Error::new(&dir, error.to_string()))?;
    for (name, text) in [
        ("report.html", page),
        ("report.json", json + "\n"),
        (croissant::FILE, croissant::croissant(&dir, &written.description, &written.images)?),
        (card::FILE, card::card(&written.description, &imported)),
    ] {
        zoo::write_atomic(&dir.join(name), text.as_bytes())?;
    }
    std::fs::rename(&dir, &imported.path).map_err(Error::io(&imported.path))?;
    Ok(imported)
}

fn report(
    source: Source,
    prepared: Prepared,
    path: PathBuf,
    near: Vec<NearPair>,
    is_complete: bool,
) -> (Imported, Collected) {
    let Prepared { mut collected, classes, mut warnings, corrected, .. } = prepared;
    let across = near.iter().filter(|pair| pair.across_splits).count();
    let least = if is_complete { "" } else { "at least " };
    if across > 0 {
        warnings.push(format!(
            "{least}{across} pairs of nearly equal images, one trained on and one not, which makes tests too easy; see the \
             report, and --group-by"
        ));
    }
    let other = near.iter().filter(|pair| pair.different_labels).count();
    if other > 0 {
        warnings.push(format!("{least}{other} pairs of nearly equal images have different labels"));
    }
    if !is_complete {
        warnings.push(format!(
            "too many images are alike to compare all of them: the {} nearly equal pairs that are named are a part",
            near.len()
        ));
    }
    let of = |part| check::counts(&collected.records, classes.len(), part);
    let (train, validation, test) = (of(Part::Train), of(Part::Validation), of(Part::Test));
    let class = |(label, name): (usize, String)| ClassInfo {
        name,
        train: train[label],
        validation: validation[label],
        test: test[label],
    };
    let constant = collected.records.iter().filter(|record| record.is_constant);
    let ImageShape { channels, height, width } = collected.shape;
    let imported = Imported {
        path,
        image: [channels, height, width],
        classes: classes.into_iter().enumerate().map(class).collect(),
        duplicates: prepared.duplicates,
        leaked: prepared.leaked,
        contradictions: prepared.contradictions,
        constant: constant.map(|record| record.origin.to_string()).collect(),
        size_outliers: prepared.size_outliers,
        relabelled: corrected.relabelled,
        unreadable: std::mem::take(&mut collected.unreadable),
        left_out: source
            .left_out
            .into_iter()
            .chain(std::mem::take(&mut collected.left_out))
            .chain(corrected.left_out)
            .collect(),
        litter: source.litter,
        near,
        imbalance: prepared.imbalance,
        notes: source.notes.into_iter().chain(prepared.notes).collect(),
        warnings,
    };
    (imported, collected)
}

/// Pairs as people read them.
fn named(pairs: &[[usize; 2]], records: &[Record]) -> Vec<NearPair> {
    let is_trained = |place: usize| records[place].part == Part::Train;
    let pair = |&[one, other]: &[usize; 2]| NearPair {
        across_splits: is_trained(one) != is_trained(other),
        different_labels: records[one].label != records[other].label,
        one: records[one].origin.to_string(),
        other: records[other].origin.to_string(),
    };
    pairs.iter().map(pair).collect()
}

/// A folder beside the dataset in which it is made; what an import that was killed left there is removed by the next one.
struct Staging {
    dir: PathBuf,
    _lock: std::fs::File,
}

impl Staging {
    fn create(datasets: &Path, name: &str) -> Result<Staging> {
        let dir = datasets.join(format!(".import-{name}"));
        std::fs::create_dir_all(&dir).map_err(Error::io(&dir))?;
        let path = dir.join("lock");
        let lock = datasets::files::open_lock(&path).map_err(Error::io(&path))?;
        if lock.try_lock().is_err() {
            return Err(Error::new(&dir, "another import of this name is running"));
        }
        for entry in std::fs::read_dir(&dir).map_err(Error::io(&dir))? {
            let path = entry.map_err(Error::io(&dir))?.path();
            if path.is_dir() {
                std::fs::remove_dir_all(&path).map_err(Error::io(&path))?;
            } else if path.file_name().is_some_and(|name| name != "lock") {
                std::fs::remove_file(&path).map_err(Error::io(&path))?;
            }
        }
        Ok(Staging { dir, _lock: lock })
    }
}

impl Drop for Staging {
    fn drop(&mut self) {
        // The next import of this name removes what is left.
        let _ = std::fs::remove_dir_all(&self.dir);
    }
}
