//! Splits and classes from names of folders: `train/cat/1.jpg`, `Dataset/Training Set/cat/june/1.jpg`, `cat/1.jpg`.
//!
//! A class is a folder, with all that is below it, as torchvision's `ImageFolder` and Keras' `image_dataset_from_directory`
//! have it; folders around everything are passed over.

use std::collections::{BTreeMap, BTreeSet};

use infer::decode::has_image_ending;

use crate::item::Part;
use crate::report::LeftOut;
use crate::tree::{Entry, Tree};

/// Folders that hold a split, as one of the words in their name: `seg_train`, `Testing`, `val`.
const SPLITS: [(Part, &[&str]); 3] = [
    (Part::Train, &["train", "training", "trainset", "trainingset", "trn"]),
    (Part::Validation, &["val", "valid", "validation", "validationset", "valset", "dev"]),
    (Part::Test, &["test", "testing", "testset", "testingset", "tst", "eval", "evaluation"]),
];

/// Which folder below the split is the class: 1 is the first.
pub(crate) type Level = usize;

/// An image's place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Place {
    /// Number of the file in its tree.
    pub(crate) file: usize,
    pub(crate) part: Part,
    pub(crate) class: String,
    /// The folder below that of the class, if there is one.
    inner: Option<String>,
}

/// Where every image belongs, and what is none.
#[derive(Debug, Default)]
pub(crate) struct Layout {
    pub(crate) places: Vec<Place>,
    pub(crate) left_out: Vec<LeftOut>,
    pub(crate) notes: Vec<String>,
}

/// The split that a folder's name says, if it says one.
pub(crate) fn part(folder: &str) -> Option<Part> {
    let lower = folder.to_lowercase();
    let words: Vec<&str> =
        lower.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()).collect();
    // `test1` is one, too.
    let is_one =
        |word: &str, names: &[&str]| names.contains(&word.trim_end_matches(|c: char| c.is_ascii_digit()));
    let says = |names: &[&str]| {
        words.iter().any(|word| is_one(word, names)) || names.contains(&words.concat().as_str())
    };
    SPLITS.iter().find(|(_, names)| says(names)).map(|(part, _)| *part)
}

/// Whether a folder within that of a split has its name; `train1` and `train2` within `train` are classes.
fn is_again(folder: &str, of: Part) -> bool {
    part(folder) == Some(of) && !folder.ends_with(|c: char| c.is_ascii_digit())
}

/// Whether a file may be an image, by its name: also of a form that cannot be read, which is told.
fn may_be_image(file: &Entry) -> bool {
    file.ending().is_empty() || has_image_ending(&file.name)
}

/// Why the folders of a file say nothing.
enum Silent {
    NoClass,
    NotSoDeep,
    BesideSplits,
}

impl Silent {
    fn why(&self) -> &'static str {
        match self {
            Silent::NoClass => "in no folder of a class",
            Silent::NotSoDeep => "not as deep as --class-level says",
            Silent::BesideSplits => "beside the folders of train and test, and in none of them",
        }
    }
}

/// Finds out what the folders of a tree mean.
pub(crate) fn layout(tree: &Tree, level: Level) -> Layout {
    let mut layout = Layout::default();
    let mut files: Vec<(usize, Vec<&str>)> = Vec::new();
    for (index, file) in tree.files.iter().enumerate() {
        let mut folders: Vec<&str> = file.name.split('/').collect();
        folders.pop();
        let why = match (may_be_image(file), folders.is_empty()) {
            (false, _) => "not an image",
            (true, true) => Silent::NoClass.why(),
            (true, false) => {
                files.push((index, folders));
                continue;
            }
        };
        layout.leave_out(&file.name, why);
    }
    let skipped = common_root(&mut files);
    let mut parts: BTreeMap<Part, BTreeSet<&str>> = BTreeMap::new();
    for first in files.iter().filter_map(|(_, folders)| folders.first()) {
        if let Some(part) = part(first) {
            parts.entry(part).or_default().insert(first);
        }
    }
    let has_splits = parts.contains_key(&Part::Train) && parts.len() > 1;
    if has_splits {
        layout.note_several(&parts);
    }
    let mut unlabelled = 0;
    for (index, folders) in files {
        match place(index, &folders, has_splits, level) {
            Ok(place) => layout.places.push(place),
            Err(silent) => {
                unlabelled += usize::from(has_splits && !matches!(silent, Silent::BesideSplits));
                layout.leave_out(&tree.files[index].name, silent.why());
            }
        }
    }
    layout.note_empty(tree, &skipped, has_splits, level);
    layout.note_inner(level);
    if !has_splits {
        layout.note_splits();
    }
    if unlabelled > 0 {
        layout
            .notes
            .push(format!("{unlabelled} images of a split are in no folder of a class, and were left out"));
    }
    layout
}

