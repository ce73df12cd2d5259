//! Classifies image files.

use std::{
    collections::HashSet,
    path::{Path, PathBuf},
};

use malaria_classifier::{Prediction, Provenance, WeightsFile, classify};
use malaria_dataset::{Fingerprint, Manifest, PatientNames, Subset, list_images};

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
    let Classifier { description, positive, .. } = classifier;
    let files = list_images(paths, patients)?.images;
    classify(description, *positive, &files, |cells| classifier.classify(cells), &mut |done, total| {
        listener(Progress::Classifying { done, total });
    })
}

/// Marks the predictions for pictures on which the model of `run`, its initial weights or its teacher was trained, by the
/// contents of their files. Runs that can no longer be read are ignored.
pub fn mark_learned_from(run: &Path, predictions: &mut [Prediction]) {
    let manifests = lineage(run).manifests;
    let entries = manifests.iter().flat_map(|Manifest { entries, .. }| entries);
    let learned = entries.filter(|entry| matches!(entry.subset, Some(Subset::Train | Subset::Validation)));
    let files: HashSet<&Fingerprint> = learned.map(|entry| &entry.fingerprint).collect();
    for prediction in predictions {
        prediction.learned_from = prediction.file.map(|file| files.contains(&file));
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
