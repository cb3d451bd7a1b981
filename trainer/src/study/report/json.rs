//! The analysis for programs.

use serde_json::{Value, json};

use super::model::{Knob, Report};
use crate::study::file::Design;
use crate::study::statistics::{Difference, Test, Verdict};

/// Tests, differences and verdicts.
pub(super) fn value(report: &Report<'_>) -> Value {
    let interactions = report.interactions.iter().map(|pair| {
        json!({
            "knobs": [report.knobs[pair.places].name, report.knobs[pair.lines].name],
            "test": test(&pair.test),
        })
    });
    json!({
        "name": report.study.name,
        "dataset": report.dataset,
        "design": match report.study.design {
            Design::OneAtATime => "one_at_a_time",
            Design::Grid => "grid",
            Design::Random(_) => "random",
        },
        "validation_images": report.validation,
        "looks": report.study.looks(),
        "seeds": report.comparison.analysis.seeds,
        "matters": report.study.matters,
        "compared_after_epoch": report.comparison.epoch,
        "knobs": report.knobs.iter().map(knob).collect::<Vec<_>>(),
        "interactions": interactions.collect::<Vec<_>>(),
    })
}

fn knob(knob: &Knob) -> Value {
    let found = knob.found.as_ref();
    let values = knob.groups.iter().map(|group| {
        json!({
            "value": group.value,
            "is_base": group.is_base,
            "accuracies": group.accuracies,
            "train_accuracy": group.train_accuracy,
            "difference": group.difference.as_ref().map(difference),
            "problems": group.problems,
        })
    });
    json!({
        "knob": knob.name,
        "reference": knob.reference,
        "verdict": found.map(|found| verdict(found.verdict)),
        "test": found.and_then(|found| found.test.as_ref()).map(test),
        "deviation": found.and_then(|found| found.deviation),
        "uneven": found.is_some_and(|found| found.uneven),
        "values": values.collect::<Vec<_>>(),
    })
}

fn test(test: &Test) -> Value {
    json!({
        "statistic": test.statistic,
        "freedom": [test.freedom.0, test.freedom.1],
        "probability": test.probability,
        "corrected": test.corrected,
    })
}

fn difference(difference: &Difference) -> Value {
    json!({
        "points": difference.value,
        "half_width": difference.half_width,
        "corrected": difference.corrected,
        "verdict": verdict(difference.verdict),
        "seeds": difference.seeds,
    })
}

fn verdict(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Effect => "effect",
        Verdict::Negligible => "negligible",
        Verdict::NotDecided => "not decided",
    }
}
