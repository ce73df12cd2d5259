//! Exports the model of a run to ONNX, and measures the accuracy cost of smaller weights.

use std::path::Path;

use malaria_classifier::{GroundTruth, WeightsFile, call};
use malaria_dataset::{PatientNames, UnknownPatients};
use malaria_edge::{CellCalls, Model, QuantizationLoss, WeightFormat, quantization_loss};

use crate::{
    data_summary::skipped_images,
    error::{Error, Result},
    evaluate::{EvaluatedCells, LabelledFolder},
    progress::{Listener, Progress},
    run::dir::RunDir,
};

/// What to export.
#[derive(Clone, Copy, Debug)]
pub struct ExportOptions<'a> {
    /// The run directory.
    pub run: &'a Path,
    /// Format of the stored weights.
    pub weights: WeightFormat,
    /// Labelled cells for comparing smaller weights with float32: the run's test cells in the folder, or all cells if it has
    /// none. `None` skips the comparison.
    pub data: Option<&'a Path>,
    /// Source of the patients of its cells, as in [`EvaluateOptions`](crate::EvaluateOptions).
    pub patients: Option<&'a PatientNames>,
    /// Largest loss of sensitivity and of specificity allowed on these cells, at the threshold for cells and at that for
    /// smears; a fraction, see [`LossEstimate::upper`](malaria_edge::LossEstimate::upper).
    pub max_loss: f64,
    /// Skip unreadable images.
    pub skip_corrupt: bool,
}

/// An ONNX file, and the accuracy cost of its weights.
#[derive(Clone, Debug, PartialEq)]
pub struct Exported {
    /// The file's bytes.
    pub onnx: Vec<u8>,
    /// Accuracy cost compared with float32; `None` for float32 and if it was not measured.
    pub quantization_loss: Option<QuantizationLoss>,
    /// The compared folder's cells of unknown patients, if there are any.
    pub unknown_patients: Option<UnknownPatients>,
    /// Unreadable images that were skipped in the comparison: path and reason.
    pub skipped: Vec<String>,
}

/// Exports a run's model to ONNX. For weights smaller than float32, if there is data, it compares the calls of the exported
/// model with those of float32, both computed by the runtime without libtorch.
///
/// ```no_run
/// use std::path::Path;
///
/// use malaria_resnet::{ExportOptions, edge::WeightFormat, export};
///
/// let options = ExportOptions {
///     run: Path::new("runs/mine"),
///     weights: WeightFormat::Int8,
///     data: Some(Path::new("cell_images")),
///     patients: None,
///     max_loss: 0.005,
///     skip_corrupt: false,
/// };
/// let exported = export(options, &|_| {})?;
/// std::fs::write("mine-int8.onnx", exported.onnx)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// [`Error::Config`] when the largest loss allowed is not finite, or there are no cells of one of the classes;
/// [`Error::QuantizationLoss`] when sensitivity or specificity, at the threshold for cells or at that for smears, may fall by
/// more than is allowed; [`Error::Classes`] when the folder's classes are not the model's; the errors of other crates.
pub fn export(options: ExportOptions<'_>, listener: Listener<'_>) -> Result<Exported> {
    if !options.max_loss.is_finite() {
        let (field, expected) = ("max_loss", "a fraction, such as 0.005".to_owned());
        return Err(Error::Config { field, expected, found: options.max_loss.to_string() });
    }
    let run = RunDir::open(options.run)?;
    let weights = WeightsFile::read(&run.finished_weights()?)?;
    let onnx = malaria_edge::export(&weights, options.weights, None)?;
    let (Some(data), true) = (options.data, options.weights != WeightFormat::F32) else {
        return Ok(Exported { onnx, quantization_loss: None, unknown_patients: None, skipped: Vec::new() });
    };
    let full = Model::load(&malaria_edge::export(&weights, WeightFormat::F32, None)?)?;
    let reduced = Model::load(&onnx)?;
    let description = &weights.weights.description;
    let EvaluatedCells { loaded, chosen, seen_in_training, .. } = EvaluatedCells::load(
        &run,
        &description.classes,
        description.image,
        LabelledFolder { path: data, patients: options.patients, skip_corrupt: options.skip_corrupt },
        None,
        listener,
    )?;
    let positive = full.positive();
    let total = 2 * chosen.len();
    let probabilities = |model: &Model, done_before: usize| {
        model.probabilities(&loaded.cells, &chosen, &mut |done| {
            listener(Progress::Testing { done: done_before + done, total });
        })
    };
    let (by_full, by_reduced) = (probabilities(&full, 0)?, probabilities(&reduced, chosen.len())?);
    let classes = description.classes.len();
    let truth = GroundTruth::new(&loaded.index, &chosen);
    let losses = |is_called: &dyn Fn(&[f64]) -> bool| {
        let calls = by_full.chunks(classes).zip(by_reduced.chunks(classes)).enumerate();
        let calls = calls.map(|(i, (full, reduced))| CellCalls {
            is_positive: truth.classes[i] == positive,
            full: is_called(full),
            reduced: is_called(reduced),
            patient: truth.patients[i],
        });
        quantization_loss(&calls.collect::<Vec<_>>(), seen_in_training)
    };
    let mut quantization_loss =
        losses(&|row| call(row, positive, description.threshold.as_ref()) == positive)?;
    if let Some(smear) = &description.smear {
        let QuantizationLoss { sensitivity_loss, specificity_loss, .. } =
            losses(&|row| row[positive] >= smear.threshold)?;
        quantization_loss.smear_losses = Some([sensitivity_loss, specificity_loss]);
    }
    refuse_losses(&quantization_loss, options.max_loss, data)?;
    let onnx = malaria_edge::export(&weights, options.weights, Some(quantization_loss))?;
    Ok(Exported {
        onnx,
        quantization_loss: Some(quantization_loss),
        unknown_patients: loaded.index.unknown_patients(),
        skipped: skipped_images(&loaded),
    })
}

