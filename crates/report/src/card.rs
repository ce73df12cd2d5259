//! `model_card.md`: the model card of a run.

use malaria_classifier::{Assessment, Caveat, DecisionRule, ImageConfig, ResNetConfig, Table, protocol_note};
use malaria_dataset::Protocol;
use malaria_metrics::{Summary, percent};

use crate::results::{headlines, positive_share, with};

/// The contents of a model card.
pub struct Card<'a> {
    /// The training recipe as text.
    pub recipe: String,
    /// The split of the tested cells.
    pub protocol: Protocol,
    /// Input size and resizing.
    pub image: ImageConfig,
    /// Settings of the network.
    pub network: &'a ResNetConfig,
    /// Metrics of the tested cells.
    pub metrics: &'a Summary,
    /// Intervals, predictive values and patients.
    pub assessment: &'a Assessment,
    /// How the tested cells are called.
    pub rule: &'a DecisionRule,
    /// Limits of the metrics.
    pub caveats: &'a [Caveat],
    /// The tested cells as text.
    pub evaluated_on: String,
    /// The training data as text.
    pub training_data: String,
    /// Pictures that could not be read and were skipped.
    pub missing: usize,
    /// Names and values of the settings and versions.
    pub made: Vec<[String; 2]>,
    /// The command that trained the model.
    pub command: &'a str,
}

/// The card, with placeholders in braces.
const TEMPLATE: &str = include_str!("model_card.md.in");

/// The value of entries that cannot be filled in from a run.
const OPEN: &str = "*to be filled in by a person*";

impl Card<'_> {
    /// The card as Markdown.
    pub fn markdown(&self) -> String {
        filled(TEMPLATE, |name| self.value(name))
    }

    /// The value of a placeholder; `None` for an unknown one.
    fn value(&self, name: &str) -> Option<String> {
        let Self { image, metrics, assessment, .. } = self;
        let positive = &metrics.positive_class;
        Some(match name {
            "open" => OPEN.to_owned(),
            "classes" => metrics.classes.join(" or "),
            "class_order" => metrics.classes.join(", "),
            "recipe" => self.recipe.clone(),
            "network" => format!("{:?}", self.network),
            "command" => self.command.to_owned(),
            "made" => rows(self.made.iter().cloned()),
            "synthetic_cells" if self.caveats.contains(&Caveat::SyntheticCells) => {
                format!("{}\n\n", Caveat::ModelOfSyntheticCells)
            }
            "synthetic_cells" => String::new(),
            "training_data" => self.training_data.clone(),
            "evaluated_on" => self.evaluated_on.clone(),
            "protocol" => protocol_note(self.protocol).to_owned(),
            "pixels" => image.pixels.to_string(),
            "resize" => image.resize.to_string(),
            "missing" => self.missing.to_string(),
            "headlines" => {
                rows(headlines(metrics, assessment).iter().map(|row| {
                    [row.label.to_owned(), (row.show)(row.value), row.interval(row.over_patients)]
                }))
            }
            "accuracy_argmax" => percent(metrics.accuracy_argmax),
            "positive" => positive.clone(),
            "decision_rule" => self.rule.note(positive),
            "cut_off" => match self.rule {
                DecisionRule::Argmax => Caveat::NoThreshold.to_string(),
                rule => rule.note(positive),
            },
            "caveats" => self.caveats.iter().map(|caveat| format!("- {caveat}\n")).collect(),
            "at_prevalence" => rows(assessment.at_prevalence.iter().map(|at| {
                [percent(Some(at.prevalence)), with(at.ppv, at.ppv_interval), with(at.npv, at.npv_interval)]
            })),
            "patients" => self.patients().unwrap_or_default(),
            "indeterminate" => match assessment.patient_level {
                Some(_) => "too few cells and not called are separate results".to_owned(),
                None => "none: every cell is called; patients are not called".to_owned(),
            },
            "infected_share" => percent(positive_share(metrics)),
            "even_odds" => match self.even_odds() {
                Some(share) => {
                    format!(
                        "Where fewer than {} are infected, most positive calls are false.",
                        percent(Some(share))
                    )
                }
                None => "Where few are infected, as in a smear, more positive calls are false.".to_owned(),
            },
            "n" => metrics.n.to_string(),
            "of_patients" => assessment.patients(),
            "n_patients" => assessment.n_patients.to_string(),
            "cells_without_patient" => assessment.cells_without_patient.to_string(),
            "resamples" => assessment.intervals.bootstrap.resamples.to_string(),
            "confusion" => format!("{:?}", Vec::<Vec<u64>>::from(metrics.confusion.clone())),
            _ => return None,
        })
    }

    /// The calls of patients; `None` where they are not called.
    fn patients(&self) -> Option<String> {
        let patient_level = self.assessment.patient_level.as_ref()?;
        let mut text = format!("\n{}\n", patient_level.rule.note(&self.metrics.positive_class));
        if matches!(self.rule, DecisionRule::FoldThresholds { .. }) {
            text += "\nEach fold's patients are called with the rates of the other folds; the rates above \
                and the limits are those of all folds.\n";
        }
        for Table { title, head, rows: lines } in patient_level.tables() {
            let row = |cells: Vec<String>| {
                format!("| {} |\n", cells.iter().map(|cell| escaped(cell)).collect::<Vec<_>>().join(" | "))
            };
            let head = head.iter().map(|&heading| heading.to_owned()).collect::<Vec<_>>();
            let line = vec!["---".to_owned(); head.len()];
            let table: String = [head, line].into_iter().chain(lines).map(row).collect();
            text += &format!("\n{title}\n\n{table}");
        }
        Some(text)
    }

    /// The share of infected cells at which half of the positive calls are false; `None` without a false alarm.
    fn even_odds(&self) -> Option<f64> {
        let (sensitivity, specificity) = (self.metrics.sensitivity?, self.metrics.specificity?);
        let false_alarms = 1.0 - specificity;
        Some(false_alarms / (false_alarms + sensitivity)).filter(|&share| share > 0.0)
    }
}

