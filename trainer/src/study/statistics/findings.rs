//! What can be said of a knob and of a difference, and by which rules.

use crate::study::file::Design;

/// Probability of an error that is accepted, over all looks at a study together.
pub(crate) const ERROR: f64 = 0.01;

/// How runs are compared.
#[derive(Debug, Clone)]
pub(crate) struct Rules {
    pub(crate) design: Design,
    /// Seeds after which the study is looked at, ascending. It ends when everything is decided.
    pub(crate) looks: Vec<usize>,
    /// Differences within this are too small to matter, in points.
    pub(crate) matters: Option<f64>,
}

/// What can be said of a difference, or of a knob.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It is there.
    Effect,
    /// Whatever it is, it is too small to matter.
    Negligible,
    /// Either may be.
    NotDecided,
}

/// What a knob does.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Knob {
    /// Of equal means; `None` without degrees of freedom.
    pub(crate) test: Option<Test>,
    /// Standard deviation of a run, beside what its seed and its combination make.
    pub(crate) deviation: Option<f64>,
    /// The scatter differs much between the values: each has its own then.
    pub(crate) uneven: bool,
    /// Against the reference, by level.
    pub(crate) differences: Vec<Difference>,
    pub(crate) verdict: Verdict,
}

/// An F test.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Test {
    pub(crate) statistic: f64,
    pub(crate) freedom: (usize, usize),
    pub(crate) probability: f64,
    /// Corrected for being one of several (Holm) and for all looks.
    pub(crate) corrected: f64,
}

/// A level against the reference, in points.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Difference {
    pub(crate) level: usize,
    pub(crate) value: f64,
    /// Half of the width of the 99 % interval, which holds over all looks together.
    pub(crate) half_width: Option<f64>,
    /// Corrected like a test's.
    pub(crate) corrected: Option<f64>,
    pub(crate) verdict: Verdict,
    /// Seeds that it is based on.
    pub(crate) seeds: usize,
}
