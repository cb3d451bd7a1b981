//! The steps of a manifest, one after another.

use std::borrow::Cow;

use datasets::{ImageShape, Step};
use image::imageops::FilterType;
use image::{DynamicImage, GrayImage, RgbImage};

use super::ink::Ink;
use super::objects::Object;
use super::plane::{Bounds, Plane, Scale};
use super::{Found, Prepared, clutter, garment, ink, light, lines, mnist, objects, page, strokes};

/// How far an image has come.
enum Stage {
    Image,
    Contrast(Plane),
    Ink(Option<Ink>),
    Objects(Vec<Object>),
    Input(Vec<Found>),
}

/// Runs steps on an image; `trace` gets a picture of what each step made.
pub(super) struct Pipeline<'a> {
    image: DynamicImage,
    /// Width and height of the original image.
    size: (u32, u32),
    shape: ImageShape,
    stage: Stage,
    finish: Option<Finish>,
    /// Marks that were too many to look at.
    left_out: usize,
    trace: Option<&'a mut Vec<(&'static str, GrayImage)>>,
}

/// The steps that each object goes through by itself.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Finish {
    steps: Vec<Step>,
    shape: ImageShape,
    /// To the original image.
    scale: Scale,
}

impl Finish {
    /// What the network is to see of an object.
    pub(crate) fn input(&self, object: &Object) -> Found {
        let bounds = object.bounds.scaled(self.scale);
        let mut plane = object.plane.clone();
        for step in &self.steps {
            match *step {
                Step::StrokeWidth { thinnest, thickest } => {
                    // The box that the content will fill; a stroke's width is measured in its pixels.
                    let side = self.steps.iter().find_map(|step| match step {
                        Step::FitBox { r#box, .. } => Some(f64::from(*r#box)),
                        _ => None,
                    });
                    let side = side.unwrap_or(self.shape.height as f64);
                    plane = strokes::fit(&plane, side, thinnest, thickest);
                }
                Step::FitBox { r#box, by_mass } => {
                    let pixels = fit(&plane, self.shape, r#box as usize, by_mass).to_bytes();
                    return Found { pixels, bounds, row: object.row, object: Some(object.clone()) };
                }
                _ => {}
            }
        }
        Found { pixels: vec![0; self.shape.numel()], bounds, row: object.row, object: Some(object.clone()) }
    }
}

/// An object in a square of `side` pixels, in the middle of the network's input.
fn fit(plane: &Plane, shape: ImageShape, side: usize, by_mass: bool) -> Plane {
    let (height, width) = (shape.height, shape.width);
    let Some(inner) = plane.bounds(0.0) else { return Plane::black(height, width) };
    let side = side.min(height).min(width);
    let mut small = plane.squared(inner).resize_area(side, side);
    if !by_mass {
        return mnist::paste(&small, height, width);
    }
    let max = small.max();
    small.data.iter_mut().for_each(|v| *v *= 255.0 / max.max(1.0));
    mnist::paste_by_mass(&small, height, width)
}

impl<'a> Pipeline<'a> {
    pub(super) fn new(
        image: DynamicImage,
        size: (u32, u32),
        shape: ImageShape,
        trace: Option<&'a mut Vec<(&'static str, GrayImage)>>,
    ) -> Pipeline<'a> {
        Pipeline { image, size, shape, stage: Stage::Image, finish: None, left_out: 0, trace }
    }

    /// What the steps make of the image. Steps that do not follow from each other were refused when the
    /// manifest was read.
    pub(super) fn run(mut self, steps: &[Step]) -> Prepared {
        let rest = |index: usize| steps.get(index + 1..).unwrap_or_default().to_vec();
        for (index, step) in steps.iter().enumerate() {
            self.step(step, rest(index));
            let picture = self.trace.is_some().then(|| self.picture());
            if let (Some(trace), Some(picture)) = (self.trace.as_deref_mut(), picture) {
                trace.push((step.name(), picture));
            }
            if matches!(self.stage, Stage::Input(_)) {
                break;
            }
        }
        match self.stage {
            Stage::Input(found) => Prepared { found, left_out: self.left_out, finish: self.finish },
            _ => Prepared::default(),
        }
    }

