//! `trainer import`.

use std::path::{Path, PathBuf};

use clap::ValueEnum;
use datasets::{Preprocessing, Procedure};
use trainer::import::{self, Imported, Options, Source};
use trainer::{Error, Result};

#[derive(clap::Args)]
pub(super) struct ImportArgs {
    /// A folder with a folder of images for each class (or `train` and `test` with such folders), a
    /// CSV file with a row for each image, or an IDX file of images.
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
    /// HEIGHTxWIDTH of the dataset's images.
    #[arg(long, value_parser = size)]
    size: Option<[usize; 2]>,
    /// 1 for grey, 3 for colour [default: 3 if an image has a colour].
    #[arg(long, value_parser = clap::value_parser!(u8).range(1..=3))]
    channels: Option<u8>,
    /// Share of each class that becomes the test split, if there is none.
    #[arg(long, default_value_t = 0.2)]
    test_share: f64,
    /// Seed of that split.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Leave out files that cannot be read instead of refusing the source.
    #[arg(long)]
    skip_unreadable: bool,
    /// CSV: the value that means white.
    #[arg(long, default_value_t = 255.0)]
    white: f64,
    /// CSV: name of the column with the class, or its number from 1 [default: label, target or class, else the first].
    #[arg(long)]
    label_column: Option<String>,
    /// IDX: the file of labels.
    #[arg(long)]
    labels: Option<PathBuf>,
    /// IDX: images of a test split.
    #[arg(long, requires = "test_labels")]
    test_images: Option<PathBuf>,
    /// IDX: labels of a test split.
    #[arg(long, requires = "test_images")]
    test_labels: Option<PathBuf>,
    /// IDX: class names in label order, separated by commas.
    #[arg(long, value_delimiter = ',')]
    classes: Vec<String>,
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

fn size(text: &str) -> std::result::Result<[usize; 2], String> {
    let numbers = text.split_once('x').and_then(|(h, w)| Some([h.parse().ok()?, w.parse().ok()?]));
    numbers
        .filter(|size| size.iter().all(|side| (1..=4096).contains(side)))
        .ok_or("expected HEIGHTxWIDTH, 1 to 4096".into())
}

pub(super) fn command(args: &ImportArgs) -> Result<()> {
    let options = Options {
        name: args.name.clone(),
        title: args.title.clone().unwrap_or_else(|| args.name.clone()),
        licence: args.licence.clone(),
        source: args.origin.clone(),
        preprocessing: args.preprocessing(),
        test_share: args.test_share,
        seed: args.seed,
        skip_unreadable: args.skip_unreadable,
    };
    if !(args.test_share > 0.0 && args.test_share < 1.0) {
        return Err(Error::import(
            &args.source,
            format!("--test-share {}: expected above 0 and below 1", args.test_share),
        ));
    }
    if args.white.is_nan() || args.white <= 0.0 || args.channels == Some(2) {
        return Err(Error::import(&args.source, "--white must be above 0, --channels 1 or 3"));
    }
    let imported = import::import(args.read()?, &options, &args.datasets)?;
    if args.json {
        terminal::json(&imported);
    } else {
        print(&imported);
    }
    Ok(())
}

impl ImportArgs {
    fn preprocessing(&self) -> Preprocessing {
        let procedure = match self.preprocessing {
            How::Resize => Procedure::Resize,
            How::Mnist => Procedure::Mnist,
            How::Fashion => Procedure::Fashion,
        };
        Preprocessing::Procedure(procedure)
    }

    fn read(&self) -> Result<Source> {
        let source = self.source.as_path();
        if source.is_dir() {
            let form = import::folder::Form {
                size: self.size,
                channels: self.channels.map(usize::from),
                preprocessing: self.preprocessing(),
            };
            return import::folder::read(source, &form);
        }
        if source.extension().is_some_and(|ending| ending == "csv") {
            let form = import::table::Form {
                label: self.label_column.as_deref(),
                size: self.size,
                channels: self.channels.map_or(1, usize::from),
                white: self.white,
            };
            return import::table::read(source, &form);
        }
        let Some(labels) = self.labels.clone() else {
            return Err(Error::import(
                source,
                "expected a folder, a file ending in .csv, or an IDX file with --labels",
            ));
        };
        let files = |images: &Path, labels| import::idx::Files { images: images.to_owned(), labels };
        let test = self.test_images.as_deref().zip(self.test_labels.clone());
        let test = test.map(|(images, labels)| files(images, labels));
        import::idx::read(&files(source, labels), test.as_ref(), &self.classes)
    }
}

fn print(imported: &Imported) {
    let [channels, height, width] = imported.image;
    let (train, test) =
        imported.classes.iter().fold((0, 0), |(a, b), class| (a + class.train, b + class.test));
    terminal::line(format_args!(
        "{}: {train} training and {test} test images of [{channels}, {height}, {width}]",
        imported.path.display()
    ));
    let width = imported.classes.iter().map(|class| class.name.chars().count()).max().unwrap_or(0).max(5);
    terminal::line(format_args!("{:width$}  {:>8}  {:>6}", "class", "training", "test"));
    for class in &imported.classes {
        terminal::line(format_args!("{:width$}  {:>8}  {:>6}", class.name, class.train, class.test));
    }
    if imported.duplicates > 0 {
        terminal::line(format_args!("left out {} images that are there twice", imported.duplicates));
    }
    for (what, list) in
        [("two labels for one image", &imported.contradictions), ("unreadable", &imported.unreadable)]
    {
        for entry in list {
            terminal::line(format_args!("left out, {what}: {entry}"));
        }
    }
    for warning in &imported.warnings {
        terminal::log(format_args!("warning: {warning}"));
    }
}
