//! `9932/10000`: an accuracy without rounding.

use std::fmt;
use std::iter::Sum;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Right answers out of all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Count {
    /// Right answers.
    pub correct: u64,
    /// All answers.
    pub total: u64,
}

impl Count {
    /// `correct / total`, in `[0, 1]`; 0 for none.
    pub fn share(self) -> f64 {
        if self.total == 0 { 0.0 } else { self.correct as f64 / self.total as f64 }
    }

    /// Where the share of right answers among all images of this kind lies, with 95 % confidence: Wilson's score interval
    /// (1927).
    pub fn interval(self) -> [f64; 2] {
        let (share, total) = (self.share(), self.total.max(1) as f64);
        let spread = Z * Z / total;
        let middle = share + spread / 2.0;
        let half = Z * (share * (1.0 - share) / total + spread / (4.0 * total)).sqrt();
        [(middle - half) / (1.0 + spread), (middle + half) / (1.0 + spread)]
    }
}

/// The 97.5 % point of the normal distribution.
const Z: f64 = 1.959_963_984_540_054;

impl fmt::Display for Count {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.correct, self.total)
    }
}

/// Of all images of several parts.
impl<'a> Sum<&'a Count> for Count {
    fn sum<I: Iterator<Item = &'a Count>>(counts: I) -> Count {
        counts.fold(Count { correct: 0, total: 0 }, |sum, count| Count {
            correct: sum.correct.saturating_add(count.correct),
            total: sum.total.saturating_add(count.total),
        })
    }
}

impl FromStr for Count {
    type Err = String;

    fn from_str(text: &str) -> Result<Count, String> {
        text.split_once('/')
            .and_then(|(correct, total)| {
                Some(Count { correct: correct.parse().ok()?, total: total.parse().ok()? })
            })
            .filter(|count| count.correct <= count.total)
            .ok_or_else(|| format!("`{text}`: expected `correct/total`, such as 9932/10000"))
    }
}

impl Serialize for Count {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Count {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Count, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(feature = "schema")]
impl schemars::JsonSchema for Count {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Count".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "description": "Right answers out of all.",
            "type": "string",
            "pattern": "^[0-9]+/[0-9]+$",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intervals_are_those_of_wilson() {
        // statsmodels.stats.proportion.proportion_confint(method="wilson")
        for (correct, total, low, high) in [
            (9949, 10_000, 0.993_301_23, 0.996_118_69),
            (10, 10, 0.722_467_20, 1.0),
            (0, 3, 0.0, 0.561_497_03),
        ] {
            let [found_low, found_high] = Count { correct, total }.interval();
            assert!((found_low - low).abs() < 1e-7 && (found_high - high).abs() < 1e-7, "{correct}/{total}");
        }
    }

    #[test]
    fn parts_have_a_sum() {
        let count = |correct, total| Count { correct, total };
        assert_eq!([count(1, 4), count(3, 8)].iter().sum::<Count>(), count(4, 12));
        assert_eq!([].iter().sum::<Count>(), count(0, 0));
        // Written by others, and read before the files that would tell.
        assert_eq!([count(1, u64::MAX), count(0, 1)].iter().sum::<Count>(), count(1, u64::MAX));
    }

    #[test]
    fn round_trips_and_refuses() {
        let count = Count { correct: 9932, total: 10_000 };
        assert_eq!("9932/10000".parse(), Ok(count));
        assert_eq!(count.to_string(), "9932/10000");
        for text in ["", "1", "2/1", "a/b", "-1/2", "1/2/3"] {
            assert!(text.parse::<Count>().is_err(), "{text}");
        }
    }
}
