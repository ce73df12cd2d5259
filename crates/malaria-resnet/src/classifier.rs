//! A trained model with all that is needed to use it.

use std::{
    cell::OnceCell,
    env,
    path::{Path, PathBuf},
};

use image::RgbImage;
use malaria_classifier::{
    Description, GroundTruth, ImageConfig, Prediction, Scored, Threshold, classify_picture,
};
use malaria_dataset::{Cells, InputCheck};
use malaria_metrics::{Probabilities, apply_temperature};
use malaria_model::{Fused, ResNet};
use malaria_train::{CellTensors, EvalOptions, evaluate};
use tch::{Device, Kind, Tensor};

use crate::{
    error::{Error, Result},
    paths::absolute,
    run::dir::RunDir,
};

/// A trained model with all that is needed to use it: its classes, and how it wants its pictures.
pub struct Classifier {
    /// The network, which does not change any more: [`fused`](Self::fused) is made of it.
    model: ResNet,
    /// Class names, in the order of the network's outputs.
    pub classes: Vec<String>,
    /// The class that sensitivity and every probability on its own are about: an index into `classes`.
    pub positive: usize,
    /// How a picture becomes the network's input.
    pub image: ImageConfig,
    /// From which probability on a cell is called positive; `None` where it is called by its most probable class.
    pub threshold: Option<Threshold>,
    /// What the training cells look like, so that other pictures can be told from them.
    pub input: Option<InputCheck>,
    /// What logits are divided by before the softmax, so that probabilities are those of the validation set; `None` where that
    /// was not asked for.
    pub temperature: Option<f64>,
    /// Show each cell in four mirror images and take the mean of the probabilities: four times the work. Not stored with
    /// the model, and off when it is loaded.
    pub flips: bool,
    /// Its form for inference, made when it is first asked.
    fused: OnceCell<Fused>,
}

impl Classifier {
    /// A network and what its outputs and inputs are; `positive` is an index into `classes`. It calls each cell by its most
    /// probable class and knows nothing of what its training cells looked like.
    ///
    /// # Errors
    /// [`Error::Config`] when the network has another number of outputs than there are classes, or none of them is the positive one.
    pub fn new(model: ResNet, classes: Vec<String>, positive: usize, image: ImageConfig) -> Result<Self> {
        let (outputs, named) = (model.config().classes, classes.len());
        if outputs != named as i64 || positive >= named {
            let expected = format!(
                "{outputs} classes, as many as the network has outputs, and one of them as the positive one"
            );
            let found = format!("{classes:?}, and number {positive} as the positive one");
            return Err(Error::Config { field: "classes", expected, found });
        }
        Ok(Self {
            model,
            classes,
            positive,
            image,
            threshold: None,
            input: None,
            temperature: None,
            flips: false,
            fused: OnceCell::new(),
        })
    }

    /// Reads the kept weights of the run in `run`.
    ///
    /// # Errors
    /// [`Error::Unfinished`] when the run has not come to weights yet; [`Error::Config`] and [`Error::File`] when its settings cannot
    /// be understood, or are of another format version; [`Error::Model`] when its weights file is damaged or not one of ours.
    pub fn load(run: &Path, device: Device) -> Result<Self> {
        let run = RunDir::open(run)?;
        // A layout of another version may mean something else.
        run.config()?;
        let (model, description) = malaria_model::load_weights(&run.finished_weights()?, device)?;
        Self::described(model, description)
    }

    /// A network with the description that its file holds.
    pub(crate) fn described(model: ResNet, description: Description) -> Result<Self> {
        let positive = description.check()?;
        let Description { classes, image, input, threshold, temperature, .. } = description;
        Ok(Self { input, threshold, temperature, ..Self::new(model, classes, positive, image)? })
    }

    /// Writes the weights and their description.
    ///
    /// # Errors
    /// [`Error::Model`] when the file cannot be written; the old one then stays.
    pub fn save(&self, path: &Path) -> Result<()> {
        Ok(malaria_model::save_weights(path, &self.model, &self.description())?)
    }

    /// The network.
    pub fn model(&self) -> &ResNet {
        &self.model
    }

    /// The network alone, as to train it further.
    pub fn into_model(self) -> ResNet {
        self.model
    }

