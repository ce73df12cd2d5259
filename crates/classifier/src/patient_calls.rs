//! Calls of patients from the predictions for their cells.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use malaria_dataset::ListedImage;
use malaria_metrics::CellCounts;
use rayon::prelude::*;
use serde::Serialize;

use crate::{
    classify::Prediction,
    description::Description,
    error::Result,
    patient_rule::{CellTally, PatientVerdict},
};

/// The prediction for one patient.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PatientPrediction {
    /// The patient's name.
    pub patient: String,
    /// The result.
    #[serde(flatten)]
    pub verdict: PatientVerdict,
}

/// Calls patients from the predictions for their cells, in the order of their names.
///
/// Pictures without a class, with a warning or of unknown patients do not count; copies (same pixels) count once, and those
/// that several patients share count for none of them. No patient is called if [`Description::patient_caller`] gives a
/// reason against it.
///
/// # Errors
/// [`Error::Metrics`](crate::Error::Metrics) when a patient's rates cannot be computed.
pub fn call_patients(
    description: &Description,
    predictions: &[Prediction],
) -> Result<Vec<PatientPrediction>> {
    call_complete_patients(description, predictions, &[])
}

/// [`call_patients`] after a classification that was stopped: the patients of the pictures `not_reached` are not called.
pub(crate) fn call_complete_patients(
    description: &Description,
    predictions: &[Prediction],
    not_reached: &[ListedImage],
) -> Result<Vec<PatientPrediction>> {
    let Ok((smear, caller)) = description.patient_caller() else { return Ok(Vec::new()) };
    let mut patients: BTreeMap<&str, CellTally> = BTreeMap::new();
    let mut counted = HashSet::new();
    let owners = owners(predictions);
    for prediction in predictions {
        let (Some(patient), Some(probability)) = (&prediction.patient, prediction.probability) else {
            continue;
        };
        let cells = patients.entry(patient).or_default();
        cells.seen_in_training += u64::from(prediction.seen_in_training == Some(true));
        if let Some(pixels) = &prediction.pixels_sha256
            && (owners[pixels.as_str()].is_none() || !counted.insert(pixels))
        {
            continue;
        }
        match prediction.warning {
            Some(_) => cells.set_aside(),
            None => cells.count(probability, probability >= smear.threshold),
        }
    }
    let mut missing: BTreeMap<&str, usize> = BTreeMap::new();
    for patient in not_reached.iter().filter_map(|file| file.patient.as_deref()) {
        patients.entry(patient).or_default();
        *missing.entry(patient).or_default() += 1;
    }
    // Computed once for equal counts, since each result takes milliseconds.
    let distinct: BTreeSet<(u64, u64)> = patients
        .values()
        .map(|cells| (cells.called.cells, cells.called.positive))
        .filter(|(cells, _)| *cells > 0)
        .collect();
    let evaluate =
        |(cells, positive)| Ok(((cells, positive), caller.evaluate(CellCounts { cells, positive })?));
    let results = distinct.into_par_iter().map(evaluate).collect::<Result<BTreeMap<_, _>>>()?;
    let called = patients.into_iter().map(|(patient, cells)| {
        let result = results.get(&(cells.called.cells, cells.called.positive)).copied();
        let mut verdict = PatientVerdict::new(description, smear, Some(patient), &cells, result);
        if let Some(&pictures) = missing.get(patient) {
            verdict.withdraw_call(pictures);
        }
        PatientPrediction { patient: patient.to_owned(), verdict }
    });
    Ok(called.collect())
}

/// The patient of each picture, by its pixels; `None` if several patients have the same picture.
pub(crate) fn owners(predictions: &[Prediction]) -> HashMap<&str, Option<&str>> {
    let mut owners: HashMap<&str, Option<&str>> = HashMap::new();
    for prediction in predictions {
        if let (Some(pixels), Some(patient)) = (&prediction.pixels_sha256, &prediction.patient) {
            let owner = owners.entry(pixels).or_insert(Some(patient));
            *owner = owner.filter(|owner| owner == patient);
        }
    }
    owners
}

#[cfg(test)]
mod tests {
    use std::{
        path::PathBuf,
        sync::atomic::{AtomicBool, Ordering},
    };

    use image::{Rgb, RgbImage};
    use malaria_dataset::{Cells, ResizePolicy};
    use malaria_metrics::{PatientCall, PatientRule, PositiveRate};

    use super::*;
    use crate::{
        classify::classify,
        decision::ChosenOn,
        description::ImageConfig,
        patient_rule::SmearRule,
        prediction_report::{PredictionReport, Provenance},
    };

    /// A model that was trained on cells of C1.
    fn description() -> Description {
        let rates = PatientRule {
            uninfected: PositiveRate::known(0.01, 0.01),
            infected: PositiveRate::known(0.9, 0.05),
        };
        let chosen_on = ChosenOn::OutOfFold;
        Description {
            classes: ["Parasitized", "Uninfected"].map(str::to_owned).to_vec(),
            positive: "Parasitized".to_owned(),
            image: ImageConfig { pixels: 64, resize: ResizePolicy::Stretch },
            input: None,
            threshold: None,
            smear: Some(SmearRule { threshold: 0.95, chosen_on, max_uncertain: Some(0.2), rates }),
            training_patients: vec!["C1".to_owned()],
            temperature: None,
        }
    }

