//! Reads and writes `predictions.csv`, the predictions for the test cells of a run or a cross-validation.

use std::{collections::BTreeMap, path::Path};

use crate::{decision::DecisionRule, error::Result, scored::Scored};

/// Tolerance for the sum of probabilities computed in float32.
const SUM_TOLERANCE: f64 = 1e-4;
/// Highest fold number accepted, far above that of any cross-validation.
const MAX_FOLDS: usize = 1_000;

/// The prediction for a cell by the model of a cross-validation that was not trained on it.
#[derive(Clone, Debug, PartialEq)]
pub struct OutOfFold {
    /// Path of the cell below the data folder.
    pub path: String,
    /// Its true class.
    pub class: String,
    /// Its patient; empty where it is unknown.
    pub patient: String,
    /// The fold whose test set contains it, from 1.
    pub fold: usize,
    /// Probabilities, one per class.
    pub probabilities: Vec<f64>,
}

/// Writes one row per cell: `path,class,patient,GROUP,predicted,argmax`, then `probability_<class>` for every class.
/// `predicted` is the class by `rule`, `argmax` the most probable one.
///
/// `paths` `[N]` are the paths of the `scored` cells below the data folder. `group` is the name and the values `[N]` of the fourth
/// column, such as `subset` or `fold`.
///
/// # Errors
/// [`Error::File`](crate::Error::File); an older file of that name then stays.
pub fn write_predictions<'a>(
    path: &Path,
    scored: &Scored<'_>,
    rule: &DecisionRule,
    paths: impl IntoIterator<Item = &'a str>,
    group: (&str, impl IntoIterator<Item = String>),
) -> Result<()> {
    let classes = scored.classes;
    let (predicted, argmax_classes) = (scored.predicted(rule), scored.argmax_classes());
    let rows = scored.probabilities.chunks_exact(classes.len()).enumerate();
    let rows = rows.zip(paths).zip(group.1).map(|(((i, row), path), group)| {
        let fields = [
            path.to_owned(),
            classes[scored.truth[i]].clone(),
            scored.patients[i].unwrap_or_default().to_owned(),
            group,
            classes[predicted[i]].clone(),
            classes[argmax_classes[i]].clone(),
        ];
        // `f64::to_string` is exact: metrics computed from the file are the same.
        fields.into_iter().chain(row.iter().map(f64::to_string)).collect::<Vec<String>>()
    });
    let columns = ["path", "class", "patient", group.0, "predicted", "argmax"].map(str::to_owned);
    let header = columns.into_iter().chain(classes.iter().map(|class| probability_of(class))).collect();
    Ok(malaria_files::write_csv(path, std::iter::once(header).chain(rows))?)
}

/// Reads a file of [`write_predictions`] for a run with these `classes`, as the rows of `fold`.
///
/// # Errors
/// [`Error::File`](crate::Error::File) for a file that cannot be read, lacks a column, names another class, or has invalid
/// probabilities.
pub fn read_predictions(path: &Path, classes: &[String], fold: usize) -> Result<Vec<OutOfFold>> {
    let expected = "the predictions of a run";
    let bad = |reason: String| malaria_files::Error::Content { path: path.to_owned(), expected, reason };
    let bytes = std::fs::read(path).map_err(malaria_files::Error::io("read", path))?;
    let mut reader = malaria_files::csv_reader(path, &bytes, &["path", "class", "patient"], expected)?;
    let header = reader.headers().map_err(|error| bad(error.to_string()))?;
    let column = |name: &str| {
        header.iter().position(|column| column == name).ok_or_else(|| {
            let found: Vec<&str> = header.iter().collect();
            bad(format!("expected a column `{name}`, found {}", found.join(",")))
        })
    };
    let [path_at, class_at, patient_at] = [column("path")?, column("class")?, column("patient")?];
    let probabilities_at = classes
        .iter()
        .map(|class| column(&probability_of(class)))
        .collect::<Result<Vec<_>, malaria_files::Error>>()?;
    let rows = reader.records().map(|record| {
        let record = record.map_err(|error| bad(error.to_string()))?;
        let line = record.position().map_or(0, csv::Position::line);
        let number = |text: &str| {
            let number = text.parse::<f64>().ok().filter(|value| (0.0..=1.0).contains(value));
            number.ok_or_else(|| bad(format!("line {line}: expected a probability, found `{text}`")))
        };
        let class = record[class_at].to_owned();
        if !classes.contains(&class) {
            return Err(bad(format!("line {line}: `{class}` is not one of the classes {classes:?}")).into());
        }
        let probabilities = probabilities_at
            .iter()
            .map(|&at| number(&record[at]))
            .collect::<Result<Vec<f64>, malaria_files::Error>>()?;
        let sum: f64 = probabilities.iter().sum();
        if (sum - 1.0).abs() > SUM_TOLERANCE {
            let reason = format!("line {line}: expected probabilities that sum to 1, found a sum of {sum}");
            return Err(bad(reason).into());
        }
        let (path, patient) = (record[path_at].to_owned(), record[patient_at].to_owned());
        Ok(OutOfFold { path, class, patient, fold, probabilities })
    });
    rows.collect()
}