    /// Classifies a picture of one cell that is in memory, of any size. The path of the [`Prediction`] is empty.
    ///
    /// # Errors
    /// [`Error::Train`] when libtorch fails; [`Error::Model`] when memory is short.
    pub fn predict(&self, picture: &RgbImage) -> Result<Prediction> {
        classify_picture(&self.description(), self.positive, picture, |cells| self.all(cells))
    }

    /// The probabilities of all `cells`, `[N, classes]` row by row.
    pub(crate) fn all(&self, cells: &Cells) -> Result<Vec<f64>> {
        // Nothing is known of these cells: the labels only fill the place that figures would need.
        let tensors = CellTensors::new(cells, &vec![0; cells.len()], self.model.device())?;
        let all: Vec<usize> = (0..cells.len()).collect();
        self.probabilities(&tensors, &all, &mut |_| {})
    }

    /// What it says of itself besides its weights.
    pub fn description(&self) -> Description {
        Description {
            classes: self.classes.clone(),
            positive: self.classes[self.positive].clone(),
            image: self.image,
            input: self.input,
            threshold: self.threshold,
            temperature: self.temperature,
        }
    }

    /// What the network says of the `cells` at `indices`: the probability of each class, `[indices, classes]` row by row.
    /// `progress` hears the number of cells done.
    ///
    /// # Errors
    /// [`Error::Train`] when there are no indices, or one is out of range; [`Error::Model`] when memory is short.
    pub fn probabilities(
        &self,
        cells: &CellTensors<'_>,
        indices: &[usize],
        progress: &mut dyn FnMut(usize),
    ) -> Result<Vec<f64>> {
        let options = EvalOptions {
            image_size: Some(i64::from(self.image.pixels)),
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
        let said = evaluate(network, cells, indices, options)?.probabilities;
        match self.temperature {
            None => Ok(said),
            Some(temperature) => {
                Ok(apply_temperature(Probabilities::new(&said, self.classes.len()), temperature)?)
            }
        }
    }

    /// What in a `cell` of `image.pixels` a side speaks for `class` rather than the others: values row by row, and how many a
    /// row. Positive ones speak for it; their mean is what the class's logit has over the mean of the others, but for biases.
    ///
    /// # Errors
    /// [`Error::Train`] when libtorch fails.
    pub(crate) fn evidence(&self, cell: &RgbImage, class: usize) -> Result<(Vec<f32>, usize)> {
        let cells = Cells::from_pixels(self.image.pixels, cell.as_raw().clone())?;
        let (images, _) = CellTensors::new(&cells, &[0], self.model.device())?.batch(&[0])?;
        // [1, classes, H, W]
        let maps = self.model.activation_maps(&images)?;
        let others = (self.classes.len() - 1) as f64;
        let map = || {
            let own = maps.f_select(1, class as i64)?;
            let all = maps.f_sum_dim_intlist([1].as_slice(), false, Kind::Float)?;
            let map = own.f_sub(&all.f_sub(&own)?.f_div_scalar(others)?)?;
            let (_, _, columns) = map.size3()?;
            Ok((Vec::<f32>::try_from(map.f_flatten(0, -1)?)?, columns as usize))
        };
        Ok(map().map_err(malaria_train::Error::Torch)?)
    }

    /// Cells of which the model says `probabilities`.
    pub(crate) fn scored<'a>(&'a self, truth: &'a GroundTruth<'a>, probabilities: &'a [f64]) -> Scored<'a> {
        let (classes, positive) = (&self.classes, self.positive);
        Scored { truth: &truth.classes, probabilities, classes, positive, patients: &truth.patients }
    }
}

/// The run directory to use when none is named: `MALARIA_RUN`, or else `data/pretrained` in the current folder, in one
/// above the executable, or in the workspace that this was built in.
///
/// # Errors
/// [`Error::NoModel`] says where it was looked for; [`Error::Config`] when `MALARIA_RUN` names no run directory.
pub fn default_run() -> Result<PathBuf> {
    if let Some(run) = env::var_os("MALARIA_RUN").filter(|run| !run.is_empty()) {
        return match RunDir::open(Path::new(&run)) {
            Ok(run) => Ok(run.path().to_owned()),
            Err(error) => Err(Error::Config {
                field: "MALARIA_RUN",
                expected: "a run directory in this environment variable".to_owned(),
                found: error.to_string(),
            }),
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
