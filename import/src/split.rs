//! Which images are tested on, where the source does not say.

use std::collections::HashMap;

use datasets::Digest;
use regex::Regex;

use crate::error::{Error, Result};
use crate::item::Part;
use crate::pipeline::Record;
use crate::request::Request;

/// Share of the images that becomes the test split, where nobody says.
const TEST_SHARE: f64 = 0.2;

/// How a test split is made.
struct Plan<'a> {
    share: f64,
    /// `(part, parts)`, the first part is 1.
    fold: Option<(usize, usize)>,
    seed: u64,
    /// Images for which it finds the same text stay together.
    group_by: Option<&'a Regex>,
}

/// Makes a test split where the source has none, and refuses what is asked of that split where it has one; the notes on it.
pub(crate) fn hold_out_test(
    request: &Request,
    records: &mut [Record],
    classes: usize,
    group_by: Option<&Regex>,
) -> Result<Vec<String>> {
    let refuse = |problem: String| Err(Error::new(&request.source, problem));
    let has_test = records.iter().any(|record| record.part == Part::Test);
    let asked = [
        ("--test-share", request.test_share.is_some()),
        ("--fold", request.fold.is_some()),
        ("--seed", request.seed.is_some()),
        ("--group-by", group_by.is_some()),
    ];
    if let (true, Some((option, _))) = (has_test, asked.iter().find(|(_, is_given)| *is_given)) {
        return refuse(format!("has a test split of its own; {option} is for sources without"));
    }
    if group_by.is_some() && records.iter().any(|record| record.part == Part::Validation) {
        let problem = "has a validation split of its own, which --group-by does not keep apart; it is for sources without";
        return refuse(problem.into());
    }
    if has_test {
        return Ok(Vec::new());
    }
    let (share, seed) = (request.test_share.unwrap_or(TEST_SHARE), request.seed.unwrap_or(1));
    let (groups, alone) = split(records, classes, &Plan { share, fold: request.fold, seed, group_by });
    if alone > 0 && alone == records.len() {
        let first = &records[0].origin;
        return refuse(format!("--group-by finds nothing in any name, such as {first:?}"));
    }
    let mut notes = vec![match request.fold {
        Some((part, parts)) => {
            format!("the test split is part {part} of {parts} of each class, seed {seed}")
        }
        None => format!("the test split is {} % of each class, seed {seed}", 100.0 * share),
    }];
    if group_by.is_some() {
        notes.push(format!("{groups} groups, each on one side of the split"));
        if alone > 0 {
            notes.push(format!(
                "--group-by finds nothing in the names of {alone} images: each is a group of its own"
            ));
        }
    }
    Ok(notes)
}

/// Moves a share of every class to the test split, whole groups at a time. Who goes is decided by the hash of the image or the
/// group's name, and the seed: not by names or order, and the same for everyone. Returns the number of groups, and of the
/// images in whose names `group_by` finds nothing.
fn split(records: &mut [Record], classes: usize, plan: &Plan<'_>) -> (usize, usize) {
    let mut groups: HashMap<String, Vec<usize>> = HashMap::new();
    let mut alone = 0;
    // A validation split that the source has stays as it is.
    let is_free = |record: &Record| record.part != Part::Validation;
    for (index, record) in records.iter().enumerate().filter(|(_, record)| is_free(record)) {
        let name = plan.group_by.and_then(|pattern| {
            let found = pattern.captures(&record.origin)?;
            found.get(1).or(found.get(0)).map(|group| format!("group {}", group.as_str()))
        });
        alone += usize::from(plan.group_by.is_some() && name.is_none());
        groups.entry(name.unwrap_or_else(|| record.digest.to_string())).or_default().push(index);
    }
    let mut groups: Vec<(String, Vec<usize>)> = groups
        .into_iter()
        .map(|(name, members)| {
            let rank = Digest::of(&[&plan.seed.to_le_bytes(), name.as_bytes()].concat()).to_string();
            (rank, members)
        })
        .collect();
    groups.sort();
    let mut counts = vec![0usize; classes];
    records.iter().filter(|record| is_free(record)).for_each(|record| counts[record.label as usize] += 1);
    let (part, parts) = plan.fold.unwrap_or((1, 1));
    let wanted = |part: usize, count: usize| match plan.fold {
        // Together all images, each once.
        Some(_) => part * count / parts - (part - 1) * count / parts,
        // At least one on either side, where there are two.
        None => (count as f64 * plan.share).round().clamp(1.0, (count.max(2) - 1) as f64) as usize,
    };
    let mut left: Vec<Vec<usize>> =
        (1..=part).map(|part| counts.iter().map(|&count| wanted(part, count)).collect()).collect();
    for (_, members) in &groups {
        // The first part that still wants most of the group takes it; only the asked one is the test split.
        let takes = left.iter().position(|left| {
            let mut rest = left.clone();
            let wanted = members.iter().filter(|&&member| {
                let label = records[member].label as usize;
                let wants = rest[label] > 0;
                rest[label] = rest[label].saturating_sub(1);
                wants
            });
            2 * wanted.count() > members.len()
        });
        for &member in members {
            let label = records[member].label as usize;
            if let Some(part) = takes {
                left[part][label] = left[part][label].saturating_sub(1);
            }
        }
        let test = takes.is_some_and(|takes| takes + 1 == part);
        members.iter().for_each(|&member| records[member].part = if test { Part::Test } else { Part::Train });
    }
    (groups.len(), alone)
}