/// Reads out-of-fold predictions of two classes from a CSV called `path`: a cross-validation's `predictions.csv`, or any
/// file with the columns `path` (or `file`, `file_name`, `name`), `class` (or `label`), `patient`, `fold` (numbers from
/// 0 or 1) and `probability_<positive>` (or `probability`, of the class `positive`).
///
/// # Errors
/// [`Error::File`](crate::Error::File) for a file without such a column, with another class, an invalid number, without rows, or with a
/// patient in two folds.
pub fn read_out_of_fold(
    path: &Path,
    csv: &[u8],
    classes: &[String],
    positive: &str,
) -> Result<Vec<OutOfFold>> {
    let expected = "out-of-fold predictions";
    let bad = |reason: String| malaria_files::Error::Content { path: path.to_owned(), expected, reason };
    let mut reader = malaria_files::csv_reader(path, csv, &["patient", "fold"], expected)?;
    let header = reader.headers().map_err(|error| bad(error.to_string()))?.clone();
    let column = |names: &[&str]| {
        let place =
            names.iter().find_map(|name| header.iter().position(|column| column.eq_ignore_ascii_case(name)));
        let found = || header.iter().collect::<Vec<_>>().join(",");
        place.ok_or_else(|| bad(format!("expected a column `{}`, found {}", names.join("` or `"), found())))
    };
    let at_path = column(&["path", "file", "file_name", "file name", "name"])?;
    let [at_class, at_patient, at_fold] =
        [column(&["class", "label"])?, column(&["patient"])?, column(&["fold"])?];
    let at_probability = column(&[&probability_of(positive), "probability"])?;
    let row = |record: csv::Result<csv::StringRecord>| {
        let record = record.map_err(|error| bad(error.to_string()))?;
        let line = record.position().map_or(0, csv::Position::line);
        let wrong =
            |what: &str, at: usize| bad(format!("line {line}: expected {what}, found `{}`", &record[at]));
        if !classes.iter().any(|class| *class == record[at_class]) {
            return Err(wrong(&format!("one of the classes {classes:?}"), at_class));
        }
        let probability =
            record[at_probability].parse::<f64>().ok().filter(|value| (0.0..=1.0).contains(value));
        let probability = probability.ok_or_else(|| wrong("a probability", at_probability))?;
        let fold = record[at_fold].parse::<usize>().ok().filter(|fold| *fold < MAX_FOLDS);
        Ok(OutOfFold {
            path: record[at_path].to_owned(),
            class: record[at_class].to_owned(),
            patient: record[at_patient].to_owned(),
            fold: fold.ok_or_else(|| wrong("the number of a fold", at_fold))?,
            probabilities: classes
                .iter()
                .map(|class| if class == positive { probability } else { 1.0 - probability })
                .collect(),
        })
    };
    let mut rows = reader.records().map(row).collect::<Result<Vec<OutOfFold>, malaria_files::Error>>()?;
    if rows.iter().any(|row| row.fold == 0) {
        rows.iter_mut().for_each(|row| row.fold += 1);
    }
    let mut folds: BTreeMap<&str, usize> = BTreeMap::new();
    for row in rows.iter().filter(|row| !row.patient.is_empty()) {
        if *folds.entry(&row.patient).or_insert(row.fold) != row.fold {
            let reason = format!(
                "cells of patient {} are in several folds, whose models were trained on that patient: a \
                 cross-validation by patient is needed",
                row.patient
            );
            return Err(bad(reason).into());
        }
    }
    if rows.is_empty() {
        return Err(bad("expected rows, found none".to_owned()).into());
    }
    Ok(rows)
}

/// Name of the column with a class's probabilities.
fn probability_of(class: &str) -> String {
    format!("probability_{class}")
}
