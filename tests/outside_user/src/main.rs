use std::{env, path::PathBuf};

use malaria_resnet::{
    dataset::PatientNames,
    libtorch::{DeviceChoice, describe},
};

fn main() -> Result<(), malaria_resnet::Error> {
    let device = DeviceChoice::Auto.resolve()?;
    let classifier = malaria_resnet::pretrained(device)?;
    println!("{} parameters on the {}", classifier.model().trainable_count(), describe(device));
    let pictures: Vec<PathBuf> = env::args_os().skip(1).map(PathBuf::from).collect();
    for cell in malaria_resnet::predict(&classifier, &pictures, &PatientNames::Nlm, &|_| {})? {
        // A picture that cannot be read has no class: `cell.error` then says why.
        println!("{}: {:?}, {:?}, {:?}", cell.path.display(), cell.class, cell.probability, cell.warning);
    }
    Ok(())
}
