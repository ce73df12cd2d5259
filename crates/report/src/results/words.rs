//! Helpers for the tables and numbers of a report.

use malaria_metrics::{Interval, percent};

use crate::page::Block;

/// A table with these headings and rows.
pub fn table(head: &[&str], rows: impl Iterator<Item = Vec<String>>) -> Block {
    Block::Table { head: head.iter().map(|&heading| heading.to_owned()).collect(), rows: rows.collect() }
}

/// Formats a metric.
pub(crate) type Show = fn(Option<f64>) -> String;

/// Formats an interval.
pub(crate) fn between(Interval { low, high }: Interval, show: Show) -> String {
    format!("{} to {}", show(Some(low)), show(Some(high)))
}

/// A share with its interval, if there is one.
pub(crate) fn with(share: Option<f64>, interval: Option<Interval>) -> String {
    let ends = interval.map(|interval| format!(" ({})", between(interval, percent)));
    format!("{}{}", percent(share), ends.unwrap_or_default())
}
