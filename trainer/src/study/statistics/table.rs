//! The runs of a study as numbers.

use super::least_squares::Factor;

/// The runs of a study as numbers.
#[derive(Debug, Clone)]
pub(crate) struct Table {
    /// For every knob how many levels it has, and the one that others are compared with.
    pub(crate) knobs: Vec<(usize, usize)>,
    /// For every combination its level of each knob.
    pub(crate) points: Vec<Vec<usize>>,
    /// Combinations that are left out: some of their runs have no accuracy to compare.
    pub(crate) left_out: Vec<bool>,
    /// What was measured.
    pub(crate) runs: Vec<Run>,
    /// The smallest difference that there can be.
    pub(crate) step: f64,
}

/// One run.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Run {
    /// Index of its combination.
    pub(crate) point: usize,
    /// Index of its seed.
    pub(crate) seed: usize,
    /// Validation accuracy, percent.
    pub(crate) value: f64,
}

impl Table {
    /// Whether a combination has the reference's level of every knob.
    pub(super) fn is_base(&self, point: usize) -> bool {
        self.points[point].iter().zip(&self.knobs).all(|(level, (_, reference))| level == reference)
    }

    pub(super) fn is_complete(&self, points: &[usize], seeds: usize) -> bool {
        points.iter().all(|&point| {
            let runs = self.runs.iter().filter(|run| run.point == point && run.seed < seeds);
            runs.count() == seeds
        })
    }

    /// The levels of a knob that runs have.
    pub(super) fn factor(&self, runs: &[Run], knob: usize) -> Factor {
        Factor::new(runs.iter().map(|run| self.points[run.point][knob]).collect())
    }
}
