use std::{
    collections::BTreeMap,
    env,
    path::{Path, PathBuf},
};

use malaria_model::ResNet;
use malaria_train::{CellTensors, Evaluation, evaluate};
use serde::{Serialize, de::DeserializeOwned};
use tch::Device;

use crate::{Error, ImageConfig, Result, RunDir};

/// Cells a batch.
const BATCH: usize = 128;

/// A trained model with all that is needed to use it: its classes, and how it wants its pictures.
pub struct Classifier {
    /// The network.
    pub model: ResNet,
    /// Class names, in the order of the network's outputs.
    pub classes: Vec<String>,
    /// The class that sensitivity and every probability on its own are about: an index into `classes`.
    pub positive: usize,
    /// How a picture becomes the network's input.
    pub image: ImageConfig,
}

impl Classifier {
    /// Reads the kept weights of the run in `run`.
    ///
    /// # Errors
    /// [`Error::RunDir`] when the run has not come to weights yet; [`Error::Model`] when its file is damaged or not
    /// one of ours; [`Error::Json`] when what the file says of itself cannot be understood.
    pub fn load(run: &Path, device: Device) -> Result<Self> {
        let run = RunDir::open(run)?;
        let path = run.weights_path();
        if !path.is_file() {
            return Err(run
                .error("it has no weights.safetensors yet: let the run end, by --resume if it was cut off"));
        }
        let (model, metadata) = malaria_model::load_weights(&path, device)?;
        let classes: Vec<String> = field(&path, &metadata, "classes")?;
        let positive: String = field(&path, &metadata, "positive")?;
        let position = classes.iter().position(|class| *class == positive);
        let positive =
            position.filter(|_| classes.len() as i64 == model.config().classes).ok_or_else(|| {
                Error::Json {
                    path: path.clone(),
                    expected: "the description of a classifier",
                    reason: format!(
                        "classes {classes:?} and positive class `{positive}` do not fit the network"
                    ),
                }
            })?;
        let image = field(&path, &metadata, "image")?;
        Ok(Self { model, classes, positive, image })
    }

    /// Writes the weights and their description.
    ///
    /// # Errors
    /// [`Error::Model`] when the file cannot be written; the old one then stays.
    pub fn save(&self, path: &Path) -> Result<()> {
        let mut metadata = BTreeMap::new();
        put(&mut metadata, path, "classes", &self.classes)?;
        put(&mut metadata, path, "positive", &self.classes[self.positive])?;
        put(&mut metadata, path, "image", &self.image)?;
        Ok(malaria_model::save_weights(path, &self.model, &metadata)?)
    }

    /// What the network says of the `cells` at `indices`: softmax probabilities `[indices, classes]`, and cross-entropy
    /// and accuracy against their labels. `progress` hears the number of cells done.
    ///
    /// # Errors
    /// [`Error::Train`] when there are no indices, or one is out of range.
    pub fn evaluate(
        &self,
        cells: &CellTensors,
        indices: &[usize],
        progress: &mut dyn FnMut(usize),
    ) -> Result<Evaluation> {
        Ok(evaluate(&self.model, cells, indices, i64::from(self.image.pixels), BATCH, progress)?)
    }
}

fn field<T: DeserializeOwned>(path: &Path, metadata: &BTreeMap<String, String>, name: &str) -> Result<T> {
    let expected = "the description of a classifier";
    let bad = |reason: String| Error::Json { path: path.to_owned(), expected, reason };
    let text = metadata.get(name).ok_or_else(|| bad(format!("`{name}` is missing from its metadata")))?;
    serde_json::from_str(text).map_err(|error| bad(format!("`{name}`: {error}")))
}

fn put(
    metadata: &mut BTreeMap<String, String>,
    path: &Path,
    name: &str,
    value: &impl Serialize,
) -> Result<()> {
    let text = serde_json::to_string(value).map_err(|error| Error::Json {
        path: path.to_owned(),
        expected: "the description of a classifier",
        reason: format!("`{name}`: {error}"),
    })?;
    metadata.insert(name.to_owned(), text);
    Ok(())
}

/// The run directory to use when none is named: `MALARIA_RUN`, or else `data/pretrained` in the current folder, in one
/// above the executable, or in the workspace that this was built in.
///
/// # Errors
/// [`Error::NoModel`] says where it was looked for.
pub fn default_run() -> Result<PathBuf> {
    if let Some(run) = env::var_os("MALARIA_RUN").filter(|run| !run.is_empty()) {
        return Ok(run.into());
    }
    let executable = env::current_exe().unwrap_or_default();
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let roots = [PathBuf::from(".")].into_iter().chain(executable.ancestors().skip(1).map(PathBuf::from));
    let looked_in: Vec<PathBuf> = roots.chain([workspace]).map(|root| root.join("data/pretrained")).collect();
    looked_in
        .iter()
        .find(|path| path.join("config.json").is_file())
        .cloned()
        .ok_or(Error::NoModel { looked_in })
}
