//! `trainer import`.

use std::path::PathBuf;

use clap::ValueEnum;
use datasets::{Preprocessing, Procedure};
use import::{Imported, LeftOut, Request};
use indicatif::{ProgressBar, ProgressStyle};
use trainer::Result;

/// Lines of a list that are printed; all are in the JSON.
const SHOWN: usize = 10;

#[derive(clap::Args)]
pub(super) struct ImportArgs {
    /// A folder with a folder of images for each class, or with such folders in `train`, `val` and `test` in any spelling; a
    /// zip or tar file of that; a list of image files with their classes (CSV, JSON lines); a CSV file with a row of pixels for
    /// each image; IDX files; numpy's arrays; Parquet files with images.
    source: PathBuf,
    /// Name of the dataset and its folder.
    #[arg(long)]
    name: String,
    /// One line for people [default: the name].
    #[arg(long)]
    title: Option<String>,
    /// Licence of the data.
    #[arg(long, default_value = "unknown")]
    licence: String,
    /// Where the data was first published.
    #[arg(long, default_value = "unknown")]
    origin: String,
    /// What is done to images here and to those that `infer` will be given.
    #[arg(long, value_enum, default_value_t = How::Resize)]
    preprocessing: How,
    /// HEIGHTxWIDTH of the dataset's images; of a table's rows.
    #[arg(long, value_parser = size)]
    size: Option<[usize; 2]>,
    /// 1 for grey, 3 for colour [default: 3 if an image has a colour].
    #[arg(long, value_parser = channels)]
    channels: Option<usize>,
    /// Folders: which one is the class, counted from the source or split [default: 1, the first].
    #[arg(long, value_parser = clap::value_parser!(u8).range(1..=32))]
    class_level: Option<u8>,
    /// Share of each class that becomes the test split, if there is none [default: 0.2].
    #[arg(long, value_parser = share)]
    test_share: Option<f64>,
    /// I/K: of K parts of the images, the I-th becomes the test split.
    #[arg(long, value_parser = fold, conflicts_with = "test_share")]
    fold: Option<(usize, usize)>,
    /// Seed of that split [default: 1].
    #[arg(long)]
    seed: Option<u64>,
    /// A regular expression for names: images for which it finds the same text, the same person or scene, stay on one side of
    /// the split.
    #[arg(long)]
    group_by: Option<String>,
    /// Leave out files that cannot be read instead of refusing the source.
    #[arg(long)]
    skip_unreadable: bool,
    /// A CSV file with a column `sha256`, as `trainer audit` writes it: these images are left out.
    #[arg(long)]
    exclude: Option<PathBuf>,
    /// A CSV file with columns `sha256` and `suggested`, as `trainer audit` writes it: these images get that class.
    #[arg(long)]
    relabel: Option<PathBuf>,
    /// Tables and arrays: the value that means white [default: 255, if the values fill that].
    #[arg(long, value_parser = positive)]
    white: Option<f64>,
    /// Tables, lists and Parquet: name of the column with the class, or its number from 1 [default: label, target, class and the like].
    #[arg(long)]
    label_column: Option<String>,
    /// Lists: the folder that files are named from [default: the list's].
    #[arg(long)]
    images: Option<PathBuf>,
    /// IDX: the file of labels [default: the one beside the images].
    #[arg(long)]
    labels: Option<PathBuf>,
    /// Tables, arrays and Parquet: the file of the test split.
    #[arg(long, alias = "test-images")]
    test: Option<PathBuf>,
    /// IDX: labels of the test split [default: the file beside the images].
    #[arg(long, requires = "test")]
    test_labels: Option<PathBuf>,
    /// Class names for labels that are numbers, in their order, separated by commas.
    #[arg(long, value_delimiter = ',')]
    classes: Vec<String>,
    /// Tables and IDX: rows and columns change places, as EMNIST's files need it.
    #[arg(long)]
    transpose: bool,
    /// Folder of the datasets.
    #[arg(long, default_value = "datasets")]
    datasets: PathBuf,
    /// Print what was found as JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, ValueEnum)]
enum How {
    /// Resized, nothing else.
    Resize,
    /// As digits: bright ink on black, cropped, centred by mass.
    Mnist,
    /// As clothes: bright on black, padded to a square.
    Fashion,
}

type Parsed<T> = std::result::Result<T, String>;

fn size(text: &str) -> Parsed<[usize; 2]> {
    let numbers = text.split_once('x').and_then(|(h, w)| Some([h.parse().ok()?, w.parse().ok()?]));
    numbers
        .filter(|size| size.iter().all(|side| (1..=4096).contains(side)))
        .ok_or("expected HEIGHTxWIDTH, 1 to 4096".into())
}

fn channels(text: &str) -> Parsed<usize> {
    text.parse().ok().filter(|channels| [1, 3].contains(channels)).ok_or("expected 1 or 3".into())
}

fn share(text: &str) -> Parsed<f64> {
    let share = text.parse().ok().filter(|share: &f64| *share > 0.0 && *share < 1.0);
    share.ok_or("expected above 0 and below 1".into())
}

fn positive(text: &str) -> Parsed<f64> {
    text.parse().ok().filter(|value: &f64| value.is_finite() && *value > 0.0).ok_or("expected above 0".into())
}

fn fold(text: &str) -> Parsed<(usize, usize)> {
    let numbers =
        text.split_once('/').and_then(|(part, parts)| Some((part.parse().ok()?, parts.parse().ok()?)));
    numbers
        .filter(|&(part, parts)| (2..=100).contains(&parts) && (1..=parts).contains(&part))
        .ok_or("expected I/K, as 2/5".into())
}

pub(super) fn command(args: &ImportArgs) -> Result<()> {
    let bar = ProgressBar::no_length();
    if let Ok(style) = ProgressStyle::with_template("{bar:30} {pos}/{len} images  {per_sec}  ETA {eta}") {
        bar.set_style(style);
    }
    let progress = |done: usize, all: Option<usize>| {
        if let Some(all) = all {
            bar.set_length(all as u64);
        }
        bar.set_position(done as u64);
    };
    let imported = import::import(&args.request(), &args.datasets, &progress);
    bar.finish_and_clear();
    let imported = imported?;
    if args.json {
        terminal::json(&imported);
    } else {
        print(&imported);
    }
    Ok(())
}

impl ImportArgs {
    fn request(&self) -> Request {
        Request {
            source: self.source.clone(),
            name: self.name.clone(),
            title: self.title.clone().unwrap_or_else(|| self.name.clone()),
            licence: self.licence.clone(),
            origin: self.origin.clone(),
            preprocessing: self.preprocessing(),
            size: self.size,
            channels: self.channels,
            class_level: self.class_level.map(usize::from),
            test_share: self.test_share,
            fold: self.fold,
            seed: self.seed,
            group_by: self.group_by.clone(),
            skip_unreadable: self.skip_unreadable,
            exclude: self.exclude.clone(),
            relabel: self.relabel.clone(),
            white: self.white,
            label_column: self.label_column.clone(),
            images: self.images.clone(),
            labels: self.labels.clone(),
            test: self.test.clone(),
            test_labels: self.test_labels.clone(),
            classes: self.classes.iter().map(|name| name.trim().to_owned()).collect(),
            transpose: self.transpose,
        }
    }

