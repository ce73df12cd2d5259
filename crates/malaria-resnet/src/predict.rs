//! A trained model on single pictures.

use std::path::PathBuf;

use malaria_classifier::{Prediction, classify};
use malaria_dataset::list_images;

use crate::{
    classifier::Classifier,
    error::Result,
    progress::{Listener, Progress},
};

/// Classifies pictures: files, and folders with everything below them, in the order of their names.
///
/// A picture that cannot be read gives a [`Prediction`] that says why, and does not keep the others from theirs.
///
/// ```no_run
/// use malaria_resnet::{Classifier, default_run, libtorch::DeviceChoice, predict, roll_up};
///
/// let classifier = Classifier::load(&default_run()?, DeviceChoice::Auto.resolve()?)?;
/// let cells = predict(&classifier, &["a_folder_of_cells".into()], &|_| {})?;
/// for cell in &cells {
///     println!("{}: {:?}, {:?}", cell.path.display(), cell.class, cell.probability);
/// }
/// for patient in roll_up(&classifier.description(), &cells)? {
///     println!("{}: {:?}", patient.patient, patient.result.call);
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// [`Error::Dataset`](crate::Error::Dataset) when a path does not exist or holds no image; [`Error::Train`](crate::Error::Train) when libtorch fails.
pub fn predict(
    classifier: &Classifier,
    paths: &[PathBuf],
    listener: Listener<'_>,
) -> Result<Vec<Prediction>> {
    let (description, positive) = (classifier.description(), classifier.positive);
    let files = list_images(paths)?.images;
    classify(&description, positive, &files, |cells| classifier.all(cells), &mut |done, total| {
        listener(Progress::Classifying { done, total });
    })
}
