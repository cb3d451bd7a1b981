//! Labels become classes.

use std::path::Path;

use crate::error::{Error, Result};
use crate::pipeline::Record;

/// Most classes of a dataset: labels are bytes.
pub(crate) const MOST: usize = 256;
/// Longest name of a class, in characters: a longer one is another column's text.
const LONGEST: usize = 200;

/// Names of labels that are numbers.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Names<'a> {
    pub(crate) names: &'a [String],
    /// Whether the first is for 0; otherwise for 0 or 1, whichever fits.
    pub(crate) is_from_zero: bool,
    /// Where they are from.
    pub(crate) from: &'static str,
}

/// Gives classes their order, and each record the number of its class. Labels that are whole numbers are in the order of
/// numbers, others in that of the alphabet; `names` are for the numbers from the smallest to the largest.
///
/// # Errors
/// If there are too few or too many, or `names` do not fit.
pub(crate) fn number(
    source: &Path,
    labels: &[String],
    records: &mut [Record],
    Names { names, is_from_zero, from }: Names<'_>,
) -> Result<Vec<String>> {
    let mut order: Vec<usize> = (0..labels.len()).collect();
    let numbers: Option<Vec<i64>> = labels.iter().map(|label| label.parse().ok()).collect();
    match &numbers {
        Some(numbers) => order.sort_by(|&a, &b| (numbers[a], &labels[a]).cmp(&(numbers[b], &labels[b]))),
        None => order.sort_by(|&a, &b| labels[a].cmp(&labels[b])),
    }
    let mut classes: Vec<String> = order.iter().map(|&label| labels[label].clone()).collect();
    // Without a class in between: those that nothing has keep their number.
    let mut place: Vec<usize> = (0..labels.len()).collect();
    order.iter().enumerate().for_each(|(at, &label)| place[label] = at);
    if !names.is_empty() {
        let numbers = numbers.ok_or_else(|| {
            Error::new(
                source,
                format!("labels are names, {:?}; {from} name labels that are numbers", classes[0]),
            )
        })?;
        let first = first_number(&numbers, names.len(), is_from_zero);
        let outside = numbers.iter().find(|&&n| n < first || n - first >= names.len() as i64);
        if let Some(outside) = outside {
            return Err(Error::new(
                source,
                format!("label {outside}, but {from} are {} names, for labels from {first}", names.len()),
            ));
        }
        place = numbers.iter().map(|number| (number - first) as usize).collect();
        classes = names.to_vec();
    }
    check_names(source, &classes)?;
    for record in records {
        record.label = place[record.label as usize] as u32;
    }
    Ok(classes)
}

/// The label that the first name is for: 0, or 1 as in EMNIST's letters, if that is what fits.
fn first_number(numbers: &[i64], names: usize, is_from_zero: bool) -> i64 {
    let fits_from_one = numbers.iter().all(|&number| number >= 1 && number <= names as i64);
    i64::from(!is_from_zero && !numbers.is_empty() && fits_from_one)
}

/// As many as there may be, none too long, none like another one.
fn check_names(source: &Path, classes: &[String]) -> Result<()> {
    if !(2..=MOST).contains(&classes.len()) {
        let shown: Vec<&String> = classes.iter().take(5).collect();
        let problem = format!("{} classes {shown:?}, expected 2 to {MOST}", classes.len());
        return Err(Error::new(source, problem));
    }
    if classes.iter().any(|name| name.trim().is_empty()) {
        return Err(Error::new(source, format!("classes {classes:?}: one has no name")));
    }
    if let Some(long) = classes.iter().find(|name| name.chars().count() > LONGEST) {
        let start: String = long.chars().take(40).collect();
        let problem = format!(
            "a label of {} characters, {start:?}..., expected at most {LONGEST}",
            long.chars().count()
        );
        return Err(Error::new(source, problem));
    }
    let mut lower: Vec<String> = classes.iter().map(|name| name.trim().to_lowercase()).collect();
    lower.sort();
    if let Some(pair) = lower.windows(2).find(|pair| pair[0] == pair[1]) {
        return Err(Error::new(
            source,
            format!("two classes are {:?} but for capital letters and spaces around them", pair[0]),
        ));
    }
    Ok(())
}