    fn preprocessing(&self) -> Preprocessing {
        let procedure = match self.preprocessing {
            How::Resize => Procedure::Resize,
            How::Mnist => Procedure::Mnist,
            How::Fashion => Procedure::Fashion,
        };
        Preprocessing::Procedure(procedure)
    }
}

fn print(imported: &Imported) {
    let [channels, height, width] = imported.image;
    let total = |count: fn(&import::ClassInfo) -> usize| imported.classes.iter().map(count).sum::<usize>();
    let (train, validation, test) = (total(|c| c.train), total(|c| c.validation), total(|c| c.test));
    let held = if validation > 0 { format!(" {validation} validation,") } else { String::new() };
    terminal::line(format_args!(
        "{}: {train} training,{held} {test} test images of [{channels}, {height}, {width}]",
        imported.path.display()
    ));
    let widths = imported.classes.iter().map(|class| terminal::one_line(&class.name).chars().count());
    let width = widths.max().unwrap_or(0).max(5);
    let row = |name: &str, train: &str, validation: &str, test: &str| {
        let middle = if imported.classes.iter().any(|class| class.validation > 0) {
            format!("  {validation:>10}")
        } else {
            String::new()
        };
        let name = terminal::padded(&terminal::one_line(name), width);
        terminal::line(format_args!("{name}  {train:>8}{middle}  {test:>6}"));
    };
    row("class", "training", "validation", "test");
    for class in &imported.classes {
        let [train, validation, test] = [class.train, class.validation, class.test].map(|n| n.to_string());
        row(&class.name, &train, &validation, &test);
    }
    for note in &imported.notes {
        terminal::line(format_args!("note: {}", terminal::one_line(note)));
    }
    for (count, what) in [
        (imported.duplicates, "images that are there twice"),
        (imported.leaked, "images to train or validate with that are also tested or validated on"),
        (imported.litter, "files or folders that file managers leave"),
    ] {
        if count > 0 {
            terminal::line(format_args!("left out {count} {what}"));
        }
    }
    let named =
        |list: &[LeftOut]| list.iter().map(|out| format!("{}: {}", out.name, out.why)).collect::<Vec<_>>();
    if imported.relabelled > 0 {
        terminal::line(format_args!("{} images got another class", imported.relabelled));
    }
    list("left out, two labels for one image", &imported.contradictions);
    list("left out, unreadable", &named(&imported.unreadable));
    list("left out", &named(&imported.left_out));
    let near: Vec<String> =
        imported.near.iter().map(|pair| format!("{} and {}", pair.one, pair.other)).collect();
    list("nearly equal", &near);
    list("of one colour", &imported.constant);
    terminal::line(format_args!("report: {}", imported.path.join("report.html").display()));
    for warning in &imported.warnings {
        terminal::log(format_args!("warning: {}", terminal::one_line(warning)));
    }
}

fn list(what: &str, entries: &[String]) {
    for entry in entries.iter().take(SHOWN) {
        terminal::line(format_args!("{what}: {}", terminal::one_line(entry)));
    }
    if entries.len() > SHOWN {
        terminal::line(format_args!("{what}: {} more (--json names all)", entries.len() - SHOWN));
    }
}
