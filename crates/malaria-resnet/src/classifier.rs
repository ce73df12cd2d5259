//! A trained network with its classes, input size, threshold and calibration; finds the default model.

use std::{
    cell::OnceCell,
    env,
    path::{Path, PathBuf},
};

use image::RgbImage;
use malaria_classifier::{Description, GroundTruth, ImageConfig, Prediction, Scored, classify_pictures};
use malaria_dataset::Cells;
use malaria_metrics::{Probabilities, apply_temperature};
use malaria_model::{Fused, ResNet};
use malaria_train::{CellTensors, EvalOptions, evaluate_network};
use tch::{Device, Kind, Tensor};

use crate::{
    error::{Error, Result},
    paths::absolute,
    run::dir::RunDir,
};

/// A trained network with everything needed to use it.
pub struct Classifier {
    /// The network; it must not change, since [`fused`](Self::fused) is derived from it.
    model: ResNet,
    /// Classes, input size, thresholds and properties of the training cells, as stored in the weights file beside the weights.
    pub description: Description,
    /// Index of the positive class.
    pub positive: usize,
    /// Average the probabilities over four mirror images of each cell, at four times the cost. Not stored with the model; off
    /// after loading.
    pub flips: bool,
    /// The network's form for inference, built on first use.
    fused: OnceCell<Fused>,
}

impl Classifier {
    /// A classifier of `classes` without thresholds, input check and temperature. `positive` is the index of the positive
    /// class.
    ///
    /// # Errors
    /// [`Error::Config`] when the number of classes is not the number of the network's outputs, or `positive` is out of range.
    pub fn new(model: ResNet, classes: Vec<String>, positive: usize, image: ImageConfig) -> Result<Self> {
        let (outputs, named) = (model.config().classes, classes.len());
        if outputs != named as i64 || positive >= named {
            let expected = format!("{outputs} classes, one per output of the network, one of them positive");
            let found = format!("{classes:?}, with number {positive} as the positive one");
            return Err(Error::Config { field: "classes", expected, found });
        }
        let description = Description {
            positive: classes[positive].clone(),
            classes,
            image,
            input: None,
            threshold: None,
            smear: None,
            training_patients: Vec::new(),
            temperature: None,
        };
        Ok(Self { model, description, positive, flips: false, fused: OnceCell::new() })
    }

    /// Loads the trained model of the run directory `run`.
    ///
    /// # Errors
    /// [`Error::RunDir`] when `run` is not a run directory; [`Error::Unfinished`] when it has no weights yet; [`Error::File`]
    /// when its settings are invalid or of another format version; [`Error::Model`] when its weights file is damaged or of
    /// another format.
    pub fn load(run: &Path, device: Device) -> Result<Self> {
        let run = RunDir::open(run)?;
        // Refuses other format versions, whose files may mean something else.
        run.config()?;
        let (model, description) = malaria_model::load_weights(&run.finished_weights()?, device)?;
        Self::with_description(model, description)
    }

    /// A network with the description of its weights file.
    pub(crate) fn with_description(model: ResNet, description: Description) -> Result<Self> {
        let positive = description.check()?;
        let Description { classes, image, .. } = description.clone();
        Ok(Self { description, ..Self::new(model, classes, positive, image)? })
    }

    /// Writes the weights and their description.
    ///
    /// # Errors
    /// [`Error::Model`] when the file cannot be written; an existing file is then kept.
    pub fn save(&self, path: &Path) -> Result<()> {
        Ok(malaria_model::save_weights(path, &self.model, &self.description)?)
    }

    /// The network.
    pub fn model(&self) -> &ResNet {
        &self.model
    }

    /// The network alone, for example to train it further.
    pub fn into_model(self) -> ResNet {
        self.model
    }

    /// Classifies an image of one cell, of any size. The path of the [`Prediction`] is empty.
    ///
    /// # Errors
    /// [`Error::Train`] when libtorch fails; [`Error::Model`] when memory is short.
    pub fn predict(&self, image: &RgbImage) -> Result<Prediction> {
        let network = |cells: &Cells| self.classify(cells);
        let images = std::slice::from_ref(image);
        let mut predictions = classify_pictures(&self.description, self.positive, images, network)?;
        // One prediction, for one picture.
        Ok(predictions.swap_remove(0))
    }

