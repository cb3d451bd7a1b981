//! A first recipe for a dataset: what fits its size, colour, classes and amount of data, with comments.

use datasets::{Description, ImageShape, Preprocessing, Procedure, Samples};

/// Milliseconds that an image takes in training on two cores, as measured for images of 28x28: for itself, for each of its
/// values, and for a million multiplications.
const MILLISECONDS: [f64; 3] = [0.02, 1e-4, 0.05];
/// Share of the time that is training; the rest is validation and start.
const TRAINING: f64 = 0.75;
/// Images of the largest class to those of the smallest, from which on classes are balanced.
const IMBALANCE: f64 = 3.0;
/// Features of the first convolution, the widest that leaves time for [`EPOCHS`] is taken.
const WIDTHS: [usize; 4] = [32, 24, 16, 12];
const EPOCHS: f64 = 12.0;
/// Rows or columns of the maps that are flattened, whichever are fewer, at most.
const LAST_MAP: usize = 4;
/// Pixels of an image that a convolution is given, at most: larger ones are averaged first.
const PIXELS: usize = 112 * 112;
/// Values of a batch, at most.
const VALUES: usize = 16 << 20;

/// The text of a recipe for a dataset that takes about so many minutes on two cores.
pub fn recipe(description: &Description, samples: &Samples, minutes: f64) -> String {
    let validation = validation(samples);
    let images = samples.len() - validation;
    let budget = 60_000.0 * minutes * TRAINING;
    let epochs = |width: usize| budget / (images as f64 * milliseconds(description.image, width));
    let width = WIDTHS.into_iter().find(|&width| epochs(width) >= EPOCHS).unwrap_or(WIDTHS[3]);
    let epochs = (epochs(width).round() as u32).clamp(4, 60);
    let batch_size = match images {
        0..1000 => 16,
        1000..5000 => 32,
        5000..30_000 => 64,
        _ => 128,
    };
    let batch_size = batch_size.min(VALUES / description.image.numel()).max(2);
    let name = quoted(&description.name);
    let ImageShape { channels, height, width: columns } = description.image;
    let classes = description.classes.len();
    let colour = if channels == 3 { "colour" } else { "grey" };
    let own = if samples.validation > 0 {
        "the validation split that the data came with"
    } else {
        "held out to choose by"
    };
    let mut text = format!(
        "# A first recipe for {name}: {classes} classes, {images} {colour} images of {height}x{columns} to train on.\n\
         # docs/reference/recipe.md says what everything means; trainer study tries other values.\n\
         name: {}\n\
         description: A first network for {name}.\n\
         dataset: {name}\n\
         seed: 1\n\
         numeric_profile: {{threads: 2, isa: portable2}}  # the same bytes on every x86-64 processor\n\
         split: {{validation: {validation}}}  # {own}\n",
        model_name(&description.name)
    );
    text += "network:\n";
    for _ in 0..halvings(description.image) {
        text += "- avg_pool: {kernel_size: 2, stride: 2}  # larger than a first network needs; import --size is faster\n";
    }
    for (layer, comment) in layers(description.image, width) {
        text += &format!(
            "- {layer}{}\n",
            if comment.is_empty() { String::new() } else { format!("  # {comment}") }
        );
    }
    text += &format!(
        "- flatten\n- dropout: {{rate: 0.3}}  # more, where training accuracy is far above validation\n\
         - dense: {{features: {classes}}}  # one for each class\n- softmax\n\
         optimizer:\n  adamw: {{weight_decay: 0.01}}\n\
         schedule:\n  one_cycle: {{peak: {}}}\nepochs: {epochs}\n\
         # With a constant schedule instead, a run can end once validation no longer gets better:\n\
         # early_stopping: {{patience: 5}}\n\
         batch_size: {batch_size}\nlabel_smoothing: 0.05\n",
        if batch_size > 64 { 0.006 } else { 0.003 }
    );
    text += &sampling(description, samples);
    text += &augmentation(description);
    let confidence = if validation >= 500 { ", confidence: true" } else { "" };
    text + &format!("output: {{select: best_validation{confidence}}}\n")
}

