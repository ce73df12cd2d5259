use std::path::Path;

use malaria_dataset::{Index, Subset};
use malaria_edge::most_probable;

use crate::{Classifier, Error, Result, files};

/// How far probabilities computed in float32 may sum to something else than one, with room.
const SUM_TOLERANCE: f64 = 1e-4;
/// Columns before the probabilities of a run's predictions.
const COLUMNS: [&str; 5] = ["path", "class", "patient", "subset", "predicted"];

/// Writes one row a cell: `path,class,patient,subset,predicted`, then `probability_<class>` for every class.
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
        ];
        (fields, row)
    });
    write_table(path, COLUMNS, &classifier.classes, rows)
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

/// Writes one row a cell: `path,class,patient,fold,predicted`, then `probability_<class>` for every class.
pub(crate) fn write_out_of_fold(path: &Path, classes: &[String], rows: &[OutOfFold]) -> Result<()> {
    let rows = rows.iter().map(|row| {
        let OutOfFold { path, class, patient, fold, predicted, probabilities } = row.clone();
        ([path, class, patient, fold.to_string(), predicted], probabilities)
    });
    write_table(path, ["path", "class", "patient", "fold", "predicted"], classes, rows)
}

/// Reads what [`write_predictions`] wrote for a run whose classes are `classes`, as the rows of `fold`.
pub(crate) fn read_predictions(path: &Path, classes: &[String], fold: usize) -> Result<Vec<OutOfFold>> {
    let expected = "the predictions of a run";
    let bad = |reason: String| Error::Csv { path: path.to_owned(), expected, reason };
    let bytes = std::fs::read(path).map_err(Error::io("read", path))?;
    let mut reader = csv::Reader::from_reader(bytes.as_slice());
    let header: Vec<String> = header(COLUMNS, classes).collect();
    let found = reader.headers().map_err(|error| bad(error.to_string()))?;
    if found != header {
        let found: Vec<&str> = found.iter().collect();
        return Err(bad(format!("expected the columns {}, found {}", header.join(","), found.join(","))));
    }
    let rows = reader.records().map(|record| {
        let record = record.map_err(|error| bad(error.to_string()))?;
        let line = record.position().map_or(0, csv::Position::line);
        let number = |text: &str| {
            let number = text.parse::<f64>().ok().filter(|value| (0.0..=1.0).contains(value));
            number.ok_or_else(|| bad(format!("line {line}: expected a probability, found `{text}`")))
        };
        let class = record[1].to_owned();
        if !classes.contains(&class) {
            return Err(bad(format!("line {line}: `{class}` is not one of the classes {classes:?}")));
        }
        let probabilities = record.iter().skip(COLUMNS.len()).map(number).collect::<Result<Vec<f64>>>()?;
        let sum: f64 = probabilities.iter().sum();
        if (sum - 1.0).abs() > SUM_TOLERANCE {
            return Err(bad(format!(
                "line {line}: expected probabilities that sum to 1, found a sum of {sum}"
            )));
        }
        Ok(OutOfFold {
            path: record[0].to_owned(),
            class,
            patient: record[2].to_owned(),
            fold,
            predicted: record[4].to_owned(),
            probabilities,
        })
    });
    rows.collect()
}

fn header<'a>(columns: [&'a str; 5], classes: &'a [String]) -> impl Iterator<Item = String> {
    let probabilities = classes.iter().map(|class| format!("probability_{class}"));
    columns.into_iter().map(str::to_owned).chain(probabilities)
}

fn write_table<P: AsRef<[f64]>>(
    path: &Path,
    columns: [&str; 5],
    classes: &[String],
    rows: impl IntoIterator<Item = ([String; 5], P)>,
) -> Result<()> {
    let rows = rows.into_iter().map(|(fields, probabilities)| {
        // The shortest decimal that reads back as the same number: a reader's figures are ours exactly.
        let probabilities = probabilities.as_ref().iter().map(f64::to_string);
        fields.into_iter().chain(probabilities).collect::<Vec<String>>()
    });
    files::write_csv(path, std::iter::once(header(columns, classes).collect()).chain(rows))
}
