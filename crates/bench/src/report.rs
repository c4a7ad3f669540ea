//! Medians, ratios, and how they are printed.

use std::time::Duration;

use crate::measures::{Measure, Other};

/// Of a ratio of ours to another's.
#[derive(Clone, Copy)]
pub enum Aim {
    AtLeast(f64),
    AtMost(f64),
}

impl Aim {
    fn met(self, ratio: f64) -> bool {
        match self {
            Self::AtLeast(aim) => ratio >= aim,
            Self::AtMost(aim) => ratio <= aim,
        }
    }

    fn value(self) -> f64 {
        match self {
            Self::AtLeast(aim) | Self::AtMost(aim) => aim,
        }
    }
}

#[derive(Default)]
pub struct Report {
    pub rows: Vec<Row>,
    pub failures: Vec<String>,
}

pub struct Row {
    name: &'static str,
    unit: &'static str,
    aim: Aim,
    ours: Spread,
    other: String,
    theirs: Spread,
    ratio: Spread,
}

impl Row {
    /// Figures of the same rounds, in their order.
    pub fn new(measure: &Measure, other: Other, ours: &[f64], theirs: &[f64]) -> Self {
        let ratios = ours.iter().zip(theirs).map(|(ours, theirs)| ours / theirs);
        Self {
            name: measure.name,
            unit: measure.unit,
            aim: measure.aim,
            ratio: Spread::of(ratios.collect()),
            ours: Spread::of(ours.to_vec()),
            other: other.name(),
            theirs: Spread::of(theirs.to_vec()),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq)]
struct Spread {
    min: f64,
    median: f64,
    max: f64,
}

impl Spread {
    /// Of a list that is not empty.
    fn of(mut values: Vec<f64>) -> Self {
        values.sort_by(f64::total_cmp);
        let n = values.len();
        let median = if n % 2 == 1 {
            values[n / 2]
        } else {
            (values[n / 2 - 1] + values[n / 2]) / 2.0
        };
        Self {
            min: values[0],
            median,
            max: values[n - 1],
        }
    }

    fn cell(&self) -> String {
        format!(
            "{} ({} to {})",
            short(self.median),
            short(self.min),
            short(self.max)
        )
    }

    fn json(&self) -> serde_json::Value {
        serde_json::json!({"Min": self.min, "Median": self.median, "Max": self.max})
    }
}

impl Report {
    pub fn print_table(&self) {
        println!(
            "{:<52} {:>24} {:>33} {:>20} {:>5}",
            "median (min to max)", "Pontoon", "the other", "ratio", "aim"
        );
        for r in &self.rows {
            let name = format!("{}, {}", r.name, r.unit);
            let other = format!("{} {}", r.other, r.theirs.cell());
            let met = if r.aim.met(r.ratio.median) {
                ""
            } else {
                "  missed"
            };
            println!(
                "{name:<52} {:>24} {other:>33} {:>20} {:>5.2}{met}",
                r.ours.cell(),
                r.ratio.cell(),
                r.aim.value(),
            );
        }
    }

    pub fn print_json(&self) {
        for r in &self.rows {
            println!(
                "{}",
                serde_json::json!({
                    "Name": r.name, "Unit": r.unit, "Pontoon": r.ours.json(), "Other": r.other,
                    "Theirs": r.theirs.json(), "Ratio": r.ratio.json(), "Aim": r.aim.value(),
                    "Met": r.aim.met(r.ratio.median),
                })
            );
        }
    }
}

/// Milliseconds within which so many of a hundred were done, of a list that is not empty.
pub fn percentile(mut took: Vec<Duration>, percent: usize) -> f64 {
    took.sort();
    let at = (took.len() * percent / 100).min(took.len() - 1);
    took[at].as_secs_f64() * 1000.0
}

/// Three significant figures or so.
fn short(value: f64) -> String {
    let decimals = if value >= 100.0 {
        0
    } else if value >= 10.0 {
        1
    } else {
        2
    };
    format!("{value:.decimals$}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn median_of_odd_and_even() {
        assert_eq!(
            Spread::of(vec![3.0, 1.0, 2.0]),
            Spread {
                min: 1.0,
                median: 2.0,
                max: 3.0
            }
        );
        assert_eq!(Spread::of(vec![4.0, 1.0]).median, 2.5);
        let shown = [123.4, 12.34, 1.234].map(short);
        assert_eq!(shown, ["123", "12.3", "1.23"]);
    }
}
