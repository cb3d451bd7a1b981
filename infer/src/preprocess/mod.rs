//! From any image to what a network was trained on, as its manifest says.

mod clutter;
mod fashion;
mod garment;
mod ink;
mod light;
mod lines;
mod mnist;
mod objects;
mod page;
mod parts;
mod pipeline;
mod plane;
mod strokes;
mod surface;
mod transparency;

use std::borrow::Cow;

use datasets::{ImageShape, Preprocessing, Procedure};
use image::{DynamicImage, GrayImage};

use objects::Object;
use pipeline::{Finish, Pipeline};
use plane::Plane;
pub use plane::{Bounds, Scale};
pub use transparency::opaque;

/// Longest side of an image that is worked on as it is.
const LONGEST_SIDE: u32 = 1024;

/// What was found on an image, in reading order.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Prepared {
    /// The network's input for each object; none on an empty image.
    pub found: Vec<Found>,
    /// How many marks were not looked at, because an image has more than anything written; the smallest.
    pub left_out: usize,
    /// How an object becomes an input.
    finish: Option<Finish>,
}

/// An object on an image.
#[derive(Debug, Clone, PartialEq)]
pub struct Found {
    /// Pixels `[C, H, W]` for the network.
    pub pixels: Vec<u8>,
    /// Where it is on the image.
    pub bounds: Bounds,
    /// Which line of text it is in, from 0.
    pub row: usize,
    /// Its ink.
    object: Option<Object>,
}

impl Prepared {
    /// Neighbours taken as one object; `None` if images were not divided into objects.
    pub(crate) fn joined(&self, parts: &[Found]) -> Option<Found> {
        let objects = parts.iter().map(|part| part.object.as_ref()).collect::<Option<Vec<_>>>()?;
        Some(self.finish.as_ref()?.input(&objects::join(&objects)?))
    }

    /// An object cut into two where there is least ink between left and right; `None` if it is too narrow.
    pub(crate) fn halves(&self, found: &Found) -> Option<[Found; 2]> {
        let finish = self.finish.as_ref()?;
        let halves = objects::cut(found.object.as_ref()?)?;
        Some(halves.map(|half| finish.input(&half)))
    }

    /// The network's input for the largest object, black if there is none.
    pub fn pixels(&self, shape: ImageShape) -> Vec<u8> {
        self.largest().map_or_else(|| vec![0; shape.numel()], |found| found.pixels.clone())
    }

    /// Where the objects are.
    pub fn bounds(&self) -> Vec<Bounds> {
        self.found.iter().map(|found| found.bounds).collect()
    }

    /// The largest object: what an answer for the whole image is about.
    pub fn largest(&self) -> Option<&Found> {
        self.found.iter().rev().max_by_key(|found| found.bounds.area())
    }
}

/// Pixels `[C, H, W]`, 0 to 255, for a network that takes `shape`: those of the largest object, black if
/// there is none.
pub fn preprocess(image: &DynamicImage, how: &Preprocessing, shape: ImageShape) -> Vec<u8> {
    prepare(image, how, shape, None).pixels(shape)
}

/// Every object on an image; `trace` gets the name of each step and a picture of what it made.
pub fn prepare(
    image: &DynamicImage,
    how: &Preprocessing,
    shape: ImageShape,
    trace: Option<&mut Vec<(&'static str, GrayImage)>>,
) -> Prepared {
    // What the named procedures make of transparency is in datasets already, and never changes.
    let image = match how {
        Preprocessing::Procedure(_) => Cow::Borrowed(image),
        Preprocessing::Steps(_) => opaque(image),
    };
    let image = &*image;
    let working = match shrunk(image, shape.height.max(shape.width)) {
        Some(smaller) => Cow::Owned(smaller),
        None => Cow::Borrowed(image),
    };
    let size = (image.width(), image.height());
    match how {
        Preprocessing::Steps(steps) => Pipeline::new(working.into_owned(), size, shape, trace).run(steps),
        Preprocessing::Procedure(procedure) => {
            let pixels = by_procedure(&working, *procedure, shape);
            if let Some(trace) = trace {
                let (width, height) = (shape.width as u32, shape.height as u32);
                let first = pixels.iter().take(shape.height * shape.width).copied().collect();
                trace.extend(GrayImage::from_raw(width, height, first).map(|picture| ("input", picture)));
            }
            // Black is what the procedures give where they find nothing.
            if *procedure != Procedure::Resize && pixels.iter().all(|&pixel| pixel == 0) {
                return Prepared::default();
            }
            let bounds =
                Bounds { top: 0, left: 0, bottom: image.height() as usize, right: image.width() as usize };
            Prepared { found: vec![Found { pixels, bounds, row: 0, object: None }], ..Prepared::default() }
        }
    }
}

fn by_procedure(image: &DynamicImage, how: Procedure, shape: ImageShape) -> Vec<u8> {
    let (height, width) = (shape.height, shape.width);
    if shape.channels != 1 {
        return Plane::colours(image)
            .iter()
            .flat_map(|plane| plane.resize_area(height, width).to_bytes())
            .collect();
    }
    let grey = Plane::grey(image);
    match how {
        Procedure::Mnist => mnist::normalise(&grey, height, width),
        Procedure::Fashion => fashion::normalise(&grey, height, width),
        Procedure::Resize => grey.resize_area(height, width),
    }
    .to_bytes()
}

/// An image with a side longer than [`LONGEST_SIDE`], and than twice the network's, made smaller:
/// what comes after needs some 30 bytes for each pixel, and more for very long images.
fn shrunk(image: &DynamicImage, side: usize) -> Option<DynamicImage> {
    let longest = LONGEST_SIDE.max(side.saturating_mul(2).try_into().unwrap_or(u32::MAX));
    (image.width().max(image.height()) > longest).then(|| image.thumbnail(longest, longest))
}

/// The image squeezed to the network's size and nothing else: what most programs do.
pub fn naive_resize(image: &DynamicImage, shape: ImageShape) -> Vec<u8> {
    Plane::grey(image).resize_area(shape.height, shape.width).to_bytes()
}
