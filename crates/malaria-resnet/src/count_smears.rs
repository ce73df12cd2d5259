//! Counts infected cells in photographs of smears.

use malaria_dataset::{Cells, ListedImage};
use malaria_smear::{CountOptions, SmearReport};

use crate::{
    classifier::Classifier,
    error::Result,
    progress::{Listener, Progress},
};

/// Counts infected cells in photographs of smears, see [`malaria_smear::count_smears`].
///
/// ```no_run
/// use malaria_resnet::{
///     Classifier, count_smears,
///     dataset::{PatientNames, list_images},
///     default_run,
///     libtorch::DeviceChoice,
///     smear::CountOptions,
/// };
///
/// let classifier = Classifier::load(&default_run()?, DeviceChoice::Auto.resolve()?)?;
/// let photos = list_images(&["photos_of_a_smear".into()], &PatientNames::Nlm)?.images;
/// let report = count_smears(&classifier, &photos, &CountOptions::default(), &|_| {})?;
/// for patient in &report.patients {
///     let words = patient.verdict.as_ref().map_or("not called", |verdict| &verdict.words);
///     println!("{} of {} red cells: {words}", patient.infected, patient.red_cells);
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// [`Error::File`](crate::Error::File) where a result cannot be written; [`Error::Train`](crate::Error::Train) when libtorch fails.
pub fn count_smears(
    classifier: &Classifier,
    photos: &[ListedImage],
    options: &CountOptions,
    listener: Listener<'_>,
) -> Result<SmearReport> {
    let Classifier { description, positive, .. } = classifier;
    let network = |cells: &Cells| classifier.classify(cells);
    malaria_smear::count_smears(description, *positive, photos, options, network, &mut |done, total| {
        listener(Progress::Counting { done, total });
    })
}
