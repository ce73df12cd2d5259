//! A run's model as a file for other programs: ONNX, looked at before it is let out, and TorchScript.

use std::path::{Path, PathBuf};

use malaria_classifier::{GroundTruth, WeightsFile, call};
use malaria_dataset::CorruptPolicy;
use malaria_edge::{Calls, Model, Precision, Toll, toll};
use tch::{CModule, Device, Kind, Tensor, no_grad};

use crate::{
    classifier::Classifier,
    error::{Error, Result},
    evaluate::JudgedCells,
    progress::{Listener, Progress},
    run::dir::RunDir,
    summary::reason,
};

/// What to export.
#[derive(Clone, Copy, Debug)]
pub struct ExportOptions<'a> {
    /// The run directory.
    pub run: &'a Path,
    /// How weights are stored.
    pub precision: Precision,
    /// Labelled cells that smaller weights are looked at with: the run's test cells among them, or all where there are none.
    /// `None` leaves that out.
    pub data: Option<&'a Path>,
    /// By how much sensitivity may fall on them, a fraction.
    pub most_sensitivity_lost: f64,
    /// Leave out images that cannot be read.
    pub skip_corrupt: bool,
}

/// An ONNX file, and what is known of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Exported {
    /// The file.
    pub onnx: Vec<u8>,
    /// What smaller weights change; `None` for float32, or where it was not looked at.
    pub toll: Option<Toll>,
    /// Images that were left out of that since they cannot be read: path and reason.
    pub skipped: Vec<String>,
}

/// Makes an ONNX file of a run's model. With weights in fewer bits than float32, and data, it compares the calls of both by
/// the runtime without libtorch.
///
/// ```no_run
/// use std::path::Path;
///
/// use malaria_resnet::{ExportOptions, edge::Precision, export};
///
/// let options = ExportOptions {
///     run: Path::new("runs/mine"),
///     precision: Precision::Int8,
///     data: Some(Path::new("cell_images")),
///     most_sensitivity_lost: 0.005,
///     skip_corrupt: false,
/// };
/// let exported = export(options, &|_| {})?;
/// std::fs::write("mine-int8.onnx", exported.onnx)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// [`Error::Config`] when the loss that is allowed is no number; [`Error::SensitivityLost`] when sensitivity falls by more than is allowed; [`Error::Classes`] when the folder's classes are
/// not the model's; the other crates' own.
pub fn export(options: ExportOptions<'_>, listener: Listener<'_>) -> Result<Exported> {
    if !options.most_sensitivity_lost.is_finite() {
        let (field, expected) = ("most_sensitivity_lost", "a fraction, such as 0.005".to_owned());
        return Err(Error::Config { field, expected, found: options.most_sensitivity_lost.to_string() });
    }
    let run = RunDir::open(options.run)?;
    let weights = WeightsFile::read(&run.finished_weights()?)?;
    let onnx = malaria_edge::export(&weights, options.precision, None)?;
    let (Some(data), true) = (options.data, options.precision != Precision::F32) else {
        return Ok(Exported { onnx, toll: None, skipped: Vec::new() });
    };
    let full = Model::load(&malaria_edge::export(&weights, Precision::F32, None)?)?;
    let reduced = Model::load(&onnx)?;
    let description = &weights.weights.description;
    let corrupt = if options.skip_corrupt { CorruptPolicy::Skip } else { CorruptPolicy::Fail };
    let JudgedCells { loaded, chosen, seen_in_training, .. } =
        JudgedCells::load(&run, &description.classes, description.image, data, None, corrupt, listener)?;
    let positive = full.positive();
    let total = 2 * chosen.len();
    let called_positive = |model: &Model, done_before: usize| {
        let said = model.probabilities(&loaded.cells, &chosen, &mut |done| {
            listener(Progress::Testing { done: done_before + done, total });
        })?;
        let call = |row: &[f64]| call(row, positive, description.threshold.as_ref()) == positive;
        Ok::<_, Error>(said.chunks(description.classes.len()).map(call).collect::<Vec<bool>>())
    };
    let (by_full, by_reduced) = (called_positive(&full, 0)?, called_positive(&reduced, chosen.len())?);
    let truth = GroundTruth::new(&loaded.index, &chosen);
    let calls: Vec<Calls<'_>> = (0..chosen.len())
        .map(|i| Calls {
            is_positive: truth.classes[i] == positive,
            full: by_full[i],
            reduced: by_reduced[i],
            patient: truth.patients[i],
        })
        .collect();
    let toll = toll(&calls, seen_in_training)?;
    let Some(lost) = toll.sensitivity_lost else {
        let expected =
            format!("cells of the class {}, to see whether sensitivity is lost", description.positive);
        return Err(Error::Config { field: "data", expected, found: format!("none in {}", data.display()) });
    };
    if lost.estimate > options.most_sensitivity_lost {
        return Err(Error::SensitivityLost { lost: lost.estimate, most: options.most_sensitivity_lost });
    }
    let onnx = malaria_edge::export(&weights, options.precision, Some(toll))?;
    Ok(Exported { onnx, toll: Some(toll), skipped: loaded.skipped.iter().map(reason).collect() })
}

/// Writes a run's model as TorchScript to `path`, for programs with libtorch or PyTorch: `forward` takes `images`, float32
/// `[N, 3, S, S]` in [0, 1], to probabilities, float32 `[N, classes]`, softmax and temperature included, with any N. What
/// TorchScript cannot hold (classes, threshold, how pictures are read) goes to a JSON beside it, whose path is given.
///
/// # Errors
/// [`Error::Train`] when libtorch cannot write the model, [`Error::File`] for a file that cannot be written.
pub fn export_torchscript(run: &Path, path: &Path) -> Result<PathBuf> {
    let classifier = Classifier::load(run, Device::Cpu)?;
    // What is traced becomes constants, which must not ask for gradients.
    let libtorch = malaria_train::Error::from;
    for parameter in classifier.model().parameters() {
        let _ = parameter.tensor.f_set_requires_grad(false).map_err(libtorch)?;
    }
    let temperature = classifier.temperature.unwrap_or(1.0);
    let side = i64::from(classifier.image.pixels);
    let images = Tensor::f_zeros([1, 3, side, side], (Kind::Float, Device::Cpu)).map_err(libtorch)?;
    let probabilities = |images: &Tensor| -> Result<Tensor> {
        let logits =
            classifier.model().forward(images, false)?.f_div_scalar(temperature).map_err(libtorch)?;
        Ok(logits.f_softmax(-1, Kind::Float).map_err(libtorch)?)
    };
    let mut failed = None;
    let mut forward = |images: &[Tensor]| {
        // What is traced cannot fail: it is told afterwards.
        let traced = probabilities(&images[0]).map_err(|error| failed = Some(error));
        vec![traced.unwrap_or_else(|()| images[0].shallow_clone())]
    };
    let traced = no_grad(|| CModule::create_by_tracing("Classifier", "forward", &[images], &mut forward));
    if let Some(error) = failed {
        return Err(error);
    }
    let file = malaria_files::beside(path).map_err(malaria_files::Error::io("write", path))?;
    traced.and_then(|model| model.save(file.path())).map_err(libtorch)?;
    // The rest first: without it the model is of no use.
    let mut rest = path.as_os_str().to_owned();
    rest.push(".json");
    let rest = PathBuf::from(rest);
    malaria_files::write_json(&rest, &classifier.description())?;
    malaria_files::put(file, path).map_err(malaria_files::Error::io("write", path))?;
    Ok(rest)
}