    /// Takes one step, after which `rest` is to come.
    fn step(&mut self, step: &Step, rest: Vec<Step>) {
        let stage = std::mem::replace(&mut self.stage, Stage::Image);
        self.stage = match (step, stage) {
            (Step::KeepNormalForm { r#box }, Stage::Image) => self.keep_normal_form(*r#box as usize),
            (Step::WorkingSize { shortest, longest }, Stage::Image) => self.working_size(*shortest, *longest),
            (Step::FlattenLight { window }, Stage::Image) => Stage::Contrast(match &self.image {
                DynamicImage::ImageLuma8(grey) => light::contrast(grey, *window),
                _ => light::contrast(&*self.colours(), *window),
            }),
            (Step::SeparateInk { contrast, share }, Stage::Contrast(found)) => {
                Stage::Ink(ink::separate(found, *contrast, *share))
            }
            (Step::KeepPage { area }, Stage::Image) => {
                let kept = match &self.image {
                    DynamicImage::ImageLuma8(grey) => page::keep(grey, *area).map(DynamicImage::from),
                    _ => page::keep(&*self.colours(), *area).map(DynamicImage::from),
                };
                if let Some(kept) = kept {
                    self.image = kept;
                }
                Stage::Image
            }
            (Step::RemoveLines { length, thickness }, Stage::Ink(Some(mut ink))) => {
                lines::remove(&mut ink.mask, *length, *thickness);
                Stage::Ink(Some(ink))
            }
            (Step::RemoveClutter { speck }, Stage::Ink(Some(mut ink))) => {
                self.left_out += clutter::remove(&mut ink.mask, *speck);
                Stage::Ink(Some(ink))
            }
            (Step::FindObjects { height }, Stage::Ink(ink)) => {
                let (objects, left_out) =
                    ink.map_or_else(Default::default, |ink| objects::find(&ink, *height));
                self.left_out += left_out;
                self.found(objects, rest)
            }
            (Step::SeparateObject { contrast }, Stage::Image) => {
                let object = garment::separate(&Plane::colours(&self.image), *contrast);
                self.found(object.into_iter().collect(), rest)
            }
            (Step::FitBox { .. }, Stage::Objects(all)) => match &self.finish {
                Some(finish) => Stage::Input(all.iter().map(|object| finish.input(object)).collect()),
                None => Stage::Input(Vec::new()),
            },
            (Step::Resize {}, Stage::Image) => Stage::Input(vec![self.resize()]),
            // Nothing was found, so there is nothing to do; anything else was refused before.
            (_, stage) => stage,
        };
    }

    /// The objects, each of which is to go through the rest of the steps.
    fn found(&mut self, objects: Vec<Object>, rest: Vec<Step>) -> Stage {
        self.finish = Some(Finish { steps: rest, shape: self.shape, scale: self.scale() });
        Stage::Objects(objects)
    }

    fn scale(&self) -> Scale {
        Scale::new((self.image.width(), self.image.height()), self.size)
    }

    fn whole(&self) -> Bounds {
        let (height, width) = (self.image.height() as usize, self.image.width() as usize);
        Bounds { top: 0, left: 0, bottom: height, right: width }
    }

    fn keep_normal_form(&mut self, side: usize) -> Stage {
        let (height, width) = (self.shape.height, self.shape.width);
        if (self.image.height() as usize, self.image.width() as usize) != (height, width) {
            return Stage::Image;
        }
        let grey = Plane::grey(&self.image);
        if !mnist::is_like_dataset(&grey, side) {
            return Stage::Image;
        }
        Stage::Input(vec![Found { pixels: grey.to_bytes(), bounds: self.whole(), row: 0, object: None }])
    }

    fn working_size(&mut self, shortest: u32, longest: u32) -> Stage {
        let (width, height) = (self.image.width(), self.image.height());
        let side = width.max(height);
        let wanted = side.clamp(shortest, longest);
        if side != wanted {
            let scaled = |length: u32| {
                (f64::from(length) * f64::from(wanted) / f64::from(side)).round().max(1.0) as u32
            };
            self.image = if wanted < side {
                self.image.thumbnail_exact(scaled(width), scaled(height))
            } else {
                self.image.resize_exact(scaled(width), scaled(height), FilterType::Triangle)
            };
        }
        Stage::Image
    }

    /// Red, green and blue.
    fn colours(&self) -> Cow<'_, RgbImage> {
        match &self.image {
            DynamicImage::ImageRgb8(colours) => Cow::Borrowed(colours),
            image => Cow::Owned(image.to_rgb8()),
        }
    }

    fn resize(&self) -> Found {
        let (height, width) = (self.shape.height, self.shape.width);
        let pixels = if self.shape.channels == 1 {
            Plane::grey(&self.image).resize_area(height, width).to_bytes()
        } else {
            let planes = Plane::colours(&self.image);
            planes.iter().flat_map(|plane| plane.resize_area(height, width).to_bytes()).collect()
        };
        Found { pixels, bounds: self.whole().scaled(self.scale()), row: 0, object: None }
    }

    /// What there is after a step, for people to look at.
    fn picture(&self) -> GrayImage {
        match &self.stage {
            Stage::Image => self.image.to_luma8(),
            Stage::Contrast(found) => found.to_image(255.0),
            Stage::Ink(Some(ink)) => {
                let data = ink.mask.data.iter().zip(&ink.strength.data);
                let data = data.map(|(&is_ink, &v)| if is_ink { v / ink.typical } else { 0.0 }).collect();
                Plane { data, ..ink.strength }.to_image(255.0)
            }
            Stage::Ink(None) => GrayImage::new(1, 1),
            Stage::Objects(all) => beside(all.iter().map(|object| object.plane.to_image(1.0))),
            Stage::Input(all) => beside(all.iter().filter_map(|found| {
                let (width, height) = (self.shape.width as u32, self.shape.height as u32);
                GrayImage::from_raw(
                    width,
                    height,
                    found.pixels.iter().take((width * height) as usize).copied().collect(),
                )
            })),
        }
    }
}

/// Most objects on a picture of a step.
const MOST_SHOWN: usize = 64;

/// Pictures from left to right.
fn beside(pictures: impl Iterator<Item = GrayImage>) -> GrayImage {
    let all: Vec<GrayImage> = pictures.take(MOST_SHOWN).collect();
    let width = all.iter().map(|picture| picture.width() + 2).sum::<u32>().max(1);
    let height = all.iter().map(GrayImage::height).max().unwrap_or(1);
    let mut out = GrayImage::new(width, height);
    let mut left = 0;
    for picture in all {
        image::imageops::replace(&mut out, &picture, left, 0);
        left += i64::from(picture.width()) + 2;
    }
    out
}
