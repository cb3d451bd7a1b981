//! Which training images are fitted, and which are held out to choose by.

use datasets::Samples;
use distortions::Stream;

use crate::error::{Error, Result};
use crate::network::Network;
use crate::recipe::{Recipe, RecipeFile};

/// Divides the training images: indices to fit, and indices to choose by. A validation split that the data came with is
/// taken as it is, else the recipe's seed decides.
///
/// # Errors
/// [`Error::Recipe`] if there are not as many images as the recipe asks for, or not as many as the data's own split has.
pub fn split(file: &RecipeFile, samples: &Samples) -> Result<(Vec<usize>, Vec<usize>)> {
    let recipe = &file.recipe;
    let count = images_to_fit(recipe, samples.len()).map_err(|error| file.in_file(error))?;
    let (held_out, own) = (recipe.split.validation, samples.validation);
    let is_own = own > 0 && held_out > 0;
    if is_own && held_out != own {
        let expected = format!("{own}, the validation split that the data came with, or 0");
        return Err(file.in_file(refuse(recipe, "split.validation", held_out, expected)));
    }
    // The data's own validation images come last.
    let mut order: Vec<usize> = (0..if is_own { samples.len() - own } else { samples.len() }).collect();
    Stream::new(recipe.seed, "split", 0, 0).shuffle(&mut order);
    let validation = match is_own {
        true => (samples.len() - own..samples.len()).collect(),
        false => order.split_off(samples.len() - held_out),
    };
    order.truncate(count);
    Ok((order, validation))
}

/// Checks what a recipe asks of the number of images in the training split: that there are enough, and
/// that no batch is too small for the network.
///
/// # Errors
/// [`Error::Recipe`] naming the field.
pub fn check_images(recipe: &Recipe, network: &Network, images: usize) -> Result<()> {
    let images = images_to_fit(recipe, images)?;
    let needed = network.smallest_batch();
    let rest = images % recipe.batch_size;
    let last = if rest == 0 { recipe.batch_size } else { rest };
    if last >= needed {
        return Ok(());
    }
    // Batch normalisation of one value for each channel would leave NaN as its statistics, which nobody
    // sees before the model is used.
    let found =
        format!("{}, which leaves a last batch of {last} of {images} training images", recipe.batch_size);
    let expected =
        format!("batches of {needed} or more: batch_norm gets one value for each channel of an image");
    Err(refuse(recipe, "batch_size", found, expected))
}

/// How many of a split's images are fitted.
fn images_to_fit(recipe: &Recipe, images: usize) -> Result<usize> {
    let held_out = recipe.split.validation;
    let Some(left) = images.checked_sub(held_out).filter(|&left| left > 0) else {
        let expected = format!("fewer than the {images} training images");
        return Err(refuse(recipe, "split.validation", held_out, expected));
    };
    match recipe.split.train {
        Some(count) if count > left => {
            let expected = format!("at most the {left} training images that are not held out");
            Err(refuse(recipe, "split.train", count, expected))
        }
        Some(count) => Ok(count),
        None => Ok(left),
    }
}

fn refuse(recipe: &Recipe, field: &str, found: impl ToString, expected: String) -> Error {
    let path = recipe.name.clone().into();
    Error::Recipe { path, field: field.into(), found: found.to_string(), expected }
}
