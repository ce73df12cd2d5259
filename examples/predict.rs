//! Classifies images with the pretrained model, or with the run in MALARIA_RUN: `predict a_cell.png a_folder`.

#![allow(clippy::print_stdout, reason = "a program")]

use malaria_resnet::{
    Classifier, call_patients, dataset::PatientNames, default_run, libtorch::DeviceChoice, predict,
};

fn main() -> anyhow::Result<()> {
    let paths = Vec::from_iter(std::env::args_os().skip(1).map(Into::into));
    anyhow::ensure!(!paths.is_empty(), "usage: predict IMAGE_OR_FOLDER...");
    let classifier = Classifier::load(&default_run()?, DeviceChoice::Auto.resolve()?)?;
    let cells = predict(&classifier, &paths, &PatientNames::Nlm, &|_| {})?;
    for cell in &cells {
        match (&cell.class, cell.probability, &cell.error) {
            (Some(class), Some(probability), _) => {
                println!(
                    "{}: {class}, {} {probability:.4}",
                    cell.path.display(),
                    classifier.description.classes[classifier.positive]
                );
            }
            (.., error) => {
                println!("{}: {}", cell.path.display(), error.as_deref().unwrap_or("not classified"))
            }
        }
    }
    for patient in call_patients(&classifier.description, &cells)? {
        println!("patient {}: {}", patient.patient, patient.verdict.words);
    }
    Ok(())
}
