//! When a run ends before its last epoch (Prechelt 1998, "Early Stopping - But When?").

use serde::{Deserialize, Serialize};

use crate::history::EpochRow;

/// Ends a run once validation no longer gets better.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct EarlyStopping {
    /// Epochs that may pass without a better one on the validation images.
    pub patience: u32,
}

impl EarlyStopping {
    /// Whether a run is over after these epochs.
    pub(crate) fn is_over(&self, rows: &[EpochRow]) -> bool {
        let (Some(last), Some(best)) = (rows.last(), best(rows)) else { return false };
        last.epoch.saturating_sub(best.epoch) >= self.patience
    }

    /// Whether a run of so many epochs at most would have ended exactly after these.
    pub(crate) fn ends_with(&self, rows: &[EpochRow], epochs: u32) -> bool {
        let ended_before = (1..rows.len()).any(|count| self.is_over(&rows[..count]));
        let ends_here = self.is_over(rows) || rows.len() == epochs as usize;
        !ended_before && ends_here && rows.len() <= epochs as usize
    }
}

/// The epoch that is best on the validation images: the most right, of equals the lower loss, of those the first.
pub(crate) fn best(rows: &[EpochRow]) -> Option<&EpochRow> {
    let rank =
        |row: &EpochRow| (row.validation_accuracy.unwrap_or(0.0), -row.validation_loss.unwrap_or(f64::MAX));
    rows.iter().reduce(|best, row| if rank(row) > rank(best) { row } else { best })
}

#[cfg(test)]
mod tests {
    use datasets::Digest;

    use super::*;

    fn rows(accuracies: &[f64]) -> Vec<EpochRow> {
        let row = |(index, &accuracy): (usize, &f64)| EpochRow {
            epoch: index as u32 + 1,
            learning_rate: 0.1,
            train_loss: 1.0,
            train_accuracy: 0.5,
            validation_loss: Some(1.0),
            validation_accuracy: Some(accuracy),
            parameters_sha256: Digest::of(b""),
        };
        accuracies.iter().enumerate().map(row).collect()
    }

    #[test]
    fn a_run_ends_after_its_patience_and_neither_before_nor_after() {
        let early = EarlyStopping { patience: 2 };
        let whole = rows(&[0.5, 0.7, 0.6, 0.8, 0.8, 0.7]);
        assert_eq!(best(&whole).map(|row| row.epoch), Some(4));
        let over: Vec<bool> = (0..=6).map(|count| early.is_over(&whole[..count])).collect();
        assert_eq!(over, [false, false, false, false, false, false, true]);
        assert!(early.ends_with(&whole, 60) && early.ends_with(&whole[..3], 3));
        // Cut off, gone on with, or longer than there are epochs.
        assert!(!early.ends_with(&whole[..5], 60));
        assert!(!early.ends_with(&rows(&[0.5, 0.7, 0.6, 0.8, 0.8, 0.7, 0.7]), 60));
        assert!(!early.ends_with(&whole, 5));
    }
}
