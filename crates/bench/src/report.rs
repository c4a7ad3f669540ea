//! Medians, ratios, and how they are printed.

use crate::Measure;

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Better {
    Higher,
    Lower,
}

#[derive(Default)]
pub struct Report {
    rows: Vec<Row>,
}

struct Row {
    name: &'static str,
    unit: &'static str,
    aim: f64,
    met: bool,
    pontoon: Spread,
    peer: String,
    docker: Spread,
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
}

impl Report {
    pub fn add(&mut self, measure: &Measure, [pontoon, docker]: [Vec<f64>; 2]) {
        let (pontoon, docker) = (Spread::of(pontoon), Spread::of(docker));
        let ratio = pontoon.median / docker.median;
        let met = if measure.better == Better::Higher {
            ratio >= measure.aim
        } else {
            ratio <= measure.aim
        };
        self.rows.push(Row {
            name: measure.name,
            unit: measure.unit,
            aim: measure.aim,
            met,
            pontoon,
            peer: format!("{:?}", measure.peer),
            docker,
        });
    }

    pub fn print_table(&self) {
        println!(
            "{:<44} {:>24} {:>24} {:>7} {:>6}",
            "median (min to max)", "Pontoon", "Docker (or other)", "ratio", "aim"
        );
        for r in &self.rows {
            let cell =
                |s: &Spread| format!("{} ({} to {})", short(s.median), short(s.min), short(s.max));
            let ratio = r.pontoon.median / r.docker.median;
            let name = format!("{}, {}", r.name, r.unit);
            let met = if r.met { "" } else { "  missed" };
            println!(
                "{name:<44} {:>24} {:>24} {ratio:>7.2} {:>6.2}{met}",
                cell(&r.pontoon),
                cell(&r.docker),
                r.aim
            );
        }
    }

    pub fn print_json(&self) {
        for r in &self.rows {
            let spread =
                |s: &Spread| serde_json::json!({"Min": s.min, "Median": s.median, "Max": s.max});
            println!(
                "{}",
                serde_json::json!({
                    "Name": r.name, "Unit": r.unit, "Pontoon": spread(&r.pontoon), (r.peer.as_str()): spread(&r.docker),
                    "Ratio": r.pontoon.median / r.docker.median, "Aim": r.aim, "Met": r.met,
                })
            );
        }
    }
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
        assert_eq!(
            (
                short(123.4).as_str(),
                short(12.34).as_str(),
                short(1.234).as_str()
            ),
            ("123", "12.3", "1.23")
        );
    }
}
