//! Classifies image files.

use std::{
    collections::{HashMap, HashSet},
    path::{Path, PathBuf},
    sync::atomic::AtomicBool,
};

use malaria_classifier::{Prediction, Provenance, WeightsFile, classify};
use malaria_dataset::{Cells, ListedImage, Manifest, PatientNames, Subset, list_images, nih_name};

use crate::{
    classifier::Classifier,
    error::Result,
    progress::{Listener, Progress},
    run::{dir::RunDir, lineage::lineage},
};

/// Classifies image files, and all images below folders, in the order of their names. `patients` is the source of the patients.
///
/// An unreadable image gives a [`Prediction`] with the reason.
///
/// ```no_run
/// use malaria_resnet::{Classifier, dataset::PatientNames, default_run, libtorch::DeviceChoice, predict, call_patients};
///
/// let classifier = Classifier::load(&default_run()?, DeviceChoice::Auto.resolve()?)?;
/// let cells = predict(&classifier, &["a_folder_of_cells".into()], &PatientNames::Nlm, &|_| {})?;
/// for cell in &cells {
///     println!("{}: {:?}, {:?}", cell.path.display(), cell.class, cell.probability);
/// }
/// for patient in call_patients(&classifier.description, &cells)? {
///     println!("{}: {}", patient.patient, patient.verdict.words);
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// [`Error::Dataset`](crate::Error::Dataset) for a path that does not exist or holds no image, and for `patients` that do not fit;
/// [`Error::Train`](crate::Error::Train) when libtorch fails.
pub fn predict(
    classifier: &Classifier,
    paths: &[PathBuf],
    patients: &PatientNames,
    listener: Listener<'_>,
) -> Result<Vec<Prediction>> {
    predict_files(classifier, &list_images(paths, patients)?.images, None, listener)
}

/// [`predict`] for listed `files`, in their order. Once `stop` is true, only the pictures in progress are finished, and
/// there are fewer predictions than `files`.
///
/// # Errors
/// [`Error::Train`](crate::Error::Train) when libtorch fails.
pub fn predict_files(
    classifier: &Classifier,
    files: &[ListedImage],
    stop: Option<&AtomicBool>,
    listener: Listener<'_>,
) -> Result<Vec<Prediction>> {
    let Classifier { description, positive, .. } = classifier;
    let network = |cells: &Cells| classifier.classify(cells);
    classify(description, *positive, files, network, stop, &mut |done, total| {
        listener(Progress::Classifying { done, total });
    })
}

/// Marks the predictions for pictures on which the model of `run`, its initial weights or its teacher was trained: by the
/// contents of their files, by NLM's names for files with other contents, and then all pictures with the same pixels. Runs
/// that can no longer be read are ignored.
pub fn mark_seen_in_training(run: &Path, predictions: &mut [Prediction]) {
    for Manifest { entries, .. } in lineage(run).manifests {
        let (mut files, mut names) = (HashMap::new(), HashSet::new());
        for entry in &entries {
            let learned = matches!(entry.subset, Some(Subset::Train | Subset::Validation));
            *files.entry(entry.fingerprint).or_insert(false) |= learned;
            names.extend(nih_name(&entry.path).filter(|_| learned));
        }
        for prediction in predictions.iter_mut() {
            let Some(file) = prediction.file else { continue };
            // The class is not known here, so a name counts in any class.
            let named =
                || prediction.path.to_str().and_then(nih_name).is_some_and(|name| names.contains(name));
            let learned = files.get(&file).copied().unwrap_or_else(named);
            prediction.seen_in_training = Some(learned || prediction.seen_in_training == Some(true));
        }
    }
    let learned = predictions.iter().filter(|prediction| prediction.seen_in_training == Some(true));
    let pixels: HashSet<String> = learned.filter_map(|prediction| prediction.pixels_sha256.clone()).collect();
    for prediction in predictions {
        if prediction.pixels_sha256.as_ref().is_some_and(|found| pixels.contains(found)) {
            prediction.seen_in_training = Some(true);
        }
    }
}

/// The provenance of predictions of `program` with the model of `run`.
///
/// # Errors
/// As [`Classifier::load`].
pub fn provenance(run: &Path, program: &str) -> Result<Provenance> {
    let weights = WeightsFile::read(&RunDir::open(run)?.finished_weights()?)?;
    Ok(Provenance {
        program: program.to_owned(),
        model: run.display().to_string(),
        model_sha256: weights.sha256,
    })
}

#[cfg(test)]
mod tests {
    use malaria_dataset::{Fingerprint, Protocol};

    use super::*;
    use crate::config::{ExperimentConfig, Recipe};

    #[test]
    fn training_cells_are_recognised_in_another_format() {
        let run = tempfile::tempdir().unwrap();
        let config = ExperimentConfig::new(Recipe::Tutorial, Protocol::Random, 0);
        malaria_files::write_json(&run.path().join("config.json"), &config).unwrap();
        let name = |cell: u8| format!("C1P1thinF_IMG_1_cell_{cell}");
        let row = |(cell, subset): (u8, &str)| {
            let file = Fingerprint::of(&[cell]);
            format!("Parasitized/{}.png,Parasitized,C1,{subset},{},{}\n", name(cell), file.bytes, file.hex())
        };
        let rows: String = [(1, "train"), (2, "validation"), (3, "test")].map(row).concat();
        let header = "path,class,patient,subset,bytes,sha256\n";
        std::fs::write(run.path().join("split.csv"), format!("{header}{rows}")).unwrap();

        type Picture<'a> = (String, Option<&'a [u8]>, &'a str);
        let prediction = |(path, file, pixels): Picture<'_>| Prediction {
            path: path.into(),
            patient: None,
            class: None,
            probability: None,
            warning: None,
            warnings: Vec::new(),
            error: None,
            problem: None,
            pixels_sha256: file.map(|_| pixels.to_owned()),
            seen_in_training: None,
            file: file.map(Fingerprint::of),
        };
        let cases: [(Picture<'_>, Option<bool>); 7] = [
            (("renamed.png".to_owned(), Some(&[1]), "one"), Some(true)),
            (("copy of the pixels.bmp".to_owned(), Some(&[11]), "one"), Some(true)),
            ((format!("jpeg/{}.jpg", name(2)), Some(&[12]), "two"), Some(true)),
            ((format!("jpeg/{}.jpg", name(3)), Some(&[13]), "three"), Some(false)),
            // The file of a test cell under the name of a training cell.
            ((format!("{}.png", name(1)), Some(&[3]), "three"), Some(false)),
            (("new.png".to_owned(), Some(&[14]), "new"), Some(false)),
            ((format!("{}.png", name(1)), None, ""), None),
        ];
        let mut predictions: Vec<Prediction> =
            cases.iter().cloned().map(|(case, _)| prediction(case)).collect();
        mark_seen_in_training(run.path(), &mut predictions);
        for (found, (_, expected)) in predictions.iter().zip(&cases) {
            assert_eq!(found.seen_in_training, *expected, "{}", found.path.display());
        }
    }
}
