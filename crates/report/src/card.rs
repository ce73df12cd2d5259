//! `model_card.md`: what a reader of a paper or a user of the model has to know, as far as a run can tell.

use malaria_classifier::{Assessment, Caveat, DecisionRule, ImageConfig, ResNetConfig, protocol_note};
use malaria_dataset::Protocol;
use malaria_metrics::{PatientMetrics, Summary, percent};

use crate::results::{decision_words, headlines, positive_share};

/// What a card is written from.
pub struct Card<'a> {
    /// The recipe of the training, in words.
    pub recipe: String,
    /// How cells were divided where the figures come from.
    pub protocol: Protocol,
    /// How pictures are prepared.
    pub image: ImageConfig,
    /// The network.
    pub network: &'a ResNetConfig,
    /// The figures of the tested cells.
    pub figures: &'a Summary,
    /// Intervals, predictive values and patients.
    pub assessment: &'a Assessment,
    /// How the tested cells are called.
    pub rule: &'a DecisionRule,
    /// What to read the figures with.
    pub caveats: &'a [Caveat],
    /// Which cells the figures are of, in words.
    pub evaluated_on: String,
    /// What was learned from, in words.
    pub learned_from: String,
    /// Pictures that could not be read and were left out.
    pub missing: usize,
    /// Name and value: what the model was made by.
    pub made: Vec<[String; 2]>,
    /// The command that made it.
    pub command: &'a str,
}

/// The card, with names in braces where a run fills something in.
const TEMPLATE: &str = include_str!("model_card.md.in");

/// What only a person can fill in.
const OPEN: &str = "*to be filled in by a person*";

impl Card<'_> {
    /// The card as Markdown.
    pub fn markdown(&self) -> String {
        filled(TEMPLATE, |name| self.value(name))
    }

    /// What stands in the card for a name of the template; `None` for a name that it does not have.
    fn value(&self, name: &str) -> Option<String> {
        let Self { image, figures, assessment, .. } = self;
        let positive = &figures.positive_class;
        Some(match name {
            "open" => OPEN.to_owned(),
            "classes" => figures.classes.join(" or "),
            "class_order" => figures.classes.join(", "),
            "recipe" => self.recipe.clone(),
            "network" => format!("{:?}", self.network),
            "command" => self.command.to_owned(),
            "made" => rows(self.made.iter().cloned()),
            "synthetic_cells" if self.caveats.contains(&Caveat::SyntheticCells) => {
                format!("{}\n\n", Caveat::ModelOfSyntheticCells)
            }
            "synthetic_cells" => String::new(),
            "learned_from" => self.learned_from.clone(),
            "evaluated_on" => self.evaluated_on.clone(),
            "protocol" => protocol_note(self.protocol).to_owned(),
            "pixels" => image.pixels.to_string(),
            "resize" => image.resize.to_string(),
            "missing" => self.missing.to_string(),
            "headlines" => {
                rows(headlines(figures, assessment).iter().map(|row| {
                    [row.label.to_owned(), (row.show)(row.value), row.interval(row.over_patients)]
                }))
            }
            "accuracy_argmax" => percent(Some(figures.accuracy_argmax)),
            "positive" => positive.clone(),
            "decision_rule" => decision_words(self.rule, positive),
            "cut_off" => match self.rule.stored() {
                Some(threshold) => threshold.note(positive),
                None => Caveat::NoThreshold.to_string(),
            },
            "caveats" => self.caveats.iter().map(|caveat| format!("- {caveat}\n")).collect(),
            "at_prevalence" => rows(
                assessment
                    .at_prevalence
                    .iter()
                    .map(|at| [percent(Some(at.prevalence)), percent(at.ppv), percent(at.npv)]),
            ),
            "patients" => self.patients().unwrap_or_default(),
            "indeterminate" => match assessment.roll_up {
                Some(_) => "a patient who is undecided counts as an error".to_owned(),
                None => "every cell is called; patients are not".to_owned(),
            },
            "infected_share" => percent(positive_share(figures)),
            "even_odds" => match self.even_odds() {
                Some(share) => {
                    format!("where fewer than {} are, most positive calls are false.", percent(Some(share)))
                }
                None => "where few are, as in a smear, more positive calls are false.".to_owned(),
            },
            "n" => figures.n.to_string(),
            "of_patients" => assessment.patients(),
            "n_patients" => assessment.n_patients.to_string(),
            "cells_without_patient" => assessment.cells_without_patient.to_string(),
            "resamples" => assessment.intervals.bootstrap.resamples.to_string(),
            "confusion" => format!("{:?}", Vec::<Vec<u64>>::from(figures.confusion.clone())),
            _ => return None,
        })
    }

    /// What calling patients gave; `None` where they are not called.
    fn patients(&self) -> Option<String> {
        let roll_up = self.assessment.roll_up.as_ref()?;
        let PatientMetrics { infected, healthy, .. } = &roll_up.as_they_are;
        let mut text = format!(
            "\nPatients, called by all their cells: of {} infected ones {} are called positive and {} negative, of {} healthy \
             ones {} negative and {} positive; the others stay undecided. Negative says that fewer than {} of the cells are \
             infected, not that none is.\n",
            infected.total(),
            infected.positive,
            infected.negative,
            healthy.total(),
            healthy.negative,
            healthy.positive,
            percent(Some(roll_up.rule.relevant_share))
        );
        for sample in &roll_up.resampled {
            text += &format!(
                "Simulated smears of {} cells, {} infected: {} of {} are called positive and {} negative.\n",
                sample.cells,
                percent(Some(sample.infected_share)),
                sample.figures.infected.positive,
                sample.figures.infected.total(),
                sample.figures.infected.negative,
            );
        }
        text += if matches!(self.rule, DecisionRule::FoldThresholds { .. }) {
            "How often cells are called wrong is taken as known here, from the patients of the other folds; in the limits below, \
             from those of all.\n"
        } else {
            "How often cells are called wrong is taken as known here, from the cells that the threshold was chosen on.\n"
        };
        text += "\nThe least share of infected cells at which a patient is found in 95 of 100 cases:\n\n\
                 | cells counted | infected cells |\n| --- | --- |\n";
        let limits = roll_up.detection_limits.iter();
        text += &rows(limits.map(|limit| [limit.cells.to_string(), percent(limit.infected_share)]));
        Some(text)
    }

    /// The share of infected cells at which half of the positive calls are false; `None` where no false alarm was seen.
    fn even_odds(&self) -> Option<f64> {
        let (sensitivity, specificity) = (self.figures.sensitivity?, self.figures.specificity?);
        let false_alarms = 1.0 - specificity;
        Some(false_alarms / (false_alarms + sensitivity)).filter(|&share| share > 0.0)
    }
}

/// `template` with the `value` of each name in braces in its place. A line that is nothing but a name gives way to lines that have an end of their
/// own, or to none. In a row of a table, bars are escaped.
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

/// Rows of a table.
fn rows<const N: usize>(rows: impl Iterator<Item = [String; N]>) -> String {
    rows.map(|row| format!("| {} |\n", row.map(|cell| escaped(&cell)).join(" | "))).collect()
}

/// As it may stand in a row of a table.
fn escaped(cell: &str) -> String {
    cell.replace('|', "\\|")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_give_way_to_values_blocks_and_nothing() {
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
