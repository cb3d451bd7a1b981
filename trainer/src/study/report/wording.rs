//! What a study found, in words.

use super::model::{Chance, Effect, Report};
use crate::study::file::Design;
use crate::study::results::PointResult;

/// Probability below which a difference is called clear, and likely.
const CLEAR: f64 = 0.01;
const LIKELY: f64 = 0.05;

/// What every run has in common, in a sentence.
pub(super) fn setting(report: &Report<'_>) -> String {
    let runs: usize = report.with_runs().map(|point| point.runs.len()).sum();
    format!(
        "{} with {} seeds, {runs} runs of {} epochs on {}, compared by {} validation images each, held out of \
         the training split by the seed. The test split was not read.",
        design(&report.study.design),
        report.study.seeds.len(),
        report.epochs,
        report.dataset,
        report.validation,
    )
}

fn design(design: &Design) -> String {
    match design {
        Design::OneAtATime => "One knob at a time".into(),
        Design::Grid => "Every combination".into(),
        Design::Random(random) => format!("{} combinations drawn at random", random.combinations),
    }
}

/// Says so of a combination that was stopped early.
pub(super) fn stopped(point: &PointResult) -> String {
    match point.runs.iter().find(|run| !run.finished) {
        Some(run) => format!(" (stopped after {} epochs)", run.history.len()),
        None => String::new(),
    }
}

/// Effect size and noise, honestly.
pub(super) fn effect(knob: &str, effect: &Effect) -> String {
    let (worst, best, chance) = match effect {
        Effect::NoRuns => return "No run yet.".into(),
        Effect::OneValue => return "Only one value has runs yet.".into(),
        Effect::Between { worst, best, chance } => (worst, best, chance),
    };
    let ((worst, low), (best, high)) = (worst, best);
    let effect = format!(
        "Turning {knob} moves validation accuracy by {:.2} points, from {low:.2} % ({worst}) to {high:.2} % ({best}).",
        high - low
    );
    let Some(Chance { deviation, probability, uneven }) = *chance else {
        return format!("{effect} With one seed each, how much of that is chance is not known.");
    };
    let verdict = match probability {
        p if p < CLEAR => "a clear effect",
        p if p < LIKELY => "probably an effect",
        _ => "not to be told from chance with so few runs",
    };
    let probability =
        if probability < 0.0001 { "less than 0.0001".into() } else { format!("{probability:.4}") };
    let uneven = if uneven {
        " The scatter differs much between the values, so that this probability is a rough guide only."
    } else {
        ""
    };
    format!(
        "{effect} Runs that differ only in the seed scatter by {deviation:.2} points (standard deviation); if the knob did \
         nothing, means would lie this far apart with probability {probability} (F test): {verdict}.{uneven}"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::study::report::model::Group;
    use crate::study::statistics::noise;

    fn said(groups: &[(&str, &[f64])]) -> String {
        let groups: Vec<Group> = groups
            .iter()
            .map(|(value, accuracies)| Group {
                value: (*value).into(),
                is_base: false,
                accuracies: accuracies.to_vec(),
                curve: Vec::new(),
            })
            .collect();
        let accuracies: Vec<Vec<f64>> = groups.iter().map(|group| group.accuracies.clone()).collect();
        effect("stride", &Effect::of(&groups, noise(&accuracies)))
    }

    #[test]
    fn effect_and_noise_are_told_apart() {
        let clear = said(&[("1", &[98.0, 98.1, 98.2]), ("2", &[95.0, 95.1, 95.2])]);
        let effect =
            "Turning stride moves validation accuracy by 3.00 points, from 95.10 % (2) to 98.10 % (1).";
        assert!(clear.starts_with(effect) && clear.ends_with("(F test): a clear effect."), "{clear}");
        let nothing = said(&[("1", &[98.0, 98.1, 98.2]), ("2", &[97.9, 98.1, 98.4])]);
        assert!(nothing.ends_with("not to be told from chance with so few runs."), "{nothing}");
        let alone = said(&[("1", &[98.0]), ("2", &[95.0])]);
        assert!(alone.ends_with("With one seed each, how much of that is chance is not known."), "{alone}");
        let uneven = said(&[("1", &[98.0, 98.1, 98.2]), ("2", &[10.0, 50.0, 98.0])]);
        assert!(uneven.ends_with("a rough guide only."), "{uneven}");
        assert_eq!(said(&[("1", &[]), ("2", &[])]), "No run yet.");
        assert_eq!(said(&[("1", &[98.0]), ("2", &[])]), "Only one value has runs yet.");
    }
}
