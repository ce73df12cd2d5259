use std::path::Path;

use malaria_dataset::{Index, Subset};
use malaria_edge::{Threshold, call, most_probable};

use crate::{Classifier, Error, Result, files, threshold::Calling};

/// How far probabilities computed in float32 may sum to something else than one, with room.
const SUM_TOLERANCE: f64 = 1e-4;

/// Writes one row a cell: `path,class,patient,subset,predicted,called`, then `probability_<class>` for every class. `predicted` is the
/// most probable class, `called` what the cell is called at the threshold: empty where there is none.
///
/// `indices` are the cells' places in `index`, and `probabilities` `[indices, classes]` what the model says of them.
/// `subset` is empty where cells do not belong to a run.
pub(crate) fn write_predictions(
    path: &Path,
    classifier: &Classifier,
    index: &Index,
    indices: &[usize],
    subset: Option<Subset>,
    probabilities: &[f64],
) -> Result<()> {
    let subset = subset.map(|subset| subset.to_string()).unwrap_or_default();
    let rows = indices.iter().zip(probabilities.chunks(classifier.classes.len())).map(|(&i, row)| {
        let sample = &index.samples[i];
        let fields = [
            sample.path.clone(),
            index.classes[sample.class].clone(),
            sample.patient.clone().unwrap_or_default(),
            subset.clone(),
            classifier.classes[most_probable(row)].clone(),
            called(row, &classifier.classes, classifier.positive, classifier.threshold.as_ref()),
        ];
        (fields, row)
    });
    let columns = ["path", "class", "patient", "subset", "predicted", "called"];
    write_table(path, columns, &classifier.classes, rows)
}

/// The class that a cell is called at `threshold`; empty where there is none.
fn called(row: &[f64], classes: &[String], positive: usize, threshold: Option<&Threshold>) -> String {
    threshold.map(|_| classes[call(row, positive, threshold)].clone()).unwrap_or_default()
}

/// What the model that has not learned from a cell says of it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct OutOfFold {
    pub(crate) path: String,
    pub(crate) class: String,
    /// Empty where it is not known.
    pub(crate) patient: String,
    pub(crate) fold: usize,
    pub(crate) predicted: String,
    /// One a class.
    pub(crate) probabilities: Vec<f64>,
}

/// Writes one row a cell: `path,class,patient,fold,predicted,called`, then `probability_<class>` for every class. Cells are called by
/// `calling`.
pub(crate) fn write_out_of_fold(
    path: &Path,
    classes: &[String],
    positive: usize,
    rows: &[OutOfFold],
    calling: Option<&Calling>,
) -> Result<()> {
    let rows = rows.iter().enumerate().map(|(i, row)| {
        let OutOfFold { path, class, patient, fold, predicted, probabilities } = row.clone();
        let threshold = calling.map(|calling| calling.of_cell(i));
        let called = called(&probabilities, classes, positive, threshold);
        ([path, class, patient, fold.to_string(), predicted, called], probabilities)
    });
    write_table(path, ["path", "class", "patient", "fold", "predicted", "called"], classes, rows)
}

/// Reads what [`write_predictions`] wrote for a run whose classes are `classes`, as the rows of `fold`.
pub(crate) fn read_predictions(path: &Path, classes: &[String], fold: usize) -> Result<Vec<OutOfFold>> {
    let expected = "the predictions of a run";
    let bad = |reason: String| Error::Csv { path: path.to_owned(), expected, reason };
    let bytes = std::fs::read(path).map_err(Error::io("read", path))?;
    let mut reader = csv::Reader::from_reader(bytes.as_slice());
    let header = reader.headers().map_err(|error| bad(error.to_string()))?;
    let column = |name: &str| {
        header.iter().position(|column| column == name).ok_or_else(|| {
            let found: Vec<&str> = header.iter().collect();
            bad(format!("expected a column `{name}`, found {}", found.join(",")))
        })
    };
    let [path_at, class_at, patient_at, predicted_at] =
        [column("path")?, column("class")?, column("patient")?, column("predicted")?];
    let probabilities_at =
        classes.iter().map(|class| column(&probability_of(class))).collect::<Result<Vec<_>>>()?;
    let rows = reader.records().map(|record| {
        let record = record.map_err(|error| bad(error.to_string()))?;
        let line = record.position().map_or(0, csv::Position::line);
        let number = |text: &str| {
            let number = text.parse::<f64>().ok().filter(|value| (0.0..=1.0).contains(value));
            number.ok_or_else(|| bad(format!("line {line}: expected a probability, found `{text}`")))
        };
        let class = record[class_at].to_owned();
        if !classes.contains(&class) {
            return Err(bad(format!("line {line}: `{class}` is not one of the classes {classes:?}")));
        }
        let probabilities =
            probabilities_at.iter().map(|&at| number(&record[at])).collect::<Result<Vec<f64>>>()?;
        let sum: f64 = probabilities.iter().sum();
        if (sum - 1.0).abs() > SUM_TOLERANCE {
            return Err(bad(format!(
                "line {line}: expected probabilities that sum to 1, found a sum of {sum}"
            )));
        }
        Ok(OutOfFold {
            path: record[path_at].to_owned(),
            class,
            patient: record[patient_at].to_owned(),
            fold,
            predicted: record[predicted_at].to_owned(),
            probabilities,
        })
    });
    rows.collect()
}

/// The column of a class's probabilities.
fn probability_of(class: &str) -> String {
    format!("probability_{class}")
}

fn write_table<P: AsRef<[f64]>>(
    path: &Path,
    columns: [&str; 6],
    classes: &[String],
    rows: impl IntoIterator<Item = ([String; 6], P)>,
) -> Result<()> {
    let rows = rows.into_iter().map(|(fields, probabilities)| {
        // The shortest decimal that reads back as the same number: a reader's figures are ours exactly.
        let probabilities = probabilities.as_ref().iter().map(f64::to_string);
        fields.into_iter().chain(probabilities).collect::<Vec<String>>()
    });
    let probabilities = classes.iter().map(|class| probability_of(class));
    let header: Vec<String> = columns.into_iter().map(str::to_owned).chain(probabilities).collect();
    files::write_csv(path, std::iter::once(header).chain(rows))
}