    /// Class probabilities of all `cells`, `[N, classes]` row by row.
    pub(crate) fn classify(&self, cells: &Cells) -> Result<Vec<f64>> {
        // Placeholder labels, which inference ignores.
        let tensors = CellTensors::new(cells, &vec![0; cells.len()], self.model.device())?;
        let all: Vec<usize> = (0..cells.len()).collect();
        self.probabilities(&tensors, &all, &mut |_| {})
    }

    /// Class probabilities of the `cells` at `indices`, `[indices, classes]` row by row. `progress` is called with the number of
    /// cells done.
    ///
    /// # Errors
    /// [`Error::Train`] when `indices` is empty or has an index out of range; [`Error::Model`] when memory is short.
    pub fn probabilities(
        &self,
        cells: &CellTensors<'_>,
        indices: &[usize],
        progress: &mut dyn FnMut(usize),
    ) -> Result<Vec<f64>> {
        let options = EvalOptions {
            image_size: Some(i64::from(self.description.image.pixels)),
            flips: self.flips,
            progress: Some(progress),
            ..EvalOptions::default()
        };
        let fused = match self.fused.get() {
            Some(fused) => fused,
            None => {
                let fused = self.model.fused(Kind::Float)?;
                self.fused.get_or_init(|| fused)
            }
        };
        let network = |images: &Tensor| Ok(fused.forward(images)?);
        let raw = evaluate_network(network, cells, indices, options)?.probabilities;
        match self.description.temperature {
            None => Ok(raw),
            Some(temperature) => {
                Ok(apply_temperature(Probabilities::new(&raw, self.description.classes.len()), temperature)?)
            }
        }
    }

    /// Class activation map of `class` on a `cell` of `image.pixels` a side, less the mean map of the other classes: values row
    /// by row, and the number of columns. The map's mean is the logit of `class` less the mean of the other logits, up to
    /// biases.
    ///
    /// # Errors
    /// [`Error::Train`] when libtorch fails.
    pub(crate) fn evidence(&self, cell: &RgbImage, class: usize) -> Result<(Vec<f32>, usize)> {
        let cells = Cells::from_pixels(self.description.image.pixels, cell.as_raw().clone())?;
        let (images, _) = CellTensors::new(&cells, &[0], self.model.device())?.batch(&[0])?;
        // [1, classes, H, W]
        let maps = self.model.activation_maps(&images)?;
        let others = (self.description.classes.len() - 1) as f64;
        let map = || {
            let own = maps.f_select(1, class as i64)?;
            let all = maps.f_sum_dim_intlist([1].as_slice(), false, Kind::Float)?;
            let map = own.f_sub(&all.f_sub(&own)?.f_div_scalar_(others)?)?;
            let (_, _, columns) = map.size3()?;
            Ok((Vec::<f32>::try_from(map.f_flatten(0, -1)?)?, columns as usize))
        };
        Ok(map().map_err(malaria_train::Error::Torch)?)
    }

    /// True classes and predicted `probabilities` of a set of cells.
    pub(crate) fn scored<'a>(&'a self, truth: &'a GroundTruth<'a>, probabilities: &'a [f64]) -> Scored<'a> {
        let (classes, positive) = (&self.description.classes, self.positive);
        Scored { truth: &truth.classes, probabilities, classes, positive, patients: &truth.patients }
    }
}

/// The default run directory: `MALARIA_RUN`, or else `data/pretrained` in the current folder, in a folder above the executable,
/// or in the workspace that this crate was built in.
///
/// # Errors
/// [`Error::NoModel`] when none of these exists; [`Error::Variable`] when `MALARIA_RUN` is not a run directory.
pub fn default_run() -> Result<PathBuf> {
    if let Some(run) = env::var_os("MALARIA_RUN").filter(|run| !run.is_empty()) {
        return match RunDir::open(Path::new(&run)) {
            Ok(run) => Ok(run.path().to_owned()),
            Err(error) => {
                Err(Error::Variable { name: "MALARIA_RUN", found: format!("no run directory: {error}") })
            }
        };
    }
    let executable = env::current_exe().unwrap_or_default();
    let workspace = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    let roots = [PathBuf::from(".")].into_iter().chain(executable.ancestors().skip(1).map(PathBuf::from));
    let looked_in: Vec<PathBuf> = roots.chain([workspace]).map(|root| root.join("data/pretrained")).collect();
    match looked_in.iter().find(|path| path.join("config.json").is_file()) {
        Some(found) => Ok(absolute(found)),
        None => Err(Error::NoModel { looked_in }),
    }
}
