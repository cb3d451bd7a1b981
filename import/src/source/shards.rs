//! Which Parquet files belong together, by their names: `data/train-00000-of-00002.parquet`, `default/train/0000.parquet`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};
use crate::item::Part;
use crate::layout::part;
use crate::tree::Tree;

/// The files of a folder, if it has any.
///
/// # Errors
/// If they are of several sets, or a shard is missing.
pub(crate) fn in_folder(tree: &Tree) -> Result<Vec<(PathBuf, Part)>> {
    let files = tree.files.iter().filter(|file| file.ending() == "parquet");
    let names: Vec<&str> = files.map(|file| file.name.as_str()).collect();
    if names.is_empty() {
        return Ok(Vec::new());
    }
    // `train/0000.parquet` is a split in a folder of its own.
    let set = |name: &str| {
        let (folder, file) = name.rsplit_once('/').unwrap_or(("", name));
        match folder.rsplit_once('/').unwrap_or(("", folder)) {
            (outer, last) if part(file).is_none() && part(last).is_some() => outer.to_owned(),
            _ => folder.to_owned(),
        }
    };
    let sets: BTreeSet<String> = names.iter().map(|name| set(name)).collect();
    if sets.len() > 1 {
        let problem =
            format!("Parquet files of several sets, in the folders {sets:?}: name the folder of one");
        return Err(Error::new(&tree.root, problem));
    }
    complete(&tree.root, &names)?;
    let of = |name: &str| {
        let (folder, file) = name.rsplit_once('/').unwrap_or(("", name));
        part(file).or_else(|| part(folder.rsplit('/').next().unwrap_or_default()))
    };
    let parts: Vec<Option<Part>> = names.iter().map(|name| of(name)).collect();
    let is_one = parts.iter().all(|part| *part == parts[0]);
    if !is_one && let Some(at) = parts.iter().position(Option::is_none) {
        return Err(Error::new(&tree.root.join(names[at]), "which split is it? The names of others say it"));
    }
    if !is_one && !parts.contains(&Some(Part::Train)) {
        return Err(Error::new(
            &tree.root,
            format!("{names:?}: of which split are images to be trained on?"),
        ));
    }
    let part_of = |part: Option<Part>| part.filter(|_| !is_one).unwrap_or(Part::All);
    Ok(names.iter().zip(parts).map(|(name, part)| (tree.root.join(name), part_of(part))).collect())
}

/// A single file and that of its test split.
///
/// # Errors
/// If it is one of several shards.
pub(crate) fn files(path: &Path, test: Option<&Path>) -> Result<Vec<(PathBuf, Part)>> {
    let lone = |path: &Path| match shard(path.file_name().and_then(|name| name.to_str()).unwrap_or_default())
    {
        Some(Shard { count, .. }) if count > 1 => {
            Err(Error::new(path, format!("one of {count} shards: name the folder that has all of them")))
        }
        _ => Ok(()),
    };
    lone(path)?;
    let Some(test) = test else { return Ok(vec![(path.to_owned(), Part::All)]) };
    lone(test)?;
    Ok(vec![(path.to_owned(), Part::Train), (test.to_owned(), Part::Test)])
}

/// A shard's name taken apart: `data/train-00001-of-00002-3f2c.parquet` is `data/train`, 1 of 2, of the upload `-3f2c`.
#[derive(Debug, PartialEq)]
struct Shard<'a> {
    split: &'a str,
    place: usize,
    count: usize,
    upload: &'a str,
}

fn shard(name: &str) -> Option<Shard<'_>> {
    let name = name.get(..name.len().checked_sub(".parquet".len())?)?;
    let (before, after) = name.rsplit_once("-of-")?;
    let (split, place) = before.rsplit_once('-')?;
    let digits = after.find(|c: char| !c.is_ascii_digit()).unwrap_or(after.len());
    let (count, upload) = after.split_at(digits);
    Some(Shard { split, place: place.parse().ok()?, count: count.parse().ok()?, upload })
}

/// A set of which a part is missing would be taken for the whole, and one of two uploads would contradict the other.
fn complete(root: &Path, names: &[&str]) -> Result<()> {
    let mut found: BTreeMap<&str, Vec<Shard<'_>>> = BTreeMap::new();
    for shard in names.iter().filter_map(|name| shard(name)) {
        found.entry(shard.split).or_default().push(shard);
    }
    for (split, shards) in found {
        let Shard { count, upload, .. } = shards[0];
        if shards.iter().any(|shard| (shard.count, shard.upload) != (count, upload)) {
            return Err(Error::new(
                root,
                format!("shards of {split} from several uploads; keep those of one"),
            ));
        }
        if let Some(missing) = (0..count).find(|place| !shards.iter().any(|shard| shard.place == *place)) {
            let problem =
                format!("shard {split}-{missing:05}-of-{count:05} is not there; all {count} are needed");
            return Err(Error::new(root, problem));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shards_are_told_by_their_names_and_all_are_needed() {
        let found = shard("out-of-domain/train-00001-of-00002-3f2c.parquet");
        assert_eq!(found, Some(Shard { split: "out-of-domain/train", place: 1, count: 2, upload: "-3f2c" }));
        let found = shard("data/test-00000-of-00001.PARQUET");
        assert_eq!(found, Some(Shard { split: "data/test", place: 0, count: 1, upload: "" }));
        assert_eq!((shard("0000.parquet"), shard("x")), (None, None));
        let refused = |names: &[&str]| complete(Path::new("x"), names).unwrap_err().to_string();
        let error = refused(&["train-00000-of-00002.parquet", "test-00000-of-00001.parquet"]);
        assert!(error.contains("train-00001-of-00002 is not there"), "{error}");
        complete(Path::new("x"), &["train-00000-of-00002.parquet", "train-00001-of-00002.parquet"]).unwrap();
        for mixed in ["train-00001-of-00002-b.parquet", "train-00001-of-00003.parquet"] {
            let error = refused(&["train-00000-of-00002.parquet", mixed]);
            assert!(error.contains("several uploads"), "{error}");
        }
    }
}
