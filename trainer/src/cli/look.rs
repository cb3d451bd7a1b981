//! `trainer inspect`, `trainer preview` and `trainer pictures`.

use std::path::{Path, PathBuf};

use datasets::{Dataset, Split};
use serde_json::json;
use terminal::ExitStatus;
use trainer::attribution::Explained;
use trainer::inspect::{Inspection, inspect};
use trainer::normaliser::Normaliser;
use trainer::pictures::{Mistakes, attributions, feature_maps, mistakes};
use trainer::preview::contact_sheet;
use trainer::recipe::RecipeFile;
use trainer::split::split;
use trainer::table::table;
use trainer::{Error, Result, front, weights};
use zoo::Zoo;

use super::common::{open_version, whole_dataset};

#[derive(clap::Args)]
pub(super) struct InspectArgs {
    /// The recipe.
    recipe: PathBuf,
    /// Folder of the datasets.
    #[arg(long, default_value = "datasets")]
    datasets: PathBuf,
    /// Print as JSON.
    #[arg(long)]
    json: bool,
}

#[derive(clap::Args)]
pub(super) struct PreviewArgs {
    /// The recipe.
    recipe: PathBuf,
    /// The picture to write.
    #[arg(long, default_value = "preview.png")]
    out: PathBuf,
    /// Folder of the datasets.
    #[arg(long, default_value = "datasets")]
    datasets: PathBuf,
    /// Print as JSON.
    #[arg(long)]
    json: bool,
}

#[derive(clap::Args)]
pub(super) struct FrontArgs {
    /// The zoo.
    #[arg(long, default_value = "zoo")]
    zoo: PathBuf,
    /// Folder for the pictures.
    #[arg(long, default_value = "pictures")]
    out: PathBuf,
    /// Print as JSON.
    #[arg(long)]
    json: bool,
}

#[derive(clap::Args)]
pub(super) struct PicturesArgs {
    /// NAME or NAME@VERSION.
    model: String,
    /// Folder for the pictures.
    #[arg(long, default_value = "pictures")]
    out: PathBuf,
    /// Which training image goes through the layers.
    #[arg(long, default_value_t = 0)]
    image: usize,
    /// The zoo.
    #[arg(long, default_value = "zoo")]
    zoo: PathBuf,
    /// Folder of the datasets.
    #[arg(long, default_value = "datasets")]
    datasets: PathBuf,
    /// Print as JSON.
    #[arg(long)]
    json: bool,
}

pub(super) fn inspect_command(args: &InspectArgs) -> Result<()> {
    let recipe = RecipeFile::read(&args.recipe)?;
    let dataset = Dataset::find(&args.datasets, &recipe.recipe.dataset)?;
    let (network, inspection) = inspect(&recipe, &dataset.description)?;
    if args.json {
        terminal::json(&inspection);
        return Ok(());
    }
    terminal::print(format_args!("{}\n{}", table(&network), fields(&inspection)));
    let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
    let memory = inspection.memory;
    terminal::line(format_args!(
        "\ntraining memory, about: {:.0} MiB for weights, gradient, moments and average; {:.0} MiB for a batch of {}",
        mib(memory.parameters),
        mib(memory.activations),
        recipe.recipe.batch_size
    ));
    Ok(())
}

/// How much of the image each value sees.
fn fields(inspection: &Inspection) -> String {
    let width = inspection.layers.iter().map(|layer| layer.name.len()).max().unwrap_or(0).max(5);
    let header = format!("{}  sees      step\n", terminal::padded("layer", width));
    let lines = inspection.layers.iter().map(|layer| {
        let [rows, columns] = layer.receptive_field;
        let step = match layer.stride {
            [down, right] if down == right => down.to_string(),
            [down, right] => format!("{down}x{right}"),
        };
        let name = terminal::padded(&layer.name, width);
        format!("{name}  {:8}  {step}\n", format!("{rows}x{columns}"))
    });
    std::iter::once(header).chain(lines).collect()
}

pub(super) fn preview_command(args: &PreviewArgs) -> Result<()> {
    zoo::refuse_same(&args.out, &[&args.recipe])?;
    let recipe = RecipeFile::read(&args.recipe)?;
    let dataset = whole_dataset(&args.datasets, &recipe.recipe.dataset)?;
    let samples = dataset.load(Split::Train)?;
    let normaliser = Normaliser::new(&dataset.description.normalisation);
    let png = contact_sheet(&recipe.recipe, &samples, &normaliser)?;
    zoo::write_output(Path::new(&args.out), &png)?;
    if args.json {
        terminal::json(&json!({ "picture": args.out.display().to_string() }));
    } else {
        terminal::line(args.out.display());
    }
    Ok(())
}

