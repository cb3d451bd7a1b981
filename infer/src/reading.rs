//! Every object of an image in reading order: numbers of several digits, a line of text a row.

use image::DynamicImage;
use serde::Serialize;

use crate::confidence::Status;
use crate::error::Result;
use crate::predictor::Predictor;
use crate::preprocess::{Bounds, Found, Prepared, Scale, prepare};
use crate::session::Worker;

/// What an object that is unlike all classes costs, in the logarithm of a probability.
const UNLIKE: f32 = -4.0;
/// Pieces are taken as one object only if no more than this share of their height lies between them.
const GAP: f64 = 0.15;
/// How wide one object may be, as a share of its height, to be made of several pieces.
const WIDEST: f64 = 1.2;

/// What is written on an image.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Reading {
    /// `empty`, `ok`, or the worst status of an object.
    pub status: Status,
    /// Lines from above.
    pub rows: Vec<Row>,
    /// Marks that were not looked at, because the image has too many.
    pub left_out: usize,
}

/// A line of text.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Row {
    /// The labels after each other.
    pub text: String,
    /// Its objects from the left.
    pub objects: Vec<ReadObject>,
}

/// One object.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ReadObject {
    /// The most probable class.
    pub label: String,
    /// Its probability.
    pub probability: f32,
    /// What the answer is worth.
    pub status: Status,
    /// Where it is, in pixels of the image.
    pub bounds: Bounds,
}

impl Reading {
    /// The same with places on an image at its other size.
    #[must_use]
    pub fn scaled(mut self, scale: Scale) -> Reading {
        for object in self.rows.iter_mut().flat_map(|row| &mut row.objects) {
            object.bounds = object.bounds.scaled(scale);
        }
        self
    }

    /// The text of all rows.
    pub fn text(&self) -> String {
        self.rows.iter().map(|row| row.text.as_str()).collect::<Vec<_>>().join("\n")
    }
}

/// By so much, of a logarithm, two halves must be better than the whole: a whole that the network is sure of stays one.
const MARGIN: f32 = 0.1;

/// A piece or several, and what the network says.
struct Candidate {
    found: Found,
    probabilities: Vec<f32>,
    /// Logarithm of the best probability, lower if unlike.
    score: f32,
}

impl Predictor {
    /// Reads every object on an image.
    ///
    /// # Errors
    /// As for [`Predictor::predict`].
    pub fn read(&self, image: &DynamicImage) -> Result<Reading> {
        let manifest = self.manifest();
        self.read_prepared(&prepare(image, &manifest.preprocessing, manifest.image_shape(), None))
    }

    /// Reads every object that was found on an image.
    ///
    /// # Errors
    /// As for [`Predictor::read`].
    pub fn read_prepared(&self, prepared: &Prepared) -> Result<Reading> {
        let mut rows: Vec<Row> = Vec::new();
        let mut worker = self.session().worker()?;
        for pieces in prepared.found.chunk_by(|a, b| a.row == b.row) {
            let objects = self.best_row(&mut worker, prepared, pieces)?;
            let objects: Vec<ReadObject> =
                objects.into_iter().map(|candidate| self.object(candidate)).collect();
            let text = objects.iter().map(|object| object.label.as_str()).collect();
            rows.push(Row { text, objects });
        }
        let worst = |statuses: &[Status]| {
            let any = |status: Status| statuses.contains(&status).then_some(status);
            any(Status::Unlike).or(any(Status::Unsure)).unwrap_or(Status::Ok)
        };
        let statuses: Vec<Status> =
            rows.iter().flat_map(|row| &row.objects).map(|object| object.status).collect();
        let status = if rows.is_empty() { Status::Empty } else { worst(&statuses) };
        Ok(Reading { status, rows, left_out: prepared.left_out })
    }

    fn object(&self, candidate: Candidate) -> ReadObject {
        let Candidate { found, probabilities, .. } = candidate;
        let bounds = found.bounds;
        let prediction = self.prediction(found.pixels, probabilities);
        let best = prediction.classes.first().expect("a manifest has two labels or more");
        ReadObject {
            label: best.label.clone(),
            probability: best.probability,
            status: prediction.status,
            bounds,
        }
    }

    /// The way to divide a row into objects that the network finds most probable: pieces alone, cut into two,
    /// or two or three that are near each other as one.
    fn best_row(
        &self,
        worker: &mut Worker<'_>,
        prepared: &Prepared,
        pieces: &[Found],
    ) -> Result<Vec<Candidate>> {
        let mut atoms: Vec<Found> = Vec::new();
        let mut alone: Vec<Option<Candidate>> = Vec::new();
        for piece in pieces {
            let whole = self.candidate(worker, piece.clone())?;
            let mut chosen = vec![whole];
            if let Some([left, right]) = prepared.halves(piece) {
                let halves = vec![self.candidate(worker, left)?, self.candidate(worker, right)?];
                if halves.iter().map(|half| half.score).sum::<f32>() > chosen[0].score + MARGIN {
                    chosen = halves;
                }
            }
            atoms.extend(chosen.iter().map(|candidate| candidate.found.clone()));
            alone.extend(chosen.into_iter().map(Some));
        }
        // best[i]: score of the best way to divide the first i atoms, and the length of its last object.
        let mut best: Vec<(f32, usize)> = vec![(0.0, 0)];
        let mut candidates: Vec<Vec<Option<Candidate>>> = Vec::new();
        for end in 1..=atoms.len() {
            let mut row = Vec::new();
            let mut choice = (f32::NEG_INFINITY, 1);
            for length in 1..=3.min(end) {
                let parts = &atoms[end - length..end];
                let candidate = match parts {
                    [_] => alone[end - 1].take(),
                    several if is_near(several) => {
                        prepared.joined(several).map(|found| self.candidate(worker, found)).transpose()?
                    }
                    _ => None,
                };
                if let Some(candidate) = &candidate {
                    // As if each piece had been read so well: else few objects would always win.
                    let score = best[end - length].0 + candidate.score * length as f32;
                    if score > choice.0 {
                        choice = (score, length);
                    }
                }
                row.push(candidate);
            }
            best.push(choice);
            candidates.push(row);
        }
        let mut chosen = Vec::new();
        let mut end = atoms.len();
        while end > 0 {
            let length = best[end].1;
            chosen.extend(candidates[end - 1].get_mut(length - 1).and_then(Option::take));
            end -= length;
        }
        chosen.reverse();
        Ok(chosen)
    }

    fn candidate(&self, worker: &mut Worker<'_>, found: Found) -> Result<Candidate> {
        let probabilities = worker.probabilities(&found.pixels)?;
        let top = probabilities.iter().copied().fold(0f32, f32::max).max(1e-6).ln();
        let is_unlike = Status::of(&probabilities, self.manifest()) == Status::Unlike;
        let score = top + if is_unlike { UNLIKE } else { 0.0 };
        Ok(Candidate { found, probabilities, score })
    }
}

/// Whether pieces may be one object: little between them, and not too wide together.
fn is_near(pieces: &[Found]) -> bool {
    let Some(all) = pieces.iter().map(|piece| piece.bounds).reduce(Bounds::union) else { return false };
    let (height, width) = (all.bottom - all.top, all.right - all.left);
    let is_close = |pair: &[Found]| {
        let gap = pair[1].bounds.left.saturating_sub(pair[0].bounds.right);
        gap as f64 <= GAP * height as f64
    };
    width as f64 <= WIDEST * height as f64 && pieces.windows(2).all(is_close)
}
