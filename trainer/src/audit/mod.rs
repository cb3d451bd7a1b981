//! Labels of a dataset that are probably wrong: every training image is judged by a network that was fitted without it.

pub mod confident;
mod report;

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use datasets::{Dataset, Digest, Samples, Split};
use distortions::Stream;
use serde::Serialize;

use crate::error::{Error, Result};
use crate::evaluate::{Evaluator, batch};
use crate::network::Network;
use crate::normaliser::Normaliser;
use crate::recipe::{Output, RecipeFile};
use crate::run::RunDir;
use crate::train::{Images, Observer, Options, fit_on};
use confident::Known;

/// One of so many labels is ranked.
const RANKED: usize = 20;

/// What to audit by.
pub struct Request<'a> {
    /// The network and how it is fitted; its split and its choice of an epoch are not used.
    pub recipe: &'a RecipeFile,
    /// Parts of the training images, each judged by a network that was fitted to the others.
    pub folds: usize,
    /// Folder of the runs; a run that is there is gone on with.
    pub runs: &'a Path,
    /// Folder of the results.
    pub out: &'a Path,
}

/// What was found.
#[derive(Debug, Clone, Serialize)]
pub struct Audit {
    /// Name of the dataset.
    pub dataset: String,
    /// The recipe of the networks.
    pub recipe_sha256: Digest,
    /// Folder of the results.
    #[serde(serialize_with = "datasets::serialize_path")]
    pub path: PathBuf,
    /// Training images, those of a validation split of the data's own among them.
    pub images: usize,
    /// Parts.
    pub folds: usize,
    /// Images that the networks which had not seen them gave their label.
    pub agreed: usize,
    /// Class names.
    pub classes: Vec<String>,
    /// Estimated images by given class (rows) and true class (columns).
    pub confident_joint: Vec<Vec<u64>>,
    /// Labels that are probably wrong, the least probable first.
    pub issues: Vec<Issue>,
    /// What comes next, down to the least probable twentieth of all labels.
    #[serde(skip)]
    pub next: Vec<Issue>,
}

/// A label that is probably wrong.
#[derive(Debug, Clone, Serialize)]
pub struct Issue {
    /// Place in the training split, from 0.
    pub index: usize,
    /// Its class as given.
    pub class: String,
    /// The class that the network says.
    pub suggested: String,
    /// Probability that the network gives the label.
    pub self_confidence: f64,
    /// sha256 of the image's pixels.
    pub sha256: Digest,
    /// Where the image is from, if the dataset says it.
    pub origin: Option<String>,
}

/// Audits a dataset and writes what was found.
///
/// # Errors
/// [`Error::Interrupted`] after saving; else what is wrong with the recipe or the data.
pub fn audit(
    request: &Request<'_>,
    dataset: &Dataset,
    options: &Options<'_>,
    observer: &mut dyn Observer,
) -> Result<Audit> {
    let name = &dataset.description.name;
    if request.recipe.recipe.dataset != *name {
        let problem = format!("dataset: found {}, expected {name}", request.recipe.recipe.dataset);
        return Err(Error::run(Path::new(&request.recipe.recipe.name), problem));
    }
    if request.recipe.recipe.distillation.is_some() {
        let problem = "distillation: found a teacher, expected none: it has seen the images that are judged";
        return Err(Error::run(Path::new(&request.recipe.recipe.name), problem));
    }
    let samples = dataset.load(Split::Train)?;
    if samples.len() < request.folds {
        let problem =
            format!("{} training images, expected one for each of {} folds", samples.len(), request.folds);
        return Err(Error::run(&dataset.dir, problem));
    }
    let origins = report::origins(dataset, samples.len())?;
    zoo::refuse_published(request.out)?;
    std::fs::create_dir_all(request.out).map_err(Error::io(request.out))?;
    let classes = &dataset.description.classes;
    let folds = folds(&samples, classes.len(), request.folds, request.recipe.recipe.seed);
    let probabilities = probabilities(request, dataset, &samples, &folds, options, observer)?;
    let known = Known { labels: &samples.labels, probabilities: &probabilities, classes: classes.len() };
    let issue = |index: usize| Issue {
        index,
        class: classes[usize::from(samples.labels[index])].clone(),
        suggested: classes[known.prediction(index)].clone(),
        self_confidence: known.self_confidence(index),
        sha256: Digest::of(samples.image(index)),
        origin: origins.get(index).cloned(),
    };
    let agrees = |&image: &usize| known.prediction(image) == usize::from(samples.labels[image]);
    let issues = known.issues();
    let audit = Audit {
        dataset: name.clone(),
        recipe_sha256: request.recipe.sha256(),
        path: request.out.to_owned(),
        images: samples.len(),
        folds: request.folds,
        agreed: (0..samples.len()).filter(agrees).count(),
        classes: classes.clone(),
        confident_joint: known.confident_joint(),
        issues: issues.iter().copied().map(issue).collect(),
        next: next(&known, &issues).into_iter().map(issue).collect(),
    };
    report::write(&audit, &samples, &probabilities)?;
    Ok(audit)
}

/// The least probable labels that are no issues.
fn next(known: &Known<'_>, issues: &[usize]) -> Vec<usize> {
    let all = known.labels.len();
    let taken: HashSet<usize> = issues.iter().copied().collect();
    let mut rest: Vec<usize> = (0..all).filter(|image| !taken.contains(image)).collect();
    rest.sort_by(|&a, &b| known.self_confidence(a).total_cmp(&known.self_confidence(b)));
    rest.truncate((all / RANKED).saturating_sub(issues.len()));
    rest
}