pub(super) fn front_command(args: &FrontArgs) -> Result<ExitStatus> {
    let index = Zoo::open(&args.zoo)?.index()?;
    zoo::refuse_published(&args.out)?;
    std::fs::create_dir_all(&args.out).map_err(Error::io(&args.out))?;
    let mut written = Vec::new();
    for dataset in front::datasets(&index) {
        let path = args.out.join(format!("{dataset}.svg"));
        zoo::write_atomic(&path, front::draw(&index, &dataset)?.as_bytes())?;
        written.push(path.display().to_string());
    }
    for version in front::left_out(&index) {
        terminal::log(format_args!(
            "{version} left out: its manifest does not say how many multiplications it has"
        ));
    }
    if args.json {
        terminal::json(&written);
    } else {
        written.iter().for_each(|path| terminal::line(format_args!("{path}")));
    }
    for path in &index.unreadable {
        terminal::log(format_args!("{path}/ left out: its manifest cannot be read"));
    }
    Ok(ExitStatus::of_check(index.unreadable.is_empty()))
}

pub(super) fn pictures_command(args: &PicturesArgs) -> Result<()> {
    let (_, version) = open_version(&args.zoo, &args.model)?;
    let recipe = RecipeFile::of_version(&version)?;
    let dataset = whole_dataset(&args.datasets, &recipe.recipe.dataset)?;
    let samples = dataset.load(Split::Train)?;
    let normaliser = Normaliser::new(&dataset.description.normalisation);
    let network = recipe.build_network(&dataset.description)?;
    let weights = weights::published(&version, &network)?;
    if args.image >= samples.len() {
        return Err(Error::run(
            &args.out,
            format!("--image {}: expected below {}", args.image, samples.len()),
        ));
    }
    zoo::refuse_published(&args.out)?;
    std::fs::create_dir_all(&args.out).map_err(Error::io(&args.out))?;
    let mut maps = Vec::new();
    for map in feature_maps(&network, &weights, &normaliser, samples.image(args.image))? {
        let path = args.out.join(format!("{}.png", map.layer));
        zoo::write_atomic(&path, &map.png)?;
        maps.push(path.display().to_string());
    }
    let (_, validation) = split(&recipe, &samples)?;
    if validation.is_empty() {
        terminal::log(
            "no mistakes and no attributions: the version was trained on all images, and none were held out",
        );
        match args.json {
            true => terminal::json(&json!({ "feature_maps": maps, "validation_images": 0 })),
            false => maps.iter().for_each(terminal::line),
        }
        return Ok(());
    }
    let wrong = mistakes(&network, &weights, &normaliser, &samples, &validation)?;
    let path = args.out.join("mistakes.png");
    zoo::write_atomic(&path, &wrong.png)?;
    let explained =
        Explained { network: &network, parameters: &weights, normaliser: &normaliser, samples: &samples };
    let attributions = attributions(&explained, &validation)?;
    let attributed = args.out.join("attributions.png");
    zoo::write_atomic(&attributed, &attributions.png)?;
    zoo::write_atomic(&args.out.join("attributions.safetensors"), &attributions.values)?;
    let pictures =
        Pictures { maps, mistakes: path, attributions: attributed, wrong, explained: attributions.shown };
    pictures.print(&dataset.description.classes, validation.len(), args.json);
    Ok(())
}

/// The pictures of a version, and what is on them.
struct Pictures {
    maps: Vec<String>,
    mistakes: PathBuf,
    attributions: PathBuf,
    wrong: Mistakes,
    /// Image, its class and the predicted one.
    explained: Vec<(usize, u8, u8)>,
}

impl Pictures {
    fn print(&self, classes: &[String], validation_images: usize, json: bool) {
        let Pictures { maps, mistakes, attributions, wrong, explained } = self;
        let name = |class: u8| classes[usize::from(class)].as_str();
        if json {
            let shown = wrong.classes.iter();
            let shown = shown
                .map(|&(actual, predicted)| json!({ "actual": name(actual), "predicted": name(predicted) }));
            let explained = explained.iter().map(|&(index, actual, predicted)| {
                json!({ "image": index, "actual": name(actual), "predicted": name(predicted) })
            });
            terminal::json(&json!({
                "feature_maps": maps,
                "mistakes": mistakes.display().to_string(),
                "attributions": attributions.display().to_string(),
                "explained": explained.collect::<Vec<_>>(),
                "validation_images": validation_images,
                "wrong": wrong.count,
                "shown": shown.collect::<Vec<_>>(),
            }));
            return;
        }
        maps.iter().for_each(terminal::line);
        terminal::line(attributions.display());
        let path = mistakes.display();
        terminal::line(format_args!(
            "{path}: {} of {validation_images} validation images are wrong",
            wrong.count
        ));
        for &(actual, predicted) in &wrong.classes {
            terminal::line(format_args!("  {} taken for {}", name(actual), name(predicted)));
        }
    }
}
