//! What a study found, in words.

use super::model::{Group, Interaction, Knob, Report};
use crate::study::file::{Design, Seeds};
use crate::study::results::PointResult;
use crate::study::statistics::{Difference, Test, Verdict};

/// What every run has in common, in a sentence or two.
pub(super) fn setting(report: &Report<'_>) -> String {
    let runs = || report.distinct().flat_map(|point| &point.runs);
    let epochs: Vec<usize> = runs().map(|run| run.history.len()).collect();
    let (least, most) =
        (epochs.iter().min().copied().unwrap_or(0), epochs.iter().max().copied().unwrap_or(0));
    let epochs = if least == most { format!("{most}") } else { format!("{least} to {most}") };
    let seeds = match &report.study.seeds {
        Seeds::These(seeds) => format!("{} {}", seeds.len(), plural("seed", seeds.len())),
        Seeds::Looks(looks) => {
            let list: Vec<String> = looks.looks.iter().map(usize::to_string).collect();
            format!("seeds until everything was decided (looked at after {})", list.join(", "))
        }
    };
    let compared = match report.comparison.epoch {
        Some(epoch) => format!(
            " Combinations that were behind stopped early; accuracies are compared after epoch {epoch}, the last that all \
             reached."
        ),
        None => String::new(),
    };
    format!(
        "{}, {seeds}; {} runs of {epochs} {} on {}, compared by {} validation images each, held out of the training split by \
         the seed. The test split was not read.{compared}",
        design(&report.study.design),
        runs().count(),
        plural("epoch", most),
        report.dataset,
        zoo::grouped(report.validation as u64),
    )
}

fn plural(noun: &str, count: usize) -> String {
    if count == 1 { noun.into() } else { format!("{noun}s") }
}

fn design(design: &Design) -> String {
    match design {
        Design::OneAtATime => "One knob at a time".into(),
        Design::Grid => "Every combination".into(),
        Design::Random(random) => match random.minutes {
            Some(minutes) => format!("Combinations drawn at random, for {minutes} minutes of training"),
            None => format!("{} combinations drawn at random", random.combinations),
        },
    }
}

/// Says so of a combination that was stopped early.
pub(super) fn stopped(point: &PointResult) -> String {
    match point.runs.iter().find(|run| !run.finished) {
        Some(run) => {
            format!(" (stopped after {} {})", run.history.len(), plural("epoch", run.history.len()))
        }
        None => String::new(),
    }
}

/// What a knob does, and how sure that is.
pub(super) fn effect(report: &Report<'_>, knob: &Knob) -> String {
    let Some(found) = &knob.found else { return "There is nothing to compare yet.".into() };
    let matters = report.study.matters;
    let verdict = match found.verdict {
        Verdict::Effect => "A clear effect.".to_owned(),
        Verdict::Negligible => format!(
            "No difference that matters: all are within {} points, with 99 % confidence.",
            matters.expect("only a study that says what matters finds that something does not")
        ),
        Verdict::NotDecided => {
            "Not decided: what was found may be chance, and may be more than that.".to_owned()
        }
    };
    let clear: Vec<&Difference> = found.differences.iter().filter(|d| d.verdict == Verdict::Effect).collect();
    let name = |difference: &Difference| {
        let group = knob.groups.iter().find(|group| group.level == difference.level);
        group.map_or("", |group| &group.value)
    };
    let extreme = |sign: f64| {
        let most = clear
            .iter()
            .filter(|d| d.value * sign > 0.0)
            .max_by(|a, b| (a.value * sign).total_cmp(&(b.value * sign)));
        most.map(|d| {
            format!("{} {} ({})", name(d), if sign > 0.0 { "adds most" } else { "costs most" }, points(d))
        })
    };
    let extremes: Vec<String> = [extreme(1.0), extreme(-1.0)].into_iter().flatten().collect();
    let extremes = match extremes.as_slice() {
        [] => String::new(),
        some => format!(" Beside {}, {}.", knob.reference, some.join("; ")),
    };
    let test = match (&found.test, found.uneven) {
        (Some(test), false) => format!(" If all values had the same mean: {}.", f_test(test)),
        (Some(test), true) => format!(
            " The values scatter so differently that each difference has its own scatter, and the F test ({}) assumes too \
             much.",
            f_test(test)
        ),
        (None, _) => " With so few runs, how much of that is chance is not known.".into(),
    };
    let deviation = found.deviation.map_or(String::new(), |deviation| {
        format!(" A run scatters by {deviation:.2} points (standard deviation) beside what its seed does to all values.")
    });
    format!("{verdict}{extremes}{test}{deviation}")
}

/// `-0.52 (-0.71 to -0.33)`; empty for the value that others are compared with.
pub(super) fn difference(group: &Group) -> String {
    match group.difference.map(|difference| (difference.value, difference.half_width)) {
        Some((value, Some(half))) => format!("{value:+.2} ({:+.2} to {:+.2})", value - half, value + half),
        Some((value, None)) => format!("{value:+.2}"),
        None => String::new(),
    }
}

/// `-0.52 points, -0.71 to -0.33`.
pub(super) fn points(difference: &Difference) -> String {
    match difference.half_width {
        Some(half) => format!(
            "{:+.2} points, {:+.2} to {:+.2}",
            difference.value,
            difference.value - half,
            difference.value + half
        ),
        None => format!("{:+.2} points", difference.value),
    }
}

fn f_test(test: &Test) -> String {
    let (above, below) = test.freedom;
    format!(
        "F({above}, {below}) = {:.2}, p {}, corrected {}",
        test.statistic,
        chance(test.probability),
        chance(test.corrected)
    )
}

/// `0.0123`, `<0.0001`.
pub(super) fn chance(probability: f64) -> String {
    if probability < 0.0001 { "<0.0001".into() } else { format!("{probability:.4}") }
}

/// What can be said of a value, for a table.
pub(super) fn verdict(group: &Group) -> &'static str {
    match group.difference.map(|difference| difference.verdict) {
        _ if group.is_reference => "compared with",
        Some(Verdict::Effect) => "differs",
        Some(Verdict::Negligible) => "no difference that matters",
        Some(Verdict::NotDecided) => "not decided",
        None => "",
    }
}

/// Whether two knobs work on each other.
pub(super) fn interaction(report: &Report<'_>, interaction: &Interaction) -> String {
    let (one, two) = (&report.knobs[interaction.places].name, &report.knobs[interaction.lines].name);
    let verdict = if interaction.test.corrected < crate::study::statistics::ERROR {
        format!("What {one} does depends on {two}: the lines are not parallel.")
    } else {
        format!("That what {one} does depends on {two} was not found: the lines may be parallel.")
    };
    format!("{verdict} If they were: {}.", f_test(&interaction.test))
}

/// How to read the numbers.
pub(super) const METHOD: &str = "Seeds are blocks: every value is trained with the same seeds, which fix the split, the first \
    weights and the order of the images, and differences are taken within seeds (least squares, randomised block design). \
    Intervals are of 99 % and hold over all looks together (Bonferroni); p is corrected for several values or knobs (Holm) and \
    looks. \"Differs\": corrected p below 0.01. \"No difference that matters\": the interval lies within what the study file \
    calls `matters`. Combinations drawn at random count once each, whatever their seeds, and all knobs are fitted together.";