    #[test]
    fn unreliable_results_of_patients_have_a_remark() {
        let description = description();
        let cell = |(patient, probability): (&str, f64)| Prediction {
            path: PathBuf::new(),
            patient: Some(patient.to_owned()),
            class: None,
            probability: Some(probability),
            warning: None,
            error: None,
            pixels_sha256: None,
            seen_in_training: None,
            file: None,
            warnings: Vec::new(),
            problem: None,
        };
        // A fifth of the cells of C12 are uncertain, all of C13's.
        let cells = [[("C1", 0.99), ("C12", 0.1), ("C13", 0.9)], [("C1", 0.01), ("C12", 0.05), ("C13", 0.5)]];
        let cells = cells.into_iter().flatten().map(cell).collect::<Vec<_>>();
        let cells = [0, 3, 3, 3, 3].map(|from| cells[from..from + 3].to_vec()).concat();
        let patients = call_patients(&description, &vec![cells.clone(); 100].concat()).unwrap();
        let said =
            patients.iter().map(|patient| (patient.verdict.unfamiliar, patient.verdict.seen_in_training));
        assert!(said.eq([(false, true), (false, false), (true, false)]), "{patients:?}");
        let words = |i: usize| patients[i].verdict.words.as_str();
        assert_eq!(words(0), "positive; not valid: the model was trained on a patient of this name");
        assert!(
            words(1).starts_with("not detected (limit ") && words(1).ends_with(" at 500 cells)"),
            "{}",
            words(1)
        );
        assert_eq!(
            words(2),
            "not called: the pictures are unlike the training cells (100.00 % of the cells are uncertain, 0.00 % of the pictures have a warning or come from poor photographs); the detection limit is unknown for them"
        );
        // Patients are listed even if all of their pictures are set aside.
        let warned = Prediction { warning: Some("blurred".to_owned()), ..cells[0].clone() };
        let result = call_patients(&description, &[warned]).unwrap()[0].verdict.clone();
        assert_eq!((result.result.called.cells, result.result.call), (0, PatientCall::NotCalled));
        assert!(result.words.starts_with("not called: all pictures have a warning"), "{}", result.words);
        // A handful of cells gives no share.
        assert_eq!(call_patients(&description, &cells).unwrap()[2].verdict.uncertain_share, None);
    }

    #[test]
    fn a_stopped_classification_calls_no_incomplete_patient() {
        static STOP: AtomicBool = AtomicBool::new(false);
        let folder = tempfile::tempdir().unwrap();
        // C11's pictures are classified first, and a part of C12's.
        let files: Vec<ListedImage> = [("C11", 1, 200), ("C12", 2, 100), ("C13", 3, 10)]
            .into_iter()
            .flat_map(|(patient, blue, pictures)| {
                let path = folder.path().join(patient).with_extension("png");
                let picture = RgbImage::from_fn(20, 20, |x, y| Rgb([10 * x as u8, 10 * y as u8, blue]));
                picture.save(&path).unwrap();
                vec![ListedImage { path, patient: Some(patient.to_owned()) }; pictures]
            })
            .collect();
        let network = |cells: &Cells| {
            STOP.store(true, Ordering::Relaxed);
            Ok::<_, malaria_dataset::Error>([0.1, 0.9].repeat(cells.len()))
        };
        let description = description();
        let cells = classify(&description, 0, &files, network, Some(&STOP), &mut |_, _| {}).unwrap();
        assert_eq!(cells.len(), 256);
        let report = |cells: &[Prediction]| {
            let not_reached = &files[cells.len()..];
            PredictionReport::new(&description, cells.to_vec(), not_reached, true, Provenance::default())
                .unwrap()
        };
        let stopped = report(&cells);
        let words = |report: &PredictionReport| -> Vec<String> {
            report.patients.iter().map(|patient| patient.verdict.words.clone()).collect()
        };
        let called = words(&stopped);
        assert!(called[0].starts_with("too few cells"), "{called:?}");
        for (i, (cells, missing)) in [(1, 44), (0, 10)].into_iter().enumerate() {
            let result = stopped.patients[i + 1].verdict.result;
            assert_eq!((result.called.cells, result.call), (cells, PatientCall::NotCalled));
            let expected = format!("not called: {missing} of the patient's pictures are not classified");
            assert_eq!(called[i + 1], expected);
        }
        let json = serde_json::to_value(&stopped).unwrap();
        assert_eq!(
            (json["not_reached"].as_u64(), json["cells"].as_array().map(Vec::len)),
            (Some(54), Some(256))
        );
        assert!(stopped.table(&[]).contains("pictures not classified, because the work was stopped: 54"));
        let line = "stopped: 54 of 310 pictures are not classified".to_owned();
        assert_eq!(stopped.outcome(), (vec![line], 130));

        // Without a stop, all patients are called.
        let finished = classify(&description, 0, &files, network, None, &mut |_, _| {}).unwrap();
        let finished = report(&finished);
        assert!(words(&finished).iter().all(|words| words.starts_with("too few cells")));
        assert_eq!((finished.not_reached, finished.outcome()), (0, (Vec::new(), 0)));
    }
}
