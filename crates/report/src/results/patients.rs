//! The patients' results on the page.

use std::collections::BTreeMap;

use malaria_classifier::{DecisionRule, RollUp, Scored};
use malaria_metrics::{Interval, PatientMetrics, percent};

use super::words::{between, table};
use crate::{error::Result, page::Block, plots::PatientAccuracy};

/// Accuracy of the cells of each known patient.
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

/// Why patients are not called.
pub(super) const NOT_CALLED: &str = "Patients are not called here. That takes two classes, patients from whom the model has not \
                                     learned, cells without mirror images, and a threshold (in a cross-validation one for every \
                                     fold) with at least ten false alarms in ten patients or more.";

/// The calls of patients, and what can be detected.
pub(super) fn roll_up(roll_up: &RollUp, positive_class: &str, cross_validated: bool) -> Result<Vec<Block>> {
    let RollUp { rule, as_they_are, resampled, detection_limits } = roll_up;
    let mut blocks = vec![Block::Text(format!(
        "A patient is called positive when more of their cells are called {} than false alarms explain ({} of uninfected cells, with a \
         correlation of {:.3} within a patient), and negative when fewer are than a share of {} infected cells would give. Otherwise \
         the patient is undecided, which counts as an error below.",
        positive_class,
        percent(Some(rule.false_positive_rate)),
        rule.correlation,
        percent(Some(rule.relevant_share)),
    ))];
    let row = |name: String, metrics: &PatientMetrics| {
        let PatientMetrics { infected, healthy, .. } = metrics;
        let interval = |share, interval: Option<Interval>| {
            let interval = interval.map(|interval| format!(" ({})", between(interval, percent)));
            format!("{}{}", percent(share), interval.unwrap_or_default())
        };
        vec![
            name,
            interval(metrics.sensitivity, metrics.sensitivity_interval),
            format!("{} / {} / {}", infected.positive, infected.undecided, infected.negative),
            interval(metrics.specificity, metrics.specificity_interval),
            format!("{} / {} / {}", healthy.positive, healthy.undecided, healthy.negative),
        ]
    };
    let first = row("all cells of the data set".to_owned(), as_they_are);
    let rows = std::iter::once(first).chain(resampled.iter().map(|sample| {
        let name = format!("{} cells, {} infected", sample.cells, percent(Some(sample.infected_share)));
        row(name, &sample.metrics)
    }));
    blocks.push(table(
        &[
            "Cells per patient",
            "Infected patients called positive",
            "Infected: positive / undecided / negative",
            "Healthy patients called negative",
            "Healthy: positive / undecided / negative",
        ],
        rows,
    ));
    let mut text = |text: String| blocks.push(Block::Text(text));
    text(
        "The smears with a share of infected cells are simulated: each patient's error rates are drawn from the distribution that the \
         rates above and the patient's own cells give. If infected cells differ between patients more than false alarms do, fewer \
         patients are found."
            .to_owned(),
    );
    text(match rule.cells_for_a_negative()? {
        Some(cells) => format!(
            "A patient without any cell called {positive_class} is called negative from {cells} cells on. With fewer cells no patient \
             is called negative."
        ),
        None => {
            "With this rate of false alarms no patient is called negative, however many cells are counted."
                .to_owned()
        }
    });
    if cross_validated {
        text(
            "Each fold's patients are called at the threshold and the error rates of the other folds; the rates above are those of all \
             folds."
                .to_owned(),
        );
    }
    for limit in detection_limits {
        text(match limit.infected_share {
            Some(share) => format!(
                "With {} cells counted, {} must be infected (about {:.0} cells) for 95 of 100 patients to be called positive.",
                limit.cells,
                percent(Some(share)),
                (share * limit.cells as f64).ceil(),
            ),
            None => format!(
                "With {} cells counted, no share of infected cells makes 95 of 100 patients positive.",
                limit.cells
            ),
        });
    }
    text(
        "By the procedure of the WHO, at most 5,000 cells of a thin smear are counted. Counting more cells lowers the limit only as far as patients have \
         similar rates of false alarms. The limits are conservative: they assume that calls of infected cells differ between patients \
         as much as false alarms do."
            .to_owned(),
    );
    Ok(blocks)
}