/// Refuses a loss that may exceed `max` at either threshold, on the cells of `data`.
fn refuse_losses(losses: &QuantizationLoss, max: f64, data: &Path) -> Result<()> {
    let mut measured =
        vec![("sensitivity", losses.sensitivity_loss), ("specificity", losses.specificity_loss)];
    if let Some([sensitivity, specificity]) = losses.smear_losses {
        measured.extend([
            ("sensitivity at the threshold for smears", sensitivity),
            ("specificity at the threshold for smears", specificity),
        ]);
    }
    for (metric, loss) in measured {
        let Some(loss) = loss else {
            let expected = format!("cells of both classes, to measure the {metric}");
            let found = format!("cells of one class in {}", data.display());
            return Err(Error::Config { field: "data", expected, found });
        };
        if loss.upper() > max {
            return Err(Error::QuantizationLoss { metric, loss, max });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use malaria_edge::LossEstimate;

    use super::*;

    #[test]
    fn a_loss_at_either_threshold_is_refused() {
        let loss = |estimate| Some(LossEstimate { estimate, interval: None, cells: 10_000 });
        let refusal = |[cells, smears]: [[f64; 2]; 2]| {
            let losses = QuantizationLoss {
                n: 20_000,
                n_patients: 100,
                seen_in_training: 0,
                changed_calls: 0,
                sensitivity_loss: loss(cells[0]),
                specificity_loss: loss(cells[1]),
                smear_losses: Some(smears.map(loss)),
            };
            refuse_losses(&losses, 0.005, Path::new("cells")).err().map(|error| error.to_string())
        };
        assert_eq!(refusal([[0.004, 0.0], [0.0, 0.004]]), None);
        for (losses, metric) in [
            ([[0.006, 0.0], [0.0, 0.0]], "sensitivity"),
            ([[0.0, 0.006], [0.0, 0.0]], "specificity"),
            ([[0.0, 0.0], [0.006, 0.0]], "sensitivity at the threshold for smears"),
            ([[0.0, 0.0], [0.0, 0.006]], "specificity at the threshold for smears"),
        ] {
            let words = refusal(losses).unwrap();
            assert!(words.contains(&format!("lowers the {metric} by 0.60 points")), "{words}");
        }
    }
}
