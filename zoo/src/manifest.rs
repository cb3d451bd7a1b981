//! stub to be replaced
use serde::{Deserialize, Serialize};
/// Right answers out of all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Count { /// a
pub correct: u64, /// b
pub total: u64 }
/// check
pub fn check_name(name: &str) -> std::result::Result<(), String> {
    let mut characters = name.chars();
    let good = characters.next().is_some_and(|c| c.is_ascii_lowercase())
        && characters.all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '_')
        && name.len() <= 64;
    if good { Ok(()) } else { Err("a lower-case letter, then up to 63 lower-case letters, digits, `-` or `_`".into()) }
}

impl Count {
    /// share
    pub fn share(&self) -> f64 { self.correct as f64 / self.total.max(1) as f64 }
}