/// The name of the recipe: the dataset's, as a model may be called.
pub fn model_name(dataset: &str) -> String {
    let name: String = dataset.to_ascii_lowercase().chars().take(56).collect();
    let name = name.trim_matches(|c: char| !c.is_ascii_alphanumeric()).replace('_', "-");
    match name.starts_with(|c: char| c.is_ascii_lowercase()) {
        true => format!("{name}-cnn"),
        false => format!("d{name}-cnn"),
    }
}

/// A name as a text of YAML: `null` and `2024` are none without quotes.
fn quoted(name: &str) -> String {
    match datasets::yaml::to_string(&name) {
        Ok(text) => text.trim_end().to_owned(),
        Err(_) => format!("{name:?}"),
    }
}

/// A tenth, or what the data came with.
fn validation(samples: &Samples) -> usize {
    match samples.validation {
        0 => (samples.len() / 10).clamp(20.min(samples.len() / 2), 5000),
        own => own,
    }
}

/// How often an image is made half as large before the first convolution.
fn halvings(image: ImageShape) -> u32 {
    let pixels = |times: u32| (image.height >> times) * (image.width >> times);
    let is_possible = |times: u32| image.height.min(image.width) >> times >= 2;
    (0..12).find(|&times| pixels(times) <= PIXELS || !is_possible(times + 1)).unwrap_or(0)
}

fn halved(image: ImageShape) -> ImageShape {
    let times = halvings(image);
    ImageShape { height: image.height >> times, width: image.width >> times, ..image }
}

/// Features of each stage: as many stages as it takes to come to maps that can be flattened.
fn stages(image: ImageShape, width: usize) -> Vec<usize> {
    let image = halved(image);
    let mut side = image.height.min(image.width);
    let mut stages = Vec::new();
    while side > LAST_MAP || stages.is_empty() {
        stages.push(width << stages.len().min(3));
        side /= 2;
        if side < 2 {
            break;
        }
    }
    stages
}

fn layers(image: ImageShape, width: usize) -> Vec<(String, &'static str)> {
    let mut layers = Vec::new();
    for (number, features) in stages(image, width).into_iter().enumerate() {
        let comment = if number == 0 { "batch_norm has the bias" } else { "" };
        layers.push((
            format!("conv2d: {{features: {features}, kernel_size: 3, padding: same, bias: false}}"),
            comment,
        ));
        layers.push(("batch_norm".into(), ""));
        layers.push(("relu".into(), ""));
        if halved(image).height.min(halved(image).width) >> number >= 2 {
            layers.push(("max_pool: {kernel_size: 2, stride: 2}".into(), ""));
        }
    }
    layers
}

fn milliseconds(image: ImageShape, width: usize) -> f64 {
    let [itself, value, million] = MILLISECONDS;
    itself + value * image.numel() as f64 + million * macs(image, width) / 1e6
}

/// Multiplications of the convolutions for one image.
fn macs(image: ImageShape, width: usize) -> f64 {
    let small = halved(image);
    let (mut channels, mut pixels, mut sum) = (image.channels, small.height * small.width, 0.0);
    for features in stages(image, width) {
        sum += (9 * channels * features * pixels) as f64;
        (channels, pixels) = (features, pixels / 4);
    }
    sum
}

fn sampling(description: &Description, samples: &Samples) -> String {
    let mut counts = vec![0usize; description.classes.len()];
    // The data's own validation images come last.
    let fitted = samples.len() - samples.validation;
    samples.labels[..fitted].iter().for_each(|&label| counts[usize::from(label)] += 1);
    let (least, most) = counts.iter().fold((usize::MAX, 1), |(least, most), &n| (least.min(n), most.max(n)));
    let ratio = most as f64 / least.max(1) as f64;
    match ratio > IMBALANCE {
        true => format!(
            "sampling: balanced  # the largest class has {ratio:.0} times the images of the smallest; once shows each once\n"
        ),
        false => String::new(),
    }
}