/// What the folders of a file say, or why they say nothing.
fn place(
    index: usize,
    folders: &[&str],
    has_splits: bool,
    level: Level,
) -> std::result::Result<Place, Silent> {
    let (of, rest) = match (has_splits, folders.split_first()) {
        (true, Some((first, rest))) => (part(first).ok_or(Silent::BesideSplits)?, rest),
        _ => (Part::All, folders),
    };
    // `seg_train/seg_train/buildings`, `train/images/cat`.
    let rest = match rest.split_first() {
        Some((first, below)) if !below.is_empty() && has_splits && is_again(first, of) => below,
        _ => rest,
    };
    let class = rest.get(level - 1).ok_or(match level {
        1 => Silent::NoClass,
        _ => Silent::NotSoDeep,
    })?;
    let inner = rest.get(level).map(|folder| (*folder).to_owned());
    Ok(Place { file: index, part: of, class: (*class).to_owned(), inner })
}

/// Takes folders that are around everything away; returns them.
fn common_root(files: &mut [(usize, Vec<&str>)]) -> String {
    let mut skipped = String::new();
    while let Some((_, first)) = files.first() {
        let root = first[0].to_owned();
        if !files.iter().all(|(_, folders)| folders.len() > 1 && folders[0] == root) {
            break;
        }
        for (_, folders) in files.iter_mut() {
            folders.remove(0);
        }
        skipped += &root;
        skipped += "/";
    }
    skipped
}

impl Layout {
    fn leave_out(&mut self, name: &str, why: &str) {
        self.left_out.push(LeftOut { name: name.to_owned(), why: why.to_owned() });
    }

    /// Folders where classes are, but without a file.
    fn note_empty(&mut self, tree: &Tree, skipped: &str, has_splits: bool, level: Level) {
        let depth = level + usize::from(has_splits);
        for folder in &tree.empty {
            let below = folder.strip_prefix(skipped).unwrap_or(folder);
            if below.split('/').count() == depth {
                self.left_out.push(LeftOut { name: folder.clone(), why: "a class without an image".into() });
            }
        }
    }

    /// Says so if there are folders within those of the classes, which may be the classes that are meant.
    fn note_inner(&mut self, level: Level) {
        let inner = self.places.iter().filter_map(|place| Some((&place.class, place.inner.as_ref()?)));
        let inner: BTreeSet<(&String, &String)> = inner.collect();
        let Some((class, folder)) = inner.first() else { return };
        let first = format!("{class}/{folder}");
        let hint = match part(folder) {
            Some(_) => "splits are looked for around the classes, not in them".into(),
            None => format!("--class-level {} makes the inner ones the classes", level + 1),
        };
        self.notes.push(format!(
            "{} folders lie within those of the classes, as {first:?}; their images are of the outer class ({hint})",
            inner.len(),
        ));
    }

    /// Says so if classes have the names of splits.
    fn note_splits(&mut self) {
        let names: BTreeSet<&String> = self.places.iter().map(|place| &place.class).collect();
        let splits: Vec<&&String> = names.iter().filter(|name| part(name).is_some()).collect();
        if !splits.is_empty() {
            self.notes.push(format!(
                "{splits:?} are classes here, with names of splits: expected a folder of training images and another"
            ));
        }
    }

    /// Says which folders together are a split.
    fn note_several(&mut self, parts: &BTreeMap<Part, BTreeSet<&str>>) {
        for (part, folders) in parts.iter().filter(|(_, folders)| folders.len() > 1) {
            let what = match part {
                Part::Validation => "validate with",
                Part::Test => "test with",
                Part::Train | Part::All => "train on",
            };
            self.notes.push(format!("the images of {folders:?} are together those to {what}"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn splits_in_any_spelling() {
        for (name, expected) in [
            ("train", Some(Part::Train)),
            ("Training", Some(Part::Train)),
            ("TRAIN_SET", Some(Part::Train)),
            ("seg_train", Some(Part::Train)),
            ("Training Set", Some(Part::Train)),
            ("val", Some(Part::Validation)),
            ("Valid", Some(Part::Validation)),
            ("validation", Some(Part::Validation)),
            ("Test", Some(Part::Test)),
            ("testing-images", Some(Part::Test)),
            ("trains", None),
            ("contest", None),
            ("test1", Some(Part::Test)),
            ("train_2", Some(Part::Train)),
            ("cat", None),
        ] {
            assert_eq!(part(name), expected, "{name}");
        }
    }
}
