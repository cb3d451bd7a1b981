//! Numbers become pixels from black, 0, to white, 255.

use std::path::Path;

use crate::error::{Error, Result};

/// Values that were met.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Range {
    pub(crate) least: f64,
    pub(crate) most: f64,
    is_whole: bool,
    has_nan: bool,
}

impl Default for Range {
    fn default() -> Range {
        Range { least: f64::INFINITY, most: f64::NEG_INFINITY, is_whole: true, has_nan: false }
    }
}

impl Range {
    /// A value that is a whole number if all were, and lies between.
    pub(crate) fn middle(self) -> f64 {
        if self.is_whole { self.least } else { self.least + 0.5 * (self.most - self.least) + 0.25 }
    }

    pub(crate) fn add(&mut self, value: f64) {
        self.least = self.least.min(value);
        self.most = self.most.max(value);
        self.is_whole &= value.fract() == 0.0;
        // Minimum and maximum pass over them.
        self.has_nan |= value.is_nan();
    }
}

/// The value that means white; black is 0.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Scale {
    white: f64,
}

impl Scale {
    /// What was asked for, or 0 to 255 if the values fill that.
    ///
    /// # Errors
    /// For values that lie outside, or fill so little of the range that another one is meant: the error asks.
    pub(crate) fn choose(path: &Path, range: Range, white: Option<f64>) -> Result<Scale> {
        let Range { least, most, is_whole, has_nan } = range;
        let refuse = |problem: String| Err(Error::new(path, problem));
        if has_nan || !least.is_finite() || !most.is_finite() {
            return refuse("no values, or some that are no numbers".into());
        }
        let found = format!("values from {least} to {most}");
        if let Some(white) = white {
            return match least >= 0.0 && most <= white {
                true => Ok(Scale { white }),
                false => refuse(format!("{found}, expected 0 to {white} (--white)")),
            };
        }
        if least < 0.0 {
            return refuse(format!(
                "{found}: below 0, which is black; they were normalised, and what was white is not known"
            ));
        }
        let ask = |white: f64, what: &str| {
            refuse(format!(
                "{found}, which is {what}, not 0 to 255: --white {white} makes {white} white, --white 255 takes them as \
                 they are, almost black"
            ))
        };
        match most {
            m if m <= 1.0 && is_whole => ask(1.0, "black and white"),
            m if m <= 1.0 => ask(1.0, "a share of white"),
            m if m <= 16.0 => ask(16.0, "at most 16 steps"),
            m if m <= 255.0 => Ok(Scale { white: 255.0 }),
            m if m <= 1023.0 => ask(1023.0, "10 bits"),
            m if m <= 4095.0 => ask(4095.0, "12 bits"),
            m if m <= 65_535.0 => ask(65_535.0, "16 bits"),
            _ => refuse(format!("{found}, expected 0 to 255; --white says what white is")),
        }
    }

    pub(crate) fn pixel(self, value: f64) -> u8 {
        (value / self.white * 255.0).round().clamp(0.0, 255.0) as u8
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn choose(values: &[f64], white: Option<f64>) -> std::result::Result<Scale, String> {
        let mut range = Range::default();
        values.iter().for_each(|&value| range.add(value));
        Scale::choose(Path::new("x"), range, white).map_err(|error| error.to_string())
    }

    #[test]
    fn ranges_that_do_not_fill_a_byte_are_asked_about() {
        assert_eq!(choose(&[0.0, 200.0], None).unwrap().pixel(200.0), 200);
        assert_eq!(choose(&[0.0, 16.0], Some(16.0)).unwrap().pixel(8.0), 128);
        assert_eq!(choose(&[0.0, 1.0], Some(255.0)).unwrap().pixel(1.0), 1);
        for (values, white, expected) in [
            (vec![0.0, 1.0], None, "--white 1 makes"),
            (vec![0.1, 0.9], None, "a share of white"),
            (vec![0.0, 16.0], None, "--white 16 makes"),
            (vec![0.0, 900.0], None, "--white 1023"),
            (vec![0.0, 60000.0], None, "--white 65535"),
            (vec![-1.0, 1.0], None, "below 0"),
            (vec![0.0, 1e9], None, "expected 0 to 255"),
            (vec![0.0, 17.0], Some(16.0), "expected 0 to 16"),
            (vec![-1.0, 17.0], Some(255.0), "expected 0 to 255"),
            (vec![f64::NAN], None, "no numbers"),
            (vec![0.0, f64::NAN, 255.0], None, "no numbers"),
            (vec![0.0, f64::NAN, 255.0], Some(255.0), "no numbers"),
            (vec![], None, "no values"),
        ] {
            let found = choose(&values, white).unwrap_err();
            assert!(found.contains(expected), "{values:?}: {found}");
        }
    }
}