fn augmentation(description: &Description) -> String {
    let image = description.image;
    let shift = (image.height.min(image.width) / 14).max(1);
    match &description.preprocessing {
        Preprocessing::Procedure(Procedure::Mnist) => {
            format!(
                "# Characters: moved, turned, never mirrored.\naugmentation: {{shift: {shift}, rotate: 10, scale: 0.1}}\n"
            )
        }
        _ => {
            let colour = if image.channels == 3 {
                "\n  # As light and cameras differ; without it where the colour is what matters.\n  \
                 colour: {probability: 0.5, brightness: 0.2, contrast: 0.2, saturation: 0.2, hue: 5}"
            } else {
                ""
            };
            format!(
                "augmentation:\n  shift: {shift}\n  rotate: 5\n  scale: 0.1\n  \
                 horizontal_flip: 0  # 0.5 where a mirrored image is of the same class{colour}\n"
            )
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use datasets::Dataset;

    use super::*;
    use crate::recipe::RecipeFile;

    fn made(shape: [usize; 3], counts: &[usize], validation: usize, minutes: f64) -> RecipeFile {
        let [channels, height, width] = shape;
        let image = ImageShape { channels, height, width };
        let labels: Vec<u8> = counts.iter().enumerate().flat_map(|(c, &n)| vec![c as u8; n]).collect();
        let samples = Samples { shape: image, images: Vec::new(), labels, validation };
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../datasets");
        let mut description = Dataset::find(&root, "mnist").unwrap().description;
        description.image = image;
        description.classes = (0..counts.len()).map(|class| format!("c{class}")).collect();
        description.normalisation.mean.resize(channels, 0.5);
        description.normalisation.std.resize(channels, 0.5);
        if channels == 3 {
            description.preprocessing = Preprocessing::Procedure(Procedure::Resize);
        }
        let text = recipe(&description, &samples, minutes);
        let file =
            RecipeFile::parse(text.clone(), Path::new("x")).unwrap_or_else(|error| panic!("{error}\n{text}"));
        file.recipe.build_network(&description).unwrap_or_else(|error| panic!("{error}\n{text}"));
        file
    }

    #[test]
    fn recipes_fit_the_data_whatever_it_is() {
        for side in [1, 2, 3, 5, 8, 12, 28, 32, 64, 96, 224, 1000, 4000] {
            for counts in [vec![3, 3], vec![40; 10], vec![900; 11], vec![500; 250], vec![6000; 10]] {
                for channels in [1, 3] {
                    let file = made([channels, side, side + 3], &counts, 0, 1.0);
                    assert!((4..=60).contains(&file.recipe.epochs));
                }
            }
        }
    }

    #[test]
    fn names_are_those_of_models_and_quoted_where_they_must_be() {
        let named = ["leaves", "2024", "My_Set-", "null", &"x".repeat(64)].map(model_name);
        assert_eq!(named[..4], ["leaves-cnn", "d2024-cnn", "my-set-cnn", "null-cnn"]);
        assert!(named.iter().all(|name| zoo::check_name(name).is_ok()), "{named:?}");
        assert_eq!(["leaves", "null", "2024"].map(quoted), ["leaves", "'null'", "'2024'"]);
    }

    #[test]
    fn imbalance_colour_and_own_splits_are_seen() {
        let balanced = made([1, 28, 28], &[1000; 10], 0, 1.0);
        assert!(!balanced.text.contains("sampling") && !balanced.text.contains("colour:"));
        assert!(balanced.text.contains("validation: 1000}") && balanced.text.contains("confidence: true"));
        let odd = made([3, 32, 32], &[1000, 100], 77, 1.0);
        assert!(odd.text.contains("sampling: balanced") && odd.text.contains("  colour: {probability"));
        assert!(odd.text.contains("validation: 77}  # the validation split that the data came with"));
        let long = made([1, 28, 28], &[6000; 10], 0, 10.0).recipe.epochs;
        assert!(long > made([1, 28, 28], &[6000; 10], 0, 1.0).recipe.epochs);
    }
}
