use std::path::Path;

use malaria_dataset::{Index, Subset};

use crate::{Classifier, Error, Result, files};

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
    let failed = |error: csv::Error| Error::io("write", path)(std::io::Error::other(error));
    let mut writer = csv::Writer::from_writer(Vec::new());
    let header = ["path", "class", "patient", "subset", "predicted"].map(str::to_owned);
    let columns = classifier.classes.iter().map(|class| format!("probability_{class}"));
    writer.write_record(header.into_iter().chain(columns)).map_err(failed)?;
    for (&i, row) in indices.iter().zip(probabilities.chunks(classifier.classes.len())) {
        let sample = &index.samples[i];
        let fields = [
            sample.path.clone(),
            index.classes[sample.class].clone(),
            sample.patient.clone().unwrap_or_default(),
            subset.map(|subset| subset.to_string()).unwrap_or_default(),
            classifier.classes[most_probable(row)].clone(),
        ];
        // The shortest decimal that reads back as the same number: a reader's figures are ours exactly.
        let row = row.iter().map(f64::to_string);
        writer.write_record(fields.into_iter().chain(row)).map_err(failed)?;
    }
    files::write(path, &writer.into_inner().map_err(|error| Error::io("write", path)(error.into_error()))?)
}

/// Index of the highest probability; the first of equals, as in scikit-learn.
pub(crate) fn most_probable(row: &[f64]) -> usize {
    (1..row.len()).fold(0, |best, i| if row[i] > row[best] { i } else { best })
}
