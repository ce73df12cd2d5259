//! From cells to patients, on the page.

use std::collections::BTreeMap;

use malaria_classifier::{DecisionRule, RollUp, Scored};
use malaria_metrics::{Interval, PatientMetrics, percent};

use super::words::{between, table};
use crate::{error::Result, page::Block, plots::PatientAccuracy};

/// How well each known patient's cells were called.
pub(super) fn accuracies(scored: &Scored<'_>, rule: &DecisionRule) -> Vec<PatientAccuracy> {
    let mut found: BTreeMap<&str, PatientAccuracy> = BTreeMap::new();
    let cells = scored.patients.iter().zip(scored.predicted(rule)).zip(scored.truth);
    for ((patient, predicted), &class) in cells {
        let Some(patient) = *patient else { continue };
        let empty = || PatientAccuracy { patient: patient.to_owned(), cells: 0, right: 0, infected: false };
        let entry = found.entry(patient).or_insert_with(empty);
        entry.cells += 1;
        entry.right += u64::from(predicted == class);
        entry.infected |= class == scored.positive;
    }
    found.into_values().collect()
}

/// What the calls of cells come to for patients.
pub(super) fn roll_up(roll_up: &RollUp, positive_class: &str, cross_validated: bool) -> Result<Vec<Block>> {
    let RollUp { rule, as_they_are, resampled, detection_limits } = roll_up;
    let mut blocks = vec![Block::Text(format!(
        "A patient is called positive when more of their cells are called {} than false alarms explain: {} of uninfected \
             cells, with a correlation of {:.3} within a patient. They are called negative when fewer are than {} of infected \
             cells would give, and are undecided otherwise, which counts as an error below.",
        positive_class,
        percent(Some(rule.false_positive_rate)),
        rule.correlation,
        percent(Some(rule.relevant_share)),
    ))];
    let row = |name: String, figures: &PatientMetrics| {
        let PatientMetrics { infected, healthy, .. } = figures;
        let interval = |share, interval: Option<Interval>| {
            let interval = interval.map(|interval| format!(" ({})", between(interval, percent)));
            format!("{}{}", percent(share), interval.unwrap_or_default())
        };
        vec![
            name,
            interval(figures.sensitivity, figures.sensitivity_interval),
            format!("{} / {} / {}", infected.positive, infected.undecided, infected.negative),
            interval(figures.specificity, figures.specificity_interval),
            format!("{} / {} / {}", healthy.positive, healthy.undecided, healthy.negative),
        ]
    };
    let first = row("all cells of the data set".to_owned(), as_they_are);
    let rows = std::iter::once(first).chain(resampled.iter().map(|sample| {
        let name = format!("{} cells, {} infected", sample.cells, percent(Some(sample.infected_share)));
        row(name, &sample.figures)
    }));
    blocks.push(table(
        &[
            "Cells a patient",
            "Infected patients called positive",
            "Infected: positive / undecided / negative",
            "Healthy patients called negative",
            "Healthy: positive / undecided / negative",
        ],
        rows,
    ));
    blocks.push(Block::Text(
            "Nobody has counted these smears: how often a patient's cells are called wrong is drawn from what their cells here leave \
             open, patients differing as the rates above say. Where infected cells differ between patients more than false alarms do, \
             fewer are found."
                .to_owned(),
        ));
    blocks.push(Block::Text(match rule.cells_for_a_negative()? {
            Some(cells) => format!(
                "A patient none of whose cells is called {} is negative from {cells} cells on; with fewer, nobody can be.",
                positive_class,
            ),
            None => "With these false alarms no patient can be called negative, however many cells are counted.".to_owned(),
        }));
    if cross_validated {
        blocks.push(Block::Text(
                "Each fold's patients are called at a threshold, and by rates, that were read off the patients of the other folds; \
                 the rates above are those of all."
                    .to_owned(),
            ));
    }
    for limit in detection_limits {
        blocks.push(Block::Text(match limit.infected_share {
                Some(share) => format!(
                    "Of {} cells counted, {} have to be infected (about {:.0} cells) for a patient to be found in 95 of 100 cases.",
                    limit.cells,
                    percent(Some(share)),
                    (share * limit.cells as f64).ceil(),
                ),
                None => format!("Of {} cells counted, no share that is infected is found in 95 of 100 cases.", limit.cells),
            }));
    }
    blocks.push(Block::Text(
            "5,000 is the most cells that the WHO has counted in a thin smear. Counting more lowers the limit only as far as \
             patients are alike in their false alarms. Calls of infected cells are taken to differ between patients as much as false \
             alarms do, which makes the limits careful ones."
                .to_owned(),
        ));
    Ok(blocks)
}