/// Parts with about as many images of every class.
fn folds(samples: &Samples, classes: usize, count: usize, seed: u64) -> Vec<Vec<usize>> {
    let mut folds = vec![Vec::new(); count];
    let mut next = 0;
    for class in 0..classes {
        let mut members: Vec<usize> =
            (0..samples.len()).filter(|&image| usize::from(samples.labels[image]) == class).collect();
        Stream::new(seed, "folds", class as u64, 0).shuffle(&mut members);
        for image in members {
            folds[next % count].push(image);
            next += 1;
        }
    }
    folds.iter_mut().for_each(|fold| fold.sort_unstable());
    folds
}

/// Probabilities `[N, classes]` of all training images, row-major.
fn probabilities(
    request: &Request<'_>,
    dataset: &Dataset,
    samples: &Samples,
    folds: &[Vec<usize>],
    options: &Options<'_>,
    observer: &mut dyn Observer,
) -> Result<Vec<f32>> {
    let network = request.recipe.build_network(&dataset.description)?;
    let normaliser = Normaliser::new(&dataset.description.normalisation);
    let classes = dataset.description.classes.len();
    for fold in folds {
        check(request.recipe, &network, samples.len() - fold.len())?;
    }
    let mut all = vec![0f32; samples.len() * classes];
    for (number, held_out) in folds.iter().enumerate() {
        let recipe = fold_recipe(request, number)?;
        let others = folds.iter().enumerate().filter(|(other, _)| *other != number);
        let others: Vec<usize> = others.flat_map(|(_, fold)| fold).copied().collect();
        // Nothing of the images that are judged may reach the network, not even as material for outliers.
        let training = samples.select(&others);
        let indices: Vec<usize> = (0..training.len()).collect();
        let run = RunDir::open(&request.runs.join(format!("fold-{}", number + 1)), &recipe, true)?;
        let images = Images {
            samples: &training,
            normaliser: &normaliser,
            training: &indices,
            validation: &[],
            dataset,
        };
        let options = Options { resume: true, ..*options };
        // What libtorch computes stays in the thread that has the profile.
        let found: Vec<f32> = recipe.recipe.numeric_profile.run(|| {
            let state = fit_on(&recipe, &images, &network, &run, &options, &mut *observer)?;
            let evaluator = Evaluator {
                network: &network,
                parameters: state.model(),
                normaliser: &normaliser,
                samples,
                device: options.device,
            };
            let judge = |chunk: &[usize]| evaluator.probabilities(chunk, 1.0);
            Ok::<_, Error>(held_out.chunks(batch(samples.shape)).flat_map(judge).collect())
        })?;
        if found.iter().any(|probability| !probability.is_finite()) {
            let what = format!("fold {}: a probability became NaN", number + 1);
            return Err(Error::Diverged { what, epoch: recipe.recipe.epochs(), step: 0 });
        }
        for (&image, row) in held_out.iter().zip(found.chunks_exact(classes)) {
            all[image * classes..(image + 1) * classes].copy_from_slice(row);
        }
    }
    Ok(all)
}

/// The recipe of a fold. Its text, and with it its hash, differs from the recipe's: such a run is none of the recipe.
fn fold_recipe(request: &Request<'_>, number: usize) -> Result<RecipeFile> {
    let (fold, folds) = (number + 1, request.folds);
    // A byte order mark is one at the beginning alone.
    let own = request.recipe.text.trim_start_matches('\u{feff}');
    let text = format!("# Fold {fold} of {folds} of an audit.\n{own}");
    let mut recipe = RecipeFile::parse(text, &request.recipe.path)?;
    // There are no images to choose by: those held out are what is judged.
    recipe.recipe.output = Output::default();
    recipe.recipe.early_stopping = None;
    Ok(recipe)
}

/// No batch is too small for the network.
fn check(recipe: &RecipeFile, network: &Network, images: usize) -> Result<()> {
    let mut whole = recipe.recipe.clone();
    whole.split = crate::recipe::Split { validation: 0, train: None };
    crate::split::check_images(&whole, network, images).map_err(|error| recipe.in_file(error))
}

/// Folder of the runs that belong to a recipe, a dataset and a number of folds.
pub fn runs_folder(recipe: &RecipeFile, dataset: &Dataset, folds: usize) -> PathBuf {
    let key = format!("{} {} {folds}", recipe.sha256(), dataset.description.training_sha256());
    let digest = Digest::of(key.as_bytes()).to_string();
    Path::new("runs").join(format!("audit-{}-{}", dataset.description.name, &digest[..8]))
}

#[cfg(test)]
mod tests {
    use datasets::ImageShape;

    use super::*;

    #[test]
    fn folds_hold_every_image_once_and_every_class_alike() {
        let shape = ImageShape { channels: 1, height: 1, width: 1 };
        let labels: Vec<u8> = (0..100).map(|i| u8::from(i % 10 == 0)).collect();
        let samples = Samples { shape, images: vec![0; 100], labels, validation: 0 };
        let folds = folds(&samples, 2, 4, 7);
        let mut all: Vec<usize> = folds.iter().flatten().copied().collect();
        all.sort_unstable();
        assert_eq!(all, (0..100).collect::<Vec<_>>());
        for fold in &folds {
            assert_eq!(fold.len(), 25);
            let of_one = fold.iter().filter(|&&image| samples.labels[image] == 1).count();
            assert!((2..=3).contains(&of_one));
        }
    }
}
