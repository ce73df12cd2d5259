//! Pools the results of the folds and writes them.

use std::path::{Path, PathBuf};

use malaria_classifier::{
    Assessment, Caveat, DecisionRule, FoldResult, Pooled, PooledDecision, Spread, read_predictions,
    write_patients, write_predictions,
};
use malaria_dataset::{Protocol, read_manifest};
use malaria_metrics::{Target, label_audit};
use malaria_train::EpochRecord;

use super::{
    metrics::{CrossValidationMetrics, FoldMetrics},
    plan::PlannedRun,
    report::{labels_section, mistakes, report, suspect_pictures, write_label_audit},
};
use crate::{
    config::{ExperimentConfig, PUBLISHED_SPECIFICITY},
    error::Result,
    run::{
        dir::{RunDir, fold_dir},
        metrics::{METRICS_VERSION, Metrics, MetricsOf, machine},
    },
};

/// The pooled results.
pub(super) struct Merged {
    pub(super) metrics: CrossValidationMetrics,
    /// How the pooled cells are called.
    pub(super) rule: DecisionRule,
    /// The files written.
    pub(super) files: Vec<PathBuf>,
}

/// Pools the results of the folds in `out` and writes them.
pub(super) fn merge(
    fold_config: &dyn Fn(usize) -> ExperimentConfig,
    folds: usize,
    out: &Path,
    command: &str,
) -> Result<Merged> {
    let (mut records, mut results) = (Vec::new(), Vec::new());
    for number in 1..=folds {
        let planned = PlannedRun::new(fold_config(number), fold_dir(out, number), Some(number));
        planned.refuse_other_settings()?;
        let run = RunDir::open(&planned.path)?;
        let metrics: Metrics = malaria_files::read_json(&run.metrics_path(), "the metrics of a run")?;
        results.push(FoldResult {
            folder: run.path().to_owned(),
            classes: metrics.test.classes.clone(),
            manifest: read_manifest(&run.split_path())?,
            predictions: read_predictions(&run.predictions_path(), &metrics.test.classes, number)?,
        });
        records.push((metrics, run.history()?));
    }
    let config = fold_config(1);
    let pooled = Pooled::new(&results, &config.positive)?;
    // The initial weights may have been trained on other cells of these patients.
    let new_patients = config.split.protocol == Protocol::Patient && config.init.is_none();
    let decision = pooled.decide(config.target, new_patients)?;
    let metrics = pooled_metrics(&config, command, &records, &pooled, &decision)?;
    let PooledDecision { rule, patients: smears, .. } = decision;

    let patients = pooled.patients();
    let scored = pooled.scored(&patients);
    let written = [out.join("predictions.csv"), out.join("metrics.json")];
    let paths = pooled.rows.iter().map(|row| row.path.as_str());
    let folds = pooled.rows.iter().map(|row| row.fold.to_string());
    write_predictions(&written[0], &scored, &rule, paths, ("fold", folds))?;
    malaria_files::write_json(&written[1], &metrics)?;
    let by_patient = out.join("patients.csv");
    malaria_files::remove(&by_patient)?;
    let by_patient = write_patients(by_patient, &scored, smears.as_ref())?;
    let audit = out.join("label_audit.csv");
    let suspects = label_audit(scored.truth, scored.rows())?;
    write_label_audit(&audit, &pooled, &suspects)?;
    let pictures = mistakes(&config, out, &pooled, scored, &rule);
    let histories: Vec<&[EpochRecord]> = records.iter().map(|(_, history)| history.as_slice()).collect();
    let mut report = report(&metrics, &config, scored, &rule, &pooled, pictures, &histories);
    let suspicious = suspect_pictures(&config, &pooled, &suspects);
    report.more.push(labels_section(&suspicious, suspects.len(), pooled.rows.len()));
    let page = report.write(out)?;
    let [predictions, metrics_json] = written;
    let files = [predictions].into_iter().chain(by_patient).chain([metrics_json, audit, page]).collect();
    Ok(Merged { metrics, rule, files })
}