/// `template` with each placeholder replaced by its `value`; unknown placeholders stay. A placeholder alone on its line is
/// replaced together with the line break if the value is empty or ends with a line break. Bars are escaped in table rows.
fn filled(template: &str, value: impl Fn(&str) -> Option<String>) -> String {
    let mut text = String::new();
    for line in template.split_inclusive('\n') {
        let alone = line.strip_prefix('{').and_then(|line| line.strip_suffix("}\n")).and_then(&value);
        if let Some(lines) = alone.filter(|value| value.is_empty() || value.ends_with('\n')) {
            text += &lines;
            continue;
        }
        let mut rest = line;
        while let Some((before, (name, after))) =
            rest.split_once('{').and_then(|(before, rest)| Some((before, rest.split_once('}')?)))
        {
            let value = value(name).unwrap_or_else(|| format!("{{{name}}}"));
            text += before;
            text += &if line.starts_with('|') { escaped(&value) } else { value };
            rest = after;
        }
        text += rest;
    }
    text
}

/// Rows of a Markdown table.
fn rows<const N: usize>(rows: impl Iterator<Item = [String; N]>) -> String {
    rows.map(|row| format!("| {} |\n", row.map(|cell| escaped(&cell)).join(" | "))).collect()
}

/// Escapes the bars of a table cell.
fn escaped(cell: &str) -> String {
    cell.replace('|', "\\|")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn placeholders_are_replaced_by_values_blocks_or_nothing() {
        let template = "# {name}\n\n{none}\n{block}\n{name}\n| {bar} | {unknown} |\n";
        let value = |name: &str| {
            let value = match name {
                "name" => "a {bar}",
                "block" => "one\ntwo\n",
                "bar" => "x|y",
                "none" => "",
                _ => return None,
            };
            Some(value.to_owned())
        };
        let expected = "# a {bar}\n\none\ntwo\na {bar}\n| x\\|y | {unknown} |\n";
        assert_eq!(filled(template, value), expected);
    }
}
