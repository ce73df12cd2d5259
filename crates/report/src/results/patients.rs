//! The results of patients on the page.

use std::collections::BTreeMap;

use malaria_classifier::{DecisionRule, PatientAssessment, Scored, Table};

use malaria_metrics::percent;

use super::words::table;
use crate::{
    error::Result,
    page::Block,
    plots::{DetectionCurve, PatientAccuracy},
};

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
pub(super) const NOT_CALLED: &str = "Patients are not called here. This requires two classes, \
    probabilities without mirror images, and rates of false alarms and of detected parasites in patients \
    on whom the model was not trained: at least eight patients with either kind of cells (in a \
    cross-validation, without each fold).";

/// Numbers of cells of the detection curves.
const CELLS: [u64; 3] = [100, 1_000, 5_000];

/// Detection curves of the rule for new patients, from 0.1 to 50 % infected cells.
pub(super) fn detection_curves(patient_level: &PatientAssessment) -> Result<Vec<DetectionCurve>> {
    let caller = patient_level.rule.caller()?;
    let shares: Vec<f64> = (0..=80).map(|i| 0.001 * 500_f64.powf(f64::from(i) / 80.0)).collect();
    let curve = |cells| {
        let points = caller.detection_curve(cells, &shares)?;
        Ok(DetectionCurve { cells, points, limit: caller.detection_limit(cells) })
    };
    CELLS.into_iter().map(curve).collect()
}

/// The detection limits as text.
pub(super) fn limits(curves: &[DetectionCurve]) -> String {
    let limit = |curve: &DetectionCurve| format!("limit {} at {} cells", percent(curve.limit), curve.cells);
    curves.iter().map(limit).collect::<Vec<_>>().join(", ")
}

/// The calls of patients and the detection limits.
pub(super) fn patient_level(
    patient_level: &PatientAssessment,
    positive_class: &str,
    cross_validated: bool,
) -> Vec<Block> {
    let mut blocks = vec![Block::Text(patient_level.rule.note(positive_class))];
    if cross_validated {
        blocks.push(Block::Text(
            "Each fold's patients are called with the threshold and rates of the other folds; the rates \
             above and the limits are those of all folds."
                .to_owned(),
        ));
    }
    for Table { title, head, rows } in patient_level.tables() {
        blocks.push(Block::Text(title));
        blocks.push(table(&head, rows.into_iter()));
    }
    blocks
}