/// The metrics of the pooled cells and of each fold.
fn pooled_metrics(
    config: &ExperimentConfig,
    command: &str,
    records: &[(Metrics, Vec<EpochRecord>)],
    pooled: &Pooled,
    decision: &PooledDecision,
) -> Result<CrossValidationMetrics> {
    let PooledDecision { stored, of_folds, rule, smear, patients: smears } = decision;
    let folds = (1..)
        .zip(records)
        .zip(of_folds)
        .map(|((fold, (metrics, _)), &threshold)| {
            let cells = pooled.of_fold(fold);
            // Unless every fold has a threshold, all cells are called by their most probable class.
            let rule = DecisionRule::from(threshold.filter(|_| *rule != DecisionRule::Argmax));
            let known = cells.scored(&cells.patients()).known_metrics(&rule)?;
            Ok(FoldMetrics {
                fold,
                n_test: metrics.n_test,
                device: metrics.device.clone(),
                epoch: metrics.best_epoch.epoch,
                wall_seconds: metrics.wall_seconds,
                accuracy: known.accuracy,
                accuracy_argmax: known.accuracy_argmax,
                sensitivity: known.sensitivity,
                specificity: known.specificity,
                auc: known.auc,
                threshold: threshold.map(|threshold| threshold.point.threshold),
            })
        })
        .collect::<Result<Vec<FoldMetrics>>>()?;
    let over = |value: fn(&FoldMetrics) -> Option<f64>| -> Option<Spread> {
        let values = Vec::from_iter(folds.iter().filter_map(value));
        (values.len() > 1).then(|| Spread::of(&values))
    };
    let total = |time: fn(&Metrics) -> f64| records.iter().map(|(metrics, _)| time(metrics)).sum();
    // A fold whose temperature could not be fitted has uncalibrated logits.
    let logs = records.iter().map(|(metrics, _)| metrics.temperature.unwrap_or(1.0).ln());
    let temperature = config.calibrate.then(|| (logs.sum::<f64>() / folds.len() as f64).exp());

    let patients = pooled.patients();
    let scored = pooled.scored(&patients);
    let assessment = Assessment::of(&scored, rule, smears.as_ref())?;
    let comparable = config.split.protocol == Protocol::Patient
        && config.data.is_some()
        && config.positive == "Parasitized";
    let cells = pooled.n_excluded;
    let caveats = (config.data.is_none().then_some(Caveat::SyntheticCells).into_iter())
        .chain((cells > 0).then_some(Caveat::ExcludedFromFolds { cells }))
        .chain(Caveat::of_classes(&scored))
        .chain(Caveat::of(rule, stored.is_some(), &assessment))
        .collect();
    Ok(CrossValidationMetrics {
        format_version: METRICS_VERSION,
        metrics_of: MetricsOf::CrossValidation,
        command: command.to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        machine: machine(),
        protocol: config.split.protocol,
        recipe: config.recipe,
        synthetic_cells: config.data.is_none(),
        seed: config.train.seed,
        epochs: config.train.epochs,
        n_test: pooled.rows.len(),
        n_excluded: pooled.n_excluded,
        n_skipped: records.iter().map(|(metrics, _)| metrics.n_skipped).max().unwrap_or(0),
        wall_seconds: total(|metrics| metrics.wall_seconds),
        cpu_seconds: total(|metrics| metrics.cpu_seconds),
        accuracy_over_folds: over(|fold| fold.accuracy),
        sensitivity_over_folds: over(|fold| fold.sensitivity),
        specificity_over_folds: over(|fold| fold.specificity),
        auc_over_folds: over(|fold| fold.auc),
        folds,
        at_published_specificity: if comparable {
            scored.operating_point(Target::Specificity(PUBLISHED_SPECIFICITY))?
        } else {
            None
        },
        temperature,
        threshold: *stored,
        smear: smear.clone(),
        decision_rule: rule.kind(),
        caveats,
        pooled: scored.known_metrics(rule)?,
        assessment,
    })
}
